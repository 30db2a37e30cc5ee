//! https: whose certificates are believed, and what to do when a server's is not.
//!
//! Without a `ca-file` these are the public CAs that browsers know, as of the day this was built.

use core::fmt::Write as _;
use core::time::Duration;
use std::io;
use std::path::Path;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, Error, RootCertStore};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::{File, SourceError};
use crate::config::Feed;

/// The largest file that is read: thousands of certificates.
const FILE_MAX: u64 = 4 << 20;
/// How many of the names in a certificate are shown, and how much of them.
const NAMES_SHOWN: usize = 3;
const NAMES_LEN_MAX: usize = 200;

/// Whom a feed's server has to show a certificate of. The file is read each time, so that a CA that
/// was renewed needs no reload.
pub(super) fn trust(feed: &Feed) -> Result<TlsConfig, SourceError> {
    let roots = match &feed.ca_file {
        None => RootCerts::WebPki,
        Some(path) => {
            let found = authorities(path).map_err(SourceError::Authorities)?;
            let found = found.iter().map(|it| Certificate::from_der(it).to_owned());
            RootCerts::from(found)
        }
    };
    Ok(TlsConfig::builder().root_certs(roots).build())
}

/// The CAs in a PEM file. At least one.
///
/// # Errors
/// What is wrong with the file, and what would be right.
pub fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let text = read(path).map_err(|error| match error {
        SourceError::TooBig { max } => {
            format!("{shown} has more than {max} bytes; expected the certificates of CAs")
        }
        SourceError::Io { error, .. } => {
            format!("{shown}: {error}; check the path, and that the agent's user may read the file")
        }
        other => other.to_string(),
    })?;
    let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| format!("{shown} is broken PEM: {error}"))?;
    if certificates.is_empty() {
        return Err(format!(
            "{shown}: no certificate in it; it has to be PEM, with BEGIN CERTIFICATE"
        ));
    }
    let mut store = RootCertStore::empty();
    for (place, certificate) in certificates.iter().enumerate() {
        store.add(certificate.clone()).map_err(|error| {
            let number = place + 1;
            format!(
                "{shown}: certificate {number} in it cannot be used: {error}; check it with \
                 openssl x509 -text"
            )
        })?;
    }
    Ok(certificates)
}

fn read(path: &Path) -> Result<Vec<u8>, SourceError> {
    let file = File::open(path, FILE_MAX)?;
    let mut input = file.input(FILE_MAX)?;
    let mut text = Vec::new();
    let failed = |error| SourceError::Io {
        path: path.to_owned(),
        error,
    };
    let reader = input.reader();
    reader.read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}

/// What is behind an error of a socket, if that is TLS.
pub(crate) fn beneath(error: &io::Error) -> Option<&Error> {
    let mut inner = error.get_ref()? as &(dyn core::error::Error + 'static);
    loop {
        if let Some(found) = inner.downcast_ref() {
            return Some(found);
        }
        inner = inner.source()?;
    }
}

/// Why there is no TLS with a server, and what to do.
pub(crate) fn explained(error: &Error, ca_file: Option<&Path>) -> String {
    match error {
        Error::InvalidCertificate(why) => of_certificate(why, ca_file),
        Error::InvalidMessage(_) => {
            "the server does not speak TLS; check the port, or whether the URL begins with http://"
                .to_owned()
        }
        Error::AlertReceived(alert) => {
            format!("the server refuses TLS with us ({alert:?}); its log has the reason")
        }
        Error::PeerIncompatible(_) => {
            "the server has no version or cipher of TLS that is safe; it needs TLS 1.2 or 1.3"
                .to_owned()
        }
        other => format!("no TLS with the server: {other}"),
    }
}

fn of_certificate(why: &CertificateError, ca_file: Option<&Path>) -> String {
    match why {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => match ca_file {
            Some(path) => format!(
                "no CA in the ca-file {} has signed the server's certificate; put the CA's own \
                 certificate there",
                path.display()
            ),
            None => {
                "no public CA has signed the server's certificate; if a CA of your own has, name \
                     its certificate with ca-file"
                    .to_owned()
            }
        },
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => format!(
            "the server's certificate is not for {}{}; ask the URL by a name that it has",
            expected.to_str(),
            names(presented)
        ),
        CertificateError::ExpiredContext { time, not_after } => format!(
            "the server's certificate has expired {} ago; its owner has to renew it, or the clock of \
             this machine is wrong",
            ago(*not_after, *time)
        ),
        CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet; check the clock of this machine".to_owned()
        }
        other => {
            format!("the server's certificate cannot be used: {other}; its owner has to replace it")
        }
    }
}

/// The first names that a certificate has: it is the server's, and may say anything.
fn names(presented: &[String]) -> String {
    let mut text = String::new();
    for (place, name) in presented.iter().take(NAMES_SHOWN).enumerate() {
        let before = if place == 0 { " but for " } else { ", " };
        let name = name.escape_debug();
        // Writing to a String cannot fail.
        let _ = write!(text, "{before}{name}");
    }
    if presented.len() > NAMES_SHOWN {
        text.push_str(" and others");
    }
    text.chars().take(NAMES_LEN_MAX).collect()
}

/// Days, or hours if they are few.
fn ago(from: UnixTime, to: UnixTime) -> String {
    let since = Duration::from_secs(to.as_secs().saturating_sub(from.as_secs()));
    let hours = since.as_secs() / 3600;
    match hours {
        0 => "less than an hour".to_owned(),
        1..48 => format!("{hours} h"),
        _ => format!("{} days", hours / 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_certificate_says_of_itself_is_short_and_printable() {
        assert_eq!(names(&[]), "");
        assert_eq!(
            names(&["DnsName(\"a\")".into()]),
            " but for DnsName(\\\"a\\\")"
        );
        let many = [
            "x\u{1b}[2J".to_owned(),
            "y".repeat(500),
            "z".into(),
            "z".into(),
        ];
        let shown = names(&many);
        assert_eq!(shown.len(), NAMES_LEN_MAX);
        assert!(!shown.chars().any(char::is_control));
    }

    #[test]
    fn time_is_told_in_what_people_count() {
        let ago = |secs: u64| {
            let at = |secs| UnixTime::since_unix_epoch(Duration::from_secs(secs));
            ago(at(1_000_000), at(1_000_000 + secs))
        };
        assert_eq!(ago(10), "less than an hour");
        assert_eq!(ago(7200), "2 h");
        assert_eq!(ago(86_400 * 3), "3 days");
    }
}
