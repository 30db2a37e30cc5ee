//! The time of day, as entries and tables count it.

use std::time::SystemTime;

/// Seconds since 1970.
#[must_use]
pub fn now() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
    })
}
