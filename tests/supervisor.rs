//! What a supervisor passes, and what it is told: sockets, readiness, the end, and a watchdog that is
//! fed only while the workers answer.

#![cfg(test)]

mod support;

use std::env;
use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use haproxy_spoa::BindAddress;
use haproxy_spoa::{Agent, handler};
use iprep_spoa::host::supervisor;

use support::{Habit, Load, PASS, PATIENCE, Peer, Program, Scratch, Signal, frames, own_loopback};

/// The end of the notify socket that the supervisor has.
struct Ear(UnixDatagram);

impl Ear {
    fn new(scratch: &Scratch) -> Self {
        let socket = UnixDatagram::bind(scratch.path("notify")).unwrap();
        Self(socket)
    }

    /// A command that speaks to it.
    fn command(scratch: &Scratch, args: &[&str]) -> Command {
        let mut command = Program::command(&[&["-b", "127.0.0.1:0"], args].concat());
        command.env("NOTIFY_SOCKET", scratch.path("notify"));
        command
    }

    /// The next word, if one comes in this time.
    fn word_within(&self, time: Duration) -> Option<String> {
        self.0.set_read_timeout(Some(time)).unwrap();
        let mut buffer = [0; 4096];
        let len = self.0.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..len].to_vec()).unwrap())
    }

    fn word(&self) -> String {
        self.word_within(PATIENCE).expect("a word in time")
    }
}

#[test]
fn it_is_ready_once_it_listens_and_says_when_it_stops() {
    let scratch = Scratch::new();
    let ear = Ear::new(&scratch);
    let agent = Program::spawn(Ear::command(&scratch, &["-n", "2"]));
    let word = ear.word();
    assert!(word.starts_with("READY=1\nSTATUS=listening on "), "{word}");
    let (_, address) = word.trim_end().rsplit_once(' ').unwrap();
    let address = address.parse().unwrap();
    Peer::greeted(&address).asks(1);
    agent.signal(Signal::SIGTERM);
    assert_eq!(ear.word().trim_end(), "STOPPING=1");
    assert_eq!(agent.wait().code, Some(0));
}

#[test]
fn a_reload_is_told_from_its_beginning_to_its_end() {
    let scratch = Scratch::new();
    let ear = Ear::new(&scratch);
    let config = scratch.write("spoa.toml", "[deny]\nprefixes = [\"192.0.2.1\"]\n");
    let agent = Program::spawn(Ear::command(&scratch, &["-f", config.to_str().unwrap()]));
    assert!(ear.word().starts_with("READY=1"));
    for broken in [false, true] {
        if broken {
            scratch.replace("spoa.toml", "nonsense");
        }
        agent.signal(Signal::SIGHUP);
        let word = ear.word();
        let (reloading, time) = word.split_once('\n').unwrap();
        assert_eq!(reloading, "RELOADING=1");
        assert!(time.starts_with("MONOTONIC_USEC="), "{word}");
        let status = if broken {
            "READY=1\nSTATUS=reload failed: configuration not used"
        } else {
            "READY=1\nSTATUS=reloaded: "
        };
        let word = ear.word();
        assert!(word.starts_with(status), "{word}");
    }
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.wait().code, Some(0));
}

#[test]
fn a_supervisor_that_does_not_listen_is_no_reason_not_to_serve() {
    let scratch = Scratch::new();
    // Nobody has bound it.
    let agent = Program::started(Ear::command(&scratch, &[]));
    Peer::greeted(agent.address()).asks(1);
    agent.stop();
}

#[test]
fn the_watchdog_is_fed_again_and_again_and_while_it_stops() {
    let scratch = Scratch::new();
    let ear = Ear::new(&scratch);
    let mut command = Ear::command(&scratch, &["-n", "2", "--drain-timeout", "1h"]);
    command.env("WATCHDOG_USEC", "200000");
    let agent = Program::started(command);
    let mut peer = Peer::greeted(agent.address());
    let fed = |times| {
        for _ in 0..times {
            while ear.word().trim_end() != "WATCHDOG=1" {}
        }
    };
    fed(3);
    // Half a NOTIFY keeps one worker there; the other one has nothing to stay for.
    let notify = frames::notify(1, 1);
    peer.send(&notify[..10]);
    agent.signal(Signal::SIGTERM);
    while ear.word().trim_end() != "STOPPING=1" {}
    fed(5);
    peer.send(&notify[10..]);
    peer.acks(1..2);
    peer.dismissed(0);
    assert_eq!(agent.wait().code, Some(0));
}

#[test]
fn the_watchdog_starves_when_a_worker_hangs() {
    let scratch = Scratch::new();
    let ear = Ear::new(&scratch);
    let address = format!("{}:12345", own_loopback());
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "an_agent_that_hangs", "--ignored", "--nocapture"]);
    command.env(HANGING, &address);
    command.env("NOTIFY_SOCKET", scratch.path("notify"));
    command.env("WATCHDOG_USEC", "400000");
    let agent = Program::spawn(command);
    assert!(ear.word().starts_with("READY=1"));
    while ear.word().trim_end() != "WATCHDOG=1" {}

    let mut peer = Peer::greeted(&address.parse().unwrap());
    peer.send(&frames::notify(1, 1));
    let deadline = std::time::Instant::now() + PATIENCE;
    while ear.word_within(Duration::from_secs(1)).is_some() {
        assert!(std::time::Instant::now() < deadline, "still fed");
    }
    drop(agent);
}

