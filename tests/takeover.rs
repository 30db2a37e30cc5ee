//! A new agent takes the place of the old one under load, and no answer is lost.

#![cfg(test)]

mod support;

use std::time::{Duration, Instant};

use support::{Habit, Load, Peer, Program, Scratch, Signal, own_loopback};

/// Times that the agent is replaced in one test.
const ROUNDS: usize = 4;
/// Questions answered before and after each step.
const QUESTIONS: u64 = 200;
/// Threads that keep a connection.
const PERSISTENT: usize = 2;

/// Replaces an agent on this address again and again while it is asked without end.
fn taken_over_under_load(address: &str, workers: [&str; 2]) {
    let bind = address.parse().unwrap();
    let start = |round: usize, more: &[&str]| {
        let args = [&["-n", workers[round % 2]], more].concat();
        Program::start_on(&[address], &args)
    };
    let mut agent = start(0, &[]);
    let mut load = Load::new();
    load.add(2, Habit::PerQuestion, &bind);
    load.add(PERSISTENT, Habit::Persistent, &bind);
    load.runs_for(QUESTIONS);
    for round in 1..=ROUNDS {
        let successor = start(round, &["--takeover"]);
        load.runs_for(QUESTIONS);
        agent.stop();
        load.runs_for(QUESTIONS);
        agent = successor;
    }
    let tally = load.end();
    assert_eq!(tally.lost, [""; 0], "of {} questions", tally.answered);
    println!(
        "{} answered, {} crossed a goodbye",
        tally.answered, tally.crossed
    );
    agent.stop();
}

#[test]
fn a_port_is_taken_over_under_load() {
    taken_over_under_load(&format!("{}:12345", own_loopback()), ["1", "1"]);
}

#[test]
fn a_port_is_taken_over_by_more_and_by_fewer_workers() {
    taken_over_under_load(&format!("{}:12345", own_loopback()), ["2", "5"]);
}

#[test]
fn a_socket_is_taken_over_under_load() {
    let scratch = Scratch::new();
    taken_over_under_load(&scratch.bind("socket"), ["2", "1"]);
    assert_eq!(scratch.names(), [""; 0]);
}

/// Tells the old agent to stop and connects while it still listens, as it does for 50 ms; how many
/// connections the new one has, of how many.
fn connected_while_the_old_one_stops(address: &str) -> (u64, u64) {
    let old = Program::start_on(&[address], &["-n", "3"]);
    let _kept = Peer::greeted(old.address());
    let new = Program::start_on(&[address], &["-n", "2", "--takeover"]);
    let (signalled, early) = (Instant::now(), Duration::from_millis(40));
    old.signal(Signal::SIGTERM);
    old.says("answering what is in flight");
    // Its workers answer this after they have been told to stop.
    old.report_of(1);
    let mut peers = Vec::new();
    while peers.len() < 60 && signalled.elapsed() < early {
        peers.push(Peer::connect(new.address()));
    }
    if signalled.elapsed() >= early {
        // The last one may have come after the old one had closed.
        peers.pop();
    }
    for peer in &mut peers {
        peer.greet();
    }
    let taken = new.report().all.number("accepted");
    (taken.min(peers.len() as u64), peers.len() as u64)
}

/// What the old one does not take off its queue before it closes is lost, so it gets nothing more.
#[test]
fn while_the_old_one_stops_new_connections_go_to_the_new_one() {
    let scratch = Scratch::new();
    for address in [
        &format!("{}:12345", own_loopback())[..],
        &scratch.bind("socket"),
    ] {
        // A loaded machine may leave no time for many connections.
        let enough = (0..10).any(|_| {
            let (taken, connected) = connected_while_the_old_one_stops(address);
            assert_eq!(taken, connected, "{address}");
            connected >= 20
        });
        assert!(enough, "{address}");
    }
}

#[test]
fn taking_over_what_nobody_has_is_no_error() {
    let scratch = Scratch::new();
    let addresses = [
        &format!("{}:12345", own_loopback())[..],
        &scratch.bind("socket"),
    ];
    Program::start_on(&addresses, &["-n", "2", "--takeover"]).stop();
}

#[test]
fn without_takeover_an_agent_that_was_started_with_it_is_as_much_in_the_way() {
    let scratch = Scratch::new();
    let addresses = [
        &format!("{}:12345", own_loopback())[..],
        &scratch.bind("socket"),
    ];
    let agent = Program::start_on(&addresses, &["-n", "2", "--takeover"]);
    for address in addresses {
        let ended = Program::run(&["-n", "2", "-b", address]);
        let line = ended.refusal(1);
        assert!(line.contains("in use"), "{line}");
    }
    agent.stop();
}
