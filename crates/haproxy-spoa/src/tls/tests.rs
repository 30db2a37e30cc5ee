use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::*;
use crate::TlsFiles;

/// Both sides of TLS without a socket.
struct Pair {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Pair {
    /// One CA for both.
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("spoa-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(vec![]).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = ca.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(ca, key);
        let issue = || {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["agent.test".into()]).unwrap();
            let leaf = params.signed_by(&key, &issuer).unwrap();
            (leaf.pem(), key.serialize_pem())
        };
        let file = |name: &str, text: &str| -> PathBuf {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let (leaf, key) = issue();
        let files = TlsFiles {
            certificate: file("agent.pem", &format!("{leaf}{key}")),
            client_ca: Some(file("ca.pem", &authority)),
            revoked: None,
        };
        let server = files.load().unwrap();
        fs::remove_dir_all(&folder).unwrap();

        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap())
            .unwrap();
        let (leaf, key) = issue();
        let client = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(leaf.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        Self {
            server,
            client: client.into(),
        }
    }

    fn client(&self) -> ClientConnection {
        let name = "agent.test".try_into().unwrap();
        ClientConnection::new(Arc::clone(&self.client), name).unwrap()
    }
}

/// What a client has to send.
fn flight(client: &mut ClientConnection) -> Vec<u8> {
    let mut flight = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut flight).unwrap();
    }
    flight
}

/// A worker's part: reads of these bytes, each with what was kept in front.
fn receive(
    tls: &mut Tls,
    bytes: &[u8],
    mut cut: impl FnMut() -> usize,
) -> Result<(Vec<u8>, BytesMut), Fault> {
    let (mut plain, mut reply) = (Vec::new(), BytesMut::new());
    let (mut sealed, mut room) = (vec![0; ROOM_LEAST], vec![0; ROOM_LEAST]);
    let mut rest = bytes;
    while !rest.is_empty() {
        let kept = tls.put_back(&mut sealed);
        let len = cut().clamp(1, rest.len().min(ROOM_LEAST - kept));
        let (now, later) = rest.split_at(len);
        sealed[kept..kept + len].copy_from_slice(now);
        let opened = tls.open(&mut sealed[..kept + len], &mut room, &mut reply)?;
        plain.extend_from_slice(&room[..opened.len]);
        rest = later;
    }
    Ok((plain, reply))
}

/// A conversation of one question and one answer. The plain bytes that the server read.
fn converse(pair: &Pair, question: &[u8], rng: &mut SmallRng, most: usize) -> Vec<u8> {
    let (mut client, mut tls) = (pair.client(), Tls::new(&pair.server).unwrap());
    let mut heard = Vec::new();
    client.writer().write_all(question).unwrap();
    for _ in 0..4 {
        let flight = flight(&mut client);
        let (plain, reply) = receive(&mut tls, &flight, || rng.random_range(1..=most)).unwrap();
        heard.extend(plain);
        let mut reply = &reply[..];
        while !reply.is_empty() {
            client.read_tls(&mut reply).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    let mut sealed = BytesMut::new();
    tls.seal(b"answer", &mut sealed, true).unwrap();
    client.read_tls(&mut &sealed[..]).unwrap();
    let state = client.process_new_packets().unwrap();
    assert_eq!(
        (state.plaintext_bytes_to_read(), state.peer_has_closed()),
        (6, true)
    );
    heard
}

#[test]
fn any_chunking_of_the_same_records_is_the_same_conversation() {
    let pair = Pair::new("chunks");
    let mut rng = SmallRng::seed_from_u64(7);
    let question: Vec<u8> = core::iter::repeat_with(|| rng.random())
        .take(40_000)
        .collect();
    for most in [1, 2, 5, 100, 5_000, 60_000] {
        assert_eq!(
            converse(&pair, &question, &mut rng, most),
            question,
            "{most}"
        );
    }
}

/// Flights with bytes changed, left out or repeated: a fault or nothing, never a panic, and never a
/// plain byte that was not sent.
#[test]
fn no_change_to_a_flight_is_taken_for_the_client() {
    let pair = Pair::new("changes");
    let mut rng = SmallRng::seed_from_u64(11);
    let mut faults = 0;
    for round in 0..400 {
        let (mut client, mut tls) = (pair.client(), Tls::new(&pair.server).unwrap());
        client.writer().write_all(b"question").unwrap();
        let spoiled = rng.random_range(0..2);
        for step in 0..2 {
            let mut flight = flight(&mut client);
            if step == spoiled {
                spoil(&mut flight, &mut rng);
            }
            let received = receive(&mut tls, &flight, || rng.random_range(1..=3_000));
            let Ok((plain, reply)) = received else {
                faults += 1;
                // Nothing is sealed for nobody.
                let mut sealed = BytesMut::new();
                tls.seal(b"answer", &mut sealed, true).unwrap();
                assert!(sealed.is_empty());
                break;
            };
            assert!(
                b"question".starts_with(&plain) || plain == b"question",
                "{round}"
            );
            assert!(tls.tail.len() <= KEPT_MAX);
            let mut reply = &reply[..];
            while !reply.is_empty() && client.read_tls(&mut reply).is_ok() {
                if client.process_new_packets().is_err() {
                    break;
                }
            }
        }
    }
    assert!(faults > 200, "{faults}");
}

fn spoil(flight: &mut Vec<u8>, rng: &mut SmallRng) {
    let at = rng.random_range(0..flight.len());
    match rng.random_range(0..4) {
        0 => flight[at] ^= 1 << rng.random_range(0..8),
        1 => drop(flight.remove(at)),
        2 => flight.insert(at, rng.random()),
        _ => {
            let again = flight[at..].to_vec();
            flight.extend(again);
        }
    }
}
