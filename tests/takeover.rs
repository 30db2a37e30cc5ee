//! A new agent takes the place of the old one under load, and no answer is lost.

#![cfg(test)]

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use haproxy_spoa::Agent;
use haproxy_spoa::{BindAddress, Limits};
use haproxy_spoa::{Notify, Reply};
use socket2::{Domain, SockAddr, Socket, Type};

use support::{Habit, Load, PATIENCE, Peer, Program, Scratch, Signal, own_loopback, until};

/// The user that owns nothing, on every Debian and most others.
const NOBODY: u32 = 65534;

/// Times that the agent is replaced in one test.
const ROUNDS: usize = 10;
/// Questions answered before and after each step.
const QUESTIONS: u64 = 100;
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
    let began = Instant::now();
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
        "{} answered in {:?}, {} crossed a goodbye",
        tally.answered,
        began.elapsed(),
        tally.crossed
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
        // Workers take their mail in order: when they report, they have closed their listeners.
        let _ = old.control().report(PATIENCE);
        let peers: Vec<_> = (0..60).map(|_| Peer::greeted(&address)).collect();
        assert_eq!(new.control().open(), [30, 30], "{address}");
        assert_eq!(old.control().open(), [0; 3], "{address}");

        // And so on: the second one leaves as the first one did.
        let newest = agent(4, true);
        new.control().drain();
        let _ = new.control().report(PATIENCE);
        let more: Vec<_> = (0..60).map(|_| Peer::greeted(&address)).collect();
        assert_eq!(newest.control().open(), [15; 4], "{address}");
        drop((peers, more));
    }
}

/// The kernel of a peer that is not in a hurry answers the agent's part of the TCP handshake 200 ms
/// later: long after the old one has ended. The new one gets it.
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
        let new = agent(&address.to_string(), true);
        let mut peers: Vec<_> = (0..16).map(|_| slow()).collect();
        old.control().drain();
        old.join().unwrap();
        for peer in &mut peers {
            // A reset would be an error. Those that the old one accepted before are dismissed by it.
            if peer.is_silent() {
                peer.greet();
            } else {
                peer.dismissed(0);
            }
        }
        new.control().drain();
        new.join().unwrap();
    }
}

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
    // Workers take their mail in order: when they report, they have closed their listeners.
    let _ = control.report(PATIENCE);
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

/// A TCP address and a UNIX socket.
fn two(scratch: &Scratch) -> [String; 2] {
    [format!("{}:12345", own_loopback()), scratch.bind("socket")]
}

fn starts(addresses: &[&str], args: &[&str]) -> Program {
    Program::start_on(addresses, &[&["-n", "2"], args].concat())
}

fn serves(address: &str) {
    let address = address.parse().unwrap();
    for _ in 0..8 {
        Peer::greeted(&address).ask();
    }
}

#[test]
fn fewer_and_more_addresses_are_taken_over_closed_and_bound() {
    let scratch = Scratch::new();
    let [tcp, unix] = two(&scratch);
    let third = format!("{}:12345", own_loopback());
    let old = starts(&[&tcp, &unix], &[]);
    let new = starts(&[&third, &unix], &["--takeover"]);
    for address in [&tcp, &unix, &third] {
        serves(address);
    }
    new.says(&format!("address taken over address={unix}"));
    old.says(&format!("takeover complete address={unix}"));
    old.stop();
    // Nobody took it, so it has gone with the old one.
    let gone = Peer::try_connect(&tcp.parse().unwrap()).unwrap_err();
    assert_eq!(gone.kind(), std::io::ErrorKind::ConnectionRefused);
    serves(&unix);
    serves(&third);
    new.stop();
    assert_eq!(scratch.names(), [""; 0]);
}

#[test]
fn one_that_fails_half_way_leaves_the_old_one_and_its_path_as_they_were() {
    let scratch = Scratch::new();
    let [tcp, unix] = two(&scratch);
    let foreign = TcpListener::bind((own_loopback(), 0)).unwrap();
    let taken = foreign.local_addr().unwrap().to_string();
    let bind = [
        "-n",
        "2",
        "--takeover",
        "-b",
        &tcp,
        "-b",
        &unix,
        "-b",
        &taken,
    ];
    let old = starts(&[&tcp, &unix], &["--drain-timeout", "25s"]);
    let mut load = Load::new();
    for address in old.addresses() {
        load.add(1, Habit::PerQuestion, address);
        load.add(1, Habit::Persistent, address);
    }
    for _ in 0..3 {
        let ended = Program::run(&bind);
        let line = ended.refusal(1);
        assert!(
            line.contains(&taken) && line.contains("does not hand it over"),
            "{line}"
        );
        load.runs_for(50);
    }
    assert_eq!(scratch.names(), ["socket"]);
    old.says("takeover abandoned");
    let tally = load.end();
    assert_eq!((tally.lost, tally.crossed), (vec![], 0));

    // It can still be taken over.
    drop(foreign);
    let new = starts(&[&tcp, &unix, &taken], &["--takeover"]);
    old.stop();
    for address in [&tcp, &unix, &taken] {
        serves(address);
    }
    new.stop();
    assert_eq!(scratch.names(), [""; 0]);
}

