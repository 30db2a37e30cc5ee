//! The picture of a run: one panel below the other over the same time.

use std::fmt::Write as _;

use crate::row::Run;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 42.0;
/// A panel, and what is between two of them.
const HEIGHT: f64 = 150.0;
const GAP: f64 = 42.0;

/// Told apart also by people who do not see red and green (Okabe and Ito).
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// Curves with the same unit: what they are called, their column, and what a unit of it is.
struct Panel {
    name: &'static str,
    curves: &'static [(&'static str, &'static str)],
    scale: f64,
    is_logarithmic: bool,
}

const PANELS: [Panel; 4] = [
    Panel {
        name: "memory, MiB",
        curves: &[("resident", "rss_kib"), ("of it anonymous", "anon_kib")],
        scale: 1024.0,
        is_logarithmic: false,
    },
    Panel {
        name: "descriptors",
        curves: &[
            ("descriptors", "descriptors"),
            ("connections", "connections"),
        ],
        scale: 1.0,
        is_logarithmic: false,
    },
    Panel {
        name: "latency of the probe, ms",
        curves: &[("p50", "p50_us"), ("p99", "p99_us"), ("p99.9", "p999_us")],
        scale: 1000.0,
        is_logarithmic: true,
    },
    Panel {
        name: "thousand NOTIFYs a second",
        curves: &[("answered", "notifys_per_second")],
        scale: 1000.0,
        is_logarithmic: false,
    },
];

/// A round number at or above: 1, 2 or 5 times a power of ten.
fn above(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps
        .into_iter()
        .find(|step| *step >= value * 0.999)
        .unwrap_or(value)
}

pub(crate) fn plot(run: &Run) -> String {
    let height = TOP + (HEIGHT + GAP) * PANELS.len() as f64;
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"16\">Mixed load, {:.0} minutes</text>",
        run.last("seconds") / 60.0
    );
    for (number, panel) in PANELS.iter().enumerate() {
        let top = TOP + (HEIGHT + GAP) * number as f64;
        let _ = panel.draw(&mut out, run, top, number + 1 == PANELS.len());
    }
    out.push_str("</svg>\n");
    out
}

impl Panel {
    fn draw(&self, out: &mut String, run: &Run, top: f64, is_last: bool) -> std::fmt::Result {
        let columns: Vec<Vec<f64>> = self
            .curves
            .iter()
            .map(|(_, column)| {
                run.column(column)
                    .iter()
                    .map(|value| value / self.scale)
                    .collect()
            })
            .collect();
        let positive = || {
            columns
                .iter()
                .flatten()
                .copied()
                .filter(|value| *value > 0.0)
        };
        let high = above(positive().fold(0.0, f64::max));
        let low = match self.is_logarithmic {
            true => above(positive().fold(high, f64::min) / 2.0).min(high / 10.0),
            false => 0.0,
        };
        let (first, last) = (top + 22.0, top + HEIGHT);
        let y = |value: f64| {
            let part = match self.is_logarithmic {
                true => (value.max(low) / low).log10() / (high / low).log10(),
                false => value / high,
            };
            last - (last - first) * part.clamp(0.0, 1.0)
        };
        let end = run.last("seconds").max(1.0);
        let x = |seconds: f64| LEFT + (WIDTH - LEFT - RIGHT) * seconds / end;
        writeln!(
            out,
            "<text x=\"{LEFT}\" y=\"{:.1}\">{}</text>",
            top + 12.0,
            self.name
        )?;
        for tick in self.ticks(low, high) {
            let at = y(tick);
            writeln!(
                out,
                "<path d=\"M{LEFT} {at:.1}H{}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{tick}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                at + 4.0
            )?;
        }
        // A sixth of the time each, as the verdict has it.
        for sixth in 0..=6 {
            let at = x(end * f64::from(sixth) / 6.0);
            writeln!(out, "<path d=\"M{at:.1} {first}V{last}\" stroke=\"#ddd\"/>")?;
            if is_last {
                let minutes = (end * f64::from(sixth) / 36.0).round() / 10.0;
                writeln!(
                    out,
                    "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{minutes} min</text>",
                    last + 18.0
                )?;
            }
        }
        let mut label = LEFT + 240.0;
        let times = run.column("seconds");
        for (((name, _), values), colour) in self.curves.iter().zip(&columns).zip(COLOURS) {
            write!(
                out,
                "<path fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" d=\""
            )?;
            for (place, (at, value)) in times.iter().zip(values).enumerate() {
                let command = if place == 0 { 'M' } else { 'L' };
                write!(out, "{command}{:.1} {:.1}", x(*at), y(*value))?;
            }
            writeln!(
                out,
                "\"/>\n<path d=\"M{label:.1} {:.1}h24\" stroke=\"{colour}\" stroke-width=\"3\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
                top + 7.5,
                label + 30.0,
                top + 12.0
            )?;
            label += 150.0;
        }
        Ok(())
    }

    fn ticks(&self, low: f64, high: f64) -> Vec<f64> {
        if !self.is_logarithmic {
            return [0.0, 0.5, 1.0].map(|part| part * high).to_vec();
        }
        let decades = (-6..9).map(|power| 10_f64.powi(power));
        decades
            .filter(|tick| (low * 0.999..=high * 1.001).contains(tick))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{COLUMNS, Row};

    #[test]
    fn a_picture_has_a_curve_for_every_name() {
        let rows = [0.0, 5.0, 10.0].map(|at| {
            let mut row = Row([7.0; COLUMNS.len()]);
            row.0[0] = at;
            row
        });
        let svg = plot(&Run {
            rows: rows.to_vec(),
            notes: Vec::new(),
        });
        assert_eq!(svg.matches("fill=\"none\"").count(), 8);
        for name in ["resident", "connections", "p99.9", ">0 min<"] {
            assert!(svg.contains(name), "{name}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        let nothing = plot(&Run::default());
        assert!(
            nothing.ends_with("</svg>\n") && !nothing.contains("NaN"),
            "{nothing}"
        );
    }
}
