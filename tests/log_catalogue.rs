//! Compares docs/logs.md with the log macros in the code: levels, messages and fields.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// Lines that are made without a macro.
const WITHOUT_MACRO: [(&str, &str, &[&str]); 2] = [
    ("WARN", "log lines dropped", &["count", "hint"]),
    ("INFO", "report", &["text"]),
];

/// Level and message of a line, with its fields.
type Catalogue = BTreeMap<(String, String), BTreeSet<String>>;

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Splits the arguments of a macro at its top-level commas. `text` begins behind its parenthesis.
fn arguments(text: &str) -> Vec<String> {
    let (mut all, mut current) = (Vec::new(), String::new());
    let (mut depth, mut is_string, mut is_escaped) = (0, false, false);
    for c in text.chars() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_string => is_escaped = true,
            '"' => is_string = !is_string,
            _ if is_string => {}
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                all.push(core::mem::take(&mut current).trim().to_owned());
                continue;
            }
            _ => {}
        }
        current.push(c);
    }
    all.push(current.trim().to_owned());
    all.retain(|argument| !argument.is_empty());
    all
}

/// Returns what the code logs, and complains about messages that are not fixed.
fn of_the_code() -> Catalogue {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    let call = Regex::new(r"(?:^|[^a-z_])(info|warn|error|debug)!\(").unwrap();
    let message = Regex::new("^\"([a-z][a-z ]*)\"$").unwrap();
    let name = Regex::new(r"^[%?]?([a-z_]+)(?: =|$)").unwrap();
    let mut found = Catalogue::new();
    for file in files {
        let code = fs::read_to_string(&file).unwrap();
        for macro_call in call.captures_iter(&code) {
            let all = arguments(&code[macro_call.get(0).unwrap().end()..]);
            let (last, fields) = all.split_last().unwrap();
            let Some(text) = message.captures(last) else {
                panic!(
                    "{}: the message {last} is not fixed: lower-case words, values in fields",
                    file.display()
                );
            };
            let fields = fields.iter().map(|field| {
                let found = name.captures(field);
                let found = found.unwrap_or_else(|| panic!("{}: {field}", file.display()));
                found[1].to_owned()
            });
            let key = (macro_call[1].to_uppercase(), text[1].to_owned());
            found.entry(key).or_default().extend(fields);
        }
    }
    for (level, message, fields) in WITHOUT_MACRO {
        let fields = fields.iter().map(|&field| field.to_owned()).collect();
        found.insert((level.to_owned(), message.to_owned()), fields);
    }
    found
}

fn of_the_document() -> Catalogue {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/logs.md")).unwrap();
    let mut found = Catalogue::new();
    for row in text.lines() {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [
            "",
            level @ ("ERROR" | "WARN" | "INFO" | "DEBUG"),
            message,
            fields,
            meaning,
            _,
            "",
        ] = cells[..]
        else {
            continue;
        };
        assert!(!meaning.is_empty(), "{message} has no meaning");
        let fields = fields.split(", ").filter(|field| !field.is_empty());
        let fields = fields.map(str::to_owned).collect();
        let is_new = found
            .insert((level.to_owned(), message.to_owned()), fields)
            .is_none();
        assert!(is_new, "{message} has two rows");
    }
    found
}

#[test]
fn every_line_is_in_the_document_with_its_level_and_fields() {
    let (code, document) = (of_the_code(), of_the_document());
    assert!(code.len() > 50, "only {} lines found", code.len());
    let missing: Vec<_> = code
        .iter()
        .filter(|(key, fields)| document.get(key) != Some(fields))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/logs.md has no such row: {missing:#?}"
    );
    let gone: Vec<_> = document
        .keys()
        .filter(|key| !code.contains_key(key))
        .collect();
    assert!(gone.is_empty(), "no code logs these rows: {gone:#?}");
}

#[test]
fn arguments_are_split_at_their_own_commas() {
    assert_eq!(
        arguments("a, b = f(1, \"),\"), \"x, \\\"y\"); rest"),
        ["a", "b = f(1, \"),\")", "\"x, \\\"y\""]
    );
}
