//! Numbers and times as people read them.

use core::time::Duration;

/// A narrow space that does not break.
const THIN: char = '\u{202f}';

/// A number in groups of three digits.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() * 2);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(THIN);
        }
        shown.push(digit);
    }
    shown
}

/// So many a second.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is small and not negative, and a cast ends at the bounds"
)]
pub(super) fn rate(rate: f64) -> String {
    if rate < 10.0 && rate > 0.0 {
        format!("{rate:.1}")
    } else {
        count(rate.round() as u64)
    }
}

/// A short time, to three digits: `12.3 us`.
pub(super) fn latency(time: Duration) -> String {
    let us = time.as_secs_f64() * 1e6;
    let (value, unit) = match us {
        _ if time.is_zero() => return "–".to_owned(),
        _ if us < 1e3 => (us, "µs"),
        _ if us < 1e6 => (us / 1e3, "ms"),
        _ => (us / 1e6, "s"),
    };
    let digits = match value {
        _ if value < 10.0 => 2,
        _ if value < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}{THIN}{unit}")
}

/// A long time, in its two largest units.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let first = units.iter().position(|(unit, _)| seconds >= *unit);
    let first = first.unwrap_or(units.len() - 1);
    let mut left = seconds;
    let mut parts = Vec::new();
    for (unit, name) in units.iter().skip(first).take(2) {
        if left >= *unit || parts.is_empty() {
            parts.push(format!("{}{THIN}{name}", left / unit));
        }
        left %= unit;
    }
    parts.join(" ")
}

/// How long ago a moment was, both in seconds since 1970.
pub(super) fn ago(moment: Option<u32>, now: u32) -> String {
    let ago = |moment| span(Duration::from_secs(now.saturating_sub(moment).into()));
    moment.map_or_else(
        || "never".to_owned(),
        |moment| format!("{} ago", ago(moment)),
    )
}

/// Bytes, to three digits.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1000.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    let digits = usize::from(unit != "B" && value < 100.0);
    format!("{value:.digits$}{THIN}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_units() {
        let plain = |text: String| text.replace(THIN, " ");
        assert_eq!(plain(count(0)), "0");
        assert_eq!(plain(count(1_234_567)), "1 234 567");
        assert_eq!(plain(rate(0.25)), "0.2");
        assert_eq!(plain(rate(99_999.6)), "100 000");
        assert_eq!(plain(latency(Duration::ZERO)), "–");
        assert_eq!(plain(latency(Duration::from_nanos(12_345))), "12.3 µs");
        assert_eq!(plain(latency(Duration::from_millis(250))), "250 ms");
        assert_eq!(plain(span(Duration::from_secs(0))), "0 s");
        assert_eq!(plain(span(Duration::from_secs(61))), "1 min 1 s");
        assert_eq!(plain(span(Duration::from_secs(86_400 + 59))), "1 d");
        assert_eq!(plain(ago(Some(10), 75)), "1 min 5 s ago");
        assert_eq!(plain(bytes(999)), "999 B");
        assert_eq!(plain(bytes(44 << 20)), "44.0 MiB");
    }
}
