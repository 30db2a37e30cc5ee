//! System calls that fail. Without strace, or where it may not trace, these tests see nothing.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Peer, Program, Scratch, until};
use crate::{BAD, CONFIG, GOOD};

/// An agent with one worker, some of whose system calls fail.
fn injected(fault: &str) -> Option<Program> {
    injected_with(fault, &[]).map(Program::started)
}

/// The command for one with these further arguments.
fn injected_with(fault: &str, args: &[&str]) -> Option<Command> {
    let mut probe = Command::new("strace");
    probe.args(["-D", "-f", "-o", "/dev/null", "true"]);
    let probe = probe.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        return None;
    }
    let mut command = Command::new("strace");
    // The agent is the child, and the tracer ends with it.
    command.args(["-D", "-f", "-o", "/dev/null", "-e"]);
    command.arg(format!("inject={fault}"));
    command.arg(env!("CARGO_BIN_EXE_spoa"));
    command.args(["-n", "1", "-b", "127.0.0.1:0"]);
    command.args(args);
    Some(command)
}

#[test]
fn a_worker_that_cannot_wait_for_events_says_why() {
    let Some(agent) = injected("epoll_wait,epoll_pwait:error=EINVAL:when=3+") else {
        return;
    };
    for _ in 0..3 {
        let _peer = Peer::connect(agent.address());
    }
    let ended = agent.wait();
    assert_eq!(ended.code, Some(70), "{ended:?}");
    let line = "worker 0 cannot wait for events: Invalid argument";
    assert!(ended.stderr.iter().any(|it| it.contains(line)), "{ended:?}");
}

#[test]
fn a_watch_that_ends_ends_the_agent() {
    let scratch = Scratch::new();
    scratch.write("own.txt", BAD);
    let config = scratch.write("spoa.toml", CONFIG);
    let args = ["-f", config.to_str().unwrap()];
    let Some(agent) = injected_with("poll:error=EBADF:when=2+", &args) else {
        return;
    };
    let agent = Program::started(agent);
    // The event ends the first call.
    scratch.replace("own.txt", GOOD);
    let ended = agent.wait();
    assert_eq!(ended.code, Some(70), "{ended:?}");
    let line = "ERROR thread ended thread=watch error=";
    assert!(ended.stderr.iter().any(|it| it.contains(line)), "{ended:?}");
}

#[test]
fn an_accept_that_always_fails_does_not_spin() {
    let Some(agent) = injected("accept4:error=EPERM") else {
        return;
    };
    let _peer = Peer::connect(agent.address());
    agent.says("accept failed");
    let failed = || agent.report().all.number("accept_aborted");
    let (before, start) = (failed(), Instant::now());
    until("half a second", || {
        start.elapsed() > Duration::from_millis(500)
    });
    let failures = failed() - before;
    // Eight in a row, ten times a second.
    assert!((8..=120).contains(&failures), "{failures} failures");
}

#[test]
fn a_connection_that_cannot_be_registered_is_counted_by_its_name() {
    // The first call of a thread registers its waker or its listener.
    let Some(agent) = injected("epoll_ctl:error=ENOSPC:when=2+") else {
        return;
    };
    Peer::connect(agent.address()).ended();
    agent.says("connections not registered");
    let all = agent.report().all;
    assert_eq!((all.number("register_failed"), all.number("reset")), (1, 0));
}
