//! `spoa check --haproxy`: what in HAProxy's files does not fit the agent.

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
    text.push_str(&match findings.len() {
        0 => format!("{names}: fits the agent\n"),
        1 => format!("{names}: 1 finding\n"),
        count => format!("{names}: {count} findings\n"),
    });
    // A reader that has closed its end has seen enough.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    Ok(findings.len())
}
