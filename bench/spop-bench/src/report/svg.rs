//! A percentile plot: latency over how rare it is.
//!
//! The x axis is logarithmic in 1/(1-quantile): each nine has the same width. The y axis is
//! logarithmic in time, so that agents of different magnitude fit one picture.

use std::fmt::Write as _;

use crate::report::hgrm::Point;
use crate::units;

/// One run.
#[derive(Debug)]
pub(crate) struct Curve {
    pub(crate) label: String,
    pub(crate) points: Vec<Point>,
}

const WIDTH: f64 = 860.0;
/// Without the legend.
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 42.0;
const BOTTOM: f64 = 60.0;
/// A row of the legend, and about what a character of it takes.
const ROW: f64 = 20.0;
const CHARACTER: f64 = 7.5;

/// Told apart also by people who do not see red and green (Okabe and Ito).
const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
];

const PERCENTILES: [(f64, &str); 8] = [
    (0.0, "0 %"),
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
    (0.99999, "99.999 %"),
    (0.999_999, "99.9999 %"),
];

/// What the axes span, and where.
#[derive(Debug)]
struct Span {
    nines: f64,
    /// Microseconds: 1, 2 or 5 times a power of ten.
    low: f64,
    high: f64,
    /// Which of 1, 2 and 5 have a line: every first or every third.
    every: usize,
    /// Where the picture begins, below the title and the legend.
    top: f64,
}

/// Latencies of `what`, which is a plural.
///
/// # Errors
/// If no curve has a point.
pub(crate) fn plot(title: &str, what: &str, curves: &[Curve]) -> Result<String, String> {
    let labels = places(curves);
    let rows = labels.last().map_or(0.0, |&(_, row)| row + 1.0);
    let span = Span::of(curves, TOP + ROW * rows).ok_or("nothing to plot: no latencies")?;
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = frame(&mut out, title, &span);
    let _ = percentiles(&mut out, what, &span);
    let _ = times(&mut out, &span);
    for ((index, curve), place) in curves.iter().enumerate().zip(labels) {
        let colour = COLOURS.get(index % COLOURS.len()).unwrap_or(&"#000000");
        let _ = line(&mut out, curve, colour, &span);
        let _ = legend(&mut out, &curve.label, place, colour);
    }
    out.push_str("</svg>\n");
    Ok(out)
}

/// Where each label of the legend begins, and its row: side by side while there is room.
fn places(curves: &[Curve]) -> Vec<(f64, f64)> {
    let (mut x, mut row) = (LEFT, 0.0);
    let place = |curve: &Curve| {
        let width = 56.0 + CHARACTER * units::float(curve.label.chars().count() as u64);
        if x > LEFT && x + width > WIDTH - RIGHT {
            (x, row) = (LEFT, row + 1.0);
        }
        let place = (x, row);
        x += width;
        place
    };
    curves.iter().map(place).collect()
}

/// How many nines a quantile has: 0.99 has 2.
fn nines(quantile: f64) -> f64 {
    // Rounded, or 0.99 falls short of its two.
    let nines = -(1.0 - quantile).max(1e-9).log10();
    (nines * 1e6).round() / 1e6
}

impl Span {
    fn of(curves: &[Curve], top: f64) -> Option<Self> {
        let points = || curves.iter().flat_map(|curve| &curve.points);
        let micros = points()
            .map(|point| point.micros)
            .filter(|&micros| micros > 0.0);
        let (low, high) = micros.fold((f64::INFINITY, 0.0_f64), |(low, high), micros| {
            (low.min(micros), high.max(micros))
        });
        let most = points()
            .map(|point| point.quantile)
            .filter(|&quantile| quantile < 1.0);
        let most = most.map(nines).fold(1.0, f64::max).min(6.0);
        (low <= high).then(|| {
            // Many decades have no room for more than one line each.
            let every = if high / low > 1e4 { 3 } else { 1 };
            let below = steps(low).into_iter().step_by(every);
            let above = steps(high).into_iter().step_by(every);
            // A step that is a rounding error away is the value itself.
            let low = below
                .filter(|&step| step <= low * 1.000_001)
                .fold(0.0, f64::max);
            let high = above
                .filter(|&step| step >= high * 0.999_999)
                .fold(f64::INFINITY, f64::min);
            let wider = steps(low).into_iter().find(|&step| step > 1.5 * low);
            Self {
                nines: most,
                low,
                high: high.max(wider.unwrap_or(high)),
                every,
                top,
            }
        })
    }

