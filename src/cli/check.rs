//! `spoa check`: what a configuration comes to, list by list.

use core::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[cfg(feature = "tls")]
use haproxy_spoa::TlsFiles;
use haproxy_spoa::{Bind, DEFAULT_PORT};
use ip_reputation::Role;
use ip_reputation::formats::Report;
use iprep_spoa::config::Config;
use iprep_spoa::feeds::explain::role_name;
use iprep_spoa::feeds::offline_check::{FetchMode, Finding, OfflineCheck};
use iprep_spoa::feeds::status::Moment;
use iprep_spoa::host::identity::Identity;
use iprep_spoa::host::log::Printable;
use iprep_spoa::host::now;
use nix::unistd::{AccessFlags, access};
use serde_json::{Value, json};

use super::failure::Failure;
use super::{admin, check_haproxy};

/// Checks a configuration, HAProxy's files, or both, and reports what was found.
pub(crate) fn check(
    file: Option<&Path>,
    offline: bool,
    json: bool,
    haproxy: &[PathBuf],
) -> Result<ExitCode, Failure> {
    let config = file.map(Config::read).transpose();
    let config = config.map_err(|error| Failure::config(&error))?;
    let mut wrong = 0;
    if let Some(config) = &config {
        wrong += check_config(config, offline, json)?;
    }
    if !haproxy.is_empty() {
        wrong += check_haproxy::check(haproxy, config.as_ref())?;
    }
    Ok(ExitCode::from(u8::from(wrong > 0)))
}

/// Reads everything that a configuration names, and reports what it found.
fn check_config(config: &Config, offline: bool, json: bool) -> Result<usize, Failure> {
    let asking = if offline {
        FetchMode::Nothing
    } else {
        FetchMode::All
    };
    let once = OfflineCheck::read(config, asking, None).map_err(Failure::engine)?;
    let addresses: Vec<_> = config.agent.bind.iter().flatten().collect();
    let mut faults: Vec<_> = addresses.into_iter().filter_map(|it| fault(it)).collect();
    faults.extend(admin::faults(&config.admin));
    faults.extend(start_faults(config));
    let mut wrong = once.database_errors.len() + faults.len();
    wrong += once.findings.iter().filter(|it| is_wrong(it)).count();
    let mut text = Vec::new();
    let written = if json {
        writeln!(text, "{}", as_json(&config.file, &faults, &once, wrong))
    } else {
        write(&mut text, &config.file, &faults, &once, wrong)
    };
    if written.is_ok() {
        // A reader that has closed its end has seen enough.
        let _ = io::stdout().lock().write_all(&text);
    }
    Ok(wrong)
}

/// What would keep the agent from starting, or from working as it is meant to.
fn start_faults(config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    if config.lacks_lists() {
        let score = config.reputation.default_score.value();
        faults.push(format!(
            "no lists configured: WRONG: every score is {score}; add a feed, a list or [live]"
        ));
    }
    let user = config.agent.user.as_deref();
    if let Some(Err(error)) = user.map(Identity::find) {
        faults.push(format!("user: WRONG: {error}"));
    }
    if let Some(cache) = &config.reputation.cache_dir
        && let Some(why) = unwritable(cache)
    {
        faults.push(format!("cache-dir {}: WRONG: {why}", cache.display()));
    }
    faults
}

/// Why nothing can be kept in a directory, which the agent makes if it is not there.
fn unwritable(folder: &Path) -> Option<String> {
    let there = folder.ancestors().find(|part| part.exists())?;
    if !there.is_dir() {
        return Some(format!("{} is not a directory", there.display()));
    }
    let flags = AccessFlags::W_OK | AccessFlags::X_OK;
    let error = access(there, flags).err()?;
    Some(format!("{}: {}", there.display(), error.desc()))
}

/// The findings as one object.
fn as_json(file: &Path, faults: &[String], once: &OfflineCheck, wrong: usize) -> Value {
    json!({
        "file": file.display().to_string(),
        "wrong": wrong,
        "faults": faults,
        "databases": once.database_errors,
        "lists": once.findings.iter().map(finding_json).collect::<Vec<_>>(),
        "entries": once.table.as_ref().map(|table| table.entries()),
    })
}

fn finding_json(finding: &Finding) -> Value {
    let good = finding.good.as_ref();
    let report = good.map(|good| &good.report);
    let format = good.map(|good| good.format.name());
    let first = report.map_or(&[][..], |report| &report.first_wrong);
    let invalid = first.iter().map(|line| {
        json!({
            "line": line.line,
            "found": line.what,
            "expected": line.expected,
        })
    });
    let as_of = good.and_then(|good| good.as_of);
    json!({
        "name": finding.name,
        "place": finding.place,
        "role": role_name(finding.role),
        "state": state(finding),
        "wrong": is_wrong(finding),
        "error": finding.error,
        "format": format,
        "assumed": format.filter(|_| finding.is_format_assumed),
        "v4": good.map_or(0, |good| good.data.v4()),
        "v6": good.map_or(0, |good| good.data.v6()),
        "lines": report.map_or(0, |report| report.lines),
        "invalid": report.map_or(0, |report| report.wrong),
        "invalid_lines": invalid.collect::<Vec<_>>(),
        "expired": finding.expired,
        "clamped": report.map_or(0, |report| report.clamped),
        "bad_times": report.map_or(0, |report| report.bad_times),
        "filtered": report.map_or(0, |report| report.filtered),
        "host_bits": report.map_or(0, |report| report.host_bits),
        "notes": report.map_or(&[][..], |report| &report.notes),
        "as_of": as_of,
        "age": as_of.map(|as_of| now().saturating_sub(as_of)),
        "stale": finding.stale,
    })
}

/// The words of `spoa ctl status`.
const fn state(finding: &Finding) -> &'static str {
    match (&finding.good, &finding.error) {
        (None, _) => "absent",
        (Some(_), Some(_)) => "kept",
        (Some(_), None) if finding.from_cache => "copy",
        (Some(_), None) => "good",
    }
}

/// Whether a list has entries and the time of each is over: its times are read wrongly, most likely.
fn is_over(finding: &Finding) -> bool {
    let entries = finding.good.as_ref().map_or(0, |good| good.data.len());
    entries > 0 && finding.expired == entries
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
    finding.error.is_some()
        || is_over(finding)
        || report.is_some_and(|report| report.exceeds(max_invalid_ratio))
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

/// What is used in another way than it is written.
fn write_counts(to: &mut Vec<u8>, finding: &Finding, report: &Report) -> io::Result<()> {
    if finding.is_format_assumed
        && let Some(good) = &finding.good
    {
        let format = good.format;
        writeln!(
            to,
            "  the format is assumed from its beginning; format = \"{format}\" states it"
        )?;
    }
    if is_over(finding) {
        writeln!(
            to,
            "  WRONG: all entries have expired; look at expires in columns"
        )?;
    } else if finding.expired > 0 {
        writeln!(to, "  {} entries have expired", finding.expired)?;
    }
    let counts = [
        (
            report.clamped,
            "values are above max-value, and count as that",
        ),
        (
            report.bad_times,
            "times cannot be read; their entries count without",
        ),
        (report.filtered, "records are left out by where"),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        writeln!(to, "  {count} {what}")?;
    }
    Ok(())
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
    write_counts(to, finding, report)?;
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
