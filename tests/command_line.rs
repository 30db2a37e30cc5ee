//! The command line: what is wrong is one line that names the option; what is right is done.

#![cfg(test)]

mod support;

#[cfg(feature = "admin")]
use support::Scratch;
use support::{Peer, Program, Signal, own_loopback, until};

#[test]
fn every_bad_value_is_one_line_that_names_its_option() {
    let long = format!("unix:/{}", "x".repeat(107));
    let cases: &[(&[&str], &str)] = &[
        (&["-p", "65536"], "--port"),
        (&["-p", "http"], "--port"),
        (&["-p"], "--port"),
        (&["-n", "0"], "--workers"),
        (&["-n", "1025"], "--workers"),
        (&["-n", "many"], "--workers"),
        (&["-n=-1"], "--workers"),
        (&["-b", "localhost"], "--bind"),
        (&["-b", "127.0.0.1:x"], "--bind"),
        (&["-b", "127.0.0.1:70000"], "--bind"),
        (&["-b", ""], "--bind"),
        (&["-b", "unix:"], "--bind"),
        (&["-b", &long], "--bind"),
        (&["-b", "::1", "-b", "[::1]:12345"], "--bind"),
        (&["-b", "unix:s", "-b", "unix:s"], "--bind"),
        (&["-m", "255"], "--max-frame-size"),
        (&["-m", "16777217"], "--max-frame-size"),
        (&["-m=-1"], "--max-frame-size"),
        (&["--max-reassembly", "x"], "--max-reassembly"),
        (&["--max-connections", "0"], "--max-connections"),
        (&["--max-connections", "1e3"], "--max-connections"),
        (&["--hello-timeout", "0"], "--hello-timeout"),
        (&["--hello-timeout", "never"], "--hello-timeout"),
        (&["--idle-timeout=-5s"], "--idle-timeout"),
        (&["--idle-timeout", "5 s"], "--idle-timeout"),
        (&["--slow-threshold", "off"], "--slow-threshold"),
        (&["--drain-timeout", "1.5s"], "--drain-timeout"),
        (&["--drain-timeout", "off"], "--drain-timeout"),
        (&["--hello-timeout", "5"], "5ms, 5s, 5m"),
        (
            &["-b", "127.0.0.1", "ssl", "crt", "x"],
            "quote both, such as --bind 'ADDRESS ssl",
        ),
        (&["--unix-mode", "rw"], "--unix-mode"),
        (&["--unix-mode", "1777"], "--unix-mode"),
        (&["--cores", "3-1"], "--cores"),
        (&["--cores", ""], "--cores"),
        (&["--seed=-1"], "--seed"),
        (&["--seed", "seed"], "--seed"),
        (&["--no-such-option"], "--no-such-option"),
        (&["-x"], "-x"),
        (&["stray"], "stray"),
        (&["-p", "1", "-p", "2"], "--port"),
    ];
    for (args, option) in cases {
        let ended = Program::run(args);
        let line = ended.refusal(2);
        let is_error = line.starts_with("spoa: ") || line.starts_with("ERROR invalid options ");
        assert!(is_error && line.contains(option), "{args:?}: {line}");
        assert!(line.contains("see spoa --help"), "{args:?}: {line}");
    }
}

#[test]
fn help_and_version_go_to_stdout() {
    for help in ["-h", "--help"] {
        let ended = Program::run(&[help]);
        assert_eq!((ended.code, &ended.stderr[..]), (Some(0), &[][..]));
        for part in [
            "-d,",
            "-p,",
            "-n,",
            "-b,",
            "-m,",
            "12345",
            "SIGUSR1",
            "--takeover",
        ] {
            assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
        }
        let widest = ended.stdout.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(100), "{widest:?}");
    }
    for version in ["-V", "--version"] {
        let ended = Program::run(&[version]);
        assert_eq!((ended.code, &ended.stderr[..]), (Some(0), &[][..]));
        assert_eq!(
            ended.stdout,
            concat!("spoa ", env!("CARGO_PKG_VERSION"), "\n")
        );
    }
}

#[test]
fn cores_that_the_process_may_not_use_are_an_error() {
    let ended = Program::run(&["-p", "0", "--cores", "4095"]);
    let line = ended.refusal(1);
    assert!(
        line.contains("--cores") && line.contains("taskset"),
        "{line}"
    );
}

#[test]
fn help_has_several_spellings() {
    let long = Program::run(&["check", "--help"]);
    let short = Program::run(&["help", "check"]);
    assert_eq!((short.code, &short.stdout), (Some(0), &long.stdout));
    assert_eq!(
        Program::run(&["help"]).stdout,
        Program::run(&["--help"]).stdout
    );
}

#[test]
#[cfg(feature = "admin")]
fn ctl_alone_is_its_help_and_each_obstacle_has_its_remedy() {
    let bare = Program::run(&["ctl"]);
    let said = bare.stdout + &bare.stderr.join("\n");
    assert!(said.contains("status") && said.contains("reload"), "{said}");
    let scratch = Scratch::new();
    let ctl = |address: &str| {
        let ended = Program::run(&["ctl", "--admin", address, "status"]);
        ended.refusal(1).to_owned()
    };
    let line = ctl(&scratch.bind("none"));
    assert!(line.contains("there is no socket at"), "{line}");
    // A listener that has been closed leaves its path behind.
    let path = scratch.path("closed");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let line = ctl(&format!("unix:{}", path.display()));
    assert!(line.contains("no agent listens at"), "{line}");
}

