//! Many connections: idle ones, a storm of them, more than the cap, more than there are descriptors.

#![cfg(test)]

mod support;

use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use support::{Peer, Program, Scratch, frames, throughout, until};

/// This test program opens descriptors too.
fn raise_own_descriptors() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

#[test]
fn a_thousand_idle_connections_cost_a_descriptor_each_and_go_without_a_trace() {
    raise_own_descriptors();
    let agent = Program::start(&["-n", "2"]);
    Peer::greeted(agent.address()).ask();
    agent.reports("none open", |report| report.all.number("open") == 0);
    let (before, memory) = (agent.process().descriptors(), agent.process().resident());

    let mut peers: Vec<_> = (0..1000).map(|_| Peer::greeted(agent.address())).collect();
    assert_eq!(agent.report().all.number("open"), 1000);
    assert_eq!(agent.process().descriptors().len(), before.len() + 1000);
    let grown = agent.process().resident().saturating_sub(memory);
    assert!(
        grown < 4 * 1024 * 1024,
        "{grown} bytes for a thousand idle connections"
    );

    assert!(peers.iter().all(Peer::is_silent));
    for peer in peers.iter_mut().step_by(10) {
        peer.ask();
    }
    drop(peers);
    agent.reports("all closed", |report| report.all.number("open") == 0);
    assert_eq!(agent.process().descriptors(), before);
}

#[test]
fn a_storm_of_connects_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let agent = Program::start_on(&["127.0.0.1:0", &scratch.bind("s")], &["-n", "3"]);
    let mut bystander = Peer::greeted(agent.address());
    let before = agent.process().descriptors();
    thread::scope(|scope| {
        for address in agent.addresses().iter().cycle().take(4) {
            scope.spawn(move || {
                for round in 0..150 {
                    let mut peer = Peer::connect(address);
                    match round % 5 {
                        0 => {}
                        1 => peer.send(&frames::hello()[..10]),
                        2 => peer.send(&frames::hello()),
                        3 => {
                            Peer::greeted(address).ask();
                        }
                        _ => {
                            peer.send(&frames::join(&[&frames::hello(), &frames::notify(1, 1)]));
                            peer.reset();
                        }
                    }
                }
            });
        }
        bystander.asks(100);
    });
    // Workers report one after another: a connection on its way between two of them is accepted, but
    // not yet adopted.
    agent.reports("all closed", |report| {
        let all = |key| report.all.number(key);
        let is_settled = all("accepted") == all("adopted");
        is_settled && all("open") == 1 && all("accepted") == all("closed") + 1
    });
    assert_eq!(agent.process().descriptors(), before);
    bystander.ask();
}

#[test]
fn beyond_the_cap_a_peer_is_told_and_the_others_go_on() {
    let agent = Program::start(&["-n", "2", "--max-connections", "3"]);
    assert!(
        agent.lines()[0].ends_with(" max_connections=3"),
        "{:?}",
        agent.lines()
    );
    let mut inside: Vec<_> = (0..3).map(|_| Peer::greeted(agent.address())).collect();
    for _ in 0..10 {
        let mut outside = Peer::connect(agent.address());
        outside.dismissed(13);
        Peer::each_asks(&mut inside);
    }
    assert_eq!(agent.report().all.number("over_cap"), 10);

    // One leaves, one comes in.
    drop(inside.pop());
    agent.reports("room", |report| report.all.number("open") == 2);
    Peer::greeted(agent.address()).ask();
}

#[test]
fn a_low_limit_of_open_files_lowers_the_cap() {
    let agent = Program::started(Program::shell("ulimit -n 64", &["-p", "0", "-n", "2"]));
    let line = &agent.lines()[0];
    let cap = line.rsplit_once(" max_connections=").unwrap().1;
    let cap: usize = cap.parse().unwrap();
    assert!((8..64).contains(&cap), "{line}");
    let mut inside: Vec<_> = (0..cap).map(|_| Peer::greeted(agent.address())).collect();
    Peer::connect(agent.address()).dismissed(13);
    Peer::each_asks(&mut inside);
    assert_eq!(agent.report().all.number("accept_starved"), 0);
}

#[test]
fn too_low_a_limit_of_open_files_is_an_error_with_a_remedy() {
    let args = ["-p", "0", "-n", "2"];
    let none = Program::spawn(Program::shell("ulimit -n 36", &args)).wait();
    let line = none.refusal(1);
    assert!(
        line.contains("--max-connections") && line.contains("ulimit -n"),
        "{line}"
    );

    let args = ["-p", "0", "-n", "2", "--max-connections", "1000"];
    let few = Program::spawn(Program::shell("ulimit -n 200", &args)).wait();
    let line = few.refusal(1);
    assert!(
        line.contains("--max-connections") && line.contains("1000"),
        "{line}"
    );
}

/// Sets the soft limit of open files of a running agent.
fn limit_descriptors(agent: &Program, limit: u32) {
    let pid = agent.process().0.to_string();
    let mut prlimit = Command::new("prlimit");
    let status = prlimit
        .args(["--pid", &pid, &format!("--nofile={limit}:")])
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn running_out_of_descriptors_is_survived_without_a_spin() {
    let agent = Program::start(&["-n", "1"]);
    let mut inside = Peer::greeted(agent.address());
    let used = agent.process().descriptors();
    let free = (0..1000).find(|number| !used.contains(number)).unwrap();
    limit_descriptors(&agent, free);

    let mut outside: Vec<_> = (0..5).map(|_| Peer::connect(agent.address())).collect();
    for peer in &mut outside {
        peer.send(&frames::hello());
    }
    agent.reports("starved", |report| report.all.number("accept_starved") > 0);
    let starved = || agent.report().all.number("accept_starved");
    let before = (starved(), agent.process().cpu_time());
    throughout(Duration::from_secs(1), "those inside are served", || {
        thread::park_timeout(Duration::from_millis(20));
        inside.ask() <= 100
    });
    let spent = agent.process().cpu_time().saturating_sub(before.1);
    assert!(
        spent < Duration::from_millis(500),
        "{spent:?} of CPU time in a second"
    );
    let tries = starved() - before.0;
    assert!(
        (1..100).contains(&tries),
        "tried {tries} times in about a second"
    );
    assert!(outside.iter().all(Peer::is_silent));

    limit_descriptors(&agent, 1000);
    for peer in &mut outside {
        peer.agent_hello();
        peer.ask();
    }
    drop(outside);
    until("all closed", || agent.report().all.number("open") == 1);
}
