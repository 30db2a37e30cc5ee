//! `spoa lookup`: why an address has the score that it has.

#![cfg(test)]

mod support;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use support::{Program, Scratch};

fn config(scratch: &Scratch) -> PathBuf {
    scratch.write("strong", "192.0.2.0/24\n203.0.113.7\n");
    scratch.write("weak", "192.0.2.1\n198.51.100.1\n10.1.1.1\n");
    scratch.write(
        "spoa.toml",
        "[reputation]\nactions = [{ name = \"deny\", max-score = 30 }]\n\
         [[feed]]\nname = \"strong\"\npath = \"strong\"\nweight = 0.8\ndefault-category = \"scanner\"\n\
         [[feed]]\nname = \"weak\"\npath = \"weak\"\nweight = 0.5\n\
         [[feed]]\nname = \"trial\"\npath = \"weak\"\nshadow = true\n\
         [allow]\nprefixes = [\"192.0.2.9\"]\n[deny]\nprefixes = [\"2001:db8::/32\"]\n",
    )
}

/// Runs it with this on standard input.
fn lookup(args: &[&str], input: &str) -> Output {
    let scratch = Scratch::new();
    let config = config(&scratch);
    let args = [&["lookup", "-f", config.to_str().unwrap()], args].concat();
    run(Program::command(&args), input)
}

fn run(mut command: Command, input: &str) -> Output {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = pipes.stderr(Stdio::piped()).spawn().unwrap();
    // It may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn people_see_what_covers_an_address_and_what_decided() {
    let output = lookup(&["192.0.2.1", "192.0.2.9", "203.0.113.1", "10.1.1.1"], "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = stdout(&output);
    for part in [
        "192.0.2.1  score 10, from feeds, 0 with feeds in shadow, action deny, category scanner\n",
        "  trial   192.0.2.1     feed     badness 1.0000 = 1.00 × 1.00 × 1.00  shadow",
        "  strong  192.0.2.0/24  feed     badness 0.8000 = 0.80 × 1.00 × 1.00  leads  scanner",
        "  weak    192.0.2.1     feed     badness 0.5000 = 0.50 × 1.00 × 1.00  counts",
        "192.0.2.9  score 100, decided by allow\n",
        "  allow   192.0.2.9     allow    badness 0.0000  leads",
        "overruled",
        "203.0.113.1  score 100, nobody knows it\n",
        "10.1.1.1  score 100, decided by private\n",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
}

#[test]
fn a_range_is_shown_as_its_list_has_it_and_a_category_by_who_has_one() {
    let scratch = Scratch::new();
    scratch.write(
        "ranges",
        "192.0.2.3-192.0.2.200\n2001:db8::1-2001:db8::9\n192.0.2.0-192.0.2.255\n",
    );
    scratch.write("named", "192.0.2.7,scanner\n");
    let config = scratch.write(
        "spoa.toml",
        "[[feed]]\nname = \"ranges\"\npath = \"ranges\"\n\
         [[feed]]\nname = \"named\"\npath = \"named\"\nformat = \"csv\"\nweight = 0.2\n\
         columns = { prefix = 0, category = 1 }\n",
    );
    let config = config.to_str().unwrap();
    let args = [
        "lookup",
        "-f",
        config,
        "--json",
        "192.0.2.7",
        "2001:db8::2",
        "192.0.2.2",
    ];
    let output = run(Program::command(&args), "");
    let lines: Vec<serde_json::Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let prefixes = |line: &serde_json::Value| {
        let entries = line["entries"].as_array().unwrap().clone();
        let prefixes = entries
            .iter()
            .map(|entry| entry["prefix"].as_str().unwrap());
        prefixes.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let all = prefixes(&lines[0]);
    for prefix in ["192.0.2.3-192.0.2.200", "192.0.2.0/24", "192.0.2.7"] {
        assert!(all.iter().any(|it| it == prefix), "{prefix}: {all:?}");
    }
    assert_eq!(lines[0]["feed"], "ranges");
    assert_eq!(lines[0]["category"], "scanner", "the strongest has none");
    assert_eq!(lines[0]["entries"][2]["weight"], 0.2);
    assert_eq!(lines[0]["entries"][2]["age"], 1.0);
    assert_eq!(prefixes(&lines[1]), ["2001:db8::1-2001:db8::9"]);
    assert_eq!(prefixes(&lines[2]), ["192.0.2.0/24"]);
}

#[test]
fn json_is_an_object_a_line() {
    let output = lookup(&["--json", "-"], "192.0.2.1\n2001:db8::1\nx\n");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = stdout(&output);
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["score"], 10);
    assert_eq!(lines[0]["shadow_score"], 0);
    assert_eq!(lines[0]["action"], "deny");
    assert_eq!(lines[0]["reason"], "strong:192.0.2.0/24");
    assert_eq!(lines[0]["entries"].as_array().unwrap().len(), 3);
    assert_eq!(lines[1]["decided_by"], "deny");
    assert_eq!(lines[2]["error"], "not an address");
}

#[test]
fn many_addresses_are_a_line_each() {
    let input = "192.0.2.1\n::ffff:192.0.2.1\r\n\n# note\n  203.0.113.1 \nnonsense\n2001:db8::1";
    let output = lookup(&["--terse"], input);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        stdout(&output),
        "192.0.2.1 10 feed strong:192.0.2.0/24\n\
         ::ffff:192.0.2.1 10 feed strong:192.0.2.0/24\n\
         203.0.113.1 100 - -\n\
         nonsense is not an address\n\
         2001:db8::1 0 deny deny:2001:db8::/32\n"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let scratch = Scratch::new();
    let config = config(&scratch);
    let mut command = Command::new("sh");
    let line = "\"$0\" lookup -f \"$1\" --terse | head -n 1; exit ${PIPESTATUS:-0}";
    command.args(["-c", line, env!("CARGO_BIN_EXE_spoa")]);
    command.arg(&config);
    let output = run(command, &"192.0.2.1\n".repeat(100_000));
    assert_eq!(stdout(&output), "192.0.2.1 10 feed strong:192.0.2.0/24\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn what_cannot_be_asked_is_one_line() {
    let output = lookup(&["192.0.2.256"], "");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("192.0.2.256") && said.contains("expected an address"),
        "{said}"
    );
    let scratch = Scratch::new();
    let random = scratch.write("spoa.toml", "[reputation]\nsource = \"random\"\n");
    let ended = Program::run(&["lookup", "-f", random.to_str().unwrap(), "192.0.2.1"]);
    assert!(ended.refusal(1).contains("random"));
}
