//! The store when things go wrong, and when two processes share it.

use std::fs;

use serde_json::Value;

use super::{Agent, CONFIG};
use crate::support::{Program, Scratch, Signal, until};

/// Decisions that are made by either of two processes are in force in both.
#[test]
fn two_processes_of_a_takeover_share_decisions() {
    let old = Agent::start(CONFIG);
    old.done(&["ban", "192.0.2.1", "--for", "1h"]);
    let admin = old.scratch.bind("new.sock");
    let config = old.scratch.path("spoa.toml");
    let args = ["-b", "127.0.0.1:0", "-n", "1", "--admin", &admin, "-f"];
    let mut command = Program::command(&args);
    command.arg(config);
    // Its own folder is not needed: it has that of the old one.
    let new = Agent::started(Scratch::new(), admin, command);
    assert_eq!(new.score("192.0.2.1"), "0");
    old.done(&["ban", "192.0.2.2", "--for", "1h"]);
    until("the new one has it", || new.score("192.0.2.2") == "0");
    new.done(&["ban", "192.0.2.3", "--for", "1h"]);
    new.done(&["unban", "192.0.2.1"]);
    until("the old one has it", || {
        old.score("192.0.2.3") == "0" && old.score("192.0.2.1") == "100"
    });
    // A longer one of the same identity.
    old.done(&["ban", "192.0.2.3", "--for", "3h"]);
    until("the new one has it too", || {
        let left = new.variable("192.0.2.3", "expires_in");
        left.is_some_and(|left| left.parse::<u32>().unwrap() > 3700)
    });
    old.program.signal(Signal::SIGTERM);
    assert_eq!(old.program.wait().code, Some(0));
    let scores = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|it| new.score(it));
    assert_eq!(scores, ["100", "0", "0"]);
    new.done(&["ban", "192.0.2.4"]);
}

/// The kernel refuses what makes the file longer: as on a full disk, decisions are in memory only.
#[test]
fn a_full_disk_is_no_reason_not_to_ban() {
    let scratch = Scratch::new();
    let config = scratch.write("spoa.toml", CONFIG.replace("max-decisions = 5\n", ""));
    let admin = scratch.bind("admin.sock");
    let args = ["-b", "127.0.0.1:0", "-n", "1", "--admin", &admin, "-f"];
    // In blocks of 512 or 1024 bytes; without a signal the write fails.
    let mut command = Program::shell("trap '' XFSZ; ulimit -f 200", &args);
    command.arg(&config);
    let agent = Agent::started(scratch, admin, command);
    let ban = |host: u32| {
        let body = format!(
            r#"[{{"type":"ban","value":"198.18.{}.{}","reason":"{}"}}]"#,
            host / 256,
            host % 256,
            "x".repeat(250)
        );
        let answer = agent.request("POST", "/decisions", &body);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body.contains("\"stored\":true")
    };
    assert!(ban(0));
    let full = (1..2000).find(|host| !ban(*host)).expect("it gets full");
    let value = format!("198.18.{}.{}", full / 256, full % 256);
    assert_eq!(agent.score(&value), "0");
    let ended = agent.ctl(&["ban", "192.0.2.9", "--for", "1h"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr[0].contains("in memory only"), "{ended:?}");
    assert_eq!(agent.score("192.0.2.9"), "0");
    agent.program.says("store write failed");
    agent.done(&["unban", "192.0.2.9"]);
    assert_eq!(agent.score("192.0.2.9"), "100");
}

#[test]
fn a_database_of_another_program_stays_as_it_is() {
    let scratch = Scratch::new();
    let made = rusqlite::Connection::open(scratch.path("live.db")).unwrap();
    made.execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (7)")
        .unwrap();
    drop(made);
    let before = fs::read(scratch.path("live.db")).unwrap();
    let agent = Agent::again(scratch, CONFIG);
    agent.program.says("ERROR");
    agent.program.says("a database of another program");
    let ended = agent.ctl(&["ban", "192.0.2.9"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(agent.score("192.0.2.9"), "0");
    assert_eq!(fs::read(agent.scratch.path("live.db")).unwrap(), before);
}

/// Only root can give a file away.
#[test]
fn a_database_of_another_user_is_not_used() {
    let scratch = Scratch::new();
    fs::write(scratch.path("live.db"), "").unwrap();
    if std::os::unix::fs::chown(scratch.path("live.db"), Some(65_534), None).is_err() {
        println!("not root here");
        return;
    }
    let agent = Agent::again(scratch, CONFIG);
    agent.program.says("it belongs to user 65534");
    let ended = agent.ctl(&["ban", "192.0.2.9"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr[0].contains("in memory only"), "{ended:?}");
    assert_eq!(fs::read(agent.scratch.path("live.db")).unwrap(), b"");
}

/// What an operator removes is begun again, with all that is in force.
#[test]
fn a_store_that_is_removed_is_written_again() {
    let agent = Agent::start(CONFIG);
    agent.done(&["ban", "192.0.2.1", "--for", "1h"]);
    for name in ["live.db", "live.db-wal", "live.db-shm"] {
        fs::remove_file(agent.scratch.path(name)).unwrap();
    }
    agent.done(&["ban", "192.0.2.2", "--for", "1h"]);
    agent.program.says("store replaced");
    let Agent {
        scratch, program, ..
    } = agent;
    program.signal(Signal::SIGKILL);
    program.wait();
    let agent = Agent::again(scratch, CONFIG);
    let scores = ["192.0.2.1", "192.0.2.2"].map(|it| agent.score(it));
    assert_eq!(scores, ["0", "0"]);
}

/// `spoa lookup` reads the store of an agent that runs and of one that does not, and changes nothing.
#[test]
fn a_lookup_reads_the_store() {
    let agent = Agent::start(CONFIG);
    agent.done(&[
        "ban",
        "192.0.2.1",
        "--for",
        "1h",
        "--reason",
        "six bad logins",
    ]);
    let config = agent.scratch.path("spoa.toml");
    let look = |more: &[&str]| {
        let args = [&["lookup", "-f", config.to_str().unwrap()], more].concat();
        let ended = Program::run(&args);
        assert_eq!(
            (ended.code, &ended.stderr[..]),
            (Some(0), &[][..]),
            "{ended:?}"
        );
        ended.stdout
    };
    let explained = look(&["192.0.2.1"]);
    assert!(
        explained.contains("score 0, decided by live ban instead of 100 by default-score"),
        "{explained}"
    );
    assert!(explained.contains("six bad logins"), "{explained}");
    assert_eq!(
        look(&["--terse", "192.0.2.1"]),
        "192.0.2.1 0 live-ban ctl:192.0.2.1\n"
    );
    assert_eq!(look(&["--terse", "192.0.2.2"]), "192.0.2.2 100 - -\n");
    let Agent {
        scratch, program, ..
    } = agent;
    program.signal(Signal::SIGTERM);
    assert_eq!(program.wait().code, Some(0));
    let names = scratch.names();
    let json: Value = serde_json::from_str(&look(&["--json", "192.0.2.1"])).unwrap();
    assert_eq!(
        (&json["score"], &json["displaced"]["score"]),
        (&0.into(), &100.into())
    );
    assert_eq!(scratch.names(), names);
    fs::write(scratch.path("live.db"), "no database".repeat(99)).unwrap();
    let ended = Program::run(&["lookup", "-f", config.to_str().unwrap(), "192.0.2.1"]);
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.contains("score 100"), "{ended:?}");
    assert!(
        ended.stderr[0].contains("without live decisions"),
        "{ended:?}"
    );
}
