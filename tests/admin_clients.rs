//! Clients of the admin endpoint that are slow, rude, many or old: nothing that they do keeps the next
//! one out, or HAProxy waiting.

#![cfg(test)]
#![cfg(feature = "admin")]

mod support;

use std::io::{Read as _, Write as _};
use std::thread;
use std::time::Duration;

use socket2::Socket;
use support::{Endpoint, Habit, Load, PATIENCE, Peer, Program, Scratch, throughout, until};

/// An agent over a list, and its endpoint.
fn with_list() -> (Scratch, Program, Endpoint) {
    let scratch = Scratch::new();
    scratch.write("bad.txt", "192.0.2.0/24\n198.51.100.7\n");
    let text = "[[feed]]\nname = \"bad\"\npath = \"bad.txt\"\n";
    let config = scratch.write("spoa.toml", text);
    let agent = Program::configured(&config, &["--admin", "127.0.0.1:0"]);
    let endpoint = Endpoint::of(&agent);
    (scratch, agent, endpoint)
}

/// A request that the connection outlives.
fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// Reads until the other side closes; what came.
fn rest(mut socket: &Socket) -> String {
    let mut read = Vec::new();
    // It closes with input unread, which may be a reset.
    let _ = socket.read_to_end(&mut read);
    String::from_utf8_lossy(&read).into_owned()
}

/// HAProxy and the next client are answered, and everything is let go of in the end.
fn nobody_is_kept_out(agent: &Program, endpoint: &Endpoint, files: usize, whatever: impl FnOnce()) {
    let mut load = Load::new();
    load.add(2, Habit::Persistent, agent.address());
    whatever();
    load.runs_for(100);
    for path in ["/healthz", "/metrics", "/lookup?address=192.0.2.1"] {
        assert_eq!(endpoint.get(path).status, 200, "{path}");
    }
    let open = agent.process().descriptors().len();
    assert!(open < files + 100, "{open} files are open, {files} were");
    let tally = load.end();
    assert!(tally.answered > 0 && tally.lost.is_empty(), "{tally:?}");
}

fn all_is_let_go_of(agent: &Program, files: usize) {
    until("their places are free", || {
        agent.process().descriptors().len() <= files + 2
    });
}

