//! A server that answers as a test tells it to, and remembers what it was asked.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

#[cfg(feature = "http")]
use rustls::{ServerConfig, ServerConnection, StreamOwned};

#[cfg(feature = "http")]
use super::Leaf;

/// A server on a port of its own. It serves until the test's process ends.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    requests: Arc<Mutex<Vec<String>>>,
    /// What a server that speaks TLS shows.
    #[cfg(feature = "http")]
    shown: Option<Arc<Mutex<Arc<ServerConfig>>>>,
}

/// What it does with every request from now on.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Sends these bytes and closes.
    Raw(Vec<u8>),
    /// Sends these bytes after this time, and closes.
    #[cfg(feature = "http")]
    Late(Duration, Vec<u8>),
    /// Sends a head, and bytes for as long as somebody reads.
    Endless,
    /// Sends a head and half an answer, and no more.
    Stalls,
    /// Sends a head, and then a byte now and then for as long as somebody reads.
    Drips,
    /// Closes at once.
    Closes,
}

impl Answer {
    /// An answer with a status, further headers and a body.
    pub(crate) fn new(status: &str, headers: &[&str], body: &str) -> Self {
        let headers: Vec<_> = headers.iter().map(|header| [header, "\r\n"]).collect();
        let (headers, len) = (headers.as_flattened().concat(), body.len());
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\n{headers}");
        Self::Raw(format!("{head}Connection: close\r\n\r\n{body}").into_bytes())
    }

    /// A good answer.
    pub(crate) fn ok(body: &str) -> Self {
        Self::new("200 OK", &[], body)
    }
}

impl Server {
    pub(crate) fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            answer: Arc::new(Mutex::new(answer)),
            requests: Arc::default(),
            #[cfg(feature = "http")]
            shown: None,
        };
        server.serve_on(listener);
        server
    }

    /// One that speaks TLS, and shows this certificate.
    #[cfg(feature = "http")]
    pub(crate) fn sealed(answer: Answer, leaf: &Leaf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            answer: Arc::new(Mutex::new(answer)),
            requests: Arc::default(),
            shown: Some(Arc::new(Mutex::new(shows(leaf)))),
        };
        server.serve_on(listener);
        server
    }

    /// Another certificate from now on.
    #[cfg(feature = "http")]
    pub(crate) fn shows(&self, leaf: &Leaf) {
        *self.shown.as_ref().unwrap().lock().unwrap() = shows(leaf);
    }

    fn serve_on(&self, listener: TcpListener) {
        let serving = self.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = serving.clone();
                thread::spawn(move || {
                    #[cfg(feature = "http")]
                    if let Some(shown) = &server.shown {
                        let config = Arc::clone(&shown.lock().unwrap());
                        let connection = ServerConnection::new(config).unwrap();
                        return server.serve(StreamOwned::new(connection, client));
                    }
                    server.serve(client);
                });
            }
        });
    }

    pub(crate) fn url(&self, path: &str) -> String {
        #[cfg(feature = "http")]
        if self.shown.is_some() {
            return format!("https://{}{path}", self.address);
        }
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// The heads of all requests so far, in lower case.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// A client that goes away is its own business.
    fn serve(&self, mut client: impl Read + Write) {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && matches!(client.read(&mut byte), Ok(1)) {
            head.push(byte[0]);
        }
        if head.is_empty() {
            return;
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        self.requests.lock().unwrap().push(head);
        let answer = self.answer.lock().unwrap().clone();
        match answer {
            Answer::Raw(bytes) => drop(client.write_all(&bytes)),
            #[cfg(feature = "http")]
            Answer::Late(time, bytes) => {
                pause(time);
                let _ = client.write_all(&bytes);
            }
            Answer::Endless => {
                let head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
                let lines = b"192.0.2.1\n".repeat(1000);
                let mut sent = client.write_all(head);
                while sent.is_ok() {
                    sent = client.write_all(&lines);
                }
            }
            Answer::Stalls => {
                let half = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n192.0.2.1\n";
                let _ = client.write_all(half);
                // Until the client has had enough.
                let _ = client.read(&mut byte);
            }
            Answer::Drips => {
                let mut sent = client.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
                while sent.is_ok() {
                    pause(Duration::from_millis(50));
                    sent = client.write_all(b"1").and_then(|()| client.flush());
                }
            }
            Answer::Closes => {}
        }
    }
}

/// A pause that is no nap: nobody ever sends anything here.
fn pause(time: Duration) {
    let (_silence, pause) = std::sync::mpsc::channel::<()>();
    let _ = pause.recv_timeout(time);
}

#[cfg(feature = "http")]
fn shows(leaf: &Leaf) -> Arc<ServerConfig> {
    use rustls::crypto::ring;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    let chain = CertificateDer::pem_slice_iter(leaf.certificate.as_bytes());
    let chain = chain.collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth();
    config.with_single_cert(chain, key).unwrap().into()
}
