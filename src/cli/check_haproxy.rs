//! `spoa check --haproxy`: what in HAProxy's files does not fit the agent.

use core::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use iprep_spoa::config::Config;
use iprep_spoa::haproxy_config::{self, AgentSide};
use iprep_spoa::host::log::Printable;

use super::failure::Failure;

/// Checks the files, writes a line for each finding, and returns how many there are.
pub(crate) fn check(files: &[PathBuf], config: Option<&Config>) -> Result<usize, Failure> {
    let findings = haproxy_config::check(files, &AgentSide::of(config))
        .map_err(|error| Failure::bad("--haproxy", error))?;
    let mut text = String::new();
    for finding in &findings {
        text.push_str(&Printable(&finding.to_string()).to_string());
        text.push('\n');
    }
    let names: Vec<_> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let names = names.join(", ");
    // Writing to a String cannot fail.
    let _ = match findings.len() {
        0 => writeln!(text, "{names}: fits the agent"),
        1 => writeln!(text, "{names}: 1 finding"),
        count => writeln!(text, "{names}: {count} findings"),
    };
    // A reader that has closed its end has seen enough.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    Ok(findings.len())
}
