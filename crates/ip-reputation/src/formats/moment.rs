//! Moments, in the ways in which feeds write them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::fmt::{rfc2822, strtime};

/// The text is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoMoment;

/// RFC 3339 or a whole number of seconds since 1970. `None` is further away than this agent counts
/// (2106), which is never.
pub(super) fn rfc3339_or_epoch(text: &str) -> Result<Option<u32>, NoMoment> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than 32 bits would be milliseconds, or a slip.
        return text.parse().map(Some).map_err(|_| NoMoment);
    }
    match text.parse() {
        Ok(moment) => Ok(seconds(moment)),
        Err(_) if is_last_day(text) => Ok(None),
        Err(_) => Err(NoMoment),
    }
}

/// The last day of the year 9999 is a way to write "never". It is not over everywhere by the time
/// that `jiff` counts to.
fn is_last_day(text: &str) -> bool {
    let local = text.strip_suffix(['Z', 'z']).map(str::parse);
    matches!(local, Some(Ok(moment)) if DateTime::date(moment) == Date::MAX)
}

/// As in a comment: `Fri, 20 Nov 2026 12:03:38 GMT`, `Fri Nov 20 12:03:38 UTC 2026`, or RFC 3339.
pub(super) fn in_comment(text: &str) -> Option<u32> {
    let unix = || {
        let parsed = strtime::parse("%a %b %d %H:%M:%S UTC %Y", text).ok()?;
        parsed
            .to_datetime()
            .ok()?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
    };
    let moment = rfc2822::parse(text).ok().or_else(unix);
    let moment = moment.map_or_else(|| text.parse().ok(), |zoned| Some(zoned.timestamp()));
    moment.and_then(seconds)
}

/// Before 1970 is 1970.
fn seconds(moment: Timestamp) -> Option<u32> {
    u32::try_from(moment.as_second().max(0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_they_are_written() {
        for (text, expected) in [
            ("2026-12-01T00:00:00Z", Ok(Some(1_796_083_200))),
            ("2026-12-01T01:00:00+01:00", Ok(Some(1_796_083_200))),
            ("2026-12-01t00:00:00.25z", Ok(Some(1_796_083_200))),
            ("1796083200", Ok(Some(1_796_083_200))),
            ("0", Ok(Some(0))),
            ("1969-01-01T00:00:00Z", Ok(Some(0))),
            ("9999-12-01T00:00:00Z", Ok(None)),
            ("9999-12-31T23:59:59Z", Ok(None)),
            ("9999-12-31T24:59:59Z", Err(NoMoment)),
            ("1796083200000", Err(NoMoment)),
            ("2026-12-01T00:00:00", Err(NoMoment)),
            ("2026-02-30T00:00:00Z", Err(NoMoment)),
            ("tomorrow", Err(NoMoment)),
            ("-1", Err(NoMoment)),
            ("", Err(NoMoment)),
        ] {
            assert_eq!(rfc3339_or_epoch(text), expected, "{text}");
        }
    }

    #[test]
    fn comments_have_their_own_ways() {
        for text in [
            "Tue, 01 Dec 2026 00:00:00 GMT",
            "Tue Dec  1 00:00:00 UTC 2026",
            "Tue Dec 01 00:00:00 UTC 2026",
            "2026-12-01T00:00:00Z",
        ] {
            assert_eq!(in_comment(text), Some(1_796_083_200), "{text}");
        }
        for text in ["", "soon", "Tue Dec  1 00:00:00 CET 2026", "2026-12-01"] {
            assert_eq!(in_comment(text), None, "{text}");
        }
    }
}
