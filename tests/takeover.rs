//! A new agent takes the place of the old one under load, and no answer is lost.

#![cfg(test)]

mod support;

use std::thread;
use std::time::Duration;

use haproxy_spoa::Agent;
use haproxy_spoa::{BindAddress, Limits};
use haproxy_spoa::{Notify, Reply};

use support::{Habit, Load, Peer, Program, Scratch, own_loopback, until};

/// Times that the agent is replaced in one test.
const ROUNDS: usize = 4;
/// Questions answered before and after each step.
const QUESTIONS: u64 = 200;
/// Threads that keep a connection.
const PERSISTENT: usize = 2;

fn answer(_: &Notify<'_>, _: Reply<'_>) {}

/// Replaces an agent on this address again and again while it is asked without end.
fn taken_over_under_load(address: &str, workers: [&str; 2]) {
    let bind = address.parse().unwrap();
    let start = |round: usize, more: &[&str]| {
        // What is not over by then is cut off; on a loaded machine 5 s may not be enough.
        let args = ["-n", workers[round % 2], "--drain-timeout", "25s"];
        let args = [&args, more].concat();
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

/// The kernel of a peer that is not in a hurry answers the agent's part of the TCP handshake 200 ms
/// later. The agent has seen nothing of such a peer by the end of the 50 ms that a stop takes.
#[test]
fn a_handshake_that_takes_longer_than_a_stop_comes_to_its_end() {
    for address in [own_loopback().to_string(), "[::1]".into()] {
        let agent = |address: &str, takeover| {
            let builder = Agent::builder().bind(address.parse().unwrap());
            let builder = builder.workers(2).takeover(takeover);
            builder.spawn(|_| answer).unwrap()
        };
        let old = agent(&format!("{address}:0"), false);
        let address = old.addresses()[0].clone();
        let slow = || {
            let (socket, to) = Peer::socket(&address);
            socket.set_tcp_quickack(false).unwrap();
            socket.connect(&to).unwrap();
            Peer::over(socket)
        };
        let mut peers: Vec<_> = (0..16).map(|_| slow()).collect();
        let new = agent(&address.to_string(), true);
        old.control().drain();
        until("word from the old one", || {
            peers.iter().all(|peer| !peer.is_silent())
        });
        for peer in &mut peers {
            // They have said nothing for 50 ms. A reset would be an error.
            peer.dismissed(0);
        }
        old.join().unwrap();
        new.control().drain();
        new.join().unwrap();
    }
}

/// With the first listener that closes the order of the others changes, on which it depends where the
/// kernel takes new connections.
#[test]
fn until_its_end_the_old_one_gets_nothing_more() {
    let address: BindAddress = format!("{}:12345", own_loopback()).parse().unwrap();
    let agent = |workers, takeover| {
        let builder = Agent::builder().bind(address.clone()).workers(workers);
        builder.takeover(takeover).spawn(|_| answer).unwrap()
    };
    let (old, new) = (agent(8, false), agent(2, true));
    let control = old.control();
    control.drain();
    let end = thread::spawn(|| old.join().unwrap());
    while !end.is_finished() {
        let _peer = Peer::greeted(&address);
        assert_eq!(control.open(), [0; 8]);
    }
    end.join().unwrap();
    drop(new);
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
