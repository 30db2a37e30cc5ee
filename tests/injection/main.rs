//! What breaks around the agent: it says so in a line, goes on answering, and is well again by itself
//! when the fault is gone.
//!
//! | module | what breaks |
//! |---|---|
//! | `calls` | single system calls, by strace where it is installed |
//! | `disk` | the folder for copies is full, read-only, no folder; a list becomes a folder |
//! | `size` | lists that are larger than memory, packed or not, or never come |
//! | `limits` | no descriptor, no watch |
//! | `time` | the clock is stepped; the process is stopped and goes on |
//!
//! Faults that root alone could make are made in namespaces of the agent's own, where the kernel gives
//! them to everybody. Where it does not, those tests see nothing.

#![cfg(all(feature = "http", feature = "admin"))]

#[cfg(test)]
mod calls;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod size;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod time;

#[cfg(test)]
use std::path::Path;
#[cfg(test)]
use std::process::{Command, Stdio};

#[cfg(test)]
use support::{Peer, Process, Program, until};

/// The peer asks about 192.0.2.1: bad in this one, good in that one.
#[cfg(test)]
const BAD: &str = "192.0.2.1\n198.51.100.1\n";
#[cfg(test)]
const GOOD: &str = "192.0.2.2\n198.51.100.1\n";

#[cfg(test)]
const CONFIG: &str = "[[feed]]\nname = \"own\"\npath = \"own.txt\"\n";

/// An agent in namespaces of its own, as their root, after some shell. `None` if the kernel gives none.
#[cfg(test)]
fn apart(before: &str, config: &Path, args: &[&str]) -> Option<Program> {
    let possible = Command::new("unshare")
        .args(["-rm", "true"])
        .stderr(Stdio::null())
        .status();
    if !possible.is_ok_and(|status| status.success()) {
        println!("no namespaces to be had here");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-ec", &format!("{before}; exec \"$0\" \"$@\"")]);
    command.arg(env!("CARGO_BIN_EXE_spoa"));
    command.args([
        "--bind",
        "127.0.0.1:0",
        "-n",
        "1",
        "-f",
        config.to_str().unwrap(),
    ]);
    command.args(args);
    Some(Program::started(command))
}

/// Runs some shell in the namespaces of a process.
#[cfg(test)]
fn inside(process: Process, shell: &str) {
    let mut command = Command::new("nsenter");
    command.args([
        "-t",
        &process.0.to_string(),
        "-U",
        "-m",
        "--preserve-credentials",
    ]);
    let status = command.args(["sh", "-ec", shell]).status();
    assert!(status.unwrap().success(), "{shell}");
}

#[cfg(test)]
fn scores(peer: &mut Peer, score: u32) {
    until(&format!("score {score}"), || peer.ask() == score);
}
