//! `[crowdsec]`: the LAPI whose decisions are followed.

use core::ops::Range;
use core::time::Duration;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::Problems;
use super::feed_table::check_ca_file;
use super::typed::{Name, Time};
use crate::crowdsec::{Credentials, CrowdSecOptions, SCOPES, Url};

const URL: &str = "http://127.0.0.1:8080";
const INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct CrowdSecTable {
    url: Option<Spanned<String>>,
    api_key_file: Option<PathBuf>,
    cert_file: Option<Spanned<PathBuf>>,
    key_file: Option<PathBuf>,
    ca_file: Option<Spanned<PathBuf>>,
    interval: Option<Time>,
    scopes: Option<Vec<Spanned<String>>>,
    origins: Option<Vec<Name>>,
}

/// `ca_file` is that of `[reputation]`.
pub(super) fn check(
    table: Spanned<CrowdSecTable>,
    folder: &Path,
    ca_file: Option<&Path>,
    problems: &mut Problems<'_>,
) -> Option<CrowdSecOptions> {
    let span = table.span();
    let table = table.into_inner();
    #[cfg(not(feature = "crowdsec"))]
    problems.add(
        span.clone(),
        "[crowdsec] needs a binary with the feature crowdsec; this one was built without it",
    );
    let url = match &table.url {
        None => URL.parse().ok(),
        Some(text) => match text.get_ref().parse() {
            Ok(url) => Some(url),
            Err(error) => {
                problems.add(text.span(), format!("{error}"));
                None
            }
        },
    };
    let own_ca = table.ca_file.as_ref();
    let own_ca = own_ca.map(|it| check_ca_file(it, folder, problems));
    let scopes = scopes(table.scopes.as_deref(), &span, problems);
    let origins = table.origins.unwrap_or_default().into_iter();
    let credentials = credentials(
        table.api_key_file.as_deref(),
        table.cert_file.as_ref(),
        table.key_file.as_deref(),
        url.as_ref(),
        (folder, &span),
        problems,
    );
    Some(CrowdSecOptions {
        url: url?,
        credentials: credentials?,
        ca_file: own_ca.or_else(|| ca_file.map(Into::into)),
        interval: table.interval.map_or(INTERVAL, |it| it.0),
        scopes,
        origins: origins.map(|it| it.0.to_ascii_lowercase()).collect(),
    })
}

fn scopes(
    given: Option<&[Spanned<String>]>,
    span: &Range<usize>,
    problems: &mut Problems<'_>,
) -> Vec<String> {
    let Some(given) = given else {
        return SCOPES.map(str::to_owned).to_vec();
    };
    if given.is_empty() {
        let why = "scopes is empty, so that nothing would be followed; leave it out for all";
        problems.add(span.clone(), why);
    }
    let mut scopes: Vec<String> = Vec::new();
    for scope in given {
        let name = scope.get_ref().to_ascii_lowercase();
        if !SCOPES.contains(&&*name) {
            let all = SCOPES.join(", ");
            let why = format!("unknown scope \"{}\"; expected {all}", scope.get_ref());
            problems.add(scope.span(), why);
        } else if !scopes.contains(&name) {
            scopes.push(name);
        }
    }
    scopes
}

fn credentials(
    api_key_file: Option<&Path>,
    cert_file: Option<&Spanned<PathBuf>>,
    key_file: Option<&Path>,
    url: Option<&Url>,
    (folder, span): (&Path, &Range<usize>),
    problems: &mut Problems<'_>,
) -> Option<Credentials> {
    let why = match (api_key_file, cert_file, key_file) {
        (Some(file), None, None) => return Some(Credentials::Key(folder.join(file))),
        (None, Some(cert), Some(key)) => {
            if url.is_some_and(|url| !url.is_tls()) {
                let why = "cert-file needs an https url";
                problems.add(cert.span(), why);
            }
            return Some(Credentials::Certificate {
                cert: folder.join(cert.get_ref()),
                key: folder.join(key),
            });
        }
        (None, None, None) => {
            "[crowdsec] needs api-key-file, or cert-file and key-file; cscli bouncers add NAME \
             prints a key"
        }
        (Some(_), ..) => {
            "api-key-file and cert-file with key-file exclude each other; leave one out"
        }
        (None, Some(_), None) => "cert-file needs key-file",
        (None, None, Some(_)) => "key-file needs cert-file; a key of cscli is api-key-file",
    };
    problems.add(span.clone(), why);
    None
}
