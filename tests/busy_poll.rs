//! A worker that looks for work before it sleeps does the same work, and does sleep.

#![cfg(test)]

mod support;

use std::fs;
use std::time::Duration;

use support::{Peer, Program, frames, throughout, until};

/// How often the worker has gone to sleep of its own accord.
fn sleeps(agent: &Program) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", agent.process().0)).unwrap();
    let counts = tasks.flatten().filter_map(|task| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        field("Name:")?.contains("worker").then(|| {
            field("voluntary_ctxt_switches:")?
                .trim()
                .parse::<u64>()
                .ok()
        })?
    });
    counts.sum()
}

#[test]
fn answers_come_and_the_worker_sleeps_when_its_time_is_over() {
    let agent = Program::start(&["-n", "1", "--busy-poll", "20ms"]);
    let mut peer = Peer::greeted(agent.address());
    peer.asks(100);
    let awake = sleeps(&agent);
    until("the worker goes to sleep", || sleeps(&agent) > awake);
    // Who looks for work wakes from no sleep; who is asleep goes to none.
    let asleep = sleeps(&agent);
    throughout(Duration::from_millis(100), "the worker sleeps on", || {
        sleeps(&agent) == asleep
    });
    peer.asks(100);
    peer.send(&frames::disconnect(0));
    peer.dismissed(0);
    assert_eq!(agent.report().all.number("notifies"), 200);
    agent.stop();
}

#[test]
fn a_worker_that_never_sleeps_still_hears_signals_and_deadlines() {
    let agent = Program::start(&["-n", "2", "--busy-poll", "1h", "--hello-timeout", "50ms"]);
    let mut silent = Peer::connect(agent.address());
    let mut peer = Peer::greeted(agent.address());
    silent.dismissed(2);
    peer.asks(10);
    assert_eq!(agent.report().all.number("notifies"), 10);
    agent.stop();
}
