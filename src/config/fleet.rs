//! `[fleet]`: live decisions that nodes share.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::Problems;
use crate::fleet::{FleetOptions, FleetUrl};

/// The longest name of a fleet or of a node, in bytes.
const NAME_LEN_MAX: usize = 64;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct FleetTable {
    url: Option<Spanned<String>>,
    read_url: Option<Spanned<String>>,
    password_file: Option<PathBuf>,
    name: Option<Spanned<String>>,
    node: Option<Spanned<String>>,
    ca_file: Option<Spanned<PathBuf>>,
    cert_file: Option<Spanned<PathBuf>>,
    key_file: Option<Spanned<PathBuf>>,
}

impl FleetTable {
    /// Relative paths start at the configuration's folder.
    pub(super) fn check(
        table: Spanned<Self>,
        folder: &Path,
        has_live: bool,
        problems: &mut Problems<'_>,
    ) -> Option<FleetOptions> {
        let span = table.span();
        let table = table.into_inner();
        if !cfg!(feature = "fleet") {
            problems.add(
                span,
                "[fleet]: this binary was built without the feature fleet",
            );
            return None;
        }
        if !has_live {
            let why = "[fleet] needs a [live] section; add one, it may be empty";
            problems.add(span.clone(), why);
        }
        let read_url = table.read_url.map(|it| url("read-url", it, problems));
        let Some(url) = table.url.map(|it| url("url", it, problems)) else {
            let why = "[fleet] has no url; add one such as url = \"redis://127.0.0.1:6379\"";
            problems.add(span, why);
            return None;
        };
        let name = table.name.map(|it| name("name", it, problems));
        let node = table.node.map(|it| self::name("node", it, problems));
        let identity = match (table.cert_file, table.key_file) {
            (Some(cert), Some(key)) => Some((
                folder.join(cert.into_inner()),
                folder.join(key.into_inner()),
            )),
            (None, None) => None,
            (Some(one), None) => {
                problems.add(one.span(), "cert-file needs key-file beside it");
                None
            }
            (None, Some(one)) => {
                problems.add(one.span(), "key-file needs cert-file beside it");
                None
            }
        };
        let url = url?;
        if let (Some(ca), false) = (&table.ca_file, url.is_tls) {
            let why = "ca-file is for connections with TLS; use rediss:// in url";
            problems.add(ca.span(), why);
        }
        Some(FleetOptions {
            url,
            read_url: read_url.flatten(),
            password_file: table.password_file.map(|path| folder.join(path)),
            name: name.flatten().unwrap_or_else(|| "fleet".to_owned()),
            node: node.flatten(),
            ca_file: table.ca_file.map(|path| folder.join(path.into_inner())),
            identity,
        })
    }
}

fn url(key: &str, text: Spanned<String>, problems: &mut Problems<'_>) -> Option<FleetUrl> {
    match text.get_ref().parse() {
        Ok(url) => Some(url),
        // The text may have a password in it.
        Err(why) => {
            problems.add(text.span(), format!("invalid {key} in [fleet]: {why}"));
            None
        }
    }
}

fn name(key: &str, text: Spanned<String>, problems: &mut Problems<'_>) -> Option<String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    let name = text.get_ref();
    let is_right = (1..=NAME_LEN_MAX).contains(&name.len()) && name.bytes().all(is_allowed);
    if !is_right || name == "-" {
        let why = format!(
            "invalid {key} in [fleet] \"{name}\": expected 1 to {NAME_LEN_MAX} letters, digits, '-', '_', '.' or ':'"
        );
        problems.add(text.span(), why);
        return None;
    }
    Some(text.into_inner())
}