#[test]
fn after_a_rollback_the_old_one_serves_its_path_and_is_taken_over_again() {
    let scratch = Scratch::new();
    let [tcp, unix] = two(&scratch);
    let old = starts(&[&tcp, &unix], &[]);
    for end in [Signal::SIGTERM, Signal::SIGKILL] {
        let new = starts(&[&tcp, &unix], &["--takeover"]);
        old.says("takeover complete");
        new.signal(end);
        new.wait();
        until("the old one sees it", || {
            old.count("takeover reverted") >= 2
        });
        serves(&tcp);
        serves(&unix);
        assert_eq!(scratch.names(), ["socket"]);
    }
    let new = starts(&[&tcp, &unix], &["--takeover"]);
    old.stop();
    serves(&tcp);
    serves(&unix);
    new.stop();
    assert_eq!(scratch.names(), [""; 0]);
}

#[test]
fn two_at_once_both_serve_and_the_last_one_removes_the_path() {
    let scratch = Scratch::new();
    let [tcp, unix] = two(&scratch);
    let old = starts(&[&tcp, &unix], &[]);
    let start = || starts(&[&tcp, &unix], &["--takeover"]);
    let (first, second) = thread::scope(|scope| {
        let (first, second) = (scope.spawn(start), scope.spawn(start));
        (first.join().unwrap(), second.join().unwrap())
    });
    for ending in [old, first] {
        serves(&tcp);
        serves(&unix);
        ending.stop();
        assert_eq!(scratch.names(), ["socket"]);
    }
    serves(&tcp);
    serves(&unix);
    second.stop();
    assert_eq!(scratch.names(), [""; 0]);
}

/// What the new one has received stays valid, and so does what the kernel has queued.
#[test]
fn an_old_one_that_dies_in_between_takes_nothing_with_it() {
    let scratch = Scratch::new();
    let addresses = two(&scratch);
    let [tcp, unix] = &addresses;
    let old = starts(&[tcp, unix], &[]);
    let builder = addresses.iter().fold(Agent::builder(), |builder, address| {
        builder.bind(address.parse().unwrap())
    });
    let bound = builder.takeover(true).listen().unwrap();
    old.signal(Signal::SIGSTOP);
    until("it stands still", || old.process().state() == 'T');
    let queued = |address: &String| Peer::connect(&address.parse().unwrap());
    let mut peers: Vec<_> = (0..8).flat_map(|_| addresses.iter().map(queued)).collect();
    old.signal(Signal::SIGKILL);
    old.wait();
    let agent = bound.spawn(|_| answer).unwrap();
    peers.iter_mut().for_each(Peer::greet);
    let more = queued(unix);
    drop(peers);
    drop(more);
    agent.control().drain();
    agent.join().unwrap();
    assert_eq!(scratch.names(), [""; 0]);
}

/// An agent stops while another one has its sockets and does not serve them yet: what is queued waits.
#[test]
fn what_is_queued_between_the_end_of_the_old_one_and_the_start_of_the_new_one_is_served() {
    let scratch = Scratch::new();
    for address in two(&scratch) {
        let address: BindAddress = address.parse().unwrap();
        let agent = |takeover| {
            let builder = Agent::builder().bind(address.clone()).workers(3);
            builder.takeover(takeover).listen().unwrap()
        };
        let old = agent(false).spawn(|_| answer).unwrap();
        let bound = agent(true);
        old.control().drain();
        let _ = old.control().report(PATIENCE);
        let mut peers: Vec<_> = (0..20).map(|_| Peer::connect(&address)).collect();
        old.join().unwrap();
        let new = bound.spawn(|_| answer).unwrap();
        peers.iter_mut().for_each(Peer::greet);
        drop(peers);
        new.control().drain();
        new.join().unwrap();
    }
    assert_eq!(scratch.names(), [""; 0]);
}

#[test]
fn an_old_one_that_does_not_answer_is_an_error_that_says_so() {
    let address = format!("{}:12345", own_loopback());
    let old = starts(&[&address], &[]);
    old.signal(Signal::SIGSTOP);
    until("it stands still", || old.process().state() == 'T');
    let ended = Program::run(&["-n", "1", "--takeover", "-b", &address]);
    let line = ended.refusal(1);
    assert!(
        line.contains(&address) && line.contains("does not answer"),
        "{line}"
    );
    old.signal(Signal::SIGCONT);
    serves(&address);
    old.stop();
}

