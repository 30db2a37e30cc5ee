//! SIGUSR1 reports; SIGTERM and SIGINT stop, a second one of these stops at once.

#![cfg(test)]

mod support;

use std::fs::File;
use std::process::Command;

use support::{Peer, Program, Scratch, Signal, frames, own_loopback, until};

#[test]
fn a_report_counts_every_notify_and_every_byte() {
    let agent = Program::start(&["-n", "2"]);
    let report = agent.report();
    assert_eq!((report.all.number("count"), report.all.us("max")), (0, 0.0));

    let mut peers: Vec<_> = (0..4).map(|_| Peer::greeted(agent.address())).collect();
    let mut sent = 4 * frames::hello().len();
    for (batch, peer) in (1..).zip(&mut peers) {
        // 25 answered together, or one by one.
        for first in (1..=25).step_by(if batch % 2 == 0 { 25 } else { 1 }) {
            let ids = first..if batch % 2 == 0 { 26 } else { first + 1 };
            let notifies: Vec<u8> = ids.clone().flat_map(|id| frames::notify(1, id)).collect();
            peer.send(&notifies);
            peer.acks(ids);
            sent += notifies.len();
        }
    }
    let report = agent.report();
    assert_eq!(report.each("worker"), [0, 1]);
    assert_eq!(report.each("open"), [2, 2]);
    for line in report.workers.iter().chain([&report.all]) {
        assert_eq!(line.number("count"), line.number("notifies"));
        let times = ["p50", "p90", "p99", "p99.9", "max"].map(|key| line.us(key));
        assert!(times.is_sorted() && times[0] > 0.0, "{line:?}");
        assert!(line.number("over_10ms") <= line.number("count"));
    }
    for key in [
        "open",
        "count",
        "accepted",
        "adopted",
        "bytes_in",
        "bytes_out",
        "over_10ms",
    ] {
        assert_eq!(
            report.each(key).iter().sum::<u64>(),
            report.all.number(key),
            "{key}"
        );
    }
    let all = |key| report.all.number(key);
    assert_eq!((all("count"), all("bytes_in")), (100, sent as u64));
    assert!(all("bytes_out") > all("count") * 20);
}

#[test]
fn a_report_measures_against_the_budget_that_was_given() {
    let agent = Program::start(&["-n", "1", "--slow-threshold", "1us"]);
    let mut peer = Peer::greeted(agent.address());
    peer.asks(20);
    let all = agent.report().all;
    assert_eq!(
        all.number("over_1µs"),
        all.number("count"),
        "none is answered within 1 µs"
    );
}

#[test]
fn a_flood_of_sigusr1_does_no_harm_under_traffic() {
    let agent = Program::start(&["-n", "2"]);
    let mut peers: Vec<_> = (0..4).map(|_| Peer::greeted(agent.address())).collect();
    for id in 1..=500 {
        agent.signal(Signal::SIGUSR1);
        for peer in &mut peers {
            peer.send(&frames::notify(1, id));
        }
        agent.signal(Signal::SIGUSR1);
        for peer in &mut peers {
            peer.acks(id..id + 1);
        }
    }
    agent.reports("every NOTIFY", |report| report.all.number("count") == 2000);
    let lines = agent.lines();
    assert!(
        !lines.iter().any(|line| line.contains("did not answer")),
        "{lines:?}"
    );
    agent.stop();
}

#[test]
fn sigterm_and_sigint_say_goodbye_to_everybody_and_end_well() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let agent = Program::start(&["-n", "3", "--hello-timeout", "off"]);
        let mut silent = Peer::connect(agent.address());
        let mut peers: Vec<_> = (0..50).map(|_| Peer::greeted(agent.address())).collect();
        Peer::each_asks(&mut peers[..25]);
        agent.signal(signal);
        agent.says(signal.as_str());
        for peer in &mut peers {
            peer.dismissed(0);
        }
        silent.dismissed(0);
        drop((peers, silent));
        let ended = agent.wait();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

#[test]
fn with_nobody_there_it_ends_at_once() {
    let agent = Program::start(&["-n", "2", "--drain-timeout", "1h"]);
    agent.stop();
}

/// A peer that reads nothing keeps a shutdown waiting.
fn obstinate(agent: &Program) -> Peer {
    let mut peer = Peer::greeted(agent.address());
    let half = &frames::notify(1, 1)[..10];
    peer.send(half);
    agent.reports("half a NOTIFY", |report| {
        report.all.number("bytes_in") == (frames::hello().len() + half.len()) as u64
    });
    peer
}

#[test]
fn a_second_signal_ends_it_at_once_with_its_own_code() {
    use Signal::{SIGINT, SIGTERM};
    for (first, second) in [(SIGTERM, SIGTERM), (SIGINT, SIGINT), (SIGTERM, SIGINT)] {
        let agent = Program::start(&["-n", "2", "--drain-timeout", "1h"]);
        let _peer = obstinate(&agent);
        agent.signal(first);
        agent.says("shutdown started");
        agent.signal(second);
        assert_eq!(agent.wait().code, Some(128 + second as i32));
    }
}

#[test]
fn a_report_can_be_had_while_it_stops() {
    let agent = Program::start(&["-n", "1", "--drain-timeout", "1h"]);
    let mut peer = obstinate(&agent);
    agent.signal(Signal::SIGTERM);
    agent.says("shutdown started");
    assert_eq!(agent.report().all.number("open"), 1);
    peer.send(&frames::notify(1, 1)[10..]);
    peer.acks(1..2);
    peer.dismissed(0);
    assert_eq!(agent.wait().code, Some(0));
}

#[test]
fn a_shutdown_takes_no_longer_than_it_may() {
    let agent = Program::start(&["-n", "2", "--drain-timeout", "300ms"]);
    let mut peer = obstinate(&agent);
    agent.signal(Signal::SIGTERM);
    let ended = agent.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // The peer was owed an answer until the end; it is not told that all went well.
    assert!(
        peer.receive()
            .is_ok_and(|frame| frame.is_none_or(|it| it.status() == Some(0)))
    );
}

#[test]
fn a_stderr_that_nobody_reads_keeps_no_signal_from_being_acted_on() {
    let scratch = Scratch::new();
    let fifo = scratch.path("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    // Both ends, so that opening it waits for nobody; it is never read.
    let unread = File::options().read(true).write(true).open(&fifo).unwrap();
    let address = format!("{}:12345", own_loopback());
    let redirect = format!("exec 2>'{}'", fifo.display());
    let agent = Program::spawn(Program::shell(&redirect, &["-n", "4", "-b", &address]));
    let address = address.parse().unwrap();
    until("it listens", || Peer::try_connect(&address).is_ok());

    // A report has some 2,000 bytes, and a pipe holds 65,536.
    let mut peer = Peer::greeted(&address);
    for _ in 0..200 {
        agent.signal(Signal::SIGUSR1);
        peer.asks(5);
    }
    agent.signal(Signal::SIGTERM);
    peer.dismissed(0);
    drop(peer);
    assert_eq!(agent.wait().code, Some(0));
    drop(unread);
}
