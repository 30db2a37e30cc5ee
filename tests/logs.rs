//! The log: what a line looks like, which lines there are, how few they are whatever peers do, and that a
//! stderr that does not take them keeps nobody waiting.

#![cfg(test)]

mod support;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::process::Command;

use jiff::Timestamp;
use serde_json::Value;
use support::{Peer, Program, Scratch, Signal, eventually, own_loopback, until};

/// A list that is not there, and one that is.
const CONFIG: &str = "\
[[feed]]
name = \"gone\"
path = \"gone.txt\"
[[feed]]
name = \"here\"
path = \"here.txt\"
";

/// An agent with that configuration.
fn with_lists(args: &[&str]) -> (Scratch, Program) {
    let scratch = Scratch::new();
    scratch.write("here.txt", "192.0.2.0/24\n");
    let config = scratch.write("spoa.toml", CONFIG);
    let agent = Program::configured(&config, args);
    (scratch, agent)
}

/// The raw line with this in it.
fn raw_line(agent: &Program, what: &str) -> String {
    eventually(what, || {
        agent.raw().into_iter().find(|line| line.contains(what))
    })
}

/// Has a peer refused with status 3.
fn refuse(agent: &Program) {
    let mut rude = Peer::connect(agent.address());
    rude.send(b"GET / HTTP/1.1\r\n\r\n");
    rude.dismissed(3);
}

#[test]
fn a_plain_line_has_a_time_and_says_how_much_it_weighs() {
    let (_scratch, agent) = with_lists(&[]);
    for (what, start) in [
        ("gone.txt", "WARN list not used list=gone error=\""),
        (
            "list=here",
            "INFO list loaded list=here entries=1 invalid=0 took=",
        ),
        ("INFO listening ", "INFO listening address=127.0.0.1:"),
    ] {
        let line = raw_line(&agent, what);
        let (time, rest) = line.split_once(' ').unwrap();
        let time: Timestamp = time.parse().unwrap();
        assert!(
            Timestamp::now().duration_since(time).as_secs() < 60,
            "{line}"
        );
        assert!(rest.starts_with(start), "{line}");
    }
    agent.stop();
}

