//! What the kernel gives no more of.

use std::process::Command;

use crate::support::{Peer, Program, Scratch, Signal};
use crate::{BAD, CONFIG, GOOD, apart, scores};

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
fn a_list_that_cannot_be_opened_for_want_of_a_descriptor_is_read_when_there_is_one() {
    let scratch = Scratch::new();
    scratch.write("own.txt", BAD);
    let config = scratch.write("spoa.toml", CONFIG);
    let agent = Program::configured(&config, &[]);
    let mut peer = Peer::greeted(agent.address());
    assert_eq!(peer.ask(), 0);
    let used = agent.process().descriptors();
    let free = (0..1000).find(|number| !used.contains(number)).unwrap();
    limit_descriptors(&agent, free);
    scratch.replace("own.txt", GOOD);
    agent.says("Too many open files");
    assert_eq!(agent.count("in_use=previous"), 1, "{:?}", agent.lines());
    assert_eq!(peer.ask(), 0);
    // Nobody touches the file again, and nobody asks for a reload.
    limit_descriptors(&agent, 1000);
    scores(&mut peer, 100);
    agent.says("list recovered list=own ");
    drop(peer);
    agent.stop();
}

/// The namespace's own limits, of which everybody may make less.
fn without(limit: &str) -> Option<(Scratch, Program)> {
    let scratch = Scratch::new();
    scratch.write("own.txt", BAD);
    let config = scratch.write("spoa.toml", CONFIG);
    let agent = apart(&format!("echo 0 >/proc/sys/user/{limit}"), &config, &[])?;
    Some((scratch, agent))
}

#[test]
fn without_an_inotify_instance_a_reload_is_asked_for() {
    let Some((scratch, agent)) = without("max_inotify_instances") else {
        return;
    };
    agent.says("WARN file watch unavailable");
    let mut peer = Peer::greeted(agent.address());
    assert_eq!(peer.ask(), 0);
    scratch.replace("own.txt", GOOD);
    agent.signal(Signal::SIGHUP);
    scores(&mut peer, 100);
    drop(peer);
    agent.stop();
}

#[test]
fn without_a_watch_a_reload_is_asked_for_and_watches_again_when_it_can() {
    let Some((scratch, agent)) = without("max_inotify_watches") else {
        return;
    };
    agent.says("WARN file watch unavailable error=\"no inotify watch left\"");
    let mut peer = Peer::greeted(agent.address());
    assert_eq!(peer.ask(), 0);
    scratch.replace("own.txt", GOOD);
    agent.signal(Signal::SIGHUP);
    scores(&mut peer, 100);
    assert_eq!(
        agent.count("file watch unavailable"),
        1,
        "said once: {:?}",
        agent.lines()
    );
    crate::inside(
        agent.process(),
        "echo 1000 >/proc/sys/user/max_inotify_watches",
    );
    agent.signal(Signal::SIGHUP);
    agent.says("file watch restored");
    scratch.replace("own.txt", BAD);
    scores(&mut peer, 0);
    drop(peer);
    agent.stop();
}
