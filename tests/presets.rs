//! Presets and `spoa feeds`: each preset reads a sample in the shape of its source, and a guess reads what
//! a preset reads.

#![cfg(test)]

#[path = "model/mmdb.rs"]
#[expect(dead_code, reason = "shared")]
mod mmdb;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use iprep_spoa::config::presets;
use support::{Program, Scratch};

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/presets")
}

/// Every sample's entries, written down by hand.
const EXPECTED: [(&str, &[&str]); 37] = [
    ("abuseipdb", &["192.0.2.5", "2001:db8::5"]),
    ("applebot", &["192.0.2.0/27", "2001:db8:1::/64"]),
    ("aws-cloudfront", &["192.0.2.0/24", "2001:db8::/47"]),
    ("bingbot", &["192.0.2.0/27", "2001:db8:1::/64"]),
    (
        "blocklist-de",
        &["192.0.2.61", "198.51.100.62", "2001:db8::61"],
    ),
    ("cins", &["192.0.2.71", "198.51.100.72"]),
    ("cloudflare-v4", &["192.0.2.0/24", "198.51.100.0/24"]),
    ("cloudflare-v6", &["2001:db8::/32", "3fff::/20"]),
    ("dshield", &["192.0.2.0/24", "198.51.100.0/24"]),
    ("duckduckbot", &["192.0.2.0/27", "2001:db8:1::/64"]),
    (
        "emerging-threats",
        &["192.0.2.0/24", "198.51.100.0/24", "203.0.113.9"],
    ),
    (
        "fastly",
        &["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32"],
    ),
    ("feodo", &["192.0.2.21", "198.51.100.22"]),
    ("firehol-level1", &["192.0.2.0/24", "198.51.100.9"]),
    ("firehol-level2", &["192.0.2.0/24", "198.51.100.9"]),
    ("firehol-level3", &["192.0.2.0/24", "198.51.100.9"]),
    ("firehol-level4", &["192.0.2.0/24", "198.51.100.9"]),
    ("github-hooks", &["192.0.2.0/24", "2001:db8::/32"]),
    (
        "google-cloud-load-balancers",
        &["192.0.2.0/24", "2001:db8::/44"],
    ),
    ("googlebot", &["192.0.2.0/27", "2001:db8:1::/64"]),
    ("greensnow", &["192.0.2.81", "198.51.100.82"]),
    ("ipsum", &["192.0.2.91", "198.51.100.92"]),
    ("openai-chatgpt-user", &["192.0.2.0/27", "2001:db8:1::/64"]),
    ("openai-gptbot", &["192.0.2.0/27", "2001:db8:1::/64"]),
    ("openai-searchbot", &["192.0.2.0/27", "2001:db8:1::/64"]),
    ("spamhaus-asndrop", &["203.0.113.0/24", "2001:db8:77::/48"]),
    ("spamhaus-drop", &["192.0.2.0/24", "198.51.100.0/24"]),
    ("spamhaus-drop-v6", &["2001:db8::/32", "2001:db8:8000::/36"]),
    ("sslbl", &["192.0.2.31", "198.51.100.32"]),
    (
        "stopforumspam",
        &["192.0.2.0/24", "198.51.100.0/25", "2001:db8::/32"],
    ),
    ("stopforumspam-7d", &["192.0.2.111", "198.51.100.112"]),
    ("stripe-webhooks", &["192.0.2.12", "198.51.100.13"]),
    ("threatfox", &["192.0.2.41", "198.51.100.42"]),
    (
        "tor-exits",
        &["192.0.2.101", "198.51.100.102", "203.0.113.103"],
    ),
    ("urlhaus", &["192.0.2.51", "198.51.100.52"]),
    (
        "x4b-datacenter",
        &["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"],
    ),
    ("x4b-vpn", &["192.0.2.0/24", "198.51.100.128/25"]),
];

/// The prefixes that a feed has, by way of `spoa lookup` of an address in each expected one, and the count of
/// `spoa check`.
fn assert_reads(scratch: &Scratch, config: &str, name: &str, expected: &[&str]) {
    let path = scratch.write("spoa.toml", config);
    let path = path.to_str().unwrap();
    let ended = Program::run(&["check", "--offline", "-f", path]);
    assert_eq!(ended.code, Some(0), "{name}: {ended:?}");
    let is_v6 = |prefix: &&&str| prefix.contains(':');
    let v6 = expected.iter().filter(is_v6).count();
    let counts = format!("{} IPv4 and {v6} IPv6 entries", expected.len() - v6);
    assert!(
        ended.stdout.contains(&counts),
        "{name}: {counts}: {}",
        ended.stdout
    );
    for prefix in expected {
        let address = prefix.split('/').next().unwrap();
        let ended = Program::run(&["lookup", "--offline", "--terse", "-f", path, address]);
        let reason = format!("{name}:{prefix}");
        assert!(
            ended.stdout.trim_end().ends_with(&reason),
            "{reason}: {ended:?}"
        );
    }
}