#[test]
fn whatever_clients_do_the_next_one_is_answered() {
    let (_scratch, agent, endpoint) = with_list();
    for (request, status) in [
        (&b"\0\xff\x16\x03\x01 nonsense\r\n\r\n"[..], 400),
        (b"BREW / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
        (b"DELETE /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
        (b"GET /reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
        (b"GET /../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n", 421),
        (b"GET /lookup?address=%zz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400),
        (b"POST /figures HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\n", 405),
    ] {
        let answer = endpoint.raw(request).unwrap_or_else(|error| panic!("{}: {error}", request.escape_ascii()));
        assert_eq!(answer.status, status, "{}: {answer:?}", request.escape_ascii());
    }
    let long = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    // It closes with input unread, which may destroy the answer on its way.
    if let Ok(answer) = endpoint.raw(long.as_bytes()) {
        assert_eq!(answer.status, 431, "{answer:?}");
    }
    let head = endpoint.request("HEAD", "/metrics", &[]);
    assert_eq!((head.status, &head.body[..]), (200, ""));
    assert_eq!(endpoint.get("/healthz").status, 200);
    agent.stop();
}

#[test]
fn a_thousand_connections_that_say_nothing_keep_nobody_out() {
    let (_scratch, agent, endpoint) = with_list();
    let before = agent.process().descriptors().len();
    let mut load = Load::new();
    load.add(2, Habit::Persistent, agent.address());
    let mut held: Vec<_> = (0..1000).map(|_| endpoint.connect()).collect();
    for (place, socket) in held.iter_mut().enumerate() {
        // Some begin, some ask and read nothing, some say nothing at all. They may be cut off by now.
        let _ = match place % 3 {
            0 => socket.write_all(b"GET /metr"),
            1 => socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            _ => Ok(()),
        };
    }
    for _ in 0..3 {
        assert_eq!(endpoint.get("/metrics").status, 200);
    }
    let open = agent.process().descriptors().len();
    assert!(open < before + 100, "{open} files are open, {before} were");
    let tally = load.end();
    assert!(tally.answered > 0 && tally.lost.is_empty(), "{tally:?}");
    drop(held);
    until("their places are free", || {
        agent.process().descriptors().len() <= before + 8
    });
    agent.stop();
}

#[test]
fn a_connection_that_is_kept_is_answered_again_and_one_that_is_silent_is_closed() {
    let (_scratch, _agent, endpoint) = with_list();
    let mut socket = endpoint.connect();
    let mut read = [0; 4096];
    for _ in 0..3 {
        socket
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"alive\n") {
            let len = socket.read(&mut read).unwrap();
            assert!(len > 0, "it is kept");
            answer.extend_from_slice(&read[..len]);
        }
    }
    assert_eq!(
        socket.read(&mut read).unwrap(),
        0,
        "it is closed in the end"
    );
}

#[test]
fn a_byte_a_second_is_too_slow() {
    let (_scratch, agent, endpoint) = with_list();
    let files = agent.process().descriptors().len();
    let mut slow: Vec<_> = (0..60).map(|_| endpoint.connect()).collect();
    let mut bytes = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Y: Z\r\n"
        .iter()
        .copied();
    nobody_is_kept_out(&agent, &endpoint, files, || {
        let mut drip = || {
            let byte = bytes.next().unwrap();
            // Whoever was cut off by now has had its time.
            let sent = slow.iter_mut().map(|socket| socket.write_all(&[byte]));
            sent.flatten().count()
        };
        until("all are cut off", || {
            let left = drip();
            throughout(Duration::from_millis(700), "it answers", || {
                endpoint.get("/healthz").status == 200
            });
            left == 0
        });
    });
    for socket in &slow {
        assert!(!rest(socket).starts_with("HTTP/1.1 200"));
    }
    drop(slow);
    all_is_let_go_of(&agent, files);
    agent.stop();
}

#[test]
fn whoever_never_reads_waits_alone() {
    let (_scratch, agent, endpoint) = with_list();
    let files = agent.process().descriptors().len();
    let resident = agent.process().resident();
    let deaf: Vec<_> = (0..60).map(|_| endpoint.connect()).collect();
    nobody_is_kept_out(&agent, &endpoint, files, || {
        for mut socket in &deaf {
            socket.set_nonblocking(true).unwrap();
            // As much as it takes: pages that nobody fetches.
            let asked = get("/").repeat(40) + &get("/lookup?address=192.0.2.1").repeat(100);
            let _ = socket.write(asked.as_bytes());
        }
    });
    let grown = agent.process().resident().saturating_sub(resident);
    assert!(grown < 64 << 20, "{grown} bytes more");
    drop(deaf);
    all_is_let_go_of(&agent, files);
    agent.stop();
}

#[test]
fn a_thousand_that_ask_at_once_keep_nobody_out() {
    let (_scratch, agent, endpoint) = with_list();
    let files = agent.process().descriptors().len();
    let mut answered = 0;
    nobody_is_kept_out(&agent, &endpoint, files, || {
        answered = thread::scope(|scope| {
            let ask = |_| {
                let endpoint = &endpoint;
                scope.spawn(move || {
                    let mut held: Vec<_> = (0..50).map(|_| endpoint.connect()).collect();
                    for socket in &mut held {
                        // The oldest ones make room for others.
                        let _ = socket.write_all(get("/lookup?address=192.0.2.1").as_bytes());
                        let _ = socket.shutdown(std::net::Shutdown::Write);
                    }
                    held.iter()
                        .filter(|socket| rest(socket).contains("192.0.2.1"))
                        .count()
                })
            };
            let threads: Vec<_> = (0..20).map(ask).collect();
            threads
                .into_iter()
                .map(|it| it.join().unwrap())
                .sum::<usize>()
        });
    });
    assert!(answered >= 64, "only {answered} were answered");
    all_is_let_go_of(&agent, files);
    agent.stop();
}

#[test]
fn requests_one_behind_the_other_are_answered_in_order() {
    let (_scratch, agent, endpoint) = with_list();
    let mut socket = endpoint.connect();
    let hosts = 1..=50;
    let asked = hosts
        .clone()
        .map(|host| get(&format!("/lookup?address=192.0.2.{host}")));
    let last = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    socket
        .write_all((asked.collect::<String>() + last).as_bytes())
        .unwrap();
    let mut answers = rest(&socket);
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 51, "{answers}");
    for host in hosts {
        let at = answers
            .find(&format!("192.0.2.{host} "))
            .unwrap_or_else(|| panic!("{host}: {answers}"));
        answers.drain(..at);
    }
    assert!(answers.ends_with("alive\n"));
    agent.stop();
}

#[test]
fn old_new_and_endless_requests_have_an_answer_or_an_end() {
    let (_scratch, agent, endpoint) = with_list();
    let mut peer = Peer::greeted(agent.address());
    let resident = agent.process().resident();
    let old = endpoint.raw(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!((old.status, &old.body[..]), (200, "alive\n"));
    for (what, request, statuses) in [
        ("HTTP/0.9", "GET /healthz\r\n\r\n".to_owned(), &[400][..]),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[400, 505]),
        ("HTTP/9", "GET / HTTP/9.1\r\n\r\n".to_owned(), &[400, 505]),
        ("a long path", format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20)), &[414, 431]),
        ("many headers", format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(10_000)), &[431]),
        ("a header without an end", format!("GET / HTTP/1.1\r\nA: {}", "b".repeat(1 << 20)), &[431]),
        ("two lengths", "POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(), &[400]),
        ("no number", "POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n".to_owned(), &[400]),
    ] {
        // It closes with input unread, which may destroy the answer on its way.
        if let Ok(answer) = endpoint.raw(request.as_bytes()) {
            assert!(statuses.contains(&answer.status), "{what}: {answer:?}");
        }
        peer.ask();
    }
    // Bodies that nobody wants, and that have no end.
    for framing in ["Content-Length: 99999999999", "Transfer-Encoding: chunked"] {
        let mut socket = endpoint.connect();
        let head = format!("POST /reload HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n");
        socket.write_all(head.as_bytes()).unwrap();
        let chunk = [&b"10000\r\n"[..], &vec![b'x'; 65_536], b"\r\n"].concat();
        let sent = (0..4096)
            .map_while(|_| socket.write_all(&chunk).ok())
            .count();
        assert!(sent < 4096, "{framing}: it goes on reading");
        peer.ask();
    }
    let grown = agent.process().resident().saturating_sub(resident);
    assert!(grown < 16 << 20, "{grown} bytes more");
    drop(peer);
    agent.stop();
}

/// A connection may be kept, but not for ever.
#[test]
fn one_that_asks_without_end_gives_its_place_up() {
    let (_scratch, agent, endpoint) = with_list();
    let mut busy: Vec<_> = (0..64).map(|_| endpoint.connect()).collect();
    for socket in &mut busy {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(get("/healthz").as_bytes()).unwrap();
    }
    // The next one takes the place of the oldest.
    assert_eq!(endpoint.get("/healthz").status, 200);
    let gone = |socket: &mut Socket| {
        let mut byte = [0; 4096];
        socket.write_all(get("/healthz").as_bytes()).is_err()
            || matches!(socket.read(&mut byte), Ok(0) | Err(_))
    };
    until("the oldest is gone", || gone(&mut busy[0]));
    drop(busy);
    agent.stop();
}
