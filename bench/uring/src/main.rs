//! The agent's session behind io_uring instead of epoll: the means to repeat the measurement of
//! `docs/io_uring.md`.
//!
//! One thread, right answers, and no more: it has no timeouts, no counters, no latencies and no
//! shutdown. It is not an agent to run.

mod ring;
mod worker;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use haproxy_spoa::Latency;
use iprep_spoa::policy::IpReputation;
use ip_reputation::Random;

use ring::{Ring, Setup};
use worker::Worker;

const USAGE: &str = "usage: spop-uring [-p PORT | -b unix:PATH] [--buffers COUNT] [--size BYTES]
                  [--incremental yes|no] [--deferred yes|no] [--registered yes|no]
                  [--timed yes|no]";

fn main() -> ExitCode {
    let outcome = options().and_then(|options| serve(options).map_err(|error| error.to_string()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("spop-uring: {message}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    port: u16,
    path: Option<String>,
    setup: Setup,
    /// Latencies are recorded, as the agent does.
    timed: bool,
}

fn options() -> Result<Options, String> {
    let (mut port, mut path, mut timed) = (12345, None, false);
    let mut setup = Setup {
        buffers: 16,
        buffer_len: 64 * 1024,
        incremental: true,
        deferred: true,
        registered: true,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or(USAGE)?;
        let number = || value.parse::<u32>().map_err(|_| USAGE);
        let yes = value == "yes";
        match word.as_str() {
            "-p" => port = value.parse().map_err(|_| USAGE)?,
            "-b" => path = Some(value.strip_prefix("unix:").ok_or(USAGE)?.to_owned()),
            "--buffers" => setup.buffers = value.parse().map_err(|_| USAGE)?,
            "--size" => setup.buffer_len = number()?,
            "--incremental" => setup.incremental = yes,
            "--deferred" => setup.deferred = yes,
            "--registered" => setup.registered = yes,
            "--timed" => timed = yes,
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(Options {
        port,
        path,
        setup,
        timed,
    })
}

fn serve(options: Options) -> io::Result<()> {
    let (listener, address) = match options.path {
        Some(path) => listen_unix(&path)?,
        None => listen_tcp(options.port)?,
    };
    let ring = Ring::new(listener.into(), options.setup)?;
    let seed = Random::entropy().map_err(io::Error::other)?;
    eprintln!("listening on {address}");
    let latency = options
        .timed
        .then(|| Latency::new(Duration::from_millis(10)));
    Worker::new(ring, IpReputation::new(Random::seeded(seed, 0)), latency).run()
}

fn listen_tcp(port: u16) -> io::Result<(Socket, String)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(4096)?;
    let address = socket.local_addr()?.as_socket();
    let address = address
        .map(|address| address.to_string())
        .unwrap_or_default();
    Ok((socket, address))
}

fn listen_unix(path: &str) -> io::Result<(Socket, String)> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(4096)?;
    Ok((socket, format!("unix:{path}")))
}
