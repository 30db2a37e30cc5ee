//! The program, and what it said. A watchdog ends a run that hangs: the program promises never to.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Far more than any run here takes.
const WATCHDOG: Duration = Duration::from_mins(1);

pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    /// Asserts that the run failed, and that the report names this kind of error.
    #[track_caller]
    pub(crate) fn names(&self, kind: &str) -> &Self {
        assert_eq!(self.code, Some(1), "{}{}", self.out, self.err);
        assert!(
            self.out.contains(&format!("\"{kind}\":")),
            "{kind}: {}{}",
            self.out,
            self.err
        );
        self
    }

    #[track_caller]
    pub(crate) fn is_clean(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.has("\"errors\":{},\"complete\":true")
    }

    #[track_caller]
    pub(crate) fn has(&self, text: &str) -> &Self {
        assert!(self.out.contains(text), "{text}: {}{}", self.out, self.err);
        self
    }
}

/// Runs the program with these words and gives its JSON.
pub(crate) fn bench(agent: &impl ToString, words: &str) -> Run {
    let words = format!("--json - --duration 300ms --warmup 0 {words}");
    run(&[&[agent.to_string()][..], &split(&words)].concat())
}

/// The same, bounded by `--count`.
pub(crate) fn count(agent: &impl ToString, words: &str) -> Run {
    run(&[
        &[agent.to_string()][..],
        &split(&format!("--json - --count {words}")),
    ]
    .concat())
}

pub(crate) fn split(words: &str) -> Vec<String> {
    words.split_whitespace().map(str::to_owned).collect()
}

pub(crate) fn run(words: &[String]) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_spop-bench"))
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > WATCHDOG {
            child.kill().unwrap();
            panic!("spop-bench hangs");
        }
        thread::park_timeout(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
