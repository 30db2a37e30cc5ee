//! Certificates, keys and CAs: from PEM files to what a listener needs, or one line that says what is
//! wrong with which file.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{CertificateError, Error, RootCertStore, ServerConfig};

use super::error::TlsError;
use crate::TlsFiles;

/// The largest file that is read: thousands of certificates.
const FILE_MAX: u64 = 4 * 1024 * 1024;

impl TlsFiles {
    /// Reads the files and checks that they belong together and are in force now.
    pub(crate) fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates(&self.certificate)?;
        self.check(&chain, &provider)?;
        let (key_file, key) = self.key()?;
        let wrong_key = |error| match error {
            Error::InconsistentKeys(_) => TlsError::Mismatch {
                certificate: self.certificate.clone(),
                key: key_file.clone(),
            },
            error => TlsError::Key(key_file.clone(), error.to_string()),
        };
        let clients = match &self.client_ca {
            Some(ca) => self.clients(ca, &provider)?,
            None => WebPkiClientVerifier::no_client_auth(),
        };
        // Every HAProxy that is maintained speaks TLS 1.3. Its keys renew themselves; those of 1.2 wear
        // out, and with them the connection.
        let versions = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| TlsError::Library(error.to_string()))?;
        let mut config = versions
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .map_err(wrong_key)?;
        // Whoever comes shows a certificate, every time: one that was let in on an earlier one may have
        // lost it since. And there is no store that workers would have to lock.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// Reads the files and says what is wrong with them, if anything is.
    ///
    /// # Errors
    /// If an agent could not use them now.
    pub fn verify(&self) -> Result<(), TlsError> {
        self.load().map(drop)
    }

    /// The agent's own certificate, as a client will look at it.
    fn check(
        &self,
        chain: &[CertificateDer<'_>],
        provider: &CryptoProvider,
    ) -> Result<(), TlsError> {
        let file = || self.certificate.clone();
        let own = chain
            .first()
            .ok_or_else(|| TlsError::NoCertificate(file()))?;
        match fault(own, provider) {
            Ok(()) => Ok(()),
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext {
                time,
                not_after,
            })) => Err(TlsError::Expired(file(), days(not_after, time))),
            Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { .. })) => {
                Err(TlsError::NotValidYet(file()))
            }
            Err(error) => Err(TlsError::Unusable(file(), error.to_string())),
        }
    }

    /// The key in the certificate's file or beside it.
    fn key(&self) -> Result<(PathBuf, PrivateKeyDer<'static>), TlsError> {
        let beside = self.beside();
        for (path, is_last) in [(&self.certificate, false), (&beside, true)] {
            let text = match read(path) {
                Err(TlsError::Read(_, error))
                    if is_last && error.kind() == io::ErrorKind::NotFound =>
                {
                    break;
                }
                read => read?,
            };
            match PrivateKeyDer::from_pem_slice(&text) {
                Ok(key) => return Ok((path.clone(), key)),
                Err(pem::Error::NoItemsFound) if is_encrypted(&text) => {
                    return Err(TlsError::EncryptedKey(path.clone()));
                }
                Err(pem::Error::NoItemsFound) => {}
                Err(error) => return Err(TlsError::Key(path.clone(), error.to_string())),
            }
        }
        Err(TlsError::NoKey {
            certificate: self.certificate.clone(),
            beside,
        })
    }

    fn clients(
        &self,
        ca: &Path,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let mut roots = RootCertStore::empty();
        let mut expired = false;
        for authority in certificates(ca)? {
            if is_out_of_time(&authority, provider) {
                expired = true;
                continue;
            }
            roots
                .add(authority)
                .map_err(|error| TlsError::Unusable(ca.into(), error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(if expired {
                TlsError::AuthoritiesExpired(ca.into())
            } else {
                TlsError::NoCertificate(ca.into())
            });
        }
        let mut verifier =
            WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(provider));
        if let Some(path) = &self.revoked {
            verifier = verifier.with_crls(revocations(path)?);
        }
        verifier.build().map_err(|error| {
            let path = self.revoked.as_deref().unwrap_or(ca);
            TlsError::Unusable(path.into(), error.to_string())
        })
    }
}

/// What is wrong with a certificate whoever signed it. A CA's own certificate is a server's too, where
/// somebody made one by hand; that is for the client to judge.
fn fault(certificate: &CertificateDer<'_>, provider: &CryptoProvider) -> Result<(), Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    let nobody = RootCertStore::empty();
    let algorithms = provider.signature_verification_algorithms.all;
    let now = UnixTime::now();
    // The time and the purpose are looked at first, and nobody vouches for it in the end.
    match verify_server_cert_signed_by_trust_anchor(&parsed, &nobody, &[], now, algorithms) {
        Err(Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::Other(_),
        )) => Ok(()),
        other => other,
    }
}

fn is_out_of_time(certificate: &CertificateDer<'_>, provider: &CryptoProvider) -> bool {
    matches!(
        fault(certificate, provider),
        Err(Error::InvalidCertificate(
            CertificateError::ExpiredContext { .. } | CertificateError::NotValidYetContext { .. }
        ))
    )
}

/// Whole days from one moment to a later one.
fn days(from: UnixTime, to: UnixTime) -> u64 {
    to.as_secs().saturating_sub(from.as_secs()) / 86_400
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all = objects(path)?;
    if all.is_empty() {
        return Err(TlsError::NoCertificate(path.into()));
    }
    Ok(all)
}

fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let all = objects(path)?;
    if all.is_empty() {
        return Err(TlsError::Unusable(
            path.into(),
            "there is no X509 CRL in it".into(),
        ));
    }
    Ok(all)
}

fn objects<T: PemObject>(path: &Path) -> Result<Vec<T>, TlsError> {
    let text = read(path)?;
    T::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Unusable(path.into(), error.to_string()))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || -> io::Result<Vec<u8>> {
        // Without the flag, opening a FIFO waits for a writer.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("is not a file"));
        }
        let mut text = Vec::new();
        file.take(FILE_MAX + 1).read_to_end(&mut text)?;
        if text.len() as u64 > FILE_MAX {
            return Err(io::Error::other(format!("has more than {FILE_MAX} bytes")));
        }
        Ok(text)
    };
    read().map_err(|error| TlsError::Read(path.into(), error))
}

fn is_encrypted(text: &[u8]) -> bool {
    const MARK: &[u8] = b"ENCRYPTED PRIVATE KEY";
    text.windows(MARK.len()).any(|words| words == MARK)
}
