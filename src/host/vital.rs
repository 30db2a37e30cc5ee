//! Threads without which the agent must not go on: when one ends, the process ends, and its supervisor
//! starts it again.

use core::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::OnceLock;
use std::{io, process, thread};

use tracing::error;

/// The status of a process with a bug (`EX_SOFTWARE` of sysexits).
pub const EXIT_SOFTWARE: u8 = 70;

/// Called before the process ends.
static FLUSH: OnceLock<fn()> = OnceLock::new();

/// Has this called before the process ends, to print the lines that wait. The first call counts.
pub fn flush_with(flush: fn()) {
    // A second caller has nothing else to flush.
    let _ = FLUSH.set(flush);
}

/// Starts a thread that serves until the process ends. If it returns or panics, the reason is logged
/// and the process ends with status 70.
///
/// # Errors
/// If there is no thread to be had.
pub fn spawn(
    name: &str,
    serve: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    let thread = name.to_owned();
    let run = move || {
        let why = match panic::catch_unwind(AssertUnwindSafe(serve)) {
            Ok(Ok(())) => "it returned".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("panic: {}", message(&*panic)),
        };
        error!(thread, error = why, "thread ended");
        if let Some(flush) = FLUSH.get() {
            flush();
        }
        process::exit(EXIT_SOFTWARE.into());
    };
    let started = thread::Builder::new().name(name.to_owned()).spawn(run);
    started.map(drop)
}

/// Returns the message of a panic on one line.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").replace('\n', " ")
}
