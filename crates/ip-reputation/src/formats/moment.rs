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
        Err(_) => utc(text).map(seconds).ok_or(NoMoment),
    }
}

/// `2026-12-01 00:00:00` and `2026-12-01`, as databases print them: UTC.
fn utc(text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix("UTC").unwrap_or(text).trim_end();
    let civil: DateTime = text.parse().ok()?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp())
}

/// A duration as Go prints it (`3h59m2s`, `-1m0.5s`), or seconds. In whole seconds.
pub(super) fn duration(text: &[u8]) -> Result<i64, NoMoment> {
    let text = str::from_utf8(text).map_err(|_| NoMoment)?;
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    let mut total = 0.0;
    loop {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let end = rest.find(|c| !is_number(c)).unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(end).ok_or(NoMoment)?;
        let end = after.find(is_number).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end).ok_or(NoMoment)?;
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "\u{b5}s" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            "" if after.is_empty() => 1.0,
            _ => return Err(NoMoment),
        };
        let number: f64 = number.parse().map_err(|_| NoMoment)?;
        total += number * seconds;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole seconds are wanted; a cast from f64 saturates"
    )]
    let seconds = (sign * total).clamp(-1e10, 1e10) as i64;
    Ok(seconds)
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
            ("2026-12-01T00:00:00", Ok(Some(1_796_083_200))),
            ("2026-12-01 00:00:00", Ok(Some(1_796_083_200))),
            ("2026-12-01 00:00:00 UTC", Ok(Some(1_796_083_200))),
            ("2026-12-01", Ok(Some(1_796_083_200))),
            ("2026-02-30T00:00:00Z", Err(NoMoment)),
            ("tomorrow", Err(NoMoment)),
            ("-1", Err(NoMoment)),
            ("", Err(NoMoment)),
        ] {
            assert_eq!(rfc3339_or_epoch(text), expected, "{text}");
        }
    }

    #[test]
    fn durations_are_read_as_go_prints_them() {
        for (text, expected) in [
            ("3h59m2s", Ok(14_342)),
            ("-1m0.5s", Ok(-60)),
            ("7200", Ok(7200)),
            ("0s", Ok(0)),
            ("1d", Ok(86_400)),
            ("500ms", Ok(0)),
            ("", Err(NoMoment)),
            ("h", Err(NoMoment)),
            ("4 hours", Err(NoMoment)),
            ("1h-1m", Err(NoMoment)),
            ("1.2.3s", Err(NoMoment)),
        ] {
            assert_eq!(duration(text.as_bytes()), expected, "{text}");
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
