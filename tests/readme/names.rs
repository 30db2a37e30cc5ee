//! What documents name is there: files, folders, headings and tests.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::document::read;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn has_ending(name: &str, ending: &str) -> bool {
    Path::new(name).extension().is_some_and(|it| it == ending)
}

/// Pages that people read.
fn documents() -> Vec<String> {
    let mut documents: Vec<_> = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "bench/README.md",
        "haproxy-conf/README.md",
        "fuzz/README.md",
    ]
    .map(str::to_owned)
    .into();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if has_ending(&name, "md") {
            documents.push(format!("docs/{name}"));
        }
    }
    documents
}

#[test]
fn every_file_and_folder_that_a_document_names_exists() {
    const OURS: [&str; 9] = [
        "bench/",
        "crates/",
        "docs/",
        "examples/",
        "haproxy-conf/",
        "packaging/",
        "scripts/",
        "src/",
        "tests/",
    ];
    let mut named = 0;
    for document in documents() {
        let text = read(&document);
        let words = text.split(|c: char| c.is_whitespace() || "`()[]|,;:\"'".contains(c));
        for word in words {
            let word = word.split('#').next().unwrap().trim_end_matches('.');
            let is_ours = OURS.iter().any(|folder| word.starts_with(folder)) || {
                has_ending(word, "md") && !word.contains("//")
            };
            if !is_ours || word.contains(['*', '$', '<', '{', '…']) {
                continue;
            }
            // A link starts at the folder of its page, a name in the text at the project's.
            let beside = root().join(&document).with_file_name(word);
            let exists = root().join(word).exists() || beside.exists();
            assert!(exists, "{document} names {word}");
            named += 1;
        }
    }
    assert!(named > 100, "{named}");
}

#[test]
fn every_link_to_a_heading_finds_it() {
    let mut links = 0;
    for document in documents() {
        let text = read(&document);
        for target in text.split("](").skip(1) {
            let Some((page, heading)) = target.split(')').next().unwrap().split_once('#') else {
                continue;
            };
            let page = match page {
                "" => document.clone(),
                _ => resolved(&document, page),
            };
            let headings: Vec<_> = read(&page).lines().filter_map(anchor).collect();
            assert!(
                headings.iter().any(|it| it == heading),
                "{document} links to {page}#{heading}; there are {headings:?}"
            );
            links += 1;
        }
    }
    assert!(links > 2, "{links}");
}

/// A link's page, from the project's folder.
fn resolved(document: &str, page: &str) -> String {
    let mut path = PathBuf::from(document);
    path.pop();
    for part in page.split('/') {
        if part == ".." {
            path.pop();
        } else {
            path.push(part);
        }
    }
    path.to_str().unwrap().to_owned()
}

/// What a heading is called in a link.
fn anchor(line: &str) -> Option<String> {
    let heading = line.trim_start_matches('#');
    let heading = heading
        .strip_prefix(' ')
        .filter(|_| line.starts_with('#'))?;
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    Some(kept.collect::<String>().to_lowercase().replace(' ', "-"))
}

/// The names of all tests: `tests/x.rs: some_test`, as documents name them.
fn tests() -> HashSet<(String, String)> {
    let mut found = HashSet::new();
    let mut folders = vec![root().join("tests"), root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
            let functions = text
                .lines()
                .filter_map(|line| line.trim_start().strip_prefix("fn "));
            for function in functions {
                let function = function.split(['(', '<']).next().unwrap();
                found.insert((name.to_owned(), function.to_owned()));
            }
        }
    }
    found
}

/// `tests/x.rs` with the names of tests behind it: each of them is a test of that file.
#[test]
fn every_test_that_the_threat_model_names_exists() {
    let tests = tests();
    let text = read("SECURITY.md");
    let mut file = None;
    let mut named = 0;
    for word in text.split('`').skip(1).step_by(2) {
        let is_rust = has_ending(word, "rs");
        if is_rust {
            file = Some(word);
        } else if word.contains('_')
            && word
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        {
            let file = file.unwrap_or_else(|| panic!("{word} stands behind no file"));
            let is_there = tests.contains(&(file.to_owned(), word.to_owned()));
            assert!(is_there, "SECURITY.md: {file} has no {word}");
            named += 1;
        }
    }
    assert!(named > 10, "{named}");
}

/// What a table quotes as a line of the program's is one: each part between `…` stands in a source.
#[test]
fn every_line_that_a_symptom_quotes_is_the_programs() {
    let mut sources = String::new();
    let mut folders = vec![root().join("src"), root().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                sources += &fs::read_to_string(path).unwrap();
            }
        }
    }
    // A text that goes on in the next line is one text.
    let words: Vec<_> = sources
        .replace("\\\n", " ")
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let sources = words.join(" ");
    let operating = read("docs/operating.md");
    let (_, symptoms) = operating.split_once("## From symptom to cause").unwrap();
    let mut quoted = 0;
    for row in symptoms.lines().filter(|line| line.starts_with('|')) {
        let symptom = row.split(" | ").next().unwrap();
        let spans = symptom.split('`').skip(1).step_by(2);
        for part in spans.flat_map(|span| span.split('…')).map(str::trim) {
            if part.len() < 12
                || !part.contains(' ')
                || part.starts_with("Layer")
                || part.starts_with("spoa ctl")
            {
                continue;
            }
            // A value of the line may stand in place of what is filled in.
            let part = part.trim_end_matches(|c: char| c.is_ascii_digit()).trim();
            assert!(
                sources.contains(part),
                "no line of the program has {part:?}"
            );
            quoted += 1;
        }
    }
    assert!(quoted > 12, "{quoted}");
}
