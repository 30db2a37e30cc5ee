//! What moves over TLS: batches, more than the peer fetches, keys that change, many connections.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use haproxy_spoa::{Agent, Deferred, Limits, Scope, handler};
use haproxy_spop::Ack;

use crate::Stage;
use bytes::BytesMut;
use socket2::{Domain, Socket, Type};

use crate::support::{Client, PATIENCE, Peer, Sealed, frames, until};

#[test]
fn a_thousand_notifies_at_once_get_a_thousand_acks_in_order() {
    let stage = Stage::new(&["-n", "1"]);
    let mut peer = stage.client().greeted(stage.agent.address());
    for round in 0..5 {
        let ids = round * 1000 + 1..round * 1000 + 1001;
        // Some 25,000 bytes, in two records; the answers come in a few.
        peer.send(&frames::empty_notifies(ids.clone()));
        peer.acks(ids);
    }
    assert_eq!(stage.agent.report().all.number("notifies"), 5000);
}

#[test]
fn payloads_of_every_size_around_a_record_arrive_whole() {
    let stage = Stage::new(&["-n", "1", "--max-frame-size", "65536"]);
    let mut peer = stage.client().connect(stage.agent.address());
    peer.send(&frames::hello());
    let (max_frame_size, _) = peer.agent_hello();
    let most = max_frame_size as usize;
    for len in [1, 16_000, 16_300, most - 30] {
        let payload = vec![0x41; len];
        let unset = haproxy_spop::FrameType(77);
        let frame = frames::frame(unset, haproxy_spop::Flags::FIN, (1, 1), &payload);
        peer.send(&frame);
        peer.ask();
    }
    assert_eq!(stage.agent.report().all.number("unknown_frames"), 4);
}

#[test]
fn a_peer_that_fetches_nothing_is_not_read_and_loses_nothing() {
    let stage = Stage::new(&["-n", "1", "--write-timeout", "off"]);
    let haproxy_spoa::BindAddress::Tcp(address) = stage.agent.address() else {
        unreachable!()
    };
    // Little room in the kernel: it is full sooner.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(65536).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(&(*address).into()).unwrap();
    let mut peer = stage.client().over(TcpStream::from(socket));
    peer.greet();
    let mut other = stage.client().greeted(stage.agent.address());
    let mut sent = 0;
    peer.socket
        .sock
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    // Until neither the agent nor the kernel takes any more.
    let stuck = loop {
        let ids = sent + 1..sent + 1001;
        match peer.try_send(&frames::empty_notifies(ids)) {
            Ok(()) => sent += 1000,
            Err(error) => break error.kind(),
        }
        assert!(sent < 10_000_000, "the agent reads without end");
    };
    assert!(
        [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&stuck),
        "{stuck}"
    );
    assert!(stage.agent.report().all.number("paused") > 0);
    other.asks(10);
    // The client's own buffer may hold part of what failed; what was taken before is answered.
    for from in (1..sent).step_by(1000) {
        let expected = empty_acks(from..from + 1000);
        let mut answer = vec![0; expected.len()];
        peer.socket.read_exact(&mut answer).unwrap();
        assert!(answer == expected, "from {from} on");
    }
}

/// An agent of the library, whose handler answers from another thread.
#[test]
fn deferred_answers_leave_in_records_like_others() {
    const COUNT: u32 = 3000;
    let stage = Stage::new(&["-n", "1"]);
    let bind = stage.folder.tls_bind(
        "127.0.0.1:0",
        &stage.servers.issue("agent.test"),
        &stage.clients,
    );
    let (to, from) = mpsc::channel::<Deferred>();
    let builder = Agent::builder().bind_with(bind.parse().unwrap());
    let builder = builder.limits(Limits {
        deferred_per_connection: 3000,
        deferred_timeout: Duration::from_hours(1),
        ..Limits::default()
    });
    let agent = builder.spawn(|_| {
        let to = to.clone();
        handler(move |_, reply| to.send(reply.defer()).unwrap())
    });
    let agent = agent.unwrap();
    let mut peer = stage.client().greeted(&agent.addresses()[0]);
    let answering = thread::spawn(move || {
        for mut deferred in from.iter().take(COUNT as usize) {
            deferred.set_var(Scope::Session, "ip_score", 1_u32);
            deferred.send();
        }
    });
    peer.send(&frames::empty_notifies(0..COUNT.into()));
    let mut ids: Vec<_> = (0..COUNT)
        .map(|_| {
            let ack = peer.frame();
            assert_eq!(ack.score(), 1);
            ack.ids.1
        })
        .collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(0..COUNT.into()));
    answering.join().unwrap();
    agent.control().drain();
    peer.dismissed(0);
    drop(peer);
    agent.join().unwrap();
}