fn databases(scratch: &Scratch) -> String {
    use mmdb::{Database, Value};
    let asn = |number| Value::Map(vec![("autonomous_system_number", Value::Number(number))]);
    let networks = vec![
        ("203.0.113.0".parse().unwrap(), 24, asn(64_496)),
        ("2001:db8:77::".parse().unwrap(), 48, asn(64_497)),
        ("198.18.0.0".parse().unwrap(), 24, asn(64_498)),
    ];
    let path = scratch.write("asn.mmdb", Database::new(networks).bytes());
    format!("[reputation]\nasn-db = \"{}\"\n", path.display())
}

#[test]
fn every_preset_reads_a_sample_of_its_source() {
    let expected: Vec<_> = EXPECTED
        .iter()
        .filter(|(name, _)| !name.is_empty())
        .collect();
    let names: Vec<_> = expected.iter().map(|(name, _)| *name).collect();
    let all: Vec<_> = presets::all().keys().map(String::as_str).collect();
    assert_eq!(names, all);
    for (name, prefixes) in expected {
        let scratch = Scratch::new();
        let reputation = if *name == "spamhaus-asndrop" {
            databases(&scratch)
        } else {
            String::new()
        };
        let sample = samples().join(name);
        let text = format!(
            "{reputation}[[feed]]\npreset = \"{name}\"\npath = \"{}\"\n",
            sample.display()
        );
        assert_reads(&scratch, &text, name, prefixes);
    }
}

#[test]
fn presets_are_listed_and_shown() {
    let list = Program::run(&["feeds", "list"]);
    let json = Program::run(&["feeds", "list", "--json"]);
    assert_eq!((list.code, json.code), (Some(0), Some(0)));
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let names: BTreeSet<_> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert!(names.len() >= 25);
    for name in names {
        assert!(
            list.stdout.lines().any(|line| line.starts_with(name)),
            "{name}"
        );
        let shown = Program::run(&["feeds", "show", name]);
        assert!(shown.stdout.contains("[[feed]]\nname = "), "{shown:?}");
        assert!(shown.stdout.contains("url = \"https://"), "{shown:?}");
    }
    let wrong = Program::run(&["feeds", "show", "tor-exit"]);
    assert!(
        wrong.refusal(2).contains("did you mean tor-exits?"),
        "{wrong:?}"
    );
}

/// Guesses that find every entry; of `aws-cloudfront`, `google-cloud-load-balancers` and `github-hooks` a guess
/// cannot know which part is meant.
#[test]
fn a_guess_reads_what_a_preset_reads() {
    let others = [
        "aws-cloudfront",
        "google-cloud-load-balancers",
        "github-hooks",
        "spamhaus-asndrop",
        "",
    ];
    for (name, prefixes) in EXPECTED.iter().filter(|(name, _)| !others.contains(name)) {
        let scratch = Scratch::new();
        let sample = samples().join(name);
        let guessed = Program::run(&["feeds", "guess", sample.to_str().unwrap()]);
        assert_eq!(guessed.code, Some(0), "{name}: {guessed:?}");
        let feed = format!("name = \"{name}\"");
        assert!(guessed.stdout.contains(&feed), "{guessed:?}");
        assert!(
            guessed
                .stdout
                .contains("# The first entries as understood:"),
            "{guessed:?}"
        );
        assert_reads(&scratch, &guessed.stdout, name, prefixes);
    }
}

#[test]
fn a_guess_names_columns() {
    let scratch = Scratch::new();
    let list = scratch.write(
        "seen.csv",
        "when;client;score\n2026-01-01;192.0.2.1;80\n2026-01-02;192.0.2.2;90\n",
    );
    let guessed = Program::run(&["feeds", "guess", list.to_str().unwrap()]).stdout;
    for part in [
        "columns = { separator = \";\", prefix = \"client\" }",
        "#   1  client  192.0.2.1  (address)",
        "#   2  score  80  (number: could be value, with higher-is)",
        "#   192.0.2.1  confidence 1",
        "2 IPv4 and 0 IPv6 entries, 0 invalid",
    ] {
        assert!(guessed.contains(part), "{part}: {guessed}");
    }
}

#[test]
fn garbage_is_no_list() {
    let scratch = Scratch::new();
    for (name, bytes) in [
        (
            "html",
            b"<!DOCTYPE html><html><body>404 Not Found</body></html>".to_vec(),
        ),
        ("empty", Vec::new()),
        ("text", b"some words\nand more of them, here\n".to_vec()),
        ("json", b"{\"error\": \"no key\"}".to_vec()),
        ("half", b"{\"data\": [{\"ip\": \"192.0.".to_vec()),
        ("noise", (0..=255).cycle().take(5000).collect()),
    ] {
        let path = scratch.write(name, bytes);
        let ended = Program::run(&["feeds", "guess", path.to_str().unwrap()]);
        assert_eq!(
            (ended.code, ended.stdout.len()),
            (Some(1), 0),
            "{name}: {ended:?}"
        );
        assert!(ended.stderr[0].contains("feeds guess"), "{ended:?}");
    }
    let missing = Program::run(&["feeds", "guess", "/nowhere/list"]);
    assert!(
        missing.refusal(1).contains("cannot read /nowhere/list"),
        "{missing:?}"
    );
    assert!(fs::metadata(samples()).is_ok());
}
