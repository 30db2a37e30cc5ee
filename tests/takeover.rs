//! A new agent takes the place of the old one under load, and no answer is lost.

#![cfg(test)]

mod support;

use std::time::Duration;

use spoa::Agent;
use spoa::agent::{BindAddress, Limits};
use spoa::spop::{Ack, FrameFull, Notify};

use support::{Habit, Load, Peer, Program, Scratch, own_loopback};

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

/// What the old one does not take off its queue before it closes is lost, so it gets nothing more.
/// These agents are threads of the test, since the moment between the signal and the end is too short
/// to look into from outside: here it lasts for an hour.
#[test]
fn while_the_old_one_stops_new_connections_go_to_the_new_one() {
    let hour = Duration::from_hours(1);
    let limits = Limits {
        drain_grace: hour,
        drain_timeout: hour,
        ..Limits::default()
    };
    let answer = |_: &Notify<'_>, _: &mut Ack<'_>| -> Result<(), FrameFull> { Ok(()) };
    let scratch = Scratch::new();
    for address in [format!("{}:12345", own_loopback()), scratch.bind("socket")] {
        let address: BindAddress = address.parse().unwrap();
        let agent = |workers, takeover| {
            let builder = Agent::builder().bind(address.clone()).workers(workers);
            let builder = builder.limits(limits.clone()).takeover(takeover);
            builder.spawn(|_| answer).unwrap()
        };
        let (old, new) = (agent(3, false), agent(2, true));
        old.control().drain();
        let peers: Vec<_> = (0..60).map(|_| Peer::greeted(&address)).collect();
        assert_eq!(new.control().open(), [30, 30], "{address}");
        assert_eq!(old.control().open(), [0; 3], "{address}");

        // And so on: the second one leaves as the first one did.
        let newest = agent(4, true);
        new.control().drain();
        let more: Vec<_> = (0..60).map(|_| Peer::greeted(&address)).collect();
        assert_eq!(newest.control().open(), [15; 4], "{address}");
        drop((peers, more));
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
