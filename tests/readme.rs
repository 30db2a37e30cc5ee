//! What README and docs/reference.md say about options, keys, messages, routes and codes is what the
//! program does. What can be made is made here: `SPOA_BLESS=1 cargo test --test readme` writes it.

#![cfg(test)]

#[path = "readme/codes.rs"]
mod codes;
#[path = "readme/document.rs"]
mod document;
#[path = "readme/figures.rs"]
mod figures;
#[path = "readme/keys.rs"]
mod keys;
#[path = "readme/names.rs"]
mod names;
mod support;

use std::fmt::Write as _;

use document::{help, holds};
use haproxy_spop::Status;
use iprep_spoa::policy::{ArgumentName, QUESTIONS};

fn messages() -> String {
    let mut table = String::from("| message | argument | variable |\n|---|---|---|\n");
    for question in QUESTIONS {
        let argument = match question.argument {
            ArgumentName::Any => "the first that is an address, named or not".to_owned(),
            ArgumentName::Named(name) => format!("`{name}`"),
        };
        let (scope, variable) = (question.scope, question.variable);
        let row = format!(
            "| `{}` | {argument} | `{scope}` `{variable}` |",
            question.message
        );
        writeln!(table, "{row}").unwrap();
    }
    table
}

fn statuses() -> String {
    let mut table = String::from("| code | meaning |\n|---|---|\n");
    for code in (0..14).chain([99]) {
        writeln!(table, "| {code} | {} |", Status(code).message()).unwrap();
    }
    table
}

#[test]
fn the_readme_is_short() {
    let lines = document::read("README.md").lines().count();
    assert!(lines <= 150, "{lines} lines");
}

#[test]
fn the_reference_has_the_help_of_every_command() {
    let mut blocks = vec![
        ("help", help(&[])),
        ("messages", messages()),
        ("statuses", statuses()),
    ];
    for (name, command) in [("help check", "check"), ("help lookup", "lookup")] {
        blocks.push((name, help(&[command])));
    }
    #[cfg(feature = "admin")]
    blocks.push(("help ctl", help(&["ctl"])));
    holds("docs/reference.md", &blocks);
}