/// Where an agent is to listen that hangs at the first question.
const HANGING: &str = "SPOA_TEST_HANGING";

/// The process of the test above.
#[test]
#[ignore = "the_watchdog_starves_when_a_worker_hangs runs it"]
fn an_agent_that_hangs() {
    let Ok(address) = env::var(HANGING) else {
        return;
    };
    let hang = handler(|_, _| {
        loop {
            thread::park();
        }
    });
    let builder = Agent::builder().bind(address.parse().unwrap()).workers(2);
    let agent = builder.spawn(|_| hang).unwrap();
    supervisor::watch(agent.control()).unwrap();
    supervisor::ready("listening");
    agent.join().unwrap();
}

fn passed(socket: impl Into<OwnedFd>, args: &[&str]) -> Program {
    Program::started_with(Program::shell(PASS, args), Stdio::from(socket.into()))
}

fn tcp() -> (TcpListener, BindAddress) {
    let socket = TcpListener::bind((own_loopback(), 0)).unwrap();
    let address = BindAddress::Tcp(socket.local_addr().unwrap());
    (socket, address)
}

#[test]
fn a_passed_port_serves_all_workers() {
    let (socket, address) = tcp();
    let agent = passed(socket.try_clone().unwrap(), &["-n", "4"]);
    assert_eq!(agent.addresses(), std::slice::from_ref(&address));
    let mut peers: Vec<_> = (0..12).map(|_| Peer::greeted(&address)).collect();
    Peer::each_asks(&mut peers);
    assert_eq!(agent.report().each("open"), [3; 4]);
    drop(peers);
    agent.stop();
}

#[test]
fn a_passed_port_stands_for_the_same_address_and_beside_others() {
    let (socket, address) = tcp();
    let other = format!("{}:12345", own_loopback());
    let args = ["-n", "2", "-b", &address.to_string(), "-b", &other];
    let agent = passed(socket.try_clone().unwrap(), &args);
    assert_eq!(agent.addresses(), [address.clone(), other.parse().unwrap()]);
    for address in [&address, &other.parse().unwrap()] {
        Peer::greeted(address).asks(1);
    }
    agent.stop();
}

#[test]
fn who_connects_between_two_agents_with_a_passed_port_is_served_by_the_second() {
    let (socket, address) = tcp();
    passed(socket.try_clone().unwrap(), &["-n", "2"]).stop();
    let mut peer = Peer::connect(&address);
    peer.send(&frames::hello());
    peer.send(&frames::notify(1, 1));
    let agent = passed(socket.try_clone().unwrap(), &["-n", "2"]);
    assert!(peer.receive().unwrap().is_some(), "no answer to the HELLO");
    peer.acks(1..2);
    drop(peer);
    agent.stop();
}

#[test]
fn a_restart_under_load_with_a_passed_port_loses_no_answer() {
    const QUESTIONS: u64 = 200;
    let (socket, address) = tcp();
    let start = || passed(socket.try_clone().unwrap(), &["-n", "2"]);
    let mut agent = start();
    let mut load = Load::new();
    load.add(2, Habit::PerQuestion, &address);
    load.add(2, Habit::Persistent, &address);
    load.runs_for(QUESTIONS);
    for _ in 0..4 {
        agent.stop();
        agent = start();
        load.runs_for(QUESTIONS);
    }
    let tally = load.end();
    assert_eq!(tally.lost, [""; 0], "of {} questions", tally.answered);
    agent.stop();
}

#[test]
fn a_passed_unix_socket_is_left_where_it_is() {
    let scratch = Scratch::new();
    let socket = UnixListener::bind(scratch.path("socket")).unwrap();
    let agent = passed(socket.try_clone().unwrap(), &["-n", "2"]);
    let address = agent.address().clone();
    assert_eq!(address.to_string(), scratch.bind("socket"));
    Peer::greeted(&address).asks(3);
    agent.stop();
    assert_eq!(scratch.names(), ["socket"]);
}

#[test]
fn what_cannot_be_listened_on_is_refused_with_a_remedy() {
    let (socket, address) = tcp();
    let peer = Peer::connect(&address);
    let connected = socket.accept().unwrap().0;
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let file = File::open("/dev/null").unwrap();
    let unusable: [OwnedFd; 3] = [connected.into(), datagrams.into(), file.into()];
    for unusable in unusable {
        let ended = Program::spawn_with(Program::shell(PASS, &[]), unusable.into()).wait();
        let line = ended.refusal(1);
        assert!(line.contains("LISTEN_FDS: descriptor 3"), "{line}");
        assert!(line.contains("Accept=no"), "{line}");
    }
    drop(peer);
}
