//! A LAPI of CrowdSec that a test plays: over TCP, a UNIX socket or TLS that wants a certificate.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::{Authority, Leaf};

/// What the next polls are answered with.
#[derive(Debug, Default)]
struct Script {
    /// What `startup=true` gets: elements of `new`.
    all: Vec<String>,
    /// Whole bodies of the next polls without it; then there is nothing new.
    deltas: VecDeque<String>,
    /// Whole answers of the next polls, whatever they ask for.
    next: VecDeque<Vec<u8>>,
    /// The same for all polls until it is none.
    always: Option<Vec<u8>>,
    /// Heads and bodies of all requests.
    requests: Vec<String>,
    has_metrics: bool,
}

/// A server. It serves until the test's process ends.
#[derive(Debug, Clone)]
pub(crate) struct Lapi {
    script: Arc<Mutex<Script>>,
    pub(crate) url: String,
}

/// A whole answer with a status and a body.
pub(crate) fn answer(status: &str, body: &str) -> Vec<u8> {
    let len = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}")
        .into_bytes()
}

/// A decision as JSON has it.
pub(crate) fn decision(id: u32, kind: &str, scope: &str, value: &str, duration: &str) -> String {
    format!(
        r#"{{"id":{id},"uuid":"u-{id}","origin":"cscli","type":"{kind}","scope":"{scope}","value":"{value}","duration":"{duration}","scenario":"test/scenario-{id}"}}"#
    )
}

impl Lapi {
    fn with_url(url: String) -> Self {
        Self {
            script: Arc::default(),
            url,
        }
    }

    pub(crate) fn start() -> Self {
        Self::on("127.0.0.1:0")
    }

    pub(crate) fn on(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let lapi = Self::with_url(format!("http://{}", listener.local_addr().unwrap()));
        let server = lapi.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = server.clone();
                thread::spawn(move || server.serve(client));
            }
        });
        lapi
    }

    pub(crate) fn unix(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let lapi = Self::with_url(format!("unix:{}", path.display()));
        let server = lapi.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                server.serve(client);
            }
        });
        lapi
    }

    /// Speaks TLS and wants a certificate of this CA.
    pub(crate) fn mutual(authority: &Authority, leaf: &Leaf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let lapi = Self::with_url(format!("https://{}", listener.local_addr().unwrap()));
        let mut roots = RootCertStore::empty();
        for it in CertificateDer::pem_slice_iter(authority.pem.as_bytes()) {
            roots.add(it.unwrap()).unwrap();
        }
        let provider = Arc::new(ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
        let chain = CertificateDer::pem_slice_iter(leaf.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap());
        let chain = chain.collect::<Result<_, _>>().unwrap();
        let config = Arc::new(config.with_single_cert(chain, key).unwrap());
        let server = lapi.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                server.serve(StreamOwned::new(connection, client));
            }
        });
        lapi
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// What there is now.
    pub(crate) fn has(&self, all: &[String]) {
        self.script().all = all.to_vec();
    }

    pub(crate) fn takes_metrics(&self) {
        self.script().has_metrics = true;
    }

    /// What the next poll without `startup=true` gets.
    pub(crate) fn delta(&self, deleted: &[String], new: &[String]) {
        let body = format!(
            r#"{{"new":[{}],"deleted":[{}]}}"#,
            new.join(","),
            deleted.join(",")
        );
        self.script().deltas.push_back(body);
    }

    pub(crate) fn next(&self, answer: Vec<u8>) {
        self.script().next.push_back(answer);
    }

    pub(crate) fn always(&self, answer: Option<Vec<u8>>) {
        self.script().always = answer;
    }

    /// Heads and bodies of all requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.script().requests.clone()
    }

    /// How many requests have this in them.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.requests()
            .iter()
            .filter(|it| it.contains(what))
            .count()
    }

    fn serve(&self, mut client: impl Read + Write) {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && matches!(client.read(&mut byte), Ok(1)) {
            head.push(byte[0]);
        }
        let mut text = String::from_utf8_lossy(&head).into_owned();
        if text.is_empty() {
            return;
        }
        let len = text.lines().find_map(|line| {
            let line = line.to_ascii_lowercase();
            line.strip_prefix("content-length: ")?.parse().ok()
        });
        let mut body = vec![0; len.unwrap_or(0)];
        if client.read_exact(&mut body).is_ok() {
            text.push_str(&String::from_utf8_lossy(&body));
        }
        let answer = self.answer(&text);
        let _ = client.write_all(&answer);
        let _ = client.flush();
    }

    fn answer(&self, request: &str) -> Vec<u8> {
        let mut script = self.script();
        script.requests.push(request.to_owned());
        if request.starts_with("POST /v1/usage-metrics ") {
            return answer(
                if script.has_metrics {
                    "201 Created"
                } else {
                    "404 Not Found"
                },
                "",
            );
        }
        if let Some(next) = script.next.pop_front().or_else(|| script.always.clone()) {
            return next;
        }
        if request.contains("startup=true") {
            script.deltas.clear();
            let body = format!(r#"{{"new":[{}],"deleted":null}}"#, script.all.join(","));
            return answer("200 OK", &body);
        }
        let nothing = || r#"{"new":null,"deleted":null}"#.to_owned();
        let body = script.deltas.pop_front().unwrap_or_else(nothing);
        answer("200 OK", &body)
    }
}
