//! A shutdown loses no answer: what the kernel has queued, what has been asked, what is half said.

#![cfg(test)]

mod support;

use std::time::Duration;

use haproxy_spop::{Flags, FrameType};

use support::{Ended, Peer, Program, Scratch, Signal, frames, throughout, until};

fn ended_well(ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn answers_that_nobody_has_fetched_yet_come_before_the_goodbye() {
    let scratch = Scratch::new();
    let agent = Program::start_on(&["127.0.0.1:0", &scratch.bind("s")], &["-n", "2"]);
    let mut peers: Vec<_> = agent.addresses().iter().map(Peer::greeted).collect();
    for peer in &mut peers {
        peer.send(&frames::empty_notifies(1..1001));
    }
    agent.signal(Signal::SIGTERM);
    for peer in &mut peers {
        peer.acks(1..1001);
        peer.dismissed(0);
    }
    drop(peers);
    ended_well(&agent.wait());
}

/// All that was sent has been read, and there are answers that the socket does not take.
#[test]
fn answers_that_wait_for_room_come_before_the_goodbye() {
    let agent = Program::start(&["-n", "1", "--drain-timeout", "1h"]);
    let (socket, to) = Peer::socket(agent.address());
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&to).unwrap();
    let mut peer = Peer::over(socket);
    peer.greet();
    let (mut sent, mut next) = (frames::hello().len() as u64, 1);
    loop {
        let batch = frames::empty_notifies(next..next + 4000);
        peer.send(&batch);
        (sent, next) = (sent + batch.len() as u64, next + 4000);
        let report = agent.reports("the batch is read, or the peer is paused", |report| {
            report.all.number("bytes_in") == sent || report.all.number("paused") > 0
        });
        if report.all.number("paused") > 0 {
            break;
        }
    }
    agent.signal(Signal::SIGTERM);
    agent.says("shutdown started");
    throughout(Duration::from_millis(200), "it waits for the peer", || {
        agent.process().state() != 'Z'
    });
    peer.acks(1..next);
    peer.dismissed(0);
    drop(peer);
    ended_well(&agent.wait());
}

#[test]
fn a_notify_cut_in_half_is_completed_and_answered() {
    let agent = Program::start(&["-n", "2"]);
    let mut peer = Peer::greeted(agent.address());
    let notify = frames::notify(3, 4);
    let (head, tail) = notify.split_at(notify.len() / 2);
    peer.send(head);
    let sent = (frames::hello().len() + head.len()) as u64;
    agent.reports("the half", |report| report.all.number("bytes_in") == sent);
    agent.signal(Signal::SIGTERM);
    agent.says("shutdown started");
    throughout(Duration::from_millis(300), "it waits for the rest", || {
        peer.is_silent()
    });
    peer.send(tail);
    peer.acks(4..5);
    peer.dismissed(0);
    drop(peer);
    ended_well(&agent.wait());
}

#[test]
fn a_notify_in_fragments_is_completed_and_answered() {
    let agent = Program::start(&["-n", "2"]);
    let mut peer = Peer::greeted(agent.address());
    let first = frames::frame(FrameType::NOTIFY, Flags::NONE, (1, 1), b"\x01m");
    peer.send(&first);
    let sent = (frames::hello().len() + first.len()) as u64;
    agent.reports("the fragment", |report| {
        report.all.number("bytes_in") == sent
    });
    agent.signal(Signal::SIGTERM);
    agent.says("shutdown started");
    throughout(Duration::from_millis(200), "it waits for the rest", || {
        peer.is_silent()
    });
    peer.send(&frames::frame(
        FrameType::UNSET,
        Flags::FIN,
        (1, 1),
        b"\x00",
    ));
    peer.acks(1..2);
    peer.dismissed(0);
    drop(peer);
    ended_well(&agent.wait());
}

/// The agent stands still while peers connect, and finds the signal when it goes on.
fn stopped_while(agent: &Program, connect: impl FnOnce() -> Vec<Peer>) -> Vec<Peer> {
    agent.signal(Signal::SIGSTOP);
    until("it stands still", || agent.process().state() == 'T');
    let peers = connect();
    agent.signal(Signal::SIGTERM);
    agent.signal(Signal::SIGCONT);
    peers
}

#[test]
fn what_the_kernel_has_queued_is_answered() {
    let scratch = Scratch::new();
    for address in ["127.0.0.1:0", &scratch.bind("s")] {
        let agent = Program::start_on(&[address], &["-n", "3"]);
        let peers = stopped_while(&agent, || {
            let mut peers: Vec<_> = (0..8).map(|_| Peer::connect(agent.address())).collect();
            for peer in &mut peers {
                peer.send(&frames::join(&[&frames::hello(), &frames::notify(1, 1)]));
            }
            peers
        });
        for mut peer in peers {
            peer.agent_hello();
            peer.acks(1..2);
            peer.dismissed(0);
        }
        ended_well(&agent.wait());
    }
}

/// Queues more connections than are accepted before the signal is seen, and asks the first NOTIFY
/// after the AGENT-HELLO, as `HAProxy` does. Whether all were answered.
fn all_that_were_queued_may_ask(address: &str) -> bool {
    let agent = Program::start_on(&[address], &["-n", "1"]);
    let mut peers = stopped_while(&agent, || {
        let mut peers: Vec<_> = (0..150).map(|_| Peer::connect(agent.address())).collect();
        for peer in &mut peers {
            peer.send(&frames::hello());
        }
        peers
    });
    for peer in &mut peers {
        peer.agent_hello();
        peer.send(&frames::notify(1, 1));
    }
    let answered = |peer: &mut Peer| peer.frame().kind == FrameType::ACK;
    let all = peers.iter_mut().all(answered);
    drop(peers);
    ended_well(&agent.wait());
    all
}

/// They have 50 ms for it, which a loaded machine may not leave them every time.
#[test]
fn whoever_was_queued_may_ask_once_it_is_greeted() {
    let scratch = Scratch::new();
    for address in ["127.0.0.1:0", &scratch.bind("s")] {
        assert!(
            (0..10).any(|_| all_that_were_queued_may_ask(address)),
            "{address}"
        );
    }
}

#[test]
fn a_peer_that_never_stops_asking_does_not_keep_it() {
    let agent = Program::start(&["-n", "1"]);
    let mut peer = Peer::greeted(agent.address());
    peer.asks(100);
    agent.signal(Signal::SIGTERM);
    let mut answered = 0;
    // Every NOTIFY that it takes has an ACK; then comes the goodbye.
    let status = loop {
        peer.send(&frames::empty_notifies(answered..answered + 1));
        let frame = peer.frame();
        if let Some(status) = frame.status() {
            break status;
        }
        assert_eq!((frame.kind, frame.ids.1), (FrameType::ACK, answered));
        answered += 1;
    };
    assert_eq!(status, 0);
    drop(peer);
    ended_well(&agent.wait());
}
