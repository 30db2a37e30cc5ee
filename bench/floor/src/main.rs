//! The floor: the least that an epoll agent can do and still be one.
//!
//! One `epoll_wait`, then for every ready connection one `recv`, a canned answer for every whole
//! frame in it, one `send`. It checks nothing but the length of a frame and knows no limits: it is a
//! yardstick, not an agent. What it leaves out is what the ratio of an agent's cost to its cost
//! shows.
//!
//! ```text
//!  NOTIFY  | length | 3   | flags   | stream-id, frame-id | messages...
//!                                     |  copied as they are
//!  ACK     | length | 103 | 0 0 0 1 | stream-id, frame-id | set-var sess ip_score 42
//! ```

mod frames;
mod socket;

use std::collections::HashMap;
use std::io;
use std::process::ExitCode;
use std::thread;

use frames::Answered;
use socket::Epoll;

/// The most that is read at once.
const INPUT_LEN: usize = 64 * 1024;

const USAGE: &str = "usage: spop-floor [-n THREADS] [-p PORT | -b unix:PATH]";

fn main() -> ExitCode {
    let outcome = options().and_then(|(threads, port, path)| {
        serve(threads, port, path.as_deref()).map_err(|error| error.to_string())
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("spop-floor: {message}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<(usize, u16, Option<String>), String> {
    let (mut threads, mut port, mut path) = (1, 12345, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or(USAGE)?;
        match word.as_str() {
            "-n" => threads = value.parse().map_err(|_| USAGE)?,
            "-p" => port = value.parse().map_err(|_| USAGE)?,
            "-b" => path = Some(value.strip_prefix("unix:").ok_or(USAGE)?.to_owned()),
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok((usize::max(threads, 1), port, path))
}

/// The first thread also accepts, and deals connections out in turn, so that every thread has its
/// share.
fn serve(threads: usize, port: u16, path: Option<&str>) -> io::Result<()> {
    let (listener, address) = match path {
        Some(path) => socket::listen_unix(path)?,
        None => socket::listen_tcp(port)?,
    };
    let epolls = (0..threads)
        .map(|_| Epoll::new())
        .collect::<io::Result<Vec<_>>>()?;
    eprintln!("listening on {address}, {threads} threads");
    for (index, &epoll) in epolls.iter().enumerate().skip(1) {
        thread::spawn(move || {
            socket::pin(index);
            work(epoll, None)
        });
    }
    if threads > 1 {
        socket::pin(0);
    }
    let mut next = epolls.iter().cycle();
    let mut accept = || {
        if let (Ok(fd), Some(epoll)) = (socket::accept(listener, path.is_none()), next.next()) {
            let _ = epoll.add(fd);
        }
    };
    epolls[0].add_listener(listener)?;
    work(epolls[0], Some((listener, &mut accept)))
}

/// One thread: its epoll instance, one buffer in, one buffer out.
fn work(epoll: Epoll, mut accept: Option<(i32, &mut dyn FnMut())>) -> io::Result<()> {
    let mut events = socket::events();
    let mut input = vec![0; INPUT_LEN];
    let mut output = Vec::with_capacity(4 * INPUT_LEN);
    // The head of a frame whose end has not arrived, by descriptor.
    let mut heads = HashMap::<i32, Vec<u8>>::new();
    loop {
        for event in epoll.wait(&mut events)? {
            let (fd, closed) = socket::parts(event);
            if let Some((listener, accept)) = &mut accept
                && fd == *listener
            {
                accept();
            } else if !turn(fd, closed, &mut input, &mut output, &mut heads) {
                heads.remove(&fd);
                socket::close(fd);
            }
        }
    }
}

/// Serves a connection until it is drained. False if it has ended.
fn turn(
    fd: i32,
    closed: bool,
    input: &mut [u8],
    output: &mut Vec<u8>,
    heads: &mut HashMap<i32, Vec<u8>>,
) -> bool {
    loop {
        let mut kept = 0;
        if !heads.is_empty()
            && let Some(head) = heads.remove(&fd)
        {
            kept = head.len();
            input[..kept].copy_from_slice(&head);
        }
        let room = input.len() - kept;
        let Some(read) = socket::receive(fd, &mut input[kept..]) else {
            return false;
        };
        let len = kept + read;
        output.clear();
        let Answered { consumed, leave } = frames::answer(&input[..len], output);
        if !output.is_empty() && !socket::send(fd, output) {
            return false;
        }
        if leave || (read == 0 && closed) {
            return false;
        }
        if consumed < len {
            heads.insert(fd, input[consumed..len].to_vec());
        }
        // A short read means drained, unless the peer has closed and its end is still to be read.
        if read < room && !closed {
            return true;
        }
    }
}