#[test]
fn an_address_that_others_reach_is_warned_of() {
    for (address, warned) in [("0.0.0.0", true), ("*", true), ("127.0.0.1", false)] {
        let agent = Program::started(Program::command(&["-p", "0", "-n", "1", "-b", address]));
        // What it says at the start it has said when it answers a signal.
        agent.report();
        let warning = |line: &String| line.contains("WARN") && line.contains("0.0.0.0:");
        assert_eq!(
            agent.lines().iter().any(warning),
            warned,
            "{:?}",
            agent.lines()
        );
    }
}

#[test]
fn it_says_nothing_on_stdout_and_little_on_stderr() {
    let agent = Program::start(&["-n", "2"]);
    let mut peer = Peer::greeted(agent.address());
    peer.asks(10);
    Peer::connect(agent.address()).send(b"nonsense");
    peer.reset();
    let mut last = Peer::greeted(agent.address());
    agent.signal(Signal::SIGTERM);
    agent.says("SIGTERM");
    last.dismissed(0);
    drop(last);
    let ended = agent.wait();
    assert_eq!((ended.code, &ended.stdout[..]), (Some(0), ""));
    // Where it listens, that scores are random, what it may touch, that it stops, that it has; and the peer that spoke nonsense, if that is
    // told in time.
    let said = ended
        .stderr
        .iter()
        .filter(|line| !line.contains("WARN connections rejected "));
    assert_eq!(said.count(), 5, "{ended:?}");
}

#[test]
fn a_stderr_that_is_closed_or_gone_is_no_reason_to_end() {
    for closing in ["exec 2>&-", "exec 2>/dev/full", "exec 0<&- 1>&- 2>&-"] {
        for debug in [&[][..], DEBUG] {
            let address = format!("{}:12345", own_loopback());
            let args = [&["-n", "2", "-b", &address], debug].concat();
            let agent = Program::spawn(Program::shell(closing, &args));
            let address = address.parse().unwrap();
            until("it listens", || Peer::try_connect(&address).is_ok());
            let mut peer = Peer::greeted(&address);
            peer.ask();
            agent.signal(Signal::SIGUSR1);
            peer.ask();
            drop(peer);
            agent.stop();
        }
    }
}

#[cfg(feature = "trace")]
const DEBUG: &[&str] = &["-d"];
#[cfg(not(feature = "trace"))]
const DEBUG: &[&str] = &[];

#[cfg(feature = "trace")]
#[test]
fn the_debug_mode_prints_a_line_per_frame_and_decision() {
    use support::frames;

    let agent = Program::start(&["-n", "1", "-d"]);
    let mut peer = Peer::greeted(agent.address());
    peer.send(&frames::notify(77, 5));
    let score = peer.frame().score();
    peer.send(&frames::disconnect(0));
    peer.dismissed(0);
    let mut faulty = Peer::connect(agent.address());
    faulty.send(&frames::notify(1, 1));
    faulty.dismissed(4);
    drop((peer, faulty));
    agent.says("connection 2 closed");

    let lines = agent.lines();
    let traced: Vec<_> = lines
        .iter()
        .filter_map(|line| line.split_once(" worker 0 "))
        .collect();
    for (time, _) in &traced {
        let digits = time.replace(|c: char| c.is_ascii_digit(), "9");
        assert_eq!(digits, "99:99:99.999999", "{time}");
    }
    let decided = format!(" set-var sess.ip_score={score}");
    for (start, end) in [
        ("connection 1 opened by 127.0.0.1:", ""),
        ("connection 1 <- HAPROXY-HELLO ", ""),
        (
            "connection 1 -> AGENT-HELLO ",
            "capabilities=\"pipelining,fragmentation\"",
        ),
        (
            "connection 1 <- NOTIFY stream-id=77 frame-id=5 ",
            "check-client-ip(=192.0.2.1)",
        ),
        ("connection 1 -> ACK stream-id=77 frame-id=5 ", &decided),
        (
            "connection 1 <- HAPROXY-DISCONNECT ",
            "message=\"so says the peer\"",
        ),
        (
            "connection 1 -> AGENT-DISCONNECT ",
            "status-code=0 message=\"normal\"",
        ),
        ("connection 1 closed", ""),
        ("connection 2 refused: NOTIFY before HELLO", ""),
        (
            "connection 2 -> AGENT-DISCONNECT ",
            "status-code=4 message=\"invalid frame received\"",
        ),
    ] {
        let found = traced
            .iter()
            .any(|(_, line)| line.starts_with(start) && line.ends_with(end));
        assert!(found, "{start} ... {end} in {lines:#?}");
    }
}

#[cfg(not(feature = "trace"))]
#[test]
fn without_the_feature_the_debug_mode_says_so() {
    let ended = Program::run(&["-d"]);
    let line = ended.refusal(2);
    assert!(
        line.contains("--debug") && line.contains("feature trace"),
        "{line}"
    );
}
