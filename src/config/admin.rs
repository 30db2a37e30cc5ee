//! `[admin]`: what the command line says too. A flag that was given counts more.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::typed::Mode;

/// Where the admin endpoint is, if there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdminKeys {
    /// The address, as `--admin` takes it.
    pub bind: Option<String>,
    /// The file with what a command over TCP has to bring.
    pub token_file: Option<PathBuf>,
    /// Permission bits of a UNIX socket.
    pub unix_mode: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct AdminTable {
    bind: Option<String>,
    token_file: Option<PathBuf>,
    unix_mode: Option<Mode>,
}

impl AdminTable {
    /// Relative paths start at the configuration's folder.
    pub(super) fn check(self, folder: &Path) -> AdminKeys {
        AdminKeys {
            bind: self.bind,
            token_file: self.token_file.map(|path| folder.join(path)),
            unix_mode: self.unix_mode.map(|mode| mode.0),
        }
    }
}
