//! The last two minutes as pictures: latencies on a scale of decades, rates on one from zero.
//!
//! The SVG is stretched to whatever room there is; what is written beside it is HTML, so that it stays
//! readable on a phone.

use core::fmt::Write as _;
use core::time::Duration;

use crate::admin::history::{SAMPLES_MAX, Sample};

use super::show;

/// Units of the picture for a factor of ten, and for a full scale of rates.
const DECADE: f64 = 100.0;
const RATE_HEIGHT: f64 = 100.0;
/// The lowest latency that is shown, as a power of ten of seconds.
const LOWEST: i32 = -6;

type OfSample = fn(&Sample) -> Duration;

const LINES: [(&str, OfSample); 3] = [
    ("p50", |sample| sample.p50),
    ("p99", |sample| sample.p99),
    ("p999", |sample| sample.p999),
];

/// Latencies of each second.
pub(super) fn latencies(samples: &[Sample], budget: Duration) -> String {
    let longest = samples.iter().map(|it| it.p999).max().unwrap_or_default();
    let highest = decade_above(longest.max(budget)).max(LOWEST + 2);
    let height = f64::from(highest - LOWEST) * DECADE;
    let y = |time: Duration| {
        let power = time.as_secs_f64().max(1e-9).log10();
        (height - (power - f64::from(LOWEST)) * DECADE).clamp(0.0, height)
    };
    let mut text =
        String::from("<div class=\"plot tall\"><ol class=\"axis\" aria-hidden=\"true\">");
    for power in (LOWEST..=highest).rev() {
        let _ = write!(text, "<li>{}</li>", power_name(power));
    }
    let _ = write!(
        text,
        "</ol>{}",
        opening(height, "Latency of the last two minutes")
    );
    for line in 1..(highest - LOWEST) {
        let y = f64::from(line) * DECADE;
        let _ = write!(text, "<path class=\"grid\" d=\"M0 {y}H{}\"/>", width());
    }
    let _ = write!(
        text,
        "<path class=\"budget\" d=\"M0 {:.1}H{}\"/>",
        y(budget),
        width()
    );
    for (class, value) in LINES {
        let points = samples
            .iter()
            .map(|sample| Some(value(sample)).filter(|it| !it.is_zero()));
        let path = path(points.map(|time| time.map(y)), samples.len());
        let _ = write!(text, "<path class=\"{class}\" d=\"{path}\"/>");
    }
    text.push_str("</svg></div>");
    text
}

/// NOTIFYs of each second.
pub(super) fn rates(samples: &[Sample]) -> String {
    let most = samples.iter().map(|it| it.rate).fold(0.0, f64::max);
    let top = nice_above(most);
    let y = |rate: f64| RATE_HEIGHT * (1.0 - rate / top);
    let mut text = String::from("<div class=\"plot\"><ol class=\"axis\" aria-hidden=\"true\">");
    let _ = write!(text, "<li>{}/s</li><li>0</li></ol>", show::rate(top));
    text.push_str(&opening(
        RATE_HEIGHT,
        "NOTIFYs a second in the last two minutes",
    ));
    let line = path(samples.iter().map(|it| Some(y(it.rate))), samples.len());
    if !line.is_empty() {
        let first = SAMPLES_MAX.saturating_sub(samples.len());
        let _ = write!(
            text,
            "<path class=\"area\" d=\"{line}V{RATE_HEIGHT}H{first}Z\"/><path class=\"p50\" d=\"{line}\"/>"
        );
    }
    text.push_str("</svg></div>");
    text
}

fn width() -> usize {
    SAMPLES_MAX - 1
}

fn opening(height: f64, label: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {} {height}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{label}\">",
        width()
    )
}

/// A line through the values, the latest at the right edge; where there is none it is broken.
fn path(values: impl Iterator<Item = Option<f64>>, len: usize) -> String {
    let first = SAMPLES_MAX.saturating_sub(len);
    let mut path = String::new();
    let mut is_broken = true;
    for (place, value) in values.enumerate() {
        let Some(y) = value else {
            is_broken = true;
            continue;
        };
        let step = if is_broken { 'M' } else { 'L' };
        let _ = write!(path, "{step}{} {y:.1}", first + place);
        is_broken = false;
    }
    path
}

fn decade_above(time: Duration) -> i32 {
    let highest = (LOWEST..3).find(|power| 10_f64.powi(*power) >= time.as_secs_f64());
    highest.unwrap_or(3)
}

fn power_name(power: i32) -> String {
    let (scale, unit) = match power {
        ..-3 => (power + 6, "µs"),
        -3..0 => (power + 3, "ms"),
        _ => (power, "s"),
    };
    format!("{}\u{202f}{unit}", 10_u64.pow(scale.unsigned_abs()))
}

/// One, two or five times a power of ten that is not below.
fn nice_above(value: f64) -> f64 {
    let mut power = 10.0;
    loop {
        for step in [1.0, 2.0, 5.0] {
            if step * power >= value {
                return step * power;
            }
        }
        if power > 1e15 {
            return value;
        }
        power *= 10.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(us: u64) -> Sample {
        Sample {
            rate: 1234.0,
            workers: Vec::new(),
            p50: Duration::from_micros(us),
            p99: Duration::from_micros(us * 2),
            p999: Duration::from_micros(us * 4),
            over_budget: 0,
        }
    }

    #[test]
    fn the_scale_has_room_for_the_budget_and_for_what_is_longer() {
        let budget = Duration::from_millis(10);
        for (us, top) in [
            (1, "10\u{202f}ms"),
            (9_000, "100\u{202f}ms"),
            (900_000, "10\u{202f}s"),
        ] {
            let svg = latencies(&[sample(us), sample(us)], budget);
            let first = svg.split("<li>").nth(1).unwrap();
            assert!(first.starts_with(top), "{us}: {svg}");
        }
        assert!(latencies(&[], budget).contains("class=\"p50\" d=\"\""));
    }

    #[test]
    fn the_latest_second_is_at_the_right_edge_and_nothing_is_no_latency() {
        let svg = latencies(
            &[sample(10), sample(0), sample(10)],
            Duration::from_millis(10),
        );
        assert!(
            svg.contains("class=\"p50\" d=\"M117 300.0M119 300.0\""),
            "{svg}"
        );
        let svg = rates(&[sample(1), sample(1)]);
        assert!(svg.contains("d=\"M118 38.3L119 38.3V100H118Z\""), "{svg}");
    }

    #[test]
    fn a_scale_ends_at_a_round_number() {
        for (value, round) in [
            (0.0, 10.0),
            (10.0, 10.0),
            (11.0, 20.0),
            (201.0, 500.0),
            (1e5, 1e5),
        ] {
            assert!((nice_above(value) - round).abs() < 1e-6, "{value}");
        }
    }
}
