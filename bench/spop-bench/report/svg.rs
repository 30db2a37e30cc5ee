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
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;

/// Told apart also by people who do not see red and green (Okabe and Ito).
const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
];

const NINES: [(f64, &str); 7] = [
    (0.0, "0 %"),
    (1.0, "90 %"),
    (2.0, "99 %"),
    (3.0, "99.9 %"),
    (4.0, "99.99 %"),
    (5.0, "99.999 %"),
    (6.0, "99.9999 %"),
];

/// What the axes span: nines, and powers of ten of microseconds.
struct Span {
    nines: f64,
    low: f64,
    high: f64,
}

/// # Errors
/// If no curve has a point.
pub(crate) fn plot(title: &str, curves: &[Curve]) -> Result<String, String> {
    let span = Span::of(curves).ok_or("nothing to plot: no latencies")?;
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = frame(&mut out, title, &span);
    for (index, curve) in curves.iter().enumerate() {
        let colour = COLOURS.get(index % COLOURS.len()).unwrap_or(&"#000000");
        let _ = line(&mut out, curve, colour, &span);
        let _ = legend(&mut out, &curve.label, index, colour);
    }
    out.push_str("</svg>\n");
    Ok(out)
}

/// How many nines a quantile has: 0.99 has 2.
fn nines(quantile: f64) -> f64 {
    // Rounded, or 0.99 falls short of its two.
    let nines = -(1.0 - quantile).max(1e-9).log10();
    (nines * 1e6).round() / 1e6
}

impl Span {
    fn of(curves: &[Curve]) -> Option<Self> {
        let points = || curves.iter().flat_map(|curve| &curve.points);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for point in points().filter(|point| point.micros > 0.0) {
            low = low.min(point.micros.log10().floor());
            high = high.max(point.micros.log10().ceil());
        }
        let most = points()
            .map(|point| point.quantile)
            .filter(|&quantile| quantile < 1.0);
        let most = most.map(nines).fold(1.0, f64::max).min(6.0);
        (low <= high).then(|| Self {
            nines: most,
            low,
            high: high.max(low + 1.0),
        })
    }

    fn x(&self, quantile: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (nines(quantile) / self.nines).min(1.0)
    }

    fn y(&self, micros: f64) -> f64 {
        let part = (micros.max(1e-9).log10() - self.low) / (self.high - self.low);
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part.clamp(0.0, 1.0)
    }
}

fn frame(out: &mut String, title: &str, span: &Span) -> std::fmt::Result {
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"26\" font-size=\"16\">{}</text>",
        escape(title)
    )?;
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for (nine, name) in NINES.into_iter().filter(|(nine, _)| *nine <= span.nines) {
        let x = LEFT + (right - LEFT) * nine / span.nines;
        writeln!(
            out,
            "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#ddd\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{name}</text>",
            bottom + 18.0
        )?;
    }
    let mut power = span.low;
    while power <= span.high {
        let y = span.y(10_f64.powf(power));
        writeln!(
            out,
            "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            y + 4.0,
            decade(power)
        )?;
        power += 1.0;
    }
    writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">NOTIFYs answered within</text>",
        f64::midpoint(LEFT, right),
        HEIGHT - 16.0
    )
}

/// `10 µs` for 1.
fn decade(power: f64) -> String {
    let nanos = 10_f64.powf(power + 3.0).round();
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

fn legend(out: &mut String, label: &str, index: usize, colour: &str) -> std::fmt::Result {
    let y = TOP + 16.0 + 18.0 * units::float(index as u64);
    writeln!(
        out,
        "<path d=\"M{:.1} {:.1}h24\" stroke=\"{colour}\" stroke-width=\"2\"/>\
         <text x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
        LEFT + 12.0,
        y - 4.0,
        LEFT + 42.0,
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
        let svg = plot("Title", &curves).unwrap();
        assert!(svg.contains("a &lt;b&gt; &amp; c") && svg.contains(">other<"));
        assert_eq!(svg.matches("fill=\"none\"").count(), 2);
        for label in [">1 µs<", ">10 ms<", ">90 %<", ">99 %<"] {
            assert!(svg.contains(label), "{label}");
        }
        assert!(!svg.contains(">99.9 %<") && !svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn nothing_to_plot_is_an_error() {
        assert!(plot("", &[]).is_err());
        assert!(plot("", &[curve("zero", &[0.0])]).is_err());
    }

    #[test]
    fn one_value_is_a_plot() {
        let svg = plot("", &[curve("one", &[10.0])]).unwrap();
        assert!(svg.contains(">10 µs<") && svg.contains(">100 µs<"), "{svg}");
    }
}