/// The answers to `frames::empty_notifies`, in bytes: there are too many to be looked at one by one.
fn empty_acks(frame_ids: core::ops::Range<u64>) -> BytesMut {
    let mut out = BytesMut::new();
    for frame_id in frame_ids {
        Ack::begin(&mut out, 1, frame_id, 16380).finish();
    }
    out
}

#[test]
fn keys_may_change_at_any_time() {
    let stage = Stage::new(&["-n", "1"]);
    let mut peer = stage.client().greeted(stage.agent.address());
    for _ in 0..20 {
        peer.socket.conn.refresh_traffic_keys().unwrap();
        peer.asks(3);
    }
    assert_eq!(stage.agent.report().all.number("notifies"), 60);
}

#[test]
fn data_and_the_end_in_one_segment_are_answered_first() {
    let stage = Stage::new(&["-n", "1"]);
    for _ in 0..10 {
        let mut peer = stage.client().greeted(stage.agent.address());
        let mut segment = Vec::new();
        let conn = &mut peer.socket.conn;
        conn.writer()
            .write_all(&frames::empty_notifies(1..101))
            .unwrap();
        conn.send_close_notify();
        while conn.wants_write() {
            conn.write_tls(&mut segment).unwrap();
        }
        peer.socket.sock.write_all(&segment).unwrap();
        peer.acks(1..101);
        peer.ended();
    }
}

#[test]
fn many_connections_are_spread_over_workers_and_leave_nothing_behind() {
    let stage = Stage::new(&["-n", "2"]);
    let client = stage.client();
    let before = stage.agent.process().descriptors().len();
    let mut peers: Vec<Peer<Sealed>> = (0..200)
        .map(|_| client.greeted(stage.agent.address()))
        .collect();
    for peer in &mut peers {
        peer.asks(2);
    }
    let report = stage.agent.report();
    assert_eq!(report.each("open"), [100, 100]);
    assert_eq!(report.all.number("tls_handshakes"), 200);
    drop(peers);
    until("all descriptors are closed", || {
        stage.agent.process().descriptors().len() == before
    });
}

#[test]
fn above_the_cap_a_connection_is_closed() {
    let stage = Stage::new(&["-n", "1", "--max-connections", "1"]);
    let mut first = stage.client().greeted(stage.agent.address());
    let mut second = stage.client().connect(stage.agent.address());
    let told = second
        .try_send(&frames::hello())
        .and_then(|()| second.receive());
    assert!(told.is_err(), "{told:?}");
    first.ask();
    assert_eq!(stage.agent.report().all.number("over_cap"), 1);
}

#[test]
fn a_fault_of_spop_is_told_over_tls() {
    let stage = Stage::new(&["-n", "1"]);
    let mut peer = stage.client().connect(stage.agent.address());
    // A NOTIFY before the HELLO.
    peer.send(&frames::notify(1, 1));
    let goodbye = peer.frame().status();
    assert!(goodbye.is_some_and(|status| status > 0), "{goodbye:?}");
    peer.ended();
}

/// An idle connection costs what a handshake leaves, and no buffers.
#[test]
fn idle_connections_need_little_memory() {
    let stage = Stage::new(&["-n", "1"]);
    let client: Client = stage.client();
    let open = |count| -> Vec<Peer<Sealed>> {
        (0..count)
            .map(|_| client.greeted(stage.agent.address()))
            .collect()
    };
    let warm = open(100);
    let before = stage.agent.process().resident();
    let peers = open(400);
    let each = stage.agent.process().resident().saturating_sub(before) / peers.len();
    println!("{each} bytes a connection");
    assert!(each < 32 * 1024, "{each} bytes a connection");
    drop(warm);
}
