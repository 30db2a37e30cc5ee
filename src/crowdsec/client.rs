//! Requests to a LAPI, and what to do about what it answers instead.
//!
//! Keys and certificates are read each time: one that was replaced needs no reload.

use core::time::Duration;
use std::io::Read as _;

use ureq::http::{HeaderValue, Response, header};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Body};

use super::stream::BodyError;
use super::unix::UnixConnector;
use super::{Credentials, CrowdSecOptions, Url};
use crate::feeds::source::tls;
use crate::host::file::{read_small, read_small_text};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the first byte of an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// For the rest of it: it may be a million decisions.
const BODY_TIMEOUT: Duration = Duration::from_mins(1);
/// The largest answer, in bytes.
const BODY_MAX: u64 = 1 << 30;
const KEY_MAX: u64 = 8 * 1024;
const PEM_MAX: u64 = 1 << 20;

/// What the agent calls itself.
pub(super) const USER_AGENT: &str = concat!("iprep-spoa/", env!("CARGO_PKG_VERSION"));

/// A LAPI and what it is shown.
pub(super) struct Client<'a> {
    options: &'a CrowdSecOptions,
}

impl<'a> Client<'a> {
    pub(super) const fn new(options: &'a CrowdSecOptions) -> Self {
        Self { options }
    }

    /// Requests all decisions, or what is new. The error is a line with a remedy.
    pub(super) fn stream(&self, is_startup: bool) -> Result<Vec<u8>, String> {
        let scopes = self.options.scopes.join(",");
        // Without `dedup=false` a server hides all but one decision about a value, and when that is
        // deleted, that another is still there.
        let path = format!("/v1/decisions/stream?startup={is_startup}&scopes={scopes}&dedup=false");
        let agent = self.agent()?;
        let mut request = agent
            .get(self.url(&path))
            .header(header::ACCEPT, "application/json");
        if let Some(key) = self.key()? {
            request = request.header("X-Api-Key", key);
        }
        let answer = request.call().map_err(|error| self.failed(&error))?;
        match answer.status().as_u16() {
            200 => self.receive(answer),
            status => Err(self.refused(status)),
        }
    }

    /// Sends usage metrics; the status.
    pub(super) fn metrics(&self, body: &str) -> Result<u16, String> {
        let agent = self.agent()?;
        let request = agent.post(self.url("/v1/usage-metrics"));
        let mut request = request.header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = self.key()? {
            request = request.header("X-Api-Key", key);
        }
        let answer = request.send(body).map_err(|error| self.failed(&error))?;
        Ok(answer.status().as_u16())
    }

    fn url(&self, path: &str) -> String {
        match &self.options.url {
            Url::Http(url) => format!("{url}{path}"),
            // The socket is what is connected to.
            Url::Unix(_) => format!("http://127.0.0.1{path}"),
        }
    }

