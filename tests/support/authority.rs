//! A CA of a test's own, and certificates of it, as the files that an operator has.

use std::fs;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber, date_time_ymd,
};

use super::Scratch;

/// A CA.
#[derive(Debug)]
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, PEM.
    pub(crate) pem: String,
}

/// A certificate with its key, PEM.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    pub(crate) certificate: String,
    pub(crate) key: String,
    serial: SerialNumber,
}

/// When a certificate is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Now,
    Past,
    Future,
}

fn params(name: &str, life: Life) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let (from, to) = match life {
        Life::Now => (2020, 2120),
        Life::Past => (2020, 2021),
        Life::Future => (2119, 2120),
    };
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    params
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self::with_life(name, Life::Now)
    }

    pub(crate) fn with_life(name: &str, life: Life) -> Self {
        let mut params = params(name, life);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate that is in force.
    pub(crate) fn issue(&self, name: &str) -> Leaf {
        self.issue_for(name, Life::Now)
    }

    pub(crate) fn issue_for(&self, name: &str, life: Life) -> Leaf {
        let mut params = params(name, life);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let serial = SerialNumber::from(name.bytes().map(u64::from).sum::<u64>());
        params.serial_number = Some(serial.clone());
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Leaf {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            serial,
        }
    }

    /// A list of certificates that are revoked, PEM.
    pub(crate) fn revoke(&self, leaves: &[&Leaf]) -> String {
        let revoked = leaves.iter().map(|leaf| RevokedCertParams {
            serial_number: leaf.serial.clone(),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(2120, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

impl Leaf {
    /// Certificate and key in one file, as HAProxy has them.
    pub(crate) fn pem(&self) -> String {
        format!("{}{}", self.certificate, self.key)
    }
}

impl Scratch {
    /// A file with this text.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// `ADDRESS ssl …` with an agent's certificate and a CA of clients, in the files `agent.pem` and
    /// `clients.pem`.
    pub(crate) fn tls_bind(&self, address: &str, agent: &Leaf, clients: &Authority) -> String {
        let crt = self.file("agent.pem", &agent.pem());
        let ca = self.file("clients.pem", &clients.pem);
        format!(
            "{address} ssl crt {} ca-file {} verify required",
            crt.display(),
            ca.display()
        )
    }
}
