//! Whether a run was flat: what its last sixth looks like beside its second one.
//!
//! The first half-minute and the first sixth of the rest are left out: pools find their size.

use crate::row::Run;

/// More memory than this is growth: a share, and a constant for what comes in pages.
const MEMORY_SHARE: f64 = 0.05;
const MEMORY_KIB: f64 = 2048.0;
/// The constant for a short run. Reading the list takes 3 MiB for a moment, which the allocator keeps or
/// gives back; the medians of a few samples see that. Ten bytes for each NOTIFY are more.
const MEMORY_SHORT_KIB: f64 = 8192.0;
/// Seconds below which a run is short.
const SHORT: f64 = 600.0;
/// Connections come and go while they are counted.
const DESCRIPTORS: f64 = 5.0;
/// Latency is the machine's as much as the agent's.
const LATENCY_SHARE: f64 = 0.5;

/// Seconds in which an agent finds its size, however short the run is.
const SETTLING: f64 = 30.0;

/// Samples that a sixth must have.
const SAMPLES_LEAST: usize = 3;

/// One line of the verdict.
#[derive(Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) what: &'static str,
    pub(crate) early: String,
    pub(crate) late: String,
    pub(crate) allowed: String,
    pub(crate) is_good: bool,
    /// Whether a check fails for it.
    pub(crate) counts: bool,
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (half, odd) = (sorted.len() / 2, sorted.len() % 2 == 1);
    match (sorted.is_empty(), odd) {
        (true, _) => 0.0,
        (_, true) => sorted[half],
        (_, false) => (sorted[half - 1] + sorted[half]) / 2.0,
    }
}

/// What a straight line through values grows by in a unit of the other axis (least squares).
fn slope(at: &[f64], values: &[f64]) -> f64 {
    let count = at.len() as f64;
    let (mean_at, mean) = (
        at.iter().sum::<f64>() / count,
        values.iter().sum::<f64>() / count,
    );
    let pairs = at.iter().zip(values);
    let (over, under) = pairs.fold((0.0, 0.0), |(over, under), (at, value)| {
        (
            over + (at - mean_at) * (value - mean),
            under + (at - mean_at).powi(2),
        )
    });
    if under > 0.0 { over / under } else { 0.0 }
}

/// The medians of the second and of the last sixth.
fn sixths(values: &[f64]) -> (f64, f64) {
    let sixth = values.len() / 6;
    (
        median(&values[sixth..2 * sixth]),
        median(&values[values.len() - sixth..]),
    )
}

fn memory(run: &Run, what: &'static str, column: &str) -> Vec<Finding> {
    let values = run.column(column);
    let (early, late) = sixths(&values);
    let constant = if run.last("seconds") < SHORT {
        MEMORY_SHORT_KIB
    } else {
        MEMORY_KIB
    };
    let most = early * (1.0 + MEMORY_SHARE) + constant;
    let mib = |kib: f64| format!("{:.1} MiB", kib / 1024.0);
    // Over what is left of the run without its first sixth.
    let (at, rest) = (run.column("seconds"), values.len() / 6);
    let grows = slope(&at[rest..], &values[rest..]) * (run.last("seconds") - at[rest]);
    vec![
        Finding {
            what,
            early: mib(early),
            late: mib(late),
            allowed: format!("{} more", mib(most - early)),
            is_good: late <= most,
            counts: true,
        },
        Finding {
            what: "its trend, from the second sixth to the end",
            early: String::new(),
            late: format!("{:+.1} MiB", grows / 1024.0),
            allowed: format!("{} more", mib(most - early)),
            is_good: grows <= most - early,
            counts: true,
        },
    ]
}

fn latency(run: &Run, what: &'static str, column: &str) -> Finding {
    let (early, late) = sixths(&run.column(column));
    let most = early * (1.0 + LATENCY_SHARE);
    let ms = |us: f64| format!("{:.2} ms", us / 1e3);
    Finding {
        what,
        early: ms(early),
        late: ms(late),
        allowed: format!("{:.0} % more, reported only", 100.0 * LATENCY_SHARE),
        is_good: late <= most,
        counts: false,
    }
}

fn none(what: &'static str, count: f64) -> Finding {
    Finding {
        what,
        early: String::new(),
        late: format!("{count:.0}"),
        allowed: "none".to_owned(),
        is_good: count == 0.0,
        counts: true,
    }
}

fn at_least(what: &'static str, count: f64, least: f64) -> Finding {
    Finding {
        what,
        early: String::new(),
        late: format!("{count:.0}"),
        allowed: format!("{least:.0} at least"),
        is_good: count >= least,
        counts: true,
    }
}

