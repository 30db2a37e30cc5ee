//! A clock that is moved, not waited for.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use super::Scratch;

/// A clock of the agent's own: the machine's, and what the file says.
#[derive(Debug)]
pub(crate) struct Clock {
    step: PathBuf,
    library: PathBuf,
}

impl Clock {
    /// `None` without a C compiler.
    pub(crate) fn new(scratch: &Scratch) -> Option<Self> {
        let library = scratch.path("clock.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/injection/clock.c");
        let mut compiler = Command::new("cc");
        compiler
            .args(["-shared", "-fPIC", "-o"])
            .args([library.as_path(), source.as_ref()]);
        if !compiler.status().is_ok_and(|status| status.success()) {
            println!("no C compiler here");
            return None;
        }
        let step = scratch.write("step", 0_i64.to_ne_bytes());
        Some(Self { step, library })
    }

    /// Has a program go by it.
    pub(crate) fn equip(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("CLOCK_STEP", &self.step);
    }

    /// In place: the agent has mapped it.
    pub(crate) fn step(&self, seconds: i64) {
        let mut file = OpenOptions::new().write(true).open(&self.step).unwrap();
        file.write_all(&seconds.to_ne_bytes()).unwrap();
    }
}
