//! Values as people write and read them.

use std::time::Duration;

use haproxy_spop::Scope;

use crate::options::Cores;

/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// `10s`, `500ms`, `2m`, `0`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| "expected a whole number and a unit: 10s, 500ms or 2m".to_owned())?;
    match text.get(digits.len()..).unwrap_or_default() {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        "" if number == 0 => Ok(Duration::ZERO),
        "" => Err("the unit is missing: s, ms or m".to_owned()),
        unit => Err(format!("unknown unit {unit}: use s, ms or m")),
    }
}

/// `1` or `0,2-3`.
pub(crate) fn cores(text: &str) -> Result<Cores, String> {
    let mut cores = Vec::new();
    for item in text.split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let wrong = |_| format!("{item:?} is neither a core nor a range of cores");
        let (first, last): (usize, usize) =
            (first.parse().map_err(wrong)?, last.parse().map_err(wrong)?);
        if last < first || last > 4095 {
            return Err(format!("{item:?} is not a range of cores"));
        }
        cores.extend(first..=last);
    }
    Ok(Cores(cores))
}

/// A scope as `HAProxy`'s configuration writes it.
pub(crate) fn scope(text: &str) -> Result<Scope, String> {
    use Scope::{Process, Request, Response, Session, Transaction};
    [Process, Session, Transaction, Request, Response]
        .into_iter()
        .find(|scope| scope.to_string() == text)
        .ok_or_else(|| "expected proc, sess, txn, req or res".to_owned())
}

/// As a floating-point number, for reports.
#[expect(
    clippy::cast_precision_loss,
    reason = "a report shows far fewer digits"
)]
pub(crate) fn float(value: u64) -> f64 {
    value as f64
}

/// `part / whole`, and 0 of nothing.
pub(crate) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// Nanoseconds of a duration.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// `1,234,567`.
pub(crate) fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Three significant digits and a unit: `45.1 µs`.
pub(crate) fn time(nanos: u64) -> String {
    let nanos = float(nanos);
    let (value, unit) = match nanos {
        ..1e3 => (nanos, "ns"),
        ..1e6 => (nanos / 1e3, "µs"),
        ..1e9 => (nanos / 1e6, "ms"),
        _ => (nanos / 1e9, "s"),
    };
    let decimals = match value {
        ..10.0 if unit != "ns" => 2,
        ..100.0 if unit != "ns" => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}

/// Bytes: `12.3 MiB`.
pub(crate) fn bytes(value: u64) -> String {
    let value = float(value);
    match value {
        ..1024.0 => format!("{value:.0} B"),
        ..1_048_576.0 => format!("{:.1} KiB", value / 1024.0),
        _ => format!("{:.1} MiB", value / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for wrong in ["", "s", "10", "1.5s", "-1s", "10h", "10 s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn cores_are_a_list_of_ranges() {
        assert_eq!(cores("1"), Ok(Cores(vec![1])));
        assert_eq!(cores("0,2-3"), Ok(Cores(vec![0, 2, 3])));
        for wrong in ["", "a", "3-2", "1,", "0-99999"] {
            assert!(cores(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn scopes_are_written_as_in_haproxy() {
        assert_eq!(scope("sess"), Ok(Scope::Session));
        assert_eq!(scope("proc"), Ok(Scope::Process));
        assert!(scope("session").is_err());
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(time(999), "999 ns");
        assert_eq!(time(1_234), "1.23 µs");
        assert_eq!(time(45_120), "45.1 µs");
        assert_eq!(time(123_456_789), "123 ms");
        assert_eq!(time(2_000_000_000), "2.00 s");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
    }
}