/// # Errors
/// If there is too little to judge by.
pub(crate) fn findings(run: &Run) -> Result<Vec<Finding>, String> {
    let settled = run.rows.iter().filter(|row| row.0[0] >= SETTLING);
    let run = &Run {
        rows: settled.cloned().collect(),
        notes: run.notes.clone(),
    };
    if run.rows.len() / 6 < SAMPLES_LEAST {
        return Err(format!(
            "{} samples are too few to judge by",
            run.rows.len()
        ));
    }
    let mut all = memory(run, "resident memory (VmRSS)", "rss_kib");
    all.extend(memory(
        run,
        "of it without a file behind it (RssAnon)",
        "anon_kib",
    ));
    let (early, late) = sixths(&run.column("descriptors"));
    all.push(Finding {
        what: "descriptors",
        early: format!("{early:.0}"),
        late: format!("{late:.0}"),
        allowed: format!("{DESCRIPTORS:.0} more"),
        is_good: late <= early + DESCRIPTORS,
        counts: true,
    });
    let (early, late) = sixths(&run.column("threads"));
    all.push(Finding {
        what: "threads",
        early: format!("{early:.0}"),
        late: format!("{late:.0}"),
        allowed: "1 more".to_owned(),
        // One that fetches comes and goes.
        is_good: late <= early + 1.0,
        counts: true,
    });
    all.push(latency(run, "p99.9 of the probe", "p999_us"));
    all.push(latency(
        run,
        "p50 by the agent's own histogram",
        "agent_p50_us",
    ));
    all.push(none(
        "wrong or missing answers, of all clients",
        run.last("errors"),
    ));
    // A list that is bad is refused, and one that is good is taken, unless the next one is quicker.
    let (bad, good) = (run.last("bad_lists"), run.last("good_lists"));
    all.push(at_least("lists refused", run.last("refusals"), bad - 1.0));
    all.push(at_least(
        "tables swapped in",
        run.last("reloads"),
        (good * 0.9).floor() - 1.0,
    ));
    if let (Some(before), Some(after)) = (
        run.note("descriptors_before"),
        run.note("descriptors_after"),
    ) {
        let number = |text: &str| text.parse().unwrap_or(f64::INFINITY);
        all.push(Finding {
            what: "descriptors before any client came, and after all have gone",
            early: before.to_owned(),
            late: after.to_owned(),
            allowed: "3 more".to_owned(),
            is_good: number(after) <= number(before) + 3.0,
            counts: true,
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{COLUMNS, Row};

    /// A run of an hour with one column of its own; the other ones do not move.
    fn run(column: &str, value: impl Fn(f64) -> f64) -> Run {
        let row = |number: i32| {
            let at = f64::from(number) * 5.0;
            let mut row = Row([50_000.0; COLUMNS.len()]);
            for (place, name) in COLUMNS.iter().enumerate() {
                match *name {
                    "seconds" => row.0[place] = at,
                    name if name == column => row.0[place] = value(at),
                    "errors" => row.0[place] = 0.0,
                    _ => {}
                }
            }
            row
        };
        Run {
            rows: (0..720).map(row).collect(),
            notes: Vec::new(),
        }
    }

    fn bad(run: &Run) -> Vec<&'static str> {
        let all = findings(run).unwrap();
        all.iter()
            .filter(|it| !it.is_good)
            .map(|it| it.what)
            .collect()
    }

    #[test]
    fn what_stays_the_same_is_flat_and_what_grows_is_not() {
        assert!(bad(&run("", |at| at)).is_empty());
        // 10 MiB an hour of 49.
        let leak = |at: f64| 50_000.0 + at * 10_240.0 / 3600.0;
        assert_eq!(bad(&run("rss_kib", leak)).len(), 2);
        // Grows at the beginning, and no more.
        assert!(
            bad(&run("rss_kib", |at| 50_000.0
                - 40_000.0 * f64::from(u8::from(at < 300.0))))
            .is_empty()
        );
        // Swings, as lists come and go.
        assert!(bad(&run("anon_kib", |at| 50_000.0 + 30_000.0 * (at / 7.0).sin())).is_empty());
        assert_eq!(
            bad(&run("descriptors", |at| 50.0 + at / 300.0)),
            ["descriptors"]
        );
        assert_eq!(
            bad(&run("threads", |at| 5.0 + 2.0 * (at / 3000.0).floor())),
            ["threads"]
        );
        assert_eq!(bad(&run("errors", |at| (at / 3595.0).floor())).len(), 1);
        assert_eq!(bad(&run("refusals", |_| 3.0)), ["lists refused"]);
        assert_eq!(bad(&run("reloads", |_| 0.0)), ["tables swapped in"]);
    }

    #[test]
    fn a_short_run_may_swing_by_a_list_and_not_leak() {
        let short = |value: &dyn Fn(f64) -> f64| {
            let mut run = run("anon_kib", value);
            run.rows.truncate(25);
            run
        };
        let list = |at: f64| 9_000.0 + 3_300.0 * f64::from(u8::from(at > 80.0));
        assert!(bad(&short(&list)).is_empty());
        // 16 bytes for each of 13,500 NOTIFYs a second.
        let leak = |at: f64| 9_000.0 + at * 13_500.0 * 16.0 / 1024.0;
        assert_eq!(bad(&short(&leak)).len(), 2);
    }

    #[test]
    fn latency_is_reported_and_fails_nothing() {
        let all = findings(&run("p999_us", |at| 1000.0 + at)).unwrap();
        let slow: Vec<_> = all.iter().filter(|it| !it.is_good).collect();
        assert!(slow.len() == 1 && !slow[0].counts, "{slow:?}");
    }

    #[test]
    fn descriptors_that_stay_behind_are_found() {
        let mut run = run("", |at| at);
        run.notes
            .push(("descriptors_before".to_owned(), "20".to_owned()));
        run.notes
            .push(("descriptors_after".to_owned(), "24".to_owned()));
        assert_eq!(bad(&run).len(), 1);
    }

    #[test]
    fn a_handful_of_samples_is_no_verdict() {
        let mut run = run("", |at| at);
        run.rows.truncate(10);
        assert!(findings(&run).is_err());
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]) as i32, 2);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]) * 2.0, 5.0);
        assert_eq!(median(&[]) as i32, 0);
    }
}
