//! Timestamps of decisions: seconds since 1970, shown as RFC 3339 in UTC.

use jiff::Timestamp;

/// `2026-11-28T03:00:00Z`.
#[must_use]
pub fn rfc3339(seconds: u32) -> String {
    Timestamp::from_second(seconds.into())
        .unwrap_or_default()
        .to_string()
}

/// Seconds since 1970 of a timestamp.
#[must_use]
pub fn parse(text: &str) -> Option<u32> {
    let timestamp: Timestamp = text.parse().ok()?;
    u32::try_from(timestamp.as_second()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_read_as_it_is_written() {
        assert_eq!(rfc3339(1_700_000_000), "2023-11-14T22:13:20Z");
        for seconds in [0, 1_700_000_000, u32::MAX] {
            assert_eq!(parse(&rfc3339(seconds)), Some(seconds));
        }
        assert_eq!(parse("yesterday"), None);
    }
}
