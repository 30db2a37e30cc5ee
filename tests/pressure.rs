//! Peers that take more than their share: memory stays bounded, and the others are served.

#![cfg(test)]

mod support;

use std::io::{ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use haproxy_spoa::BindAddress;
use haproxy_spop::{Flags, FrameType};

use support::{PATIENCE, Peer, Program, Scratch, frames};

/// From here on frame-ids take four bytes, so that every empty NOTIFY is as long as every other.
const FIRST_ID: u64 = 300_000;
/// Bytes of such a NOTIFY, and of its ACK.
const FRAME: usize = 14;
const MIB: usize = 1024 * 1024;

/// A peer that has little room for answers.
fn small_peer(address: &BindAddress) -> Peer {
    let (socket, to) = Peer::socket(address);
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_send_buffer_size(256 * 1024).unwrap();
    socket.connect(&to).unwrap();
    let mut peer = Peer::over(socket);
    peer.greet();
    peer
}

/// Sends NOTIFYs and reads nothing until no more are taken and that is `enough`; how many bytes were.
fn stuff(peer: &mut Peer, enough: impl Fn() -> bool) -> usize {
    let patience = Duration::from_millis(100);
    peer.socket.set_write_timeout(Some(patience)).unwrap();
    let (mut taken, deadline) = (0, Instant::now() + PATIENCE);
    loop {
        let next = FIRST_ID + (taken / FRAME) as u64;
        let batch = frames::empty_notifies(next..next + 1000);
        match peer.socket.write(&batch[taken % FRAME..]) {
            Ok(written) => taken += written,
            Err(error) if error.kind() != ErrorKind::WouldBlock => panic!("{error}"),
            Err(_) if enough() || Instant::now() > deadline => return taken,
            Err(_) => {}
        }
        assert!(
            taken < 128 * MIB,
            "no end to what is taken in for a peer that reads nothing"
        );
    }
}

#[test]
fn peers_that_never_read_stall_alone_and_find_every_answer_later() {
    let scratch = Scratch::new();
    let agent = Program::start_on(&["127.0.0.1:0", &scratch.bind("s")], &["-n", "1"]);
    let mut others: Vec<_> = agent.addresses().iter().map(Peer::greeted).collect();
    let before = agent.process().resident();
    let all_stall = AtomicBool::new(false);
    let stuffed = |address| {
        let mut glutton = small_peer(address);
        let taken = stuff(&mut glutton, || all_stall.load(Ordering::Relaxed));
        (glutton, taken)
    };
    let mut gluttons: Vec<_> = thread::scope(|scope| {
        let addresses = agent.addresses().iter().cycle().take(8);
        let all: Vec<_> = addresses
            .map(|address| scope.spawn(move || stuffed(address)))
            .collect();
        agent.reports("none of them is read any more", |report| {
            Peer::each_asks(&mut others);
            report.all.number("paused") >= all.len() as u64
        });
        all_stall.store(true, Ordering::Relaxed);
        all.into_iter()
            .map(|glutton| glutton.join().unwrap())
            .collect()
    });
    Peer::each_asks(&mut others);
    let grown = agent.process().resident().saturating_sub(before);
    assert!(
        grown < 12 * MIB,
        "{grown} bytes for {} peers",
        gluttons.len()
    );

    for (glutton, taken) in &mut gluttons {
        glutton.acks(FIRST_ID..FIRST_ID + (*taken / FRAME) as u64);
    }
    // One of them has been cut in the middle of a frame at most; the others are as good as new.
    for (mut glutton, _) in gluttons.into_iter().filter(|(_, taken)| taken % FRAME == 0) {
        glutton.ask();
    }
}

#[test]
fn a_peer_that_never_reads_and_then_resets_is_let_go_of() {
    let agent = Program::start(&["-n", "1"]);
    let mut glutton = small_peer(agent.address());
    stuff(&mut glutton, || true);
    glutton.reset();
    agent.reports("the connection is gone", |report| {
        report.all.number("open") == 0
    });
}

#[test]
fn one_that_pipelines_without_end_does_not_starve_the_others() {
    let agent = Program::start(&["-n", "1"]);
    let flood = Peer::greeted(agent.address());
    let (mut sends, mut reads) = (flood.socket.try_clone().unwrap(), flood);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let batch = frames::empty_notifies(FIRST_ID..FIRST_ID + 10_000);
            while !stop.load(Ordering::Relaxed) {
                sends.write_all(&batch).unwrap();
            }
            sends.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let flooded = scope.spawn(|| {
            let mut acks = 0_u64;
            while let Some(ack) = reads.receive().unwrap() {
                assert_eq!(ack.kind, FrameType::ACK);
                acks += 1;
            }
            acks
        });
        let mut modest = Peer::greeted(agent.address());
        modest.asks(200);
        // Newcomers are not starved either.
        for _ in 0..20 {
            Peer::greeted(agent.address()).ask();
        }
        stop.store(true, Ordering::Relaxed);
        assert_eq!(
            flooded.join().unwrap() % 10_000,
            0,
            "every NOTIFY of the flood has its ACK"
        );
    });
}

#[test]
fn unfinished_frames_and_fragments_cost_no_more_than_their_bounds() {
    let agent = Program::start(&["-n", "1", "--max-reassembly", "100000"]);
    let before = agent.process().resident();
    let fragment = |kind| frames::frame(kind, Flags::NONE, (1, 1), &[0; 16000]);
    let half = &frames::frame(FrameType::NOTIFY, Flags::FIN, (1, 1), &[0; 16000])[..15000];
    let gathered: Vec<u8> = [fragment(FrameType::NOTIFY)]
        .into_iter()
        .chain((0..5).map(|_| fragment(FrameType::UNSET)))
        .flatten()
        .chain(half.iter().copied())
        .collect();
    let mut peers: Vec<_> = (0..40).map(|_| Peer::greeted(agent.address())).collect();
    for peer in &mut peers {
        peer.send(&gathered);
    }
    let taken = (peers.len() * gathered.len()) as u64;
    agent.reports("all taken in", |report| {
        report.all.number("bytes_in") > taken
    });
    let grown = agent.process().resident().saturating_sub(before);
    assert!(
        grown < 40 * 2 * 116_000 + 4 * MIB,
        "{grown} bytes for 40 peers"
    );

    // Nothing of it is kept once they are gone.
    drop(peers);
    agent.reports("all gone", |report| report.all.number("open") == 0);

    // A NOTIFY that is given up gets no ACK, the next one does.
    let abort = frames::frame(FrameType::UNSET, Flags::FIN.with(Flags::ABORT), (1, 1), b"");
    let mut peer = Peer::greeted(agent.address());
    peer.send(&frames::join(&[
        &fragment(FrameType::NOTIFY),
        &abort,
        &frames::notify(1, 2),
    ]));
    peer.acks(2..3);
    assert_eq!(agent.report().all.number("aborted"), 1);
}
