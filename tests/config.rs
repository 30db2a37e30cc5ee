//! The configuration file and the command line together: flags count more.

#![cfg(test)]

mod support;

use std::path::Path;

use iprep_spoa::config::Config;
use support::{Peer, Program, Scratch, own_loopback};

#[test]
fn flags_that_were_given_count_more_than_the_file() {
    let scratch = Scratch::new();
    let (one, other) = (own_loopback(), own_loopback());
    let text =
        format!("[agent]\nbind = [\"{one}:12345\"]\nworkers = 2\nslow-threshold = \"7ms\"\n");
    let config = scratch.write("spoa.toml", text);
    let config = config.to_str().unwrap();
    let agent = Program::started(Program::command(&["-f", config]));
    assert_eq!(agent.address().to_string(), format!("{one}:12345"));
    let report = agent.report();
    assert_eq!(report.each("worker"), [0, 1]);
    assert_eq!(report.all.number("over_7ms"), 0);
    agent.stop();

    let bind = format!("{other}:12345");
    let agent = Program::started(Program::command(&[
        "-f",
        config,
        "-n",
        "1",
        "-b",
        &bind,
        "--slow-threshold",
        "10ms",
    ]));
    assert_eq!(agent.address().to_string(), bind);
    let report = agent.report();
    assert_eq!(report.each("worker"), [0]);
    // The default, but given.
    assert_eq!(report.all.number("over_10ms"), 0);
}

#[test]
fn a_file_that_asks_for_random_scores_answers_as_none() {
    let scratch = Scratch::new();
    let config = scratch.write("spoa.toml", "[reputation]\nsource = \"random\"\n");
    let scores = |args: &[&str]| -> Vec<u32> {
        let agent = Program::start(&[&["-n", "1", "--seed", "7"], args].concat());
        let mut peer = Peer::greeted(agent.address());
        (0..50).map(|_| peer.ask()).collect()
    };
    assert_eq!(scores(&[]), scores(&["-f", config.to_str().unwrap()]));
}

/// Law: no text makes the configuration panic; what is wrong has a line of the file.
#[test]
fn any_text_is_a_configuration_or_says_why_not() {
    use proptest::test_runner::{Config as Cases, TestRunner};

    let good = include_str!("../src/config/every_key.toml");
    let changes = proptest::collection::vec((0..good.len(), proptest::prelude::any::<u8>()), 0..4);
    let cases = Cases {
        cases: 2000,
        failure_persistence: None,
        ..Cases::default()
    };
    let law = |changes: Vec<(usize, u8)>| {
        let mut bytes = good.as_bytes().to_vec();
        for (place, byte) in changes {
            bytes[place] = byte;
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Err(error) = Config::parse(Path::new("spoa.toml"), &text) {
            assert!(!error.problems.is_empty());
            let lines = text.lines().count() + 1;
            for problem in error.problems {
                assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)));
                assert!(!problem.what.is_empty());
            }
        }
        Ok(())
    };
    TestRunner::new(cases).run(&changes, law).unwrap();
}

#[test]
fn the_sample_is_a_configuration() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("haproxy-conf/spoa.toml");
    let ended = Program::run(&["check", "--offline", "-f", sample.to_str().unwrap()]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn a_bad_address_in_the_file_is_named() {
    let scratch = Scratch::new();
    let config = scratch.write("spoa.toml", "[agent]\nbind = [\"localhost\"]\n");
    let ended = Program::run(&["-f", config.to_str().unwrap()]);
    let line = ended.refusal(1);
    assert!(
        line.contains("spoa.toml:2: bind: \"localhost\": expected ADDRESS"),
        "{line}"
    );
}

/// What only shows at the start has the line of the file too, unless a flag counts.
#[test]
fn an_option_of_the_file_that_fails_at_the_start_is_named_with_its_line() {
    let scratch = Scratch::new();
    let config = scratch.write("spoa.toml", "[agent]\n\nuser = \"no such user\"\n");
    let config = config.to_str().unwrap();
    let ended = Program::run(&["-f", config, "-p", "0"]);
    let line = ended.refusal(1);
    assert!(line.contains("spoa.toml:3: user: "), "{line}");
    let ended = Program::run(&["-f", config, "-p", "0", "--user", "nor this"]);
    let line = ended.refusal(1);
    assert!(line.contains("--user: "), "{line}");
}
