//! Waiting for something to be so, without a sleep of a guessed length.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before a test fails. Far more than it takes on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(2);

/// Looks until there is something to be seen.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::park_timeout(INTERVAL);
    }
}

/// Waits until a condition holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    eventually(what, || holds().then_some(()));
}

/// Sees that a condition holds for a whole period.
pub(crate) fn throughout(period: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + period;
    while Instant::now() < end {
        assert!(holds(), "no longer: {what}");
        thread::park_timeout(INTERVAL);
    }
}
