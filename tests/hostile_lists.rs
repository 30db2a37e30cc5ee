//! Lists that try to speak for the agent: what stands in them is shown escaped, or not at all, wherever
//! people and HAProxy read it.

#![cfg(test)]

mod support;

use support::{Peer, Program, Scratch, Signal};

/// Lines that are no entries: what they hold is shown with their number.
const LINES: [&str; 3] = [
    "forged\rspoa: all is well\n",
    "forged\x1b[2J\x1b]0;owned\x07\n",
    "forged\u{85}\u{2028}\u{202e}\n",
];
/// Categories: they become variables, and from there lines of HAProxy's log.
const CATEGORIES: [&str; 4] = [
    "forged\rSPOE: ok",
    "forged\x1b[31m",
    "forged\0",
    "forged\u{85}",
];

fn scratch() -> Scratch {
    let scratch = Scratch::new();
    let good = "192.0.2.1\n".repeat(100);
    scratch.write("lines", LINES.concat() + &good);
    let rows = CATEGORIES
        .iter()
        .enumerate()
        .map(|(n, it)| format!("198.51.100.{n},90,{it}\n"));
    let good = "203.0.113.1,90,scanner\n".repeat(100);
    scratch.write("rows", rows.collect::<String>() + &good);
    let feeds = "[[feed]]\nname = \"lines\"\npath = \"lines\"\nformat = \"plain\"\n\
         [[feed]]\nname = \"rows\"\npath = \"rows\"\nformat = \"csv\"\nhigher-is = \"worse\"\n\
         columns = { value = 1, category = 2 }\n";
    scratch.write("spoa.toml", feeds);
    scratch
}

/// Nothing in it moves a cursor, ends a line or turns text around.
fn is_harmless(text: &str) -> bool {
    let moves = |c: char| {
        (c.is_control() && c != '\n' && c != '\t') || ('\u{2028}'..='\u{202e}').contains(&c)
    };
    !text.contains(moves) && !text.lines().any(|line| line.starts_with("SPOE"))
}

#[test]
fn a_list_writes_no_lines_of_its_own() {
    let scratch = scratch();
    let config = scratch.path("spoa.toml");
    let checked = Program::run(&["check", "-f", config.to_str().unwrap()]);
    // The test sees what it looks for.
    assert!(checked.stdout.contains("forged"), "{checked:?}");
    assert!(is_harmless(&checked.stdout), "{checked:?}");
    for address in 0..CATEGORIES.len() {
        let address = format!("198.51.100.{address}");
        for how in ["--terse", "--json"] {
            let found = Program::run(&["lookup", how, "-f", config.to_str().unwrap(), &address]);
            assert!(is_harmless(&found.stdout), "{found:?}");
        }
    }

    let agent = Program::configured(&config, &["-d"]);
    let mut peer = Peer::greeted(agent.address());
    peer.asks(1);
    agent.signal(Signal::SIGUSR1);
    agent.says("feed=\"rows\"");
    drop(peer);
    agent.signal(Signal::SIGTERM);
    let ended = agent.wait();
    assert_eq!(ended.code, Some(0));
    for line in ended.stderr {
        assert!(is_harmless(&line), "{line:?}");
        assert!(!line.starts_with("spoa: all"), "{line}");
    }
}
