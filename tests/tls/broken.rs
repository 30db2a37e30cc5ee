//! What is not TLS, comes in pieces, or does not come.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::Stage;
use crate::support::{Client, Peer, frames, throughout};

/// Writes every byte by itself.
#[derive(Debug)]
struct Dribble(TcpStream);

impl Write for Dribble {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes.get(..1).unwrap_or_default())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Dribble {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(1);
        self.0.read(&mut buffer[..room])
    }
}

#[test]
fn a_conversation_byte_by_byte_is_the_same_conversation() {
    let stage = Stage::new(&["-n", "1"]);
    let mut peer = stage
        .client()
        .over(Dribble(Client::socket(stage.agent.address())));
    peer.greet();
    for id in 1..=10 {
        peer.send(&frames::notify(id, id));
    }
    peer.acks(1..11);
    peer.send(&frames::disconnect(77));
    peer.dismissed(77);
    let all = stage.agent.report().all;
    assert_eq!((all.number("notifies"), all.number("tls_faults")), (10, 0));
}

/// What a client that sends these bytes gets, and that it is the end.
fn told(stage: &Stage, bytes: &[u8]) -> Vec<u8> {
    let mut socket = Client::socket(stage.agent.address());
    socket.write_all(bytes).unwrap();
    let mut told = Vec::new();
    socket.read_to_end(&mut told).unwrap();
    told
}

#[test]
fn a_client_without_tls_gets_an_alert_and_the_end() {
    let stage = Stage::new(&["-n", "1"]);
    let hello = frames::hello();
    let told = told(&stage, &hello);
    // An alert, fatal.
    assert_eq!(
        (told.first(), told.get(5)),
        (Some(&21), Some(&2)),
        "{told:?}"
    );
    let report = stage
        .agent
        .reports("it is gone", |it| it.all.number("open") == 0);
    assert_eq!(report.all.number("tls_faults"), 1);
    assert_eq!(report.all.number("notifies"), 0);
    stage.client().greeted(stage.agent.address()).ask();
}

#[test]
fn garbage_ends_only_its_own_connection() {
    let stage = Stage::new(&["-n", "1", "--hello-timeout", "1s"]);
    let mut kept = stage.client().greeted(stage.agent.address());
    let mut seed = 1_u32;
    for round in 0..64 {
        let noise: Vec<u8> = core::iter::repeat_with(|| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed.to_be_bytes()[0]
        })
        .take(1 + round * 97)
        .collect();
        // In the clothes of a record, every second time.
        let record = if round % 2 == 0 {
            noise
        } else {
            [&[22, 3, 1, 0x3f, 0xff][..], &noise].concat()
        };
        told(&stage, &record);
        kept.ask();
    }
    // Also behind a good handshake.
    let mut peer = stage.client().greeted(stage.agent.address());
    peer.socket.sock.write_all(&[23, 3, 3, 0, 32]).unwrap();
    peer.socket.sock.write_all(&[9; 32]).unwrap();
    let why = peer.receive().unwrap_err().to_string();
    assert!(why.contains("BadRecordMac"), "{why}");
    kept.ask();
}

#[test]
fn an_endless_handshake_message_is_cut_off() {
    let stage = Stage::new(&["-n", "1"]);
    let mut socket = Client::socket(stage.agent.address());
    // A ClientHello of 60,000 bytes, in records of 16,000.
    let mut record = vec![22, 3, 1, 0x3e, 0x80];
    record.extend([1, 0, 0xea, 0x60]);
    record.resize(16_005, 0);
    let mut sent = 0;
    while sent < 60_000 && socket.write_all(&record).is_ok() {
        record.truncate(5);
        record.resize(16_005, 0);
        sent += 16_000;
    }
    // The rest may have met a reset.
    let _ = socket.read_to_end(&mut Vec::new());
    stage
        .agent
        .reports("it is gone", |it| it.all.number("open") == 0);
    assert_eq!(stage.agent.report().all.number("tls_faults"), 1);
}

#[test]
fn the_hello_timeout_counts_from_the_start_of_tls() {
    let stage = Stage::new(&["-n", "1", "--hello-timeout", "500ms"]);
    let address = stage.agent.address();
    // One that says nothing, one in the middle of the handshake, one that has TLS but no HELLO.
    let mut silent = Client::socket(address);
    let mut half = Client::socket(address);
    half.write_all(&[22, 3, 1, 1]).unwrap();
    let mut mute = stage.client().connect(address);
    mute.socket.conn.complete_io(&mut mute.socket.sock).unwrap();
    let mut spoken = stage.client().greeted(address);
    mute.dismissed(2);
    let mut told = Vec::new();
    silent.read_to_end(&mut told).unwrap();
    half.read_to_end(&mut told).unwrap();
    assert!(told.is_empty(), "{told:?}");
    throughout(Duration::from_millis(300), "the one that spoke", || {
        spoken.ask() <= 100
    });
    assert_eq!(stage.agent.report().all.number("hello_timeouts"), 3);
}

#[test]
fn a_client_that_ends_without_a_word_leaves_nothing_behind() {
    let stage = Stage::new(&["-n", "1"]);
    let address = stage.agent.address();
    let mut reset: Peer = Peer::connect(address);
    reset.send(&[22, 3, 1]);
    reset.reset();
    drop(stage.client().greeted(address));
    let mut closed = stage.client().greeted(address);
    closed.socket.conn.send_close_notify();
    closed
        .socket
        .conn
        .complete_io(&mut closed.socket.sock)
        .unwrap();
    let _ = closed.receive();
    let report = stage
        .agent
        .reports("all are gone", |it| it.all.number("open") == 0);
    assert_eq!(report.all.number("tls_faults"), 0);
    assert_eq!(report.all.number("eof") + report.all.number("reset"), 3);
}
