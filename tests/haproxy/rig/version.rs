//! The versions of HAProxy, and where their programs are.

use core::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::repository;

/// A version of HAProxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    V2_6,
    V3_0,
    V3_2,
}

impl Version {
    /// Whether SPOP is a mode of backends, with connections that streams share. Versions without
    /// it send fragments to an agent that announces them.
    pub(crate) fn has_mode_spop(self) -> bool {
        self >= Self::V3_2
    }

    /// The mode of a backend of agents.
    pub(crate) fn agent_mode(self) -> &'static str {
        if self.has_mode_spop() { "spop" } else { "tcp" }
    }

    /// The program; `scripts/haproxy` fetches it the first time.
    pub(crate) fn program(self) -> PathBuf {
        let script = repository().join("scripts/haproxy");
        let output = Command::new(&script)
            .arg(self.to_string())
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", script.display()));
        assert!(
            output.status.success(),
            "scripts/haproxy {self} failed ({}), and this test needs that HAProxy:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        let path = String::from_utf8(output.stdout).unwrap();
        PathBuf::from(path.trim_end())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2_6 => "2.6",
            Self::V3_0 => "3.0",
            Self::V3_2 => "3.2",
        })
    }
}
