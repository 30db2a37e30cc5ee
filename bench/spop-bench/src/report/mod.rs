//! What a run has shown, for people, programs and pictures.

mod hgrm;
mod json;
mod svg;
mod text;

use std::fs;
use std::path::Path;

use hdrhistogram::Histogram;

use crate::options::{Options, Plot};
use crate::plan::Plan;
use crate::run::Outcome;
use svg::Curve;

/// The percentiles that a report names.
pub(crate) const PERCENTILES: [(&str, f64); 5] = [
    ("p50", 50.0),
    ("p90", 90.0),
    ("p99", 99.0),
    ("p99.9", 99.9),
    ("p99.99", 99.99),
];

/// Writes the report wherever the options want it.
pub(crate) fn write(plan: &Plan, outcome: &Outcome, options: &Options) -> Result<(), String> {
    let output = &options.output;
    let json = json::report(plan, outcome);
    match output.json.as_deref() {
        Some(path) if path == Path::new("-") => println!("{json}"),
        Some(path) => {
            save(path, &(json + "\n"))?;
            print!("{}", text::report(plan, outcome));
        }
        None => print!("{}", text::report(plan, outcome)),
    }
    let points = hgrm::points(&outcome.meter.latency);
    if let Some(path) = &output.hgrm {
        save(path, &hgrm::write(&points, &outcome.meter.latency))?;
    }
    if let Some(path) = &output.svg {
        let label = plan.label.clone();
        save(
            path,
            &svg::plot(
                "Latency by percentile",
                "NOTIFYs",
                &[Curve { label, points }],
            )?,
        )?;
    }
    Ok(())
}

/// `spop-bench plot`.
pub(crate) fn plot(plot: &Plot) -> Result<(), String> {
    let curves = plot
        .runs
        .iter()
        .map(|run| curve(run))
        .collect::<Result<Vec<_>, _>>()?;
    save(&plot.output, &svg::plot(&plot.title, &plot.of, &curves)?)
}

/// `FILE` or `LABEL=FILE`.
fn curve(run: &str) -> Result<Curve, String> {
    let stem = |path: &str| {
        let stem = Path::new(path).file_stem().unwrap_or_default();
        stem.to_string_lossy().into_owned()
    };
    let (label, path) = match run.split_once('=') {
        Some((label, path)) => (label.to_owned(), path),
        None => (stem(run), run),
    };
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let points = hgrm::read(&text).map_err(|error| format!("{path}: {error}"))?;
    Ok(Curve { label, points })
}

fn save(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The named percentiles of a histogram, in nanoseconds.
fn percentiles(histogram: &Histogram<u64>) -> impl Iterator<Item = (&'static str, u64)> {
    let values = PERCENTILES
        .iter()
        .map(|&(name, at)| (name, histogram.value_at_percentile(at).min(histogram.max())));
    values.chain(std::iter::once(("max", histogram.max())))
}