    fn x(&self, quantile: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (nines(quantile) / self.nines).min(1.0)
    }

    fn bottom(&self) -> f64 {
        self.top + HEIGHT - TOP - BOTTOM
    }

    fn y(&self, micros: f64) -> f64 {
        let part = (micros.max(1e-9) / self.low).log10() / (self.high / self.low).log10();
        self.bottom() - (self.bottom() - self.top) * part.clamp(0.0, 1.0)
    }

    /// The times that have a line.
    fn times(&self) -> impl Iterator<Item = f64> {
        let (low, high) = (self.low * 0.999, self.high * 1.001);
        let decades = (0..=16).map(move |power| low * 10_f64.powi(power));
        let times = decades.flat_map(|at| steps(at).into_iter().take(3).step_by(self.every));
        times.filter(move |time| (low..=high).contains(time))
    }
}

/// 1, 2, 5 and 10 times the power of ten that is at or below a time.
fn steps(micros: f64) -> [f64; 4] {
    // Rounded, or 1000 falls short of its power.
    let power = (micros.log10() * 1e9).round() / 1e9;
    [1.0, 2.0, 5.0, 10.0].map(|factor| factor * 10_f64.powf(power.floor()))
}

fn frame(out: &mut String, title: &str, span: &Span) -> std::fmt::Result {
    let height = span.bottom() + BOTTOM;
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"26\" font-size=\"16\">{}</text>",
        escape(title)
    )
}

fn percentiles(out: &mut String, what: &str, span: &Span) -> std::fmt::Result {
    let bottom = span.bottom();
    let shown = PERCENTILES
        .into_iter()
        .filter(|&(quantile, _)| nines(quantile) <= span.nines);
    for (quantile, name) in shown {
        let x = span.x(quantile);
        writeln!(
            out,
            "<path d=\"M{x:.1} {}V{bottom}\" stroke=\"#ddd\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{name}</text>",
            span.top,
            bottom + 18.0
        )?;
    }
    writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">\
         share of {} that took no longer</text>",
        f64::midpoint(LEFT, WIDTH - RIGHT),
        bottom + 44.0,
        escape(what)
    )
}

fn times(out: &mut String, span: &Span) -> std::fmt::Result {
    for time in span.times() {
        let y = span.y(time);
        writeln!(
            out,
            "<path d=\"M{LEFT} {y:.1}H{}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0,
            name(time)
        )?;
    }
    let middle = f64::midpoint(span.top, span.bottom());
    writeln!(
        out,
        "<text x=\"20\" y=\"{middle:.1}\" text-anchor=\"middle\" \
         transform=\"rotate(-90 20 {middle:.1})\">latency</text>"
    )
}

/// `10 µs`.
fn name(micros: f64) -> String {
    let nanos = (micros * 1e3).round();
    match nanos {
        ..1e3 => format!("{nanos:.0} ns"),
        ..1e6 => format!("{:.0} µs", nanos / 1e3),
        ..1e9 => format!("{:.0} ms", nanos / 1e6),
        _ => format!("{:.0} s", nanos / 1e9),
    }
}

fn line(out: &mut String, curve: &Curve, colour: &str, span: &Span) -> std::fmt::Result {
    write!(
        out,
        "<path fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" d=\""
    )?;
    for (index, point) in curve.points.iter().enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        write!(
            out,
            "{command}{:.1} {:.1}",
            span.x(point.quantile),
            span.y(point.micros)
        )?;
    }
    writeln!(out, "\"/>")
}

