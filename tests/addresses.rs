//! Who has an address has it: ports and socket files that are in use, stale, or something else.

#![cfg(test)]

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;

use support::{Ended, Peer, Program, Scratch, Signal, eventually, own_loopback};

fn mode_of(path: &Path) -> u32 {
    let found = fs::metadata(path).unwrap();
    assert!(found.file_type().is_socket());
    found.permissions().mode() & 0o7777
}

/// The line of a start that failed because somebody has the address.
fn in_use(ended: &Ended, address: &str) {
    let line = ended.refusal(1);
    for part in ["--bind", address, "in use", "--takeover"] {
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn a_second_agent_on_the_same_address_is_told_so() {
    let scratch = Scratch::new();
    let (tcp, unix) = (format!("{}:12345", own_loopback()), scratch.bind("socket"));
    let agent = Program::start_on(&[&tcp, &unix], &["-n", "4"]);
    for address in [&tcp, &unix] {
        for workers in ["1", "4"] {
            in_use(&Program::run(&["-b", address, "-n", workers]), address);
        }
    }
    // One address that is free does not help, and is not kept.
    let free = scratch.bind("free");
    in_use(&Program::run(&["-b", &free, "-b", &tcp]), &tcp);
    assert_eq!(scratch.names(), ["socket"]);
    for address in agent.addresses() {
        Peer::greeted(address).ask();
    }
    agent.stop();
}

#[test]
fn the_port_option_alone_is_checked_as_well() {
    let scratch = Scratch::new();
    let agent = Program::start(&["-n", "1"]);
    let address = agent.address().to_string();
    let (_, port) = address.rsplit_once(':').unwrap();
    in_use(&Program::run(&["-p", port, "-n", "1"]), &address);
    in_use(
        &Program::run(&["-p", port, "-b", "127.0.0.1", "-b", &scratch.bind("s")]),
        &address,
    );
}

#[test]
fn a_program_that_does_not_share_cannot_be_taken_over() {
    let other = TcpListener::bind((own_loopback(), 0)).unwrap();
    let address = other.local_addr().unwrap().to_string();
    let ended = Program::run(&["-b", &address, "-n", "1", "--takeover"]);
    let line = ended.refusal(1);
    assert!(
        line.contains("--takeover") && line.contains(&address),
        "{line}"
    );
}

#[test]
fn an_address_of_another_machine_is_refused() {
    // TEST-NET-1 belongs to nobody.
    let ended = Program::run(&["-b", "192.0.2.1:12345", "-n", "1"]);
    let line = ended.refusal(1);
    assert!(
        line.contains("--bind") && line.contains("192.0.2.1:12345"),
        "{line}"
    );
    let ended = Program::run(&["-b", "unix:/nonexistent/directory/socket", "-n", "1"]);
    let line = ended.refusal(1);
    assert!(
        line.contains("--bind") && line.contains("/nonexistent/directory"),
        "{line}"
    );
}

/// Starts two agents on one address in the same instant, many times.
fn exactly_one_wins(address: &str, rounds: usize) {
    for _ in 0..rounds {
        let command = || Program::command(&["-b", address, "-n", "2"]);
        let mut two = [Program::spawn(command()), Program::spawn(command())];
        let loser = eventually("one gives up", || {
            two.iter_mut().position(Program::has_ended)
        });
        let [first, second] = two;
        let (winner, loser) = if loser == 0 {
            (second, first)
        } else {
            (first, second)
        };
        in_use(&loser.wait(), address);
        winner.says("INFO listening ");
        let mut peer = Peer::greeted(&address.parse().unwrap());
        peer.ask();
        drop(peer);
        winner.stop();
    }
}

#[test]
fn of_two_started_at_once_on_a_port_exactly_one_wins() {
    exactly_one_wins(&format!("{}:12345", own_loopback()), 15);
}

#[test]
fn of_two_started_at_once_on_a_socket_exactly_one_wins() {
    let scratch = Scratch::new();
    exactly_one_wins(&scratch.bind("socket"), 15);
    assert_eq!(scratch.names(), [""; 0]);
}

#[test]
fn a_socket_file_has_its_mode_and_goes_with_the_agent() {
    let scratch = Scratch::new();
    let bind = scratch.bind("socket");
    for (args, mode) in [(&["-n", "2"][..], 0o660), (&["--unix-mode", "600"], 0o600)] {
        let agent = Program::start_on(&[&bind], args);
        assert_eq!(mode_of(&scratch.path("socket")), mode);
        assert_eq!(scratch.names(), ["socket"], "nothing else is left there");
        agent.stop();
        assert_eq!(scratch.names(), [""; 0]);
    }
}

#[test]
fn a_stale_socket_file_is_replaced() {
    let scratch = Scratch::new();
    let (path, bind) = (scratch.path("socket"), scratch.bind("socket"));
    // As another program leaves it.
    drop(UnixListener::bind(&path).unwrap());
    let agent = Program::start_on(&[&bind], &["-n", "2"]);
    Peer::greeted(agent.address()).ask();

    // As an agent leaves it that had no time to clear up.
    agent.signal(Signal::SIGKILL);
    assert_eq!(agent.wait().code, None);
    assert_eq!(scratch.names(), ["socket"]);
    let agent = Program::start_on(&[&bind], &["-n", "2"]);
    Peer::greeted(agent.address()).ask();
    agent.stop();
    assert_eq!(scratch.names(), [""; 0]);
}

#[test]
fn a_live_socket_of_another_program_is_an_error() {
    let scratch = Scratch::new();
    let path = scratch.path("socket");
    let other = UnixListener::bind(&path).unwrap();
    in_use(
        &Program::run(&["-b", &scratch.bind("socket"), "-n", "1"]),
        &scratch.bind("socket"),
    );
    // It is still the other's, and not even a connection is left in its queue for long.
    drop(UnixListener::bind(scratch.path("another")).unwrap());
    std::os::unix::net::UnixStream::connect(&path).unwrap();
    drop(other);
}

#[test]
fn a_file_that_is_no_socket_is_refused_and_left_alone() {
    let scratch = Scratch::new();
    fs::write(scratch.path("file"), "precious").unwrap();
    fs::create_dir(scratch.path("directory")).unwrap();
    for (name, takeover) in [("file", false), ("file", true), ("directory", false)] {
        let bind = scratch.bind(name);
        let args = if takeover {
            &["-n", "1", "--takeover", "-b", &bind][..]
        } else {
            &["-b", &bind]
        };
        let ended = Program::run(args);
        let line = ended.refusal(1);
        assert!(
            line.contains("--bind") && line.contains("not a socket"),
            "{line}"
        );
    }
    assert_eq!(
        fs::read_to_string(scratch.path("file")).unwrap(),
        "precious"
    );
    assert_eq!(scratch.names(), ["directory", "file"]);
}

#[test]
fn a_socket_file_that_another_has_replaced_is_not_removed() {
    let scratch = Scratch::new();
    let (path, bind) = (scratch.path("socket"), scratch.bind("socket"));
    let agent = Program::start_on(&[&bind], &["-n", "1"]);
    fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    agent.stop();
    assert_eq!(scratch.names(), ["socket"]);
    std::os::unix::net::UnixStream::connect(&path).unwrap();
    drop(other);
}

/// A socket is bound under another name first, which may be longer than its own.
#[test]
fn the_longest_path_of_a_socket_is_served_or_refused_as_too_long() {
    let scratch = Scratch::new();
    let room = 107 - scratch.path("").as_os_str().len();
    let agent = Program::start_on(&[&scratch.bind(&"x".repeat(room))], &["-n", "1"]);
    Peer::greeted(agent.address()).ask();
    agent.stop();
    assert_eq!(scratch.names(), [""; 0]);

    let folder = "d".repeat(room - 2);
    fs::create_dir(scratch.path(&folder)).unwrap();
    let bind = scratch.bind(&format!("{folder}/s"));
    let ended = Program::run(&["-n", "1", "-b", &bind]);
    let line = ended.refusal(1);
    assert!(
        line.contains("--bind") && line.contains("too long"),
        "{line}"
    );
}
