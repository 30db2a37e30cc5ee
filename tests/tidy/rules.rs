//! The rules for one file. Each gives a line per violation: where, and what is to be done.

use crate::layers;
use crate::paths::{code, paths};

/// Where people are spoken to.
const MAY_PRINT: [&str; 3] = ["src/main.rs", "src/cli/", "src/host/log"];

const PRINTING: [&str; 5] = ["print!", "println!", "eprint!", "eprintln!", "dbg!"];

/// What is wrong with a Rust source. `path` is relative to the project.
pub(crate) fn of_rust(path: &str, text: &str) -> Vec<String> {
    let mut found = header(path, text);
    let code = code(text);
    let (in_src, is_unit_test) = (is_shipped(path), is_unit_test(path));
    found.extend(markers(path, text));
    found.extend(reasons(path, &code));
    found.extend(naps(path, text));
    if is_unit_test {
        return found;
    }
    found.extend(globs(path, &code));
    if in_src {
        found.extend(prints(path, &code));
        found.extend(layers::violations(path, &code));
    }
    found
}

/// Whether a source is part of what is published: the daemon or a crate.
fn is_shipped(path: &str) -> bool {
    path.starts_with("src/") || path.starts_with("crates/")
}

/// Unit tests with a file of their own: `tests.rs`, or `frame_tests.rs` beside `frame.rs`.
fn is_unit_test(path: &str) -> bool {
    !path.starts_with("tests/") && path.ends_with("tests.rs")
}

fn header(path: &str, text: &str) -> Vec<String> {
    let has = text.starts_with("//! ") || is_unit_test(path);
    if has {
        Vec::new()
    } else {
        vec![format!("{path}:1 has no module header")]
    }
}

/// Leftover markers, in any text file.
pub(crate) fn markers(path: &str, text: &str) -> Vec<String> {
    // Taken apart so that this file does not contain them.
    let markers = [["TO", "DO"], ["FIX", "ME"], ["HA", "CK"], ["X", "XX"]].map(|two| two.concat());
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let has = |line: &str| {
        line.split(|character| !is_word(character))
            .any(|word| markers.iter().any(|marker| marker == word))
    };
    at_lines(path, text, has, "leaves a marker behind")
}

fn at_lines(path: &str, text: &str, has: impl Fn(&str) -> bool, what: &str) -> Vec<String> {
    let lines = text.lines().enumerate().filter(|(_, line)| has(line));
    lines
        .map(|(place, _)| format!("{path}:{} {what}", place + 1))
        .collect()
}

/// A lint is silenced for a reason.
fn reasons(path: &str, code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines: Vec<_> = code.lines().collect();
    for (place, line) in lines.iter().enumerate() {
        let attribute = line.trim_start().trim_start_matches(['#', '!']);
        if !attribute.starts_with("[allow(") && !attribute.starts_with("[expect(") {
            continue;
        }
        let rest = lines[place..].join("\n");
        if !rest
            .split(")]")
            .next()
            .unwrap_or_default()
            .contains("reason = ")
        {
            found.push(format!(
                "{path}:{} silences a lint without a reason",
                place + 1
            ));
        }
    }
    found
}

/// A test waits for a condition and a worker for its poll, never for time to pass.
fn naps(path: &str, text: &str) -> Vec<String> {
    let nap = ["thread", "sleep"].join("::");
    at_lines(path, text, |line| line.contains(&nap), "sleeps")
}

fn globs(path: &str, code: &str) -> Vec<String> {
    let globs = paths(code)
        .into_iter()
        .filter(|(_, path)| path.ends_with("::*"));
    globs
        .map(|(line, glob)| format!("{path}:{line} imports {glob}"))
        .collect()
}

fn prints(path: &str, code: &str) -> Vec<String> {
    if MAY_PRINT.iter().any(|place| path.starts_with(place)) {
        return Vec::new();
    }
    let has = |line: &str| {
        PRINTING.iter().any(|print| {
            line.match_indices(print).any(|(at, _)| {
                !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_')
            })
        })
    };
    let mut found = at_lines(path, code, has, "prints");
    for (line, name) in paths(code) {
        if name
            .split("::")
            .any(|part| part == "stdout" || part == "stderr")
        {
            found.push(format!("{path}:{line} prints ({name})"));
        }
    }
    found
}

/// A script ends at its first failure.
pub(crate) fn of_script(path: &str, text: &str) -> Vec<String> {
    let mut found = markers(path, text);
    if !text.lines().any(|line| line == "set -euo pipefail") {
        found.push(format!("{path}:1 goes on after a failure"));
    }
    found
}

/// The library and the binary have no unsafe code.
pub(crate) fn of_root(path: &str, text: &str) -> Vec<String> {
    if text.lines().any(|line| line == "#![forbid(unsafe_code)]") {
        return Vec::new();
    }
    vec![format!("{path}:1 does not forbid unsafe code")]
}

/// README names every folder at the top.
pub(crate) fn of_readme(readme: &str, folders: &[String]) -> Vec<String> {
    let missing = folders
        .iter()
        .filter(|folder| !readme.contains(&format!("`{folder}`")));
    missing
        .map(|folder| format!("README.md:1 does not say what `{folder}` is"))
        .collect()
}
