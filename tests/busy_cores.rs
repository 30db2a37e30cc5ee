//! Lists are read by a thread that makes way for the workers, and come into force where no core is ever idle.

#![cfg(test)]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use support::{Peer, Program, Scratch, until};

const CONFIG: &str = "[[feed]]\nname = \"own\"\npath = \"own.txt\"\n";
/// `SCHED_IDLE`, as `/proc` shows it.
const IDLE: &str = "5";

/// How the kernel schedules each thread of the agent, by the thread's name.
fn policies(agent: &Program) -> BTreeMap<String, String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", agent.process().0)).unwrap();
    let of_task = |task: std::io::Result<fs::DirEntry>| {
        let stat = fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        // The second field is the name in brackets, the 41st the policy.
        let (before, after) = stat.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        let policy = after.split_ascii_whitespace().nth(38)?;
        Some((name.to_owned(), policy.to_owned()))
    };
    tasks.filter_map(of_task).collect()
}

/// A list with the address that the peer asks about, or with another one, and many more.
fn list(is_bad: bool) -> String {
    let mut text = format!("192.0.2.{}\n", if is_bad { 1 } else { 2 });
    for number in 0..LINES {
        let [_, _, c, d] = u32::to_be_bytes(number);
        writeln!(text, "198.18.{c}.{d}").unwrap();
    }
    text
}

/// Enough to take a while, in a release build too.
const LINES: u32 = 50_000;

#[test]
fn the_thread_that_builds_tables_makes_way_and_no_other() {
    let scratch = Scratch::new();
    scratch.write("own.txt", "192.0.2.1\n");
    let config = scratch.write("spoa.toml", CONFIG);
    let agent = Program::configured(&config, &[]);
    until("a thread that makes way", || {
        policies(&agent).get("tables").is_some_and(|it| it == IDLE)
    });
    let all = policies(&agent);
    assert!(all.keys().any(|name| name.contains("worker")), "{all:?}");
    for (name, policy) in &all {
        assert_eq!(name == "tables", policy == IDLE, "{all:?}");
    }
    agent.stop();
}

#[test]
fn a_list_comes_into_force_while_every_core_is_busy() {
    let scratch = Scratch::new();
    scratch.write("own.txt", list(true));
    let config = scratch.write("spoa.toml", CONFIG);
    let options = ["--busy-poll", "1h", "--log-level", "debug", "-n", "auto"];
    let file = ["-f", config.to_str().unwrap()];
    let agent = Program::start(&[&options[..], &file[..]].concat());
    let mut peer = Peer::greeted(agent.address());
    assert_eq!(peer.ask(), 0);
    scratch.replace("own.txt", list(false));
    until("the new list", || peer.ask() == 100);
    agent.says("background thread starved");
    agent.stop();
}
