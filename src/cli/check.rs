//! `spoa check`: what a configuration comes to, list by list.

use core::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[cfg(feature = "tls")]
use haproxy_spoa::TlsFiles;
use haproxy_spoa::{Bind, DEFAULT_PORT};
use ip_reputation::Role;
use iprep_spoa::config::Config;
use iprep_spoa::feeds::offline_check::{FetchMode, Finding, OfflineCheck};
use iprep_spoa::feeds::status::Moment;
use iprep_spoa::host::log::Printable;

use super::failure::Failure;
use super::{admin, check_haproxy};

/// Checks a configuration, HAProxy's files, or both, and reports what was found.
pub(crate) fn check(
    file: Option<&Path>,
    offline: bool,
    haproxy: &[PathBuf],
) -> Result<ExitCode, Failure> {
    let config = file.map(Config::read).transpose();
    let config = config.map_err(|error| Failure::config(&error))?;
    let mut wrong = 0;
    if let Some(config) = &config {
        wrong += check_config(config, offline)?;
    }
    if !haproxy.is_empty() {
        wrong += check_haproxy::check(haproxy, config.as_ref())?;
    }
    Ok(ExitCode::from(u8::from(wrong > 0)))
}

/// Reads everything that a configuration names, and reports what it found.
fn check_config(config: &Config, offline: bool) -> Result<usize, Failure> {
    let asking = if offline {
        FetchMode::Nothing
    } else {
        FetchMode::All
    };
    let once = OfflineCheck::read(config, asking, None).map_err(Failure::engine)?;
    let addresses: Vec<_> = config.agent.bind.iter().flatten().collect();
    let mut faults: Vec<_> = addresses.into_iter().filter_map(|it| fault(it)).collect();
    faults.extend(admin::faults(&config.admin));
    let mut wrong = once.database_errors.len() + faults.len();
    let mut text = Vec::new();
    wrong += once.findings.iter().filter(|it| is_wrong(it)).count();
    if write(&mut text, &config.file, &faults, &once, wrong).is_ok() {
        // A reader that has closed its end has seen enough.
        let _ = io::stdout().lock().write_all(&text);
    }
    Ok(wrong)
}

/// What keeps the agent from listening there: a word, or a file of TLS. Whether the address is free is
/// another question, and the agent that is to be checked may have it.
fn fault(address: &str) -> Option<String> {
    let wrong = |why: &dyn Display| format!("bind \"{address}\": WRONG: {why}");
    let bind = match Bind::parse(address, DEFAULT_PORT) {
        Ok(bind) => bind,
        Err(why) => return Some(wrong(&why)),
    };
    #[cfg(feature = "tls")]
    if let Some(Err(error)) = bind.tls.as_ref().map(TlsFiles::verify) {
        return Some(wrong(&format_args!("{error}; {}", error.remedy())));
    }
    let _ = bind;
    None
}

/// Lines of other people's lists are wrong now and then, and left out; in a list of one's own, and in
/// one that is too short for so many of them, that is a mistake.
fn is_wrong(finding: &Finding) -> bool {
    let max_invalid_ratio = match finding.role {
        Role::Allow | Role::Deny | Role::Guard => 0.0,
        Role::Feed => finding.max_invalid_ratio,
    };
    let report = finding.good.as_ref().map(|good| &good.report);
    finding.error.is_some() || report.is_some_and(|report| report.exceeds(max_invalid_ratio))
}

fn write(
    to: &mut Vec<u8>,
    file: &Path,
    faults: &[String],
    once: &OfflineCheck,
    wrong: usize,
) -> io::Result<()> {
    writeln!(to, "{}: read", file.display())?;
    for line in faults {
        writeln!(to, "{}", Printable(line))?;
    }
    for finding in &once.findings {
        write_finding(to, finding)?;
    }
    for error in &once.database_errors {
        writeln!(to, "WARNING: {}", Printable(error))?;
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
        writeln!(to, "{title}: WRONG: {}", Printable(error))?;
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
    if finding.stale {
        writeln!(to, "  stale: nothing new for longer than stale-after")?;
    }
    if report.emptied {
        writeln!(to, "  empty on purpose")?;
    }
    if let Some(line) = report.everything {
        let unit = report.unit();
        writeln!(to, "  {unit} {line} covers every address of a family")?;
    }
    if report.host_bits > 0 {
        let count = report.host_bits;
        writeln!(to, "  {count} prefixes have host bits, which were dropped")?;
    }
    for note in &report.notes {
        writeln!(to, "  {}", Printable(note))?;
    }
    if report.wrong > 0 {
        let (wrong, lines, unit) = (report.wrong, report.lines, report.unit());
        writeln!(to, "  {wrong} of {lines} {unit}s are wrong and left out:")?;
    }
    for line in &report.first_wrong {
        writeln!(to, "    {}", Printable(&line.to_string()))?;
    }
    Ok(())
}