#[test]
fn json_is_an_object_a_line_with_fields_to_look_for() {
    let (_scratch, agent) = with_lists(&["--log-format", "json"]);
    refuse(&agent);
    raw_line(&agent, "connections rejected");
    agent.signal(Signal::SIGUSR1);
    raw_line(&agent, "worker=all");
    agent.signal(Signal::SIGTERM);
    let ended = agent.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let lines: Vec<Value> = ended
        .stderr
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{line}: {why}")))
        .collect();
    for line in &lines {
        let time = line["timestamp"].as_str().unwrap();
        assert!(
            time.parse::<Timestamp>().is_ok() && time.len() == 24,
            "{line}"
        );
        assert!(["ERROR", "WARN", "INFO"].contains(&line["level"].as_str().unwrap()));
        assert!(line["target"].is_null(), "no module paths: {line}");
        let message = line["message"].as_str().unwrap();
        assert_eq!(line["event"], message.replace(' ', "_"), "{line}");
    }
    let of = |event: &str| {
        let has = |line: &&Value| line["event"] == event;
        lines
            .iter()
            .find(has)
            .unwrap_or_else(|| panic!("{event}: {lines:?}"))
    };
    assert_eq!(
        (&of("list_not_used")["list"], &of("list_not_used")["level"]),
        (&"gone".into(), &"WARN".into())
    );
    let refused = of("connections_rejected");
    assert_eq!(
        (&refused["status"], &refused["count"]),
        (&3.into(), &1.into())
    );
    assert!(refused["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(of("listening")["workers"], 1);
    assert!(
        of("report")["text"]
            .as_str()
            .unwrap()
            .contains("latency from the read")
    );
    assert_eq!(of("shutdown_started")["reason"], "SIGTERM");
}

/// The same with a mistake: whoever reads JSON is not given anything else.
#[test]
fn what_keeps_an_agent_from_starting_is_in_the_format_too() {
    let address = format!("{}:12345", own_loopback());
    let first = Program::start_on(&[&address], &["-n", "1"]);
    let ended = Program::run(&[
        "-b",
        &address,
        "--log-format",
        "json",
        "--log-level",
        "error",
    ]);
    let line: Value = serde_json::from_str(ended.refusal(1)).unwrap();
    assert_eq!(line["level"], "ERROR");
    assert!(
        line["error"].as_str().unwrap().starts_with("--bind: "),
        "{line}"
    );
    first.stop();
}

#[test]
fn the_journal_gets_priorities_and_no_time() {
    let bind = ["-n", "1", "-b", "127.0.0.1:0", "--log-level", "debug"];
    let journal = "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2); export JOURNAL_STREAM";
    let agent = Program::started(Program::shell(journal, &bind));
    refuse(&agent);
    assert!(raw_line(&agent, "INFO listening ").starts_with("<6>INFO listening address="));
    assert!(
        raw_line(&agent, "connections rejected")
            .starts_with("<4>WARN connections rejected status=3")
    );
    agent.stop();
    // Some other file is the journal's.
    let agent = Program::started(Program::shell("export JOURNAL_STREAM=1:2", &bind));
    assert!(raw_line(&agent, "INFO listening ").contains("Z INFO listening "));
    agent.stop();
}

#[test]
fn a_level_leaves_out_what_weighs_less() {
    for (level, said) in [("error", 0), ("warn", 1)] {
        let scratch = Scratch::new();
        let keys = format!("[agent]\nlog-level = \"{level}\"\nworkers = 1\n{CONFIG}");
        scratch.write("here.txt", "192.0.2.0/24\n");
        let config = scratch.write("spoa.toml", keys);
        let address = format!("{}:12345", own_loopback());
        let args = ["-b", &address, "-f", config.to_str().unwrap()];
        let agent = Program::spawn(Program::command(&args));
        let address = address.parse().unwrap();
        until("it listens", || Peer::try_connect(&address).is_ok());
        Peer::greeted(&address).ask();
        agent.signal(Signal::SIGTERM);
        let ended = agent.wait();
        assert_eq!(
            (ended.code, ended.stderr.len()),
            (Some(0), said),
            "{ended:?}"
        );
    }
    let (_scratch, agent) = with_lists(&["--log-level", "debug"]);
    agent.says("DEBUG table published");
    agent.stop();
}

#[test]
fn a_wrong_name_is_one_line_with_those_that_there_are() {
    for (option, values) in [
        ("--log-level", "error, warn, info, debug"),
        ("--log-format", "plain, json"),
    ] {
        let ended = Program::run(&[option, "loud"]);
        let line = ended.refusal(2);
        assert!(line.contains(option) && line.contains(values), "{line}");
    }
}

#[cfg(feature = "admin")]
mod at_run_time {
    use crate::support::{Endpoint, Program, Scratch};
    use crate::with_lists;

    const TOKEN: &str = "0123456789abcdef-0123456789abcdef";

    #[test]
    fn the_level_is_turned_and_counts_at_once() {
        let folder = Scratch::new();
        let address = folder.bind("admin");
        let (_scratch, agent) = with_lists(&["--admin", &address]);
        agent.says("admin endpoint listening");
        let ctl = |words: &[&str]| {
            let words = [&["ctl", "--admin", &address], words].concat();
            let ended = Program::run(&words);
            (ended.code, ended.stdout + &ended.stderr.join("\n"))
        };
        // One of the lists is not good, which it says.
        let reload = || {
            let (code, said) = ctl(&["reload"]);
            assert!(code == Some(1) && said.contains("reloaded: "), "{said}");
        };
        assert_eq!(ctl(&["loglevel"]), (Some(0), "info\n".into()));
        reload();
        assert_eq!(agent.count("DEBUG "), 0);
        assert_eq!(ctl(&["loglevel", "debug"]), (Some(0), "debug\n".into()));
        agent.says("log level changed new=debug old=info");
        reload();
        agent.says("DEBUG table published");
        assert_eq!(ctl(&["loglevel", "error"]), (Some(0), "error\n".into()));
        agent.says("log level changed new=error old=debug");
        let said = agent.count("");
        reload();
        assert_eq!(ctl(&["loglevel", "warn"]), (Some(0), "warn\n".into()));
        assert_eq!(ctl(&["loglevel"]), (Some(0), "warn\n".into()));
        // Neither the reload, nor that it may say more now.
        assert_eq!(agent.count(""), said, "{:?}", agent.lines());

        let (code, said) = ctl(&["loglevel", "loud"]);
        assert!(
            code == Some(2) && said.contains("error, warn, info, debug"),
            "{said}"
        );
        let endpoint = Endpoint(address.parse().unwrap());
        for path in ["/loglevel", "/loglevel?level=loud", "/loglevel?level="] {
            let answer = endpoint.post(path, &[]);
            assert_eq!(answer.status, 400, "{answer:?}");
            assert!(answer.body.contains("expected error, warn, info or debug"));
        }
        assert_eq!(
            endpoint.request("PUT", "/loglevel?level=info", &[]).status,
            405
        );
        assert_eq!(endpoint.get("/loglevel").body, "warn\n");
        assert!(
            endpoint
                .get("/status.json")
                .body
                .contains("\"log_level\":\"warn\"")
        );
        agent.stop();
    }

    #[test]
    fn over_tcp_it_takes_the_token() {
        let folder = Scratch::new();
        let token = folder.write("token", format!("{TOKEN}\n"));
        let token = token.to_str().unwrap();
        let (_scratch, open) = with_lists(&["--admin", "127.0.0.1:0"]);
        let args = ["--admin", "127.0.0.1:0", "--admin-token", token];
        let (_other, guarded) = with_lists(&args);
        let right = format!("Authorization: Bearer {TOKEN}");
        for (agent, headers, status) in [
            (&open, &[][..], 403),
            (&open, &[&*right], 403),
            (&guarded, &[], 403),
            (&guarded, &["Authorization: Bearer x"], 403),
            (&guarded, &[&*right], 200),
        ] {
            let endpoint = Endpoint::of(agent);
            let answer = endpoint.post("/loglevel?level=debug", headers);
            assert_eq!(answer.status, status, "{answer:?}");
            let level = if status == 200 { "debug\n" } else { "info\n" };
            assert_eq!(endpoint.get("/loglevel").body, level);
        }
        open.stop();
        guarded.stop();
    }
}

/// What a line says of how many connections were refused with a status.
fn refused(line: &str, status: u32) -> Option<u64> {
    let start = format!("WARN connections rejected status={status} count=");
    let (count, _) = line.strip_prefix(&start)?.split_once(' ')?;
    count.parse().ok()
}

/// However many peers are refused, there are a few lines, and together they tell of every one.
#[test]
fn a_flood_of_bad_frames_is_a_few_lines_with_the_right_totals() {
    const FLOODS: usize = 8;
    const EACH: usize = 60;
    let agent = Program::start(&["-n", "2"]);
    refuse(&agent);
    agent.says("connections rejected status=3 count=1 error=");
    std::thread::scope(|scope| {
        for flood in 0..FLOODS {
            let agent = &agent;
            scope.spawn(move || {
                for _ in 0..EACH {
                    let mut peer = Peer::connect(agent.address());
                    if flood % 2 == 0 {
                        peer.send(b"GET / HTTP/1.1\r\n\r\n");
                        peer.dismissed(3);
                    } else {
                        peer.send(b"\0\0\0\x01x");
                        peer.dismissed(4);
                    }
                }
            });
        }
    });
    let half = (FLOODS / 2 * EACH) as u64;
    for (status, all) in [(3, half + 1), (4, half)] {
        let told = || -> Vec<u64> {
            let lines = agent.lines();
            lines
                .iter()
                .filter_map(|line| refused(line, status))
                .collect()
        };
        until("every one is told of", || told().iter().sum::<u64>() >= all);
        let told = told();
        assert_eq!(told.iter().sum::<u64>(), all, "{told:?}");
        // One at once and one in ten seconds; the flood may take some of these.
        assert!(told.len() <= 5, "{told:?}");
    }
    agent.stop();
}

/// A pipe as a file, so that somebody may read it later, or never.
fn fifo(scratch: &Scratch) -> (String, File) {
    let path = scratch.path("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    // Both ends, so that opening it waits for nobody.
    let both = File::options().read(true).write(true).open(&path).unwrap();
    (format!("exec 2>'{}'", path.display()), both)
}

/// With a line for each frame nothing is as fast as the agent; it does not wait, and says so.
#[test]
#[cfg(feature = "trace")]
fn a_pipe_that_nobody_reads_costs_lines_and_they_are_counted() {
    let scratch = Scratch::new();
    let (redirect, unread) = fifo(&scratch);
    let address = format!("{}:12345", own_loopback());
    let agent = Program::spawn(Program::shell(
        &redirect,
        &["-d", "-n", "1", "-b", &address],
    ));
    let address = address.parse().unwrap();
    until("it listens", || Peer::try_connect(&address).is_ok());
    // Some 4 MB of lines. A pipe holds 64 KiB, and 1 MiB may wait.
    let mut peer = Peer::greeted(&address);
    peer.asks(30_000);
    // Read now, it has the first lines, that some are left out, and then all that happens.
    let mut lines = BufReader::new(unread).lines().map(Result::unwrap);
    let warning = lines.find(|line| line.contains("log lines dropped count="));
    let warning = warning.unwrap();
    assert!(warning.contains(" WARN "), "{warning}");
    peer.ask();
    agent.signal(Signal::SIGTERM);
    lines.find(|line| line.contains("SIGTERM")).unwrap();
    peer.dismissed(0);
    drop(peer);
    assert_eq!(agent.wait().code, Some(0));
}

#[test]
fn a_stderr_whose_reader_has_gone_is_no_reason_to_end() {
    let scratch = Scratch::new();
    let (redirect, reader) = fifo(&scratch);
    let address = format!("{}:12345", own_loopback());
    let config = scratch.write("spoa.toml", CONFIG);
    let args = ["-n", "2", "-b", &address, "-f", config.to_str().unwrap()];
    let agent = Program::spawn(Program::shell(&redirect, &args));
    let address = address.parse().unwrap();
    let said = BufReader::new(&reader).lines().map(Result::unwrap);
    assert!(
        said.into_iter()
            .any(|line| line.contains(" INFO listening "))
    );
    drop(reader);
    fs::remove_file(scratch.path("fifo")).unwrap();
    let mut peer = Peer::greeted(&address);
    for _ in 0..3 {
        agent.signal(Signal::SIGUSR1);
        agent.signal(Signal::SIGHUP);
        peer.asks(5);
    }
    agent.signal(Signal::SIGTERM);
    peer.dismissed(0);
    drop(peer);
    assert_eq!(agent.wait().code, Some(0));
}
