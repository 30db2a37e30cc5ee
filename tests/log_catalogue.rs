//! docs/operating.md explains every warning and error that the agent can log: the texts are found in the
//! code, and each has a row in the table.

#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// A text in quotes.
const TEXT: &str = r#"[ \n]*"((?:[^"\\]|\\(?s:.))*)""#;
/// What stands before the text of a warning or an error.
const EVENT: &str = r#"(?:warn|error)!\((?:[^";]*,)?"#;
/// What stands before one that is made before it is logged.
const MADE: &str = r"let (?:text|line) =[ \n]*format!\(";

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
}

/// The parts of a format string that are always the same.
fn constants(format: &str) -> Vec<String> {
    let continued = Regex::new(r"\\\n *").unwrap();
    let whole = continued.replace_all(format, "").replace("\\\"", "\"");
    let values = Regex::new(r"\{[^}]*\}").unwrap();
    let parts = values.split(&whole).map(|part| part.trim().to_owned());
    parts.filter(|part| !part.is_empty()).collect()
}

/// Whether a row has all of these, in this order.
fn has(row: &str, parts: &[String]) -> bool {
    let mut rest = row;
    parts.iter().all(|part| match rest.split_once(&**part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[test]
fn every_warning_and_error_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_to_string(root.join("docs/operating.md")).unwrap();
    let rows: Vec<_> = guide
        .lines()
        .filter(|line| line.starts_with("| "))
        .collect();
    let (mut texts, mut missing) = (0, Vec::new());
    for (folder, before) in [
        ("src/cli", EVENT),
        ("src/host", EVENT),
        ("src/config", EVENT),
        ("src/feeds", EVENT),
        ("src/admin", EVENT),
        ("src/policy", EVENT),
        ("src/live", EVENT),
        ("src/feeds", MADE),
        ("src/admin", MADE),
    ] {
        let mut files = Vec::new();
        sources(&root.join(folder), &mut files);
        let text = Regex::new(&[before, TEXT].concat()).unwrap();
        let code: Vec<_> = files
            .iter()
            .map(|it| fs::read_to_string(it).unwrap())
            .collect();
        let found = code
            .iter()
            .zip(&files)
            .flat_map(|(code, file)| text.captures_iter(code).map(move |found| (file, found)));
        for (file, found) in found {
            let parts = constants(&found[1]);
            if parts.is_empty() {
                continue;
            }
            texts += 1;
            if !rows.iter().any(|row| has(row, &parts)) {
                missing.push(format!("{}: {parts:?}", file.display()));
            }
        }
    }
    assert!(texts > 20, "only {texts} texts found");
    assert!(
        missing.is_empty(),
        "no row in docs/operating.md: {missing:#?}"
    );
}

#[test]
fn a_row_has_the_constant_parts_in_order() {
    let parts = constants("{title}: not used: {error}; {instead} \\\n      and \\\"more\\\"");
    assert_eq!(parts, [": not used:", ";", "and \"more\""]);
    assert!(has("`LIST: not used: WHY; x and \"more\"`", &parts));
    assert!(!has("`LIST; not used: and \"more\"`", &parts));
}