/// The binary where every user can run it, as `nobody`.
fn as_nobody(scratch: &Scratch, args: &[&str]) -> Command {
    let binary = scratch.path("spoa");
    if !binary.exists() {
        fs::set_permissions(scratch.path(""), fs::Permissions::from_mode(0o777)).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_spoa"), &binary).unwrap();
    }
    let mut command = Command::new(binary);
    command.args(args).uid(NOBODY).gid(NOBODY);
    command
}

#[test]
fn another_user_gets_nothing_and_both_sides_say_so() {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIPPED: not root");
        return;
    }
    let scratch = Scratch::new();
    let [tcp, unix] = two(&scratch);
    let old = starts(&[&tcp, &unix], &["--unix-mode", "666"]);
    for address in [&tcp, &unix] {
        let args = ["-n", "1", "--takeover", "-b", address];
        let ended = Program::spawn(as_nobody(&scratch, &args)).wait();
        let line = ended.refusal(1);
        assert!(
            line.contains("user 0") && line.contains("user 65534"),
            "{line}"
        );
        old.says(&format!("takeover refused address={address}"));
    }
    serves(&tcp);
    serves(&unix);
    old.stop();

    // And root takes nothing from a user that it does not become.
    let args = ["-n", "1", "-b", &tcp, "-b", &unix];
    let old = Program::started(as_nobody(&scratch, &args));
    let ended = Program::run(&["-n", "1", "--takeover", "-b", &tcp]);
    let line = ended.refusal(1);
    assert!(
        line.contains("user 65534") && line.contains("--takeover"),
        "{line}"
    );
    old.says("takeover declined");
    let new = starts(&[&tcp, &unix], &["--takeover", "--user", "nobody"]);
    old.stop();
    serves(&tcp);
    serves(&unix);
    new.stop();
}

#[test]
fn the_new_one_gives_a_socket_the_rights_that_it_was_told() {
    let scratch = Scratch::new();
    let unix = scratch.bind("socket");
    let mode = || {
        fs::metadata(scratch.path("socket"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    let old = starts(&[&unix], &["--unix-mode", "600"]);
    assert_eq!(mode(), 0o600);
    let new = starts(&[&unix], &["--unix-mode", "666", "--takeover"]);
    assert_eq!(mode(), 0o666);
    old.stop();
    new.stop();
}

/// The name is free for all users, so somebody may have it already.
#[test]
fn a_name_that_is_taken_is_reported_and_stops_nobody() {
    let address = format!("{}:12345", own_loopback());
    let squatter = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    let name = format!("\0haproxy-spoa/1/spop/tcp/{address}");
    squatter.bind(&SockAddr::unix(name).unwrap()).unwrap();
    squatter.listen(1).unwrap();
    let agent = starts(&[&address], &[]);
    agent.says("takeover unavailable");
    serves(&address);
    agent.stop();
}

/// The commands of docs/upgrading.md, as a script that is run again and again.
#[test]
fn the_documented_commands_replace_an_agent_again_and_again() {
    let page =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/upgrading.md")).unwrap();
    let mut blocks = page.split("```sh\n").skip(1);
    let block = blocks
        .find(|block| block.contains("spoa --takeover "))
        .unwrap();
    let (commands, _) = block.split_once("```").unwrap();
    let scratch = Scratch::new();
    let address = format!("{}:12345", own_loopback());
    let spoa = env!("CARGO_BIN_EXE_spoa");
    let own = format!("{spoa} -n 1 -b {address} --takeover ");
    let script = scratch.write("restart", commands.replace("spoa --takeover ", &own));
    let pid = || {
        let text = fs::read_to_string(scratch.path("spoa.pid")).unwrap();
        nix::unistd::Pid::from_raw(text.trim().parse().unwrap())
    };
    let mut before = None;
    for _ in 0..3 {
        let mut command = Command::new("sh");
        command.arg(&script).current_dir(scratch.path(""));
        // The agent that it starts keeps what it inherits.
        command
            .env("TMPDIR", scratch.path(""))
            .stdout(std::process::Stdio::null());
        assert!(command.status().unwrap().success());
        serves(&address);
        assert_ne!(before.replace(pid()), Some(pid()));
    }
    nix::sys::signal::kill(pid(), Signal::SIGTERM).unwrap();
    let address = address.parse().unwrap();
    until("the last one has ended", || {
        Peer::try_connect(&address).is_err()
    });
}
