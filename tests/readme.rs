//! What README says about options, messages and status codes is what the program does: the tables are
//! made here. `SPOA_BLESS=1 cargo test --test readme` writes them into README.md.

#![cfg(test)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use spoa::iprep::{ArgumentName, QUESTIONS};
use spoa::spop::Status;

/// Replaces what stands between `<!-- NAME: … -->` and `<!-- end -->`.
fn with_block(readme: &str, name: &str, block: &str) -> String {
    let begin = readme
        .find(&format!("<!-- {name}: "))
        .unwrap_or_else(|| panic!("no {name} block"));
    let begin = begin + readme[begin..].find('\n').unwrap() + 1;
    let end = begin + readme[begin..].find("<!-- end -->").unwrap();
    format!("{}{block}{}", &readme[..begin], &readme[end..])
}

fn help() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_spoa"))
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    format!("```text\n{}\n```\n", lines.join("\n"))
}

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
fn the_tables_are_those_of_the_program() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let mut made = readme.clone();
    for (name, block) in [
        ("help", help()),
        ("messages", messages()),
        ("statuses", statuses()),
    ] {
        made = with_block(&made, name, &block);
    }
    if std::env::var_os("SPOA_BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
        return;
    }
    for (wrong, right) in readme.lines().zip(made.lines()) {
        assert_eq!(
            wrong, right,
            "README.md is behind: SPOA_BLESS=1 cargo test --test readme"
        );
    }
    assert_eq!(readme.len(), made.len());
}

#[test]
fn every_file_and_folder_that_it_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let words = readme.split(|c: char| c.is_whitespace() || "`()[]|,;:".contains(c));
    let is_ours = |word: &&str| {
        ["scripts/", "haproxy-conf/", "examples/", "tests/", "docs/"]
            .iter()
            .any(|folder| word.starts_with(folder))
            || [".md"].iter().any(|ending| word.ends_with(ending))
    };
    let named: Vec<_> = words.filter(is_ours).collect();
    assert!(named.len() > 10, "{named:?}");
    for path in named {
        assert!(root.join(path.trim_end_matches('.')).exists(), "{path}");
    }
}
