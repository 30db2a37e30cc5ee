//! A peer to measure against: the IP reputation agent of the crate `spop`, on tokio.
//!
//! It is the crate's own example with what a benchmark asks for: no line printed for each frame, a
//! port or a UNIX socket by choice, a number of threads, and `TCP_NODELAY`, without which its
//! answers would wait for acknowledgements. Frames go through the crate's codec as its documentation
//! has it, one `send` for each ACK.

use std::io;
use std::process::ExitCode;

use futures::{SinkExt as _, StreamExt as _};
use spop::actions::VarScope;
use spop::frame::{FramePayload, FrameType};
use spop::frames::{Ack, AgentDisconnect, AgentHello, FrameCapabilities, HaproxyHello};
use spop::{MAX_FRAME_SIZE_LIMIT, SpopCodec, SpopFrame, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::{Builder, Runtime};
use tokio_util::codec::Framed;

const USAGE: &str = "usage: spop-peer [-n THREADS] [-p PORT | -b unix:PATH]";

fn main() -> ExitCode {
    match options().and_then(|(threads, port, path)| serve(threads, port, path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spop-peer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> io::Result<(usize, u16, Option<String>)> {
    let wrong = || io::Error::other(USAGE);
    let (mut threads, mut port, mut path) = (1, 12345, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(wrong)?;
        match word.as_str() {
            "-n" => threads = value.parse().map_err(|_| wrong())?,
            "-p" => port = value.parse().map_err(|_| wrong())?,
            "-b" => path = Some(value.strip_prefix("unix:").ok_or_else(wrong)?.to_owned()),
            _ => return Err(wrong()),
        }
    }
    Ok((threads, port, path))
}

/// One thread is tokio's own single-threaded runtime, which is its fastest there.
fn runtime(threads: usize) -> io::Result<Runtime> {
    match threads {
        0 | 1 => Builder::new_current_thread().enable_io().build(),
        _ => Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_io()
            .build(),
    }
}

fn serve(threads: usize, port: u16, path: Option<String>) -> io::Result<()> {
    runtime(threads)?.block_on(async {
        match path {
            Some(path) => serve_unix(&path).await,
            None => serve_tcp(port).await,
        }
    })
}

async fn serve_tcp(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    eprintln!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(connection(stream));
    }
}

async fn serve_unix(path: &str) -> io::Result<()> {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    eprintln!("listening on unix:{path}");
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(stream));
    }
}

/// One connection; an error ends it, as a close does.
async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut socket = Framed::new(stream, SpopCodec::default());
    while let Some(frame) = socket.next().await {
        let frame = frame?;
        match frame.frame_type() {
            FrameType::Notify => {
                if let Some(ack) = acknowledge(frame.as_ref()) {
                    socket.send(Box::new(ack)).await?;
                }
            }
            FrameType::HaproxyHello => match negotiate(frame.as_ref()) {
                Ok(hello) => {
                    socket.codec_mut().set_max_frame_size(hello.max_frame_size);
                    socket.send(Box::new(hello)).await?;
                }
                Err(status) => return disconnect(&mut socket, status).await,
            },
            FrameType::HaproxyDisconnect => {
                return disconnect(&mut socket, StatusCode::None).await;
            }
            _ => {}
        }
    }
    Ok(())
}

fn acknowledge(frame: &dyn SpopFrame) -> Option<Ack> {
    let payload = frame.payload();
    let FramePayload::ListOfMessages(messages) = &payload else {
        return None;
    };
    let metadata = frame.metadata();
    let mut ack = Ack::new(metadata.stream_id, metadata.frame_id);
    for message in *messages {
        if message.name == "check-client-ip" {
            let score: u32 = rand::random_range(0..=100);
            ack = ack.set_var(VarScope::Session, "ip_score", score);
        }
    }
    Some(ack)
}

fn negotiate(frame: &dyn SpopFrame) -> Result<AgentHello, StatusCode> {
    let hello = HaproxyHello::try_from(frame.payload()).map_err(|_| StatusCode::Invalid)?;
    Ok(AgentHello {
        version: hello.negotiate_version().ok_or(StatusCode::BadVersion)?,
        max_frame_size: hello.negotiate_max_frame_size(MAX_FRAME_SIZE_LIMIT)?,
        capabilities: vec![FrameCapabilities::Pipelining],
    })
}

async fn disconnect(
    socket: &mut Framed<impl AsyncRead + AsyncWrite + Unpin, SpopCodec>,
    status: StatusCode,
) -> io::Result<()> {
    let frame = AgentDisconnect {
        status_code: status.to_u32(),
        message: status.message().to_string(),
    };
    socket.send(Box::new(frame)).await?;
    socket.close().await
}
