//! Law: the sources keep to the rules of the house that a text can show: modules depend
//! downwards, the wire and the session know no socket, clock, thread or log, only the command line
//! prints, files say what they are, nothing is left over.
//!
//! A check that cannot fail is worthless, so each one is shown a made-up text that breaks it.

#![cfg(test)]

#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/paths.rs"]
mod paths;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/samples.rs"]
mod samples;

use std::fs;
use std::path::{Path, PathBuf};

/// Where Rust stands, and where other text that people read does.
const RUST: [&str; 6] = ["src", "crates", "tests", "fuzz", "bench", "examples"];
const TEXT: [&str; 3] = ["docs", "haproxy-conf", "packaging"];
const SCRIPTS: [&str; 2] = ["scripts", ".ci"];

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(project().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files of a folder and its folders that are text: their paths within the project, and what is
/// in them.
fn files(folder: &str) -> Vec<(String, String)> {
    let (mut files, mut folders) = (Vec::new(), vec![project().join(folder)]);
    while let Some(folder) = folders.pop().filter(|folder| folder.exists()) {
        for path in fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            if path.is_dir() && !is_built(&path) {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(project()).unwrap();
                files.push((path.to_str().unwrap().to_owned(), text));
            }
        }
    }
    files
}

/// What a build or a fuzzer leaves.
fn is_built(path: &Path) -> bool {
    ["target", "corpus", "artifacts", "coverage"]
        .iter()
        .any(|name| path.ends_with(name))
}

fn none(found: impl IntoIterator<Item = String>) {
    let found: Vec<_> = found.into_iter().collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|kind| kind == "rs")
}

#[test]
fn sources_keep_to_the_rules() {
    let files = RUST.iter().flat_map(|folder| files(folder));
    let rust: Vec<_> = files.filter(|(path, _)| is_rust(path)).collect();
    assert!(rust.len() > 40, "only {} sources found", rust.len());
    none(
        rust.iter()
            .flat_map(|(path, text)| rules::of_rust(path, text)),
    );
}

#[test]
fn library_and_binary_have_no_unsafe_code() {
    let roots = [
        "src/lib.rs",
        "src/main.rs",
        "crates/haproxy-spop/src/lib.rs",
        "crates/haproxy-spoa/src/lib.rs",
        "crates/ip-reputation/src/lib.rs",
    ];
    none(
        roots
            .iter()
            .flat_map(|path| rules::of_root(path, &read(path))),
    );
}

#[test]
fn scripts_end_at_their_first_failure() {
    let scripts = SCRIPTS.iter().flat_map(|folder| files(folder));
    let shell: Vec<_> = scripts.filter(|(_, text)| is_shell(text)).collect();
    assert!(!shell.is_empty());
    none(
        shell
            .iter()
            .flat_map(|(path, text)| rules::of_script(path, text)),
    );
}

fn is_shell(text: &str) -> bool {
    text.lines()
        .next()
        .is_some_and(|line| line.starts_with("#!") && line.ends_with("sh"))
}

#[test]
fn documents_leave_no_marker_behind() {
    let pages = fs::read_dir(project())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let pages = pages.filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    let pages = pages.map(|path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned());
    let pages = pages.map(|name| (name.clone(), read(&name)));
    let all = pages.chain(TEXT.iter().flat_map(|folder| files(folder)));
    none(all.flat_map(|(path, text)| rules::markers(&path, &text)));
}

#[test]
fn readme_names_every_folder() {
    let entries = fs::read_dir(project())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let folders = entries.filter(|path| path.is_dir() && !is_built(path));
    let names = folders.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    let names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
    none(rules::of_readme(&read("README.md"), &names));
}

/// Each text breaks one rule, and is told so in the words before it.
#[test]
fn every_rule_finds_what_it_forbids() {
    for (words, path, text) in samples::FORBIDDEN {
        is_found(words, path, &format!("//! X.\n{text}\n"));
    }
    let nap = ["thread", "sleep"].join("::");
    is_found(
        "sleeps",
        "tests/x.rs",
        &format!("//! X.\nfn f() {{ {nap}(a) }}"),
    );
    let marker = ["TO", "DO"].concat();
    is_found(
        "marker",
        "crates/haproxy-spop/src/tests.rs",
        &format!("// {marker}: all of it"),
    );
    is_found(
        "no module header",
        "crates/haproxy-spoa/src/x.rs",
        "fn f() {}",
    );

    assert_eq!(rules::of_script("a", "#!/bin/sh\nset -eu\n").len(), 1);
    assert_eq!(rules::of_root("src/lib.rs", "//! X.\n").len(), 1);
    assert_eq!(
        rules::of_readme("`src`", &["src".to_owned(), "docs".to_owned()]).len(),
        1
    );
}

fn is_found(words: &str, path: &str, text: &str) {
    let found = rules::of_rust(path, text);
    assert!(
        found.iter().any(|line| line.contains(words)),
        "{path}: {text}\n{found:?}"
    );
    assert!(
        found
            .iter()
            .all(|line| line.starts_with(&format!("{path}:"))),
        "{found:?}"
    );
}

/// Text that breaks no rule, though a careless reading could think so.
#[test]
fn no_rule_finds_what_is_allowed() {
    for (path, text) in samples::ALLOWED {
        none(rules::of_rust(path, &format!("//! X.\n{text}")));
    }
}
