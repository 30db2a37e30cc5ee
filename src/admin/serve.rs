//! The endpoint's thread: takes connections, bounds them, and runs HTTP/1 on each.
//!
//! A client can be slow, rude or many. It costs one of 64 places, 16 KiB and at most a minute; when all
//! places are taken, the oldest connection makes room for the next one.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time;

use super::CONNECTIONS_MAX;
use super::figures::SAMPLE_INTERVAL;
use super::routes::{self, AdminState};
use super::socket::Listening;

/// How long a request's head may take to arrive, and a connection be silent between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may last.
const LIFE_MAX: Duration = Duration::from_mins(1);
/// The most bytes of a request's head.
const HEAD_MAX: usize = 16 * 1024;
/// How long a connection keeps its place when others wait for one.
const PLACE_MIN: Duration = Duration::from_millis(100);
/// How long to rest when the process is out of descriptors or memory.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

pub(super) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Answers until the process ends.
pub(super) fn run(
    runtime: &Runtime,
    listening: Listening,
    gate: watch::Receiver<bool>,
    office: AdminState,
) {
    runtime.block_on(async {
        let office = Arc::new(office);
        let sampling = Arc::clone(&office.desk);
        let sample = async move {
            let mut tick = time::interval(SAMPLE_INTERVAL);
            loop {
                tick.tick().await;
                sampling.sample();
            }
        };
        // Both end with the process.
        let _sampling = tokio::spawn(sample);
        let Ok(listener) = Listener::new(listening) else {
            return;
        };
        accept(&listener, gate, &office).await;
    });
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    fn new(listening: Listening) -> io::Result<Self> {
        match listening {
            Listening::Tcp(listener) => TcpListener::from_std(listener).map(Self::Tcp),
            Listening::Unix(listener) => UnixListener::from_std(listener).map(Self::Unix),
        }
    }

    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(it, _)| Stream::Tcp(it)),
            Self::Unix(listener) => listener.accept().await.map(|(it, _)| Stream::Unix(it)),
        }
    }
}

async fn accept(listener: &Listener, mut gate: watch::Receiver<bool>, office: &Arc<AdminState>) {
    let mut places = Places::default();
    // Ends with the process.
    while gate.wait_for(|open| *open).await.is_ok() {
        places.room().await;
        match accept_while_open(listener, &mut gate).await {
            Some(Ok(stream)) => places.give(stream, office),
            // About one connection, or about all of them: in either case a rest does no harm.
            Some(Err(_)) => time::sleep(ACCEPT_RETRY).await,
            None => {}
        }
    }
}

/// Accepts a connection. `None` if another process has come to do that.
async fn accept_while_open(
    listener: &Listener,
    gate: &mut watch::Receiver<bool>,
) -> Option<io::Result<Stream>> {
    let mut closed = pin!(gate.wait_for(|open| !*open));
    let mut accepted = pin!(listener.accept());
    poll_fn(|context| {
        if closed.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        accepted.as_mut().poll(context).map(Some)
    })
    .await
}

/// The connections that there are, the oldest first.
#[derive(Default)]
struct Places(VecDeque<(Instant, JoinHandle<()>)>);

impl Places {
    /// Waits until there is a place, and makes one if need be.
    async fn room(&mut self) {
        self.0.retain(|(_, task)| !task.is_finished());
        while self.0.len() >= CONNECTIONS_MAX {
            let Some((since, oldest)) = self.0.front_mut() else {
                return;
            };
            let left = PLACE_MIN.saturating_sub(since.elapsed());
            if time::timeout(left, &mut *oldest).await.is_err() {
                oldest.abort();
            }
            self.0.pop_front();
            self.0.retain(|(_, task)| !task.is_finished());
        }
    }

    fn give(&mut self, stream: Stream, office: &Arc<AdminState>) {
        let office = Arc::clone(office);
        let task = match stream {
            Stream::Tcp(stream) => {
                let peer = stream.peer_addr();
                let peer = peer.map_or_else(|_| "tcp".into(), |peer| peer.to_string());
                tokio::spawn(serve(stream, peer, office))
            }
            Stream::Unix(stream) => {
                let peer = stream.peer_cred();
                let peer =
                    peer.map_or_else(|_| "unix".into(), |peer| format!("uid:{}", peer.uid()));
                tokio::spawn(serve(stream, peer, office))
            }
        };
        self.0.push_back((Instant::now(), task));
    }
}

/// One connection, from its first request to its last.
async fn serve<S>(stream: S, peer: String, office: Arc<AdminState>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let peer: Arc<str> = peer.into();
    let answer = service_fn(move |request| {
        let (office, peer) = (Arc::clone(&office), Arc::clone(&peer));
        let answer = async move { routes::answer(&office, &peer, request).await };
        async move { Ok::<_, core::convert::Infallible>(answer.await) }
    });
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX);
    let mut connection = pin!(protocol.serve_connection(TokioIo::new(stream), answer));
    let mut end = pin!(time::sleep(LIFE_MAX));
    // Whatever a client does wrong is its own loss: it has been told, or is gone.
    poll_fn(|context| {
        if connection.as_mut().poll(context).is_ready() || end.as_mut().poll(context).is_ready() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}
