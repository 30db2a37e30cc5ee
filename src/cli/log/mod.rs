//! Where events go: to stderr, a line each, and nobody waits for it.
//!
//! ```text
//!  any thread ─▶ event ─▶ subscriber: level, line ─▶ queue ─▶ thread "log" ─▶ stderr
//!                                                    bounded, never waits
//! ```
//!
//! A stderr that nobody reads costs lines, which are counted; one that is gone costs all of them. Neither
//! keeps a worker, a signal or a reload waiting.

mod line;
mod queue;
mod subscriber;

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io;
use std::sync::{Arc, OnceLock};
use std::thread;

use iprep_spoa::host::log::{LogDial, LogFormat, LogLevel};
use tracing::Level;

use line::{Field, Style};
use queue::Queue;
use subscriber::Lines;

/// How long the last lines may take to be printed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What lines look like, and where they wait.
#[derive(Debug)]
struct Log {
    style: Style,
    queue: Arc<Queue>,
}

/// The log of an agent that serves. The other commands print what they have to say.
static LOG: OnceLock<Log> = OnceLock::new();

/// From now on events become lines, which wait to be printed. The dial says which.
pub(super) fn start(level: LogLevel, format: LogFormat) -> LogDial {
    let dial = LogDial::new(level);
    let style = Style::of(format);
    let queue = Arc::<Queue>::default();
    let lines = Lines::new(dial.clone(), style, Arc::clone(&queue));
    // There is one in a process.
    let _ = tracing::subscriber::set_global_default(lines);
    let _ = LOG.set(Log { style, queue });
    dial
}

/// Starts the thread that prints, if it does not run: it has the rights that the process has now.
pub(super) fn print_on_a_thread() -> io::Result<()> {
    static STARTED: AtomicBool = AtomicBool::new(false);
    let Some(Log { style, queue }) = LOG.get() else {
        return Ok(());
    };
    if STARTED.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let left_out = |count: u64| {
        let fields = [
            Field::bare("count", count),
            Field::text("hint", "stderr is not read, or not fast enough"),
        ];
        style.line(Level::WARN, "log lines dropped", &fields)
    };
    let print = move || queue.print(left_out);
    let started = thread::Builder::new().name("log".into()).spawn(print);
    started.map(drop)
}

/// Whether events are printed.
pub(super) fn is_started() -> bool {
    LOG.get().is_some()
}

/// Text that was asked for and is printed as it is, whatever the level.
pub(super) fn print(level: Level, text: &str) {
    let Some(Log { style, queue }) = LOG.get() else {
        return;
    };
    match style {
        Style::Json => text
            .lines()
            .for_each(|line| queue.push(&style.report(level, line))),
        Style::Stamped | Style::Journal => queue.push(text),
    }
}

/// Waits until all is printed, but not for ever.
pub(super) fn flush() {
    if let Some(log) = LOG.get()
        && print_on_a_thread().is_ok()
    {
        log.queue.flush(LAST_WORDS);
    }
}
