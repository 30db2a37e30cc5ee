//! Word to the supervisor (`sd_notify(3)`): that the agent is ready, reloads, stops, and is alive.
//!
//! Without a supervisor (`NOTIFY_SOCKET` is not set) all of this does nothing. One that cannot be
//! reached is no reason to stop serving.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io;
use std::thread;

use sd_notify::NotifyState;
use tracing::warn;

use haproxy_spoa::Control;

/// Set once the agent stops: its workers leave one by one then, and owe no answer.
static STOPPING: AtomicBool = AtomicBool::new(false);

/// The agent serves: its addresses are taken and its first table is in. `status` is what `systemctl
/// status` shows.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload has begun; [`reloaded`] ends it.
pub fn reloading() {
    // With the time that Type=notify-reload wants (systemd 253 and later).
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(_) => send(&[NotifyState::Reloading]),
    }
}

/// A reload has ended with these results, each a line for people. One error among them makes the
/// status a failure; the agent is ready in either case, with its last good state.
pub fn reloaded<'a>(results: impl IntoIterator<Item = &'a Result<String, String>>) {
    let (mut lines, mut is_failed) = (Vec::new(), false);
    for result in results {
        is_failed |= result.is_err();
        let (Ok(line) | Err(line)) = result;
        lines.push(line.as_str());
    }
    let lines = lines.join("; ");
    if is_failed {
        ready(&format!("reload failed: {lines}"));
    } else {
        ready(&lines);
    }
}

/// The agent has been told to stop.
pub fn stopping() {
    STOPPING.store(true, Ordering::Release);
    send(&[NotifyState::Stopping]);
}

fn send(state: &[NotifyState<'_>]) {
    // Nothing depends on it here; a supervisor that misses a word acts on that itself.
    let _ = sd_notify::notify(state);
}

/// Tells the supervisor that the agent is alive as often as it wants to hear it (`WatchdogSec=`), if
/// it does, and only while every worker answers. Each time when one did not is logged.
///
/// # Errors
/// If there is no thread to do it.
pub fn watch(control: Control) -> io::Result<()> {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return Ok(());
    };
    let beat = move || {
        loop {
            if answers(&control, patience / 2) {
                send(&[NotifyState::Watchdog]);
            }
            // A quarter, and at most a half for the workers: the next word comes in time.
            pause(patience / 4);
        }
    };
    let started = thread::Builder::new().name("watchdog".into()).spawn(beat);
    started.map(drop)
}

fn answers(control: &Control, patience: Duration) -> bool {
    let silent = control.report(patience).silent;
    if silent.is_empty() || STOPPING.load(Ordering::Acquire) {
        return true;
    }
    let hint = "no watchdog notification is sent";
    warn!(workers = ?silent, timeout = ?patience, hint, "workers not responding");
    false
}

/// Waits; being woken early does no harm.
fn pause(time: Duration) {
    thread::park_timeout(time);
}
