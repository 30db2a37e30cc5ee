//! `spoa check`: what a configuration comes to, list by list.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use spoa::control::config::Config;
use spoa::control::once::{Asking, Finding, Once};
use spoa::control::status::Moment;
use spoa::reputation::Role;

use super::failure::Failure;

/// Reads everything that a configuration names, and says what it found.
pub(crate) fn check(file: &Path, offline: bool) -> Result<ExitCode, Failure> {
    let config = Config::read(file).map_err(|error| Failure::config(&error))?;
    let asking = if offline {
        Asking::Nothing
    } else {
        Asking::All
    };
    let once = Once::read(&config, asking).map_err(Failure::engine)?;
    let mut wrong = once.database_errors.len();
    let mut text = Vec::new();
    wrong += once.findings.iter().filter(|it| is_wrong(it)).count();
    if write(&mut text, file, &once, wrong).is_ok() {
        // A reader that has gone away has seen enough.
        let _ = io::stdout().lock().write_all(&text);
    }
    Ok(ExitCode::from(u8::from(wrong > 0)))
}

/// Lines of other people's lists are wrong now and then, and left out; in a list of one's own, and in
/// one that is too short for so many of them, that is a mistake.
fn is_wrong(finding: &Finding) -> bool {
    let wrong_max = match finding.role {
        Role::Allow | Role::Deny | Role::Guard => 0.0,
        Role::Feed => finding.wrong_max,
    };
    let report = finding.good.as_ref().map(|good| &good.report);
    finding.error.is_some() || report.is_some_and(|report| report.exceeds(wrong_max))
}

fn write(to: &mut Vec<u8>, file: &Path, once: &Once, wrong: usize) -> io::Result<()> {
    writeln!(to, "{}: read", file.display())?;
    for finding in &once.findings {
        write_finding(to, finding)?;
    }
    for error in &once.database_errors {
        writeln!(to, "{error}")?;
    }
    match &once.table {
        Some(table) => writeln!(
            to,
            "table: {} entries in {} ranges with {} verdicts, {} bytes",
            table.entries(),
            table.ranges(),
            table.verdicts(),
            table.bytes()
        )?,
        None => writeln!(to, "no table: scores are random")?,
    }
    match wrong {
        0 => writeln!(to, "nothing is wrong"),
        1 => writeln!(to, "1 thing is WRONG"),
        _ => writeln!(to, "{wrong} things are WRONG"),
    }
}

fn write_finding(to: &mut Vec<u8>, finding: &Finding) -> io::Result<()> {
    let title = &finding.title;
    if let Some(error) = &finding.error {
        writeln!(to, "{title}: WRONG: {error}")?;
    }
    let Some(good) = &finding.good else {
        return Ok(());
    };
    let (report, data) = (&good.report, &good.data);
    let copy = if finding.from_cache {
        ", the copy in the cache"
    } else {
        ""
    };
    writeln!(
        to,
        "{title}: {}, {} IPv4 and {} IPv6 entries, as of {}{copy}",
        good.format,
        data.v4(),
        data.v6(),
        Moment(good.as_of),
    )?;
    if report.emptied {
        writeln!(to, "  empty on purpose")?;
    }
    if let Some(line) = report.everything {
        writeln!(to, "  line {line} covers every address of a family")?;
    }
    if report.host_bits > 0 {
        let count = report.host_bits;
        writeln!(to, "  {count} prefixes have host bits, which were dropped")?;
    }
    if report.wrong > 0 {
        let (wrong, lines) = (report.wrong, report.lines);
        writeln!(to, "  {wrong} of {lines} lines are wrong and left out:")?;
    }
    for line in &report.first_wrong {
        writeln!(to, "    {line}")?;
    }
    Ok(())
}
