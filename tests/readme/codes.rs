//! docs/reference.md lists what the program ends with, which signals it knows, and its routes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::document::table;
use crate::support::{Scratch, Signal};

const REFERENCE: &str = "docs/reference.md";

fn ends_with(args: &[&str]) -> i32 {
    let mut program = Command::new(env!("CARGO_BIN_EXE_spoa"));
    let program = program
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    program.status().unwrap().code().unwrap()
}

/// 70 takes a bug; the codes after a second signal are those of `tests/signals.rs`.
#[test]
fn every_exit_code_is_that_of_the_program() {
    let scratch = Scratch::new();
    let wrong = scratch.write("wrong.toml", "colour = 1\n");
    let wrong = wrong.to_str().unwrap();
    #[cfg(feature = "admin")]
    let gone = scratch.bind("gone");
    let place = scratch.bind("no/such/folder");
    let mut seen = Vec::new();
    for (code, of, args) in [
        (0, "all", &["--version"][..]),
        (1, "`spoa`", &["-b", &place]),
        (1, "`spoa check`", &["check", "-f", wrong]),
        (1, "`spoa lookup`", &["lookup", "-f", wrong, "192.0.2.1"]),
        #[cfg(feature = "admin")]
        (1, "`spoa ctl`", &["ctl", "--admin", &gone, "status"]),
        (2, "all", &["--no-such-option"]),
        (2, "all", &["check"]),
    ] {
        assert_eq!(ends_with(args), code, "{args:?}");
        seen.push((code.to_string(), of.to_owned()));
    }
    let end = |signal| 128 + signal as i32;
    for code in [70, end(Signal::SIGINT), end(Signal::SIGTERM)] {
        seen.push((code.to_string(), "`spoa`".to_owned()));
    }
    for row in table(REFERENCE, "## Exit codes") {
        let listed = (row[0].clone(), row[1].clone());
        assert!(seen.contains(&listed), "no test of {row:?}");
        seen.retain(|it| *it != listed);
    }
    assert_eq!(seen, [], "not listed");
    let source = fs::read_to_string(root().join("src/cli/failure.rs")).unwrap();
    assert!(source.contains("const SOFTWARE: u8 = 70;"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_signal_that_it_handles_is_listed() {
    let source = fs::read_to_string(root().join("src/cli/signals.rs")).unwrap();
    let words = source.split(|c: char| !c.is_ascii_alphanumeric());
    let mut handled: Vec<_> = words
        .filter(|word| word.starts_with("SIG") && !["SIG", "SIGNAL"].contains(word))
        .map(str::to_owned)
        .collect();
    handled.sort();
    handled.dedup();
    let rows = table(REFERENCE, "## Signals");
    let mut listed: Vec<_> = rows.iter().map(|row| row[0].clone()).collect();
    listed.sort();
    assert_eq!(listed, handled);
}

#[cfg(feature = "admin")]
#[test]
fn every_route_is_listed_and_answers() {
    use iprep_spoa::admin::{COMMANDS, LOOKS};

    use crate::document::code;
    use crate::support::{Endpoint, Program};

    let rows = table(REFERENCE, "## Admin endpoint");
    let listed: Vec<_> = rows
        .iter()
        .map(|row| (row[0].as_str(), code(&row[1]).unwrap()))
        .collect();
    let looks = LOOKS.iter().map(|path| ("GET", *path));
    let commands = COMMANDS.iter().map(|path| ("POST", *path));
    let known = looks.chain([("DELETE", "/decisions")]).chain(commands);
    let known: Vec<_> = known.collect();
    assert_eq!(listed, known);

    let scratch = Scratch::new();
    let agent = Program::start(&["-n", "1", "--admin", &scratch.bind("admin")]);
    let endpoint = Endpoint::of(&agent);
    for (method, route) in known {
        // Scores are random here: there is nothing to reload, and nothing to look up.
        let expected: &[u16] = match (method, route) {
            (_, "/reload" | "/accept" | "/decisions" | "/behavior" | "/fleet" | "/crowdsec") => {
                &[409]
            }
            (_, "/drain") => &[202],
            // Without the key of a page.
            (_, "/form") => &[403],
            // Without an address or a level.
            (_, "/lookup") | ("POST", "/loglevel") => &[400],
            _ => &[200],
        };
        let status = endpoint.request(method, route, &[]).status;
        assert!(expected.contains(&status), "{method} {route}: {status}");
    }
    assert_eq!(agent.wait().code, Some(0));
}
