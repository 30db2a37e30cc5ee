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
    let agent = Program::start_on(
        &["127.0.0.1:0", &scratch.bind("s")],
        &["-n", "1", "--write-timeout", "off"],
    );
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

#[test]
fn a_peer_that_does_not_read_within_the_write_timeout_is_reset() {
    let scratch = Scratch::new();
    let agent = Program::start_on(
        &["127.0.0.1:0", &scratch.bind("s")],
        &["-n", "1", "--write-timeout", "300ms"],
    );
    let mut bystanders: Vec<_> = agent.addresses().iter().map(Peer::greeted).collect();
    for (address, reset) in agent.addresses().iter().zip(1..) {
        let mut glutton = small_peer(address);
        fill(&mut glutton);
        agent.reports("it is reset", |report| {
            Peer::each_asks(&mut bystanders);
            report.all.number("write_timeouts") == reset
        });
        // What the kernel had is lost, so its end is no end of a frame.
        let end = loop {
            match glutton.receive() {
                Ok(Some(_)) => {}
                other => break other.map(drop),
            }
        };
        if let BindAddress::Tcp(_) = address {
            assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
    }
    assert_eq!(agent.report().all.number("open"), 2);
    agent.says("write timed out count=");
}

/// Sends NOTIFYs and reads nothing until the socket takes no more for a while, or is reset.
fn fill(peer: &mut Peer) {
    peer.socket
        .set_write_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let batch = frames::empty_notifies(FIRST_ID..FIRST_ID + 1000);
    // A batch that was cut makes the rest invalid, but that is behind what the agent reads.
    while peer.socket.write_all(&batch).is_ok() {}
}

/// The memory of all TCP sockets of the machine, in bytes.
fn kernel_memory() -> usize {
    let text = std::fs::read_to_string("/proc/net/sockstat").unwrap();
    let line = text.lines().find(|line| line.starts_with("TCP:")).unwrap();
    let pages = line.rsplit("mem ").next().unwrap();
    pages.trim().parse::<usize>().unwrap() * 4096
}

/// SECURITY.md: at most 384 KiB of the kernel and 256 KiB of the agent for each.
#[test]
fn a_thousand_peers_that_never_read_cost_what_is_documented() {
    const PEERS: usize = 1000;
    let limits = "ulimit -n 4096";
    let args = ["-p", "0", "-n", "1", "--write-timeout", "off"];
    let agent = Program::started(Program::shell(limits, &args));
    let mut bystander = Peer::greeted(agent.address());
    let before = (kernel_memory(), agent.process().resident());
    let mut gluttons: Vec<_> = (0..PEERS).map(|_| tiny_peer(agent.address())).collect();
    let batch = frames::empty_notifies(FIRST_ID..FIRST_ID + 1000);
    let mut at = vec![0; PEERS];
    let mut is_stuck = false;
    let deadline = Instant::now() + 4 * PATIENCE;
    // Each is given as much as it takes, until nobody takes anything and the agent has stopped reading.
    while !is_stuck {
        assert!(Instant::now() < deadline, "somebody still takes something");
        let mut taken = 0;
        for (glutton, at) in gluttons.iter_mut().zip(&mut at) {
            while let Ok(sent) = glutton.socket.write(&batch[*at..]) {
                taken += sent;
                *at = (*at + sent) % batch.len();
            }
        }
        let report = agent.report();
        is_stuck = taken == 0 && report.all.number("paused") >= PEERS as u64;
    }
    let kernel = kernel_memory().saturating_sub(before.0) / PEERS;
    let own = agent.process().resident().saturating_sub(before.1) / PEERS;
    println!("{kernel} bytes of the kernel and {own} of the agent for each peer");
    // The sockets of the peers are in the figure of the kernel too.
    assert!(
        kernel < 384 * 1024 + 32 * 1024,
        "{kernel} bytes of the kernel"
    );
    assert!(own < 256 * 1024, "{own} bytes of the agent");
    bystander.ask();
}

/// A peer with the smallest buffers that there are, which never waits.
fn tiny_peer(address: &BindAddress) -> Peer {
    let (socket, to) = Peer::socket(address);
    socket.set_recv_buffer_size(2048).unwrap();
    socket.set_send_buffer_size(2048).unwrap();
    socket.connect(&to).unwrap();
    let mut peer = Peer::over(socket);
    peer.greet();
    peer.socket.set_nonblocking(true).unwrap();
    peer
}

/// Connects from another loopback address.
fn from(source: [u8; 4], address: &BindAddress) -> Peer {
    let (socket, to) = Peer::socket(address);
    let source = std::net::SocketAddr::from((source, 0));
    socket.bind(&source.into()).unwrap();
    socket.connect(&to).unwrap();
    Peer::over(socket)
}

#[test]
fn one_source_has_as_many_connections_as_it_may() {
    let scratch = Scratch::new();
    let agent = Program::start_on(
        &["127.0.0.1:0", &scratch.bind("s")],
        &["-n", "2", "--max-connections-per-source", "3"],
    );
    for (address, refused) in agent.addresses().iter().zip(1..) {
        let mut inside: Vec<_> = (0..3).map(|_| Peer::greeted(address)).collect();
        Peer::connect(address).dismissed(13);
        Peer::each_asks(&mut inside);
        assert_eq!(agent.report().all.number("over_source_limit"), refused);
        drop(inside.pop());
        agent.reports("room", |report| report.all.number("open") == 2);
        Peer::greeted(address).ask();
        drop(inside);
        agent.reports("all gone", |report| report.all.number("open") == 0);
    }
    let address = agent.address();
    let _first: Vec<_> = (0..3).map(|_| Peer::greeted(address)).collect();
    let mut other = from([127, 0, 0, 2], address);
    other.greet();
    other.ask();
    agent.says("source limit reached");
}

#[test]
fn loopback_and_unix_sources_have_no_limit_unless_it_is_set() {
    let scratch = Scratch::new();
    let addresses = ["127.0.0.1:0", &scratch.bind("s")];
    for args in [
        &["-n", "1"][..],
        &["-n", "1", "--max-connections-per-source", "0"],
    ] {
        let agent = Program::start_on(&addresses, args);
        for address in agent.addresses() {
            let mut all: Vec<_> = (0..40).map(|_| Peer::greeted(address)).collect();
            Peer::each_asks(&mut all);
        }
        assert_eq!(agent.report().all.number("over_source_limit"), 0);
        agent.stop();
    }
}