fn legend(out: &mut String, label: &str, (x, row): (f64, f64), colour: &str) -> std::fmt::Result {
    let y = TOP + 6.0 + ROW * row;
    writeln!(
        out,
        "<path d=\"M{x:.1} {:.1}h24\" stroke=\"{colour}\" stroke-width=\"3\"/>\
         <text x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
        y - 4.5,
        x + 30.0,
        escape(label)
    )
}

/// Text as XML wants it. Characters that XML cannot hold are left out.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            char if char.is_control() => {}
            char => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(label: &str, micros: &[f64]) -> Curve {
        let quantiles = [0.0, 0.5, 0.9, 0.99, 1.0];
        let points = micros
            .iter()
            .zip(quantiles)
            .map(|(&micros, quantile)| Point {
                micros,
                quantile,
                count: 1,
            });
        Curve {
            label: label.to_owned(),
            points: points.collect(),
        }
    }

    #[test]
    fn a_plot_has_a_line_and_a_name_for_every_run() {
        let curves = [
            curve("a <b> & c", &[5.0, 6.0, 7.0, 80.0, 900.0]),
            curve("other", &[50.0, 60.0, 70.0, 800.0, 9000.0]),
        ];
        let svg = plot("Title", "NOTIFYs", &curves).unwrap();
        assert!(svg.contains("a &lt;b&gt; &amp; c") && svg.contains(">other<"));
        assert_eq!(svg.matches("fill=\"none\"").count(), 2);
        for label in [">5 µs<", ">10 ms<", ">50 %<", ">99 %<"] {
            assert!(svg.contains(label), "{label}");
        }
        assert!(!svg.contains(">99.9 %<") && !svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn nothing_to_plot_is_an_error() {
        assert!(plot("", "", &[]).is_err());
        assert!(plot("", "", &[curve("zero", &[0.0])]).is_err());
    }

    #[test]
    fn one_value_is_a_plot() {
        let svg = plot("", "", &[curve("one", &[10.0])]).unwrap();
        assert!(svg.contains(">10 µs<") && svg.contains(">20 µs<"), "{svg}");
    }

    #[test]
    fn the_scale_is_no_wider_than_the_values_need() {
        let svg = plot("", "requests", &[curve("slow", &[6900.0, 8100.0])]).unwrap();
        assert_eq!(svg.matches(" ms<").count(), 2, "{svg}");
        assert!(svg.contains(">5 ms<") && svg.contains(">10 ms<"), "{svg}");
        assert!(svg.contains("share of requests"), "{svg}");
    }

    #[test]
    fn a_scale_may_begin_and_end_at_a_value() {
        for low in [0.001, 0.002, 0.005, 0.01, 0.3, 1.0, 2.0, 5.0, 1e3, 1e6] {
            for high in [low, 2.0 * low, 5.0 * low, 1e3 * low, 1e5 * low] {
                let span = Span::of(&[curve("", &[low, high])], TOP).unwrap();
                assert!(span.low > 0.1 * low && span.low <= 1.01 * low, "{span:?}");
                assert!(
                    span.high >= 0.99 * high && span.high <= 10.1 * high,
                    "{span:?}"
                );
                assert!(span.times().count() >= 2, "{span:?}");
            }
        }
    }

    #[test]
    fn many_decades_have_a_line_each() {
        let svg = plot("", "", &[curve("wide", &[0.5, 1e6])]).unwrap();
        assert!(svg.contains(">1 s<") && !svg.contains(">2 ms<"), "{svg}");
        assert!(svg.contains(">100 ns<"), "{svg}");
    }

    #[test]
    fn a_legend_without_room_goes_on_below() {
        let curves: Vec<_> = (0..9).map(|_| curve("a run's name", &[1.0])).collect();
        let places = places(&curves);
        assert_eq!(places.first(), Some(&(LEFT, 0.0)));
        assert!(places.iter().all(|&(x, _)| x < WIDTH - RIGHT));
        assert_eq!(places.last().map(|&(_, row)| row), Some(1.0));
    }
}
