//! Every fault over a real socket: the right status, then the end, and nobody else is harmed.

#![cfg(test)]

mod support;

use haproxy_spop::{Capabilities, Flags, FrameType, HaproxyHello, Versions};

use support::{Peer, Program, Scratch, frames};

/// A fault: its name, what is sent, and the status that answers it.
type Case = (&'static str, Vec<u8>, u32);

/// A HELLO that offers this.
fn offer(hello: HaproxyHello<'_>) -> Vec<u8> {
    frames::offer(&hello).to_vec()
}

/// Faults instead of a HELLO.
fn faults_at_first() -> Vec<Case> {
    let good = frames::OFFER;
    let hello = frames::hello();
    // The ids of a HELLO stand behind length, type and flags.
    let (mut ids, mut cut) = (hello.to_vec(), hello.to_vec());
    ids[9] = 1;
    cut.truncate(hello.len() - 1);
    cut[3] -= 1;
    let mut no_fin = hello.to_vec();
    no_fin[8] = 0;
    vec![
        (
            "no version",
            offer(HaproxyHello {
                supported_versions: None,
                ..good
            }),
            5,
        ),
        (
            "no max-frame-size",
            offer(HaproxyHello {
                max_frame_size: None,
                ..good
            }),
            6,
        ),
        (
            "no capabilities",
            offer(HaproxyHello {
                capabilities: None,
                ..good
            }),
            7,
        ),
        (
            "version 1",
            offer(HaproxyHello {
                supported_versions: Some(Versions(b"1.0")),
                ..good
            }),
            8,
        ),
        (
            "255 bytes",
            offer(HaproxyHello {
                max_frame_size: Some(255),
                ..good
            }),
            9,
        ),
        ("HELLO with ids", ids, 4),
        ("HELLO cut off", cut, 4),
        ("HELLO without FIN", no_fin, 10),
        ("NOTIFY before HELLO", frames::notify(1, 1).to_vec(), 4),
        ("a length of 0", vec![0, 0, 0, 0], 4),
        ("a length of 6", vec![0, 0, 0, 6, 1, 0, 0, 0, 1, 0], 4),
        ("too long a frame", vec![0, 1, 0, 1], 3),
        ("4 GiB", vec![0xff; 4], 3),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: spoa\r\n\r\n".to_vec(), 3),
    ]
}

/// Faults after the handshake.
fn faults_later() -> Vec<Case> {
    let frame =
        |kind, flags, ids, payload: &[u8]| frames::frame(kind, flags, ids, payload).to_vec();
    let (notify, unset, fin) = (FrameType::NOTIFY, FrameType::UNSET, Flags::FIN);
    let first = frame(notify, Flags::NONE, (1, 1), b"\x01m");
    let large = frame(notify, Flags::NONE, (1, 1), &[0; 16000]);
    let more = frame(unset, Flags::NONE, (1, 1), &[0; 16000]);
    vec![
        ("second HELLO", frames::hello().to_vec(), 4),
        ("a name cut off", frame(notify, fin, (1, 1), b"\x05m"), 4),
        (
            "an argument missing",
            frame(notify, fin, (1, 1), b"\x01m\x01"),
            4,
        ),
        (
            "an unknown data type",
            frame(notify, fin, (1, 1), b"\x01m\x01\x00\x0f"),
            4,
        ),
        ("no ids", vec![0, 0, 0, 7, 3, 0, 0, 0, 1, 0xff, 0xff], 4),
        (
            "DISCONNECT without status",
            frame(FrameType::HAPROXY_DISCONNECT, fin, (0, 0), b""),
            4,
        ),
        ("above the negotiated size", vec![0, 0, 0x3f, 0xfd], 3),
        ("a fragment of nothing", frame(unset, fin, (1, 1), b""), 12),
        (
            "a NOTIFY in between",
            [first.clone(), frames::notify(2, 1).to_vec()].concat(),
            11,
        ),
        (
            "another's fragment",
            [first, frame(unset, fin, (1, 2), b"")].concat(),
            11,
        ),
        (
            "beyond the reassembly bound",
            [&large[..], &more, &more, &more].concat(),
            3,
        ),
    ]
}

const BOUND: [&str; 4] = ["-n", "2", "--max-reassembly", "60000"];

#[test]
fn every_fault_instead_of_a_hello_has_its_status() {
    let agent = Program::start(&BOUND);
    let mut bystander = Peer::greeted(agent.address());
    let cases = faults_at_first();
    for (name, bytes, status) in &cases {
        let mut peer = Peer::connect(agent.address());
        peer.send(bytes);
        assert_eq!(peer.frame().status(), Some(*status), "{name}");
        peer.ended();
        bystander.ask();
    }
    let report = agent.reports("all refused", |report| report.all.number("open") == 1);
    assert_eq!(report.all.number("refused"), cases.len() as u64);
}

#[test]
fn every_fault_after_the_handshake_has_its_status() {
    let scratch = Scratch::new();
    let agent = Program::start_on(&["127.0.0.1:0", &scratch.bind("s")], &BOUND);
    let mut bystander = Peer::greeted(agent.address());
    let cases = faults_later();
    for address in agent.addresses() {
        for (name, bytes, status) in &cases {
            let mut peer = Peer::greeted(address);
            // What came before it is answered, what comes after it is not.
            peer.send(&frames::join(&[
                &frames::notify(5, 1),
                bytes,
                &frames::notify(6, 2),
            ]));
            peer.acks(1..2);
            assert_eq!(peer.frame().status(), Some(*status), "{name}");
            peer.ended();
            bystander.ask();
        }
    }
    let report = agent.reports("all refused", |report| report.all.number("open") == 1);
    assert_eq!(report.all.number("refused"), 2 * cases.len() as u64);
}

#[test]
fn a_32_bit_integer_whose_varint_is_wider_is_truncated_and_answered() {
    let agent = Program::start(&["-n", "1"]);
    let mut peer = Peer::greeted(agent.address());
    let (notify, fin) = (FrameType::NOTIFY, Flags::FIN);
    for (frame_id, kind) in [(1, 2), (2, 3)] {
        let payload = [b"\x01m\x01\x01n", &[kind, 0xff][..], &[0xf0; 8], &[0x0e]].concat();
        peer.send(&frames::frame(notify, fin, (1, frame_id), &payload));
    }
    peer.acks(1..3);
    peer.ask();
    assert_eq!(agent.report().all.number("refused"), 0);
}

#[test]
fn without_fragmentation_a_fragment_has_its_status() {
    let agent = Program::start(&["-n", "1", "--max-reassembly", "0"]);
    let mut peer = Peer::greeted(agent.address());
    peer.send(&frames::frame(
        FrameType::NOTIFY,
        Flags::NONE,
        (1, 1),
        b"\x01m",
    ));
    peer.dismissed(10);
}

#[test]
fn unknown_frames_and_reserved_flags_are_no_fault() {
    let agent = Program::start(&["-n", "1"]);
    let mut peer = Peer::connect(agent.address());
    peer.send(&frames::frame(
        FrameType(77),
        Flags(0xffff_fff0),
        (3, 4),
        b"anything",
    ));
    let spaced = Some(Capabilities(b", pipelining"));
    peer.send(&frames::offer(&HaproxyHello {
        capabilities: spaced,
        ..frames::OFFER
    }));
    peer.agent_hello();
    peer.send(&frames::frame(
        FrameType(200),
        Flags::NONE,
        (0, 0),
        &[0xff; 16000],
    ));
    peer.send(&frames::frame(
        FrameType::NOTIFY,
        Flags(0xffff_fffd),
        (1, 9),
        b"",
    ));
    peer.acks(9..10);
    assert_eq!(agent.report().all.number("unknown_frames"), 2);
}

/// A socket that is closed while bytes are unread answers with a reset, and a reset may overtake the
/// DISCONNECT that explains it.
#[test]
fn the_disconnect_arrives_though_the_peer_goes_on_sending() {
    let scratch = Scratch::new();
    let agent = Program::start_on(&["127.0.0.1:0", &scratch.bind("s")], &["-n", "1"]);
    for address in agent.addresses() {
        let mut peer = Peer::greeted(address);
        let mut bytes = frames::hello().to_vec();
        bytes.resize(512 * 1024, 0xee);
        peer.send(&bytes);
        peer.send(&bytes);
        peer.dismissed(4);
    }
    agent.reports("closed", |report| report.all.number("open") == 0);
}

#[test]
fn a_peer_that_is_refused_and_does_not_close_is_let_go() {
    let agent = Program::start(&["-n", "1"]);
    let mut peer = Peer::connect(agent.address());
    peer.send(&[0; 4]);
    assert_eq!(peer.frame().status(), Some(4));
    peer.ended();
    // The peer's side is still open.
    agent.reports("closed all the same", |report| {
        report.all.number("open") == 0
    });
}

#[test]
fn a_reset_inside_a_frame_harms_nobody() {
    let agent = Program::start(&["-n", "2"]);
    let mut bystander = Peer::greeted(agent.address());
    let (hello, notify) = (frames::hello(), frames::notify(1, 1));
    for round in 0..50 {
        let mut peer = Peer::connect(agent.address());
        let cut = if round % 2 == 0 {
            &hello[..20]
        } else {
            &[&hello[..], &notify[..9]].concat()
        };
        peer.send(cut);
        peer.reset();
        bystander.ask();
    }
    let report = agent.reports("only the bystander is left", |report| {
        report.all.number("open") == 1 && report.all.number("closed") == 50
    });
    assert_eq!(report.all.number("refused"), 0);
}
