//! Documents: what the program writes into them, and the tables that they have.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn path(document: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(document)
}

pub(crate) fn read(document: &str) -> String {
    fs::read_to_string(path(document)).unwrap_or_else(|error| panic!("{document}: {error}"))
}

/// Replaces what stands between `<!-- NAME: … -->` and `<!-- end -->`.
fn with_block(document: &str, name: &str, block: &str) -> String {
    let begin = document
        .find(&format!("<!-- {name}: "))
        .unwrap_or_else(|| panic!("no {name} block"));
    let begin = begin + document[begin..].find('\n').unwrap() + 1;
    let end = begin + document[begin..].find("<!-- end -->").unwrap();
    format!("{}{block}{}", &document[..begin], &document[end..])
}

/// A document has these blocks; `SPOA_BLESS=1` sees to it.
pub(crate) fn holds(document: &str, blocks: &[(&str, String)]) {
    let found = read(document);
    let made = blocks.iter().fold(found.clone(), |text, (name, block)| {
        with_block(&text, name, block)
    });
    if std::env::var_os("SPOA_BLESS").is_some() {
        fs::write(path(document), &made).unwrap();
        return;
    }
    for (wrong, right) in found.lines().zip(made.lines()) {
        assert_eq!(
            wrong, right,
            "{document} is behind: SPOA_BLESS=1 cargo test --test readme"
        );
    }
    assert_eq!(found.len(), made.len());
}

/// What a command says to `--help`.
pub(crate) fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_spoa"))
        .args(command)
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    format!("```text\n{}\n```\n", lines.join("\n"))
}

/// The rows of the first table below a heading, without its head: cells as they are written.
pub(crate) fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let text = read(document);
    let after = text
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("{document} has no {heading}"));
    let lines = after
        .1
        .lines()
        .take_while(|line| !line.starts_with('#'))
        .skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    let rows: Vec<_> = rows
        .map(|row| {
            let cells = row.trim_matches('|').split(" | ");
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect();
    assert!(!rows.is_empty(), "{document}, {heading}: no table");
    rows
}

/// What stands between backticks, if that is all of it.
pub(crate) fn code(cell: &str) -> Option<&str> {
    let inner = cell.strip_prefix('`')?.strip_suffix('`')?;
    (!inner.contains('`')).then_some(inner)
}
