//! `HdrHistogram`'s percentile text (`.hgrm`), written and read. Values are microseconds.
//!
//! ```text
//!        Value     Percentile TotalCount 1/(1-Percentile)
//!
//!       12.345 0.500000000000      50000           2.00
//!     1234.567 1.000000000000     100000
//! #[Mean    =       13.100, StdDeviation   =        2.000]
//! #[Max     =     1234.567, Total count    =       100000]
//! ```

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use crate::units;

/// Points for every halving of the distance to 100 %.
const TICKS: u32 = 5;

/// One line of the text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) micros: f64,
    /// 0 to 1.
    pub(crate) quantile: f64,
    /// Values up to here.
    pub(crate) count: u64,
}

pub(crate) fn points(histogram: &Histogram<u64>) -> Vec<Point> {
    let mut count = 0;
    let mut points = Vec::new();
    for step in histogram.iter_quantiles(TICKS) {
        count += step.count_since_last_iteration();
        points.push(Point {
            micros: units::float(step.value_iterated_to().min(histogram.max())) / 1e3,
            quantile: step.quantile_iterated_to(),
            count,
        });
    }
    points
}

pub(crate) fn write(points: &[Point], histogram: &Histogram<u64>) -> String {
    let mut out = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n".to_owned();
    // Writing into a String cannot fail.
    for &Point {
        micros,
        quantile,
        count,
    } in points
    {
        let _ = write!(out, "{micros:12.3} {quantile:14.12} {count:10}");
        let _ = match quantile {
            ..1.0 => writeln!(out, " {:14.2}", 1.0 / (1.0 - quantile)),
            _ => writeln!(out),
        };
    }
    let (mean, deviation) = (histogram.mean() / 1e3, histogram.stdev() / 1e3);
    let max = units::float(histogram.max()) / 1e3;
    let count = histogram.len();
    let _ = writeln!(
        out,
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]"
    );
    let _ = writeln!(out, "#[Max     = {max:12.3}, Total count    = {count:12}]");
    out
}

/// # Errors
/// If there is no point, or a line is none.
pub(crate) fn read(text: &str) -> Result<Vec<Point>, String> {
    let lines = text.lines().map(str::trim);
    let data = lines.filter(|line| line.starts_with(|first: char| first.is_ascii_digit()));
    let points: Vec<_> = data
        .map(|line| point(line).ok_or_else(|| format!("not a line of percentiles: {line}")))
        .collect::<Result<_, _>>()?;
    if points.is_empty() {
        return Err("no percentiles".to_owned());
    }
    Ok(points)
}

fn point(line: &str) -> Option<Point> {
    let mut words = line.split_whitespace();
    let (micros, quantile, count) = (words.next()?, words.next()?, words.next()?);
    let point = Point {
        micros: micros.parse().ok()?,
        quantile: quantile.parse().ok()?,
        count: count.parse().ok()?,
    };
    let sane = point.micros.is_finite() && (0.0..=1.0).contains(&point.quantile);
    sane.then_some(point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut histogram = Histogram::new_with_bounds(1, 1_000_000_000, 3).unwrap();
        for value in 1..=10_000 {
            histogram.record(value * 1000).unwrap();
        }
        let points = points(&histogram);
        let text = write(&points, &histogram);
        let found = read(&text).unwrap();
        assert_eq!(found.len(), points.len());
        for (found, point) in found.iter().zip(&points) {
            assert_eq!(found.count, point.count);
            assert!((found.micros - point.micros).abs() < 1e-3);
        }
        let last = found.last().unwrap();
        assert_eq!(last.count, 10_000);
        assert!((last.micros - 10_000.0).abs() < 10.0);
        assert!(text.contains("Total count    =        10000"), "{text}");
    }

    #[test]
    fn nothing_recorded_is_nothing_to_read() {
        let histogram = Histogram::new_with_bounds(1, 1000, 3).unwrap();
        let text = write(&points(&histogram), &histogram);
        assert!(text.contains("Total count    =            0"), "{text}");
        assert!(read("").is_err());
        assert!(read("12.0 x 3\n").is_err());
        assert!(read("12.0 2.0 3\n").is_err());
    }
}