    fn agent(&self) -> Result<Agent, String> {
        let config = Agent::config_builder()
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_idle_connections(0)
            .proxy(None)
            .user_agent(USER_AGENT)
            .accept_encoding("identity")
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_send_body(Some(ANSWER_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            .timeout_recv_body(Some(BODY_TIMEOUT))
            .tls_config(self.tls()?)
            .build();
        Ok(match &self.options.url {
            Url::Http(_) => Agent::new_with_config(config),
            Url::Unix(path) => {
                let connector = UnixConnector(path.clone());
                Agent::with_parts(config, connector, DefaultResolver::default())
            }
        })
    }

    fn tls(&self) -> Result<TlsConfig, String> {
        let config = TlsConfig::builder();
        if !self.options.url.is_tls() {
            return Ok(config.build());
        }
        let roots = match &self.options.ca_file {
            None => RootCerts::WebPki,
            Some(path) => {
                let found = tls::authorities(path)?;
                let found = found.iter().map(|it| Certificate::from_der(it).to_owned());
                RootCerts::from(found)
            }
        };
        let client = match &self.options.credentials {
            Credentials::Key(_) => None,
            Credentials::Certificate { cert, key } => {
                let of = |path: &std::path::Path, what: &str, why: &str| {
                    format!("{what} {}: {why}; write it anew as PEM", path.display())
                };
                let read = |path, what| {
                    let bytes = read_small(path, PEM_MAX);
                    bytes.map_err(|error| of(path, what, &error.to_string()))
                };
                let pem = read(cert, "cert-file")?;
                let chain: Vec<_> = ureq::tls::parse_pem(&pem)
                    .filter_map(|item| match item {
                        Ok(ureq::tls::PemItem::Certificate(it)) => Some(it),
                        _ => None,
                    })
                    .collect();
                if chain.is_empty() {
                    return Err(of(cert, "cert-file", "no certificate in it"));
                }
                let pem = read(key, "key-file")?;
                let key = PrivateKey::from_pem(&pem)
                    .map_err(|_| of(key, "key-file", "no private key in it"))?;
                Some(ClientCert::new_with_certs(&chain, key))
            }
        };
        Ok(config.root_certs(roots).client_cert(client).build())
    }

    fn key(&self) -> Result<Option<HeaderValue>, String> {
        let Credentials::Key(path) = &self.options.credentials else {
            return Ok(None);
        };
        let shown = path.display();
        let text = read_small_text(path, KEY_MAX).map_err(|error| {
            format!("api-key-file {shown}: {error}; cscli bouncers add NAME prints a key")
        })?;
        let first = text.lines().next().unwrap_or_default().trim();
        let key = HeaderValue::from_str(first)
            .ok()
            .filter(|it| !it.is_empty());
        let mut key = key.ok_or_else(|| {
            format!(
                "api-key-file {shown}: no key in its first line; cscli bouncers add NAME prints one"
            )
        })?;
        key.set_sensitive(true);
        Ok(Some(key))
    }

    fn receive(&self, answer: Response<Body>) -> Result<Vec<u8>, String> {
        let body = answer.into_body();
        let declared = body.content_length();
        let mut bytes = Vec::new();
        let mut reader = body.into_reader().take(BODY_MAX + 1);
        let broken = |why: &str| {
            let url = &self.options.url;
            format!(
                "the answer of {url} broke off: {why}; what is in force stays, all is requested again"
            )
        };
        reader
            .read_to_end(&mut bytes)
            .map_err(|error| broken(&error.to_string()))?;
        let len = bytes.len() as u64;
        if len > BODY_MAX {
            return Err(broken("it has more than 1 GiB"));
        }
        if declared.is_some_and(|declared| declared != len) {
            return Err(broken("it is shorter than it says"));
        }
        Ok(bytes)
    }

    /// What a body is that is no stream.
    pub(super) fn invalid(&self, error: &BodyError) -> String {
        let url = &self.options.url;
        match error {
            BodyError::Short => format!(
                "the answer of {url} broke off: half a document; what is in force stays, all is requested again"
            ),
            BodyError::NotJson => format!(
                "{url} answers no JSON; check that url is that of a CrowdSec LAPI, by default port 8080"
            ),
            BodyError::Other => format!(
                "{url} answers JSON that is no list of decisions; check that url is that of a CrowdSec LAPI"
            ),
        }
    }

    fn refused(&self, status: u16) -> String {
        let url = &self.options.url;
        match (status, &self.options.credentials) {
            (401 | 403, Credentials::Key(path)) => format!(
                "{url} refuses the key ({status}); put that of cscli bouncers add NAME into {}",
                path.display()
            ),
            (401 | 403, Credentials::Certificate { cert, .. }) => format!(
                "{url} refuses the certificate ({status}); its OU has to be in bouncers_allowed_ou \
                 of the LAPI: {}",
                cert.display()
            ),
            (404, _) => format!(
                "{url} has no /v1/decisions/stream (404); check that url is that of a CrowdSec LAPI"
            ),
            (300..=399, _) => format!(
                "{url} redirects ({status}), which is not followed; set url to where the LAPI is"
            ),
            (429, _) => format!("{url} answers 429: too many requests; raise interval"),
            (500.., _) => format!(
                "{url} answers {status}; the log of the LAPI or of the proxy before it says why"
            ),
            _ => format!("{url} answers {status} instead of 200; the log of the LAPI says why"),
        }
    }

    fn failed(&self, error: &ureq::Error) -> String {
        let url = &self.options.url;
        let ca_file = self.options.ca_file.as_deref();
        match error {
            ureq::Error::Io(inner) if let Some(inner) = tls::beneath(inner) => {
                format!("{url}: {}", tls::explained(inner, ca_file))
            }
            ureq::Error::Rustls(inner) => format!("{url}: {}", tls::explained(inner, ca_file)),
            ureq::Error::Timeout(_) => format!(
                "{url} does not answer in time; check that the LAPI runs and is not overloaded"
            ),
            ureq::Error::HostNotFound => {
                format!("{url}: the name of the host is not known; check url and DNS")
            }
            ureq::Error::Io(inner) => {
                format!("{url} cannot be reached: {inner}; check that the LAPI runs, and url")
            }
            other => format!("{url} answers no HTTP that is understood: {other}; check url"),
        }
    }
}
