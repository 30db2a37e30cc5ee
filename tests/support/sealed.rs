//! A peer over TLS.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use haproxy_spoa::BindAddress;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{Authority, Leaf, PATIENCE, Peer};

/// TLS over a socket, or over something that writes to one in its own way.
pub(crate) type Sealed<S = TcpStream> = StreamOwned<ClientConnection, S>;

/// What a client shows, and whom it trusts.
#[derive(Debug, Clone)]
pub(crate) struct Client(Arc<ClientConfig>);

impl Client {
    /// One that shows a certificate, or none.
    pub(crate) fn new(server: &Authority, leaf: Option<&Leaf>) -> Self {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(server.pem.as_bytes()).unwrap();
        roots.add(ca).unwrap();
        let config = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let config = match leaf {
            None => config.with_no_client_auth(),
            Some(leaf) => {
                let chain = CertificateDer::pem_slice_iter(leaf.certificate.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).unwrap();
                let chain = chain.collect::<Result<_, _>>().unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        Self(config.into())
    }

    /// A connected socket.
    pub(crate) fn socket(address: &BindAddress) -> TcpStream {
        let BindAddress::Tcp(address) = address else {
            panic!("TLS is for TCP")
        };
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// TLS over a socket; the handshake comes with the first bytes.
    pub(crate) fn over<S: io::Read + io::Write>(&self, socket: S) -> Peer<Sealed<S>> {
        let name = "agent.test".try_into().unwrap();
        let connection = ClientConnection::new(Arc::clone(&self.0), name).unwrap();
        Peer::over(StreamOwned::new(connection, socket))
    }

    pub(crate) fn connect(&self, address: &BindAddress) -> Peer<Sealed> {
        self.over(Self::socket(address))
    }

    /// A connection after the handshakes of TLS and SPOP.
    pub(crate) fn greeted(&self, address: &BindAddress) -> Peer<Sealed> {
        let mut peer = self.connect(address);
        peer.greet();
        peer
    }
}
