//! `allow-from`: who may connect, and that nobody else is heard.

#![cfg(test)]

mod support;

use std::io::Read as _;

use haproxy_spoa::BindAddress;
use socket2::{Domain, Socket, Type};

use support::{PATIENCE, Peer, Program};

/// A connection to the agent from this address.
fn from(source: &str, agent: &BindAddress) -> Peer {
    let BindAddress::Tcp(to) = agent else {
        unreachable!()
    };
    let socket = Socket::new(Domain::for_address(*to), Type::STREAM, None).unwrap();
    let source: std::net::IpAddr = source.parse().unwrap();
    socket
        .bind(&std::net::SocketAddr::new(source, 0).into())
        .unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(&(*to).into()).unwrap();
    Peer::over(socket)
}

/// Whether the connection was closed without a word.
fn is_refused(mut peer: Peer) -> bool {
    let mut byte = [0];
    matches!(peer.socket.read(&mut byte), Ok(0) | Err(_))
}

#[test]
fn only_the_networks_named_are_served() {
    let line = "127.0.0.1:0 allow-from 127.0.8.0/24,127.0.9.1";
    let agent = Program::start_on(&[line], &["-n", "2"]);
    for source in ["127.0.8.1", "127.0.8.255", "127.0.9.1"] {
        let mut peer = from(source, agent.address());
        peer.greet();
        peer.ask();
    }
    for source in ["127.0.0.1", "127.0.9.2", "127.0.7.255"] {
        assert!(is_refused(from(source, agent.address())), "{source}");
    }
    let all = agent.report().all;
    assert_eq!((all.number("accepted"), all.number("not_allowed")), (3, 3));
    assert_eq!(all.number("notifies"), 3);
}

#[test]
fn ipv6_has_networks_too() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let agent = Program::start_on(
        &["[::1]:0 allow-from ::1", "[::1]:0 allow-from 2001:db8::/32"],
        &["-n", "1"],
    );
    let [open, closed] = agent.addresses() else {
        unreachable!()
    };
    let mut peer = from("::1", open);
    peer.greet();
    peer.ask();
    assert!(is_refused(from("::1", closed)));
}

#[test]
fn the_warning_is_for_those_that_anybody_reaches() {
    let warned = |line: &str| {
        let agent = Program::start_on(&[line], &["-n", "1"]);
        // The report comes after everything that is said at the start.
        agent.report();
        agent.lines().join("\n").contains("WARN address exposed")
    };
    assert!(warned("0.0.0.0:0"));
    assert!(!warned("0.0.0.0:0 allow-from 127.0.0.0/8"));
    assert!(!warned("127.0.0.1:0"));
}

#[test]
fn a_line_that_is_wrong_says_how_it_is_right() {
    for (line, words) in [
        (
            "127.0.0.1:0 allow-from 127.0.0.1/8",
            "127.0.0.0/8 is meant?",
        ),
        ("127.0.0.1:0 alow-from 127.0.0.1", "no keyword alow-from"),
        ("unix:/x allow-from 127.0.0.1", "--unix-mode"),
    ] {
        let ended = Program::run(&["--bind", line]);
        let said = ended.refusal(2);
        assert!(said.contains(words), "{line}: {said}");
    }
}
