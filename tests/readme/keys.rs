//! docs/reference.md lists every key of the configuration, and the default of each is the program's.

use std::path::Path;

use ip_reputation::PAYLOAD_BYTES_MAX;
use iprep_spoa::config::Config;

use crate::document::{code, help, table};

const REFERENCE: &str = "docs/reference.md";

/// A table of the reference, and a configuration with `@` where a line with a key of it may stand.
const TABLES: [(&str, &str); 17] = [
    ("### `[agent]`", "[agent]\n@"),
    ("### `[admin]`", "[admin]\n@"),
    ("### `[live]`", "[live]\n@"),
    ("### `[behavior]`", "[live]\n[behavior]\n@"),
    ("### `[fleet]`", "[live]\n[fleet]\nurl = \"redis://a\"\n@"),
    (
        "### `[crowdsec]`",
        "[live]\n[crowdsec]\napi-key-file = \"a\"\n@",
    ),
    ("### `[reputation]`", "[reputation]\n@"),
    (
        "### `actions` of `[reputation]`",
        "[[reputation.actions]]\nname = \"a\"\nmax-score = 1\n@",
    ),
    (
        "### `[[feed]]`",
        "[[feed]]\nname = \"a\"\nurl = \"http://lists.example/\"\n@",
    ),
    (
        "### `headers` of `[[feed]]`",
        "[[feed]]\nname = \"a\"\npath = \"b\"\n[[feed.headers]]\nname = \"a\"\nenv = \"B\"\n@",
    ),
    (
        "### `columns` of `[[feed]]`",
        "[[feed]]\nname = \"a\"\npath = \"b\"\n[feed.columns]\n@",
    ),
    (
        "### `rules` of `[[feed]]`",
        "[[feed]]\nname = \"a\"\npath = \"b\"\n[[feed.rules]]\nasn = 1\n@",
    ),
    ("### `[allow]` and `[deny]`", "[allow]\n@"),
    (
        "### `[[message]]`",
        "[[message]]\nname = \"a\"\n@\n[[message.vars]]\nname = \"a\"\nvalue = \"score\"\n",
    ),
    (
        "### `vars` of `[[message]]`",
        "[[message]]\nname = \"a\"\n[[message.vars]]\nname = \"a\"\nvalue = \"score\"\n@",
    ),
    (
        "### `[[payload]]`",
        "[[payload]]\nname = \"a\"\nscore = 1\nstarts-with = \"a\"\n@",
    ),
    ("### `[payload-options]`", "[payload-options]\n@"),
];

/// What the program says to a configuration, if it refuses it.
fn refusal(text: &str) -> Option<String> {
    let error = Config::parse(Path::new("spoa.toml"), text).err()?;
    Some(error.problems[0].what.clone())
}

fn read(text: &str) -> Config {
    let mut config = Config::parse(Path::new("spoa.toml"), text)
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    // Left out and given are told apart where it does not matter.
    let bytes_max = config.payload_bytes_max.unwrap_or(PAYLOAD_BYTES_MAX);
    config.payload_bytes_max = Some(bytes_max);
    config.admin.unix_mode = Some(config.admin.unix_mode.unwrap_or(0o660));
    config
}

/// The keys that the program names when it meets one that it does not know.
fn known(text: &str) -> Vec<String> {
    const UNKNOWN: &str = "zzzzzzzzzzzzzzzzzzzzzz";
    let said = refusal(&text.replace('@', &format!("{UNKNOWN} = 1"))).unwrap();
    let (_, known) = said
        .split_once("known are ")
        .unwrap_or_else(|| panic!("{said}"));
    known.split(", ").map(str::to_owned).collect()
}

fn sorted(mut keys: Vec<String>) -> Vec<String> {
    keys.sort();
    keys
}

#[test]
fn every_key_has_a_row() {
    for (heading, text) in TABLES {
        let rows = table(REFERENCE, heading);
        let listed = rows.iter().map(|row| code(&row[0]).unwrap().to_owned());
        assert_eq!(
            sorted(listed.collect()),
            sorted(known(text)),
            "docs/reference.md, {heading}: left what it lists, right what the program knows"
        );
    }
    assert_eq!(known("[deny]\n@"), known("[allow]\n@"));
    // Every table of the file has one in the reference.
    for table in known("@\n") {
        let has = |name: &&(&str, &str)| {
            let heading = name.0;
            [format!("`[{table}]`"), format!("`[[{table}]]`")]
                .iter()
                .any(|it| heading.contains(it))
        };
        assert!(TABLES.iter().any(|it| has(&it)), "no table about {table}");
    }
}

#[test]
fn every_default_is_the_programs() {
    let mut checked = 0;
    for (heading, text) in TABLES {
        if heading.contains("[agent]") {
            continue;
        }
        // [admin] has a column for the option before the one with the default.
        let column = if heading.contains("[admin]") { 2 } else { 1 };
        for row in table(REFERENCE, heading) {
            let key = code(&row[0]).unwrap();
            let Some(default) = code(&row[column]) else {
                let word = &row[column];
                let is_listed = ["none", "required", "found out"].contains(&word.as_str())
                    || ["this or", "one of", "`\"feeds\"` if"]
                        .iter()
                        .any(|start| word.starts_with(start));
                assert!(is_listed, "{heading}, {key}: {word} is no default");
                continue;
            };
            let line = format!("{key} = {default}");
            assert_eq!(
                read(&text.replace('@', &line)),
                read(&text.replace('@', "")),
                "{heading}: not the default: {line}"
            );
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
}

/// What an option's help says about it: from its line to the next option.
fn about(option: &str) -> String {
    let help = help(&[]);
    let mut lines = help
        .lines()
        .skip_while(|line| !format!("{line} ").contains(&format!(" {option} ")));
    let first = lines.next().unwrap_or_else(|| panic!("no option {option}"));
    let rest = lines.take_while(|line| !line.trim_start().starts_with('-') && !line.is_empty());
    let words: Vec<_> = core::iter::once(first)
        .chain(rest)
        .flat_map(str::split_whitespace)
        .collect();
    words.join(" ")
}

#[test]
fn every_key_of_the_agent_is_an_option_with_its_default() {
    for row in table(REFERENCE, "### `[agent]`") {
        let key = code(&row[0]).unwrap();
        let option = code(&row[1]).unwrap();
        assert!(key == "listen" || option == format!("--{key}"), "{key}");
        let about = about(option);
        let told = about
            .split_once("[default: ")
            .map(|(_, rest)| rest.split(']').next().unwrap());
        let default = match code(&row[2]) {
            None => {
                assert_eq!(row[2], "none", "{key}");
                None
            }
            Some(literal) => {
                // A literal of the right type.
                assert_eq!(refusal(&format!("[agent]\n{key} = {literal}")), None);
                Some(literal.trim_matches(['[', ']', '"'])).filter(|it| *it != "false")
            }
        };
        assert_eq!(default, told, "{key}: {about}");
    }
}
