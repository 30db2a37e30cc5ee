//! The scripts: they say what they do, refuse what they do not know, and write and count as they claim.

#![cfg(test)]

mod support;

use std::fs;
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::Scratch;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of what stands in `scripts`, without its folders.
fn names() -> Vec<String> {
    let entries = fs::read_dir(project().join("scripts")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let names: Vec<_> = paths
        .filter(|path| path.is_file())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(names.len() >= 6, "{names:?}");
    names
}

fn run(name: &str, args: &[&str]) -> Output {
    let mut command = Command::new(project().join("scripts").join(name));
    command.args(args).stdin(Stdio::null()).output().unwrap()
}

/// Runs some shell with the functions of `scripts/lib`, and what it prints.
fn shell(text: &str, args: &[&Path], input: &str) -> String {
    let text = format!(
        "set -euo pipefail; . scripts/lib/measure; . scripts/lib/proxy; . scripts/lib/wrk; {text}"
    );
    let mut child = Command::new("bash")
        .args(["-c", &text, "bash"])
        .args(args)
        .current_dir(project())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Dropped, and so closed, at the end of the statement.
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{text}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_script_says_what_it_does() {
    for name in names() {
        for help in ["-h", "--help"] {
            let output = run(&name, &[help]);
            assert_eq!(output.status.code(), Some(0), "{name} {help}: {output:?}");
            let text = String::from_utf8(output.stdout).unwrap();
            let usage = format!("Usage: scripts/{name} [-h]");
            assert!(text.starts_with(&usage), "{name} {help}: {text}");
            assert!(output.stderr.is_empty(), "{name} {help}: {text}");
        }
    }
}

#[test]
fn every_script_refuses_what_it_does_not_know() {
    let wrong = [
        ("bench", vec!["--output"]),
        ("bench", vec!["--quick", "fast"]),
        ("bench-haproxy", vec!["--output"]),
        ("bench-feeds", vec!["--output"]),
        ("bench-haproxy", vec!["--haproxy"]),
        ("bench-haproxy", vec!["--haproxy", "2.4"]),
        ("haproxy", vec!["3.2", "2.4"]),
        ("soak", vec!["--output"]),
        ("soak", vec!["--minutes", "many"]),
    ];
    let unknown: Vec<_> = names()
        .into_iter()
        .map(|name| (name, vec!["--no-such-option"]))
        .collect();
    let unknown = unknown
        .iter()
        .map(|(name, args)| (name.as_str(), args.clone()));
    for (name, args) in unknown.chain(wrong) {
        let output = run(name, &args);
        assert_eq!(output.status.code(), Some(2), "{name} {args:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{name} {args:?}: {output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains(&format!("scripts/{name}")),
            "{name} {args:?}: {said}"
        );
    }
}

#[test]
fn a_report_keeps_the_part_of_the_other_script() {
    let folder = Scratch::new();
    let report = folder.path("RESULTS.md");
    let put = |name: &str, text: &str| {
        shell(&format!("put_part \"$1\" {name}"), &[&report], text);
        fs::read_to_string(&report).unwrap()
    };
    let only = put("bench-haproxy", "## Behind HAProxy\n\nold\n\n");
    assert!(only.starts_with("# Results\n"), "{only}");
    put("bench", "## The agent alone\n\n- 1 & 2 \\n\n");
    let both = put("bench-haproxy", "## Behind HAProxy\n\nnew\n");
    let again = put("bench", "## The agent alone\n\n- 1 & 2 \\n\n");
    assert_eq!(both, again);
    assert!(both.contains("\nnew\n") && !both.contains("old"), "{both}");
    let at = |text: &str| both.find(text).unwrap_or_else(|| panic!("{text}: {both}"));
    assert!(at("- 1 & 2 \\n\n") < at("## Behind HAProxy"), "{both}");
    assert_eq!(both.matches("<!--").count(), 4, "{both}");
}

#[test]
fn every_request_is_counted_once_with_what_it_came_to() {
    let folder = Scratch::new();
    let table = |name: &str, rows: &[(u32, u32, u32)]| -> PathBuf {
        let rows = rows.iter().map(|(key, requests, scores)| {
            format!("0x7f: key={key} use=0 exp=0 shard=0 gpc0={requests} gpc1={scores}")
        });
        let head = "# table: outcomes, type: integer, size:4096, used:5".to_owned();
        let lines: Vec<_> = core::iter::once(head).chain(rows).collect();
        let text = lines.join("\n") + "\n";
        fs::write(folder.path(name), text).unwrap();
        folder.path(name)
    };
    let before = table("before", &[(1000, 7, 0), (2000, 100, 100), (2001, 1, 0)]);
    let rows = [
        (1000, 9, 0),
        (2000, 150, 150),
        (2001, 4, 0),
        (2257, 2, 0),
        (3000, 5, 5),
    ];
    let after = table("after", &rows);
    let counted = |name: &str| {
        let text = format!("outcomes {name} \"$1\" \"$2\"");
        shell(&text, &[&before, &after], "")
    };
    assert_eq!(
        counted("spoa"),
        "requests 55\nscored 50\ntimeouts 3\nerrors 5\nother 2\ncode_257 2\n"
    );
    assert_eq!(
        counted("none"),
        "requests 2\nscored 0\ntimeouts 0\nerrors 0\nother 0\n"
    );
    assert_eq!(
        counted("peer"),
        "requests 5\nscored 5\ntimeouts 0\nerrors 0\nother 0\n"
    );
}

/// A database of advisories with one that is made up, about a crate that is in use.
#[test]
fn a_weakness_in_a_database_given_by_its_folder_is_found() {
    if !project().join("target/tools/bin/cargo-deny").exists() {
        println!("SKIPPED: scripts/dependencies has not been run, cargo-deny is not there");
        return;
    }
    let folder = Scratch::new();
    let database = folder.path("database");
    let advisory = |package: &str| {
        let crates = database.join("crates").join(package);
        fs::create_dir_all(&crates).unwrap();
        let text = format!(
            "```toml\n[advisory]\nid = \"RUSTSEC-2020-9999\"\npackage = \"{package}\"\ndate = \"2020-01-01\"\n\
             [versions]\npatched = []\n```\n\n# Made up\n\nIt is made up.\n"
        );
        fs::write(crates.join("RUSTSEC-2020-9999.md"), text).unwrap();
        let git = "git init -q . && git add -A && git -c user.name=a -c user.email=a@example.org commit -qm a";
        let mut commit = Command::new("sh");
        assert!(
            commit
                .args(["-c", git])
                .current_dir(&database)
                .status()
                .unwrap()
                .success()
        );
    };
    let check = || {
        run(
            "dependencies",
            &["--advisories", database.to_str().unwrap()],
        )
    };
    advisory("not-in-use");
    let output = check();
    assert!(output.status.success(), "{output:?}");
    fs::remove_dir_all(&database).unwrap();
    advisory("slab");
    let output = check();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("RUSTSEC-2020-9999"),
        "{output:?}"
    );
    let output = run("dependencies", &["--advisories", "/no/such/folder"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

/// Where it is installed: the scripts have no other reader than bash, which finds little by itself.
#[test]
fn shellcheck_finds_nothing_to_warn_of() {
    let Ok(found) = Command::new("shellcheck").arg("--version").output() else {
        return;
    };
    assert!(found.status.success());
    let scripts = names().into_iter().map(|name| format!("scripts/{name}"));
    let parts = ["measure", "proxy", "wrk"].map(|name| format!("scripts/lib/{name}"));
    for path in scripts.chain(parts).chain([".ci/run".to_owned()]) {
        let mut command = Command::new("shellcheck");
        command.args(["--external-sources", "--severity=warning", &path]);
        let output = command.current_dir(project()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{path}: {said}");
    }
}

#[test]
fn a_failed_feature_set_neither_stops_the_others_nor_passes() {
    let scratch = Scratch::new();
    let script = |path: &str, text: &str| {
        let path = scratch.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    };
    script(
        "scripts/test",
        &fs::read_to_string(project().join("scripts/test")).unwrap(),
    );
    script("scripts/haproxy", "#!/bin/sh\n");
    script("scripts/debian", "#!/bin/sh\n");
    script(
        "bin/cargo",
        "#!/bin/sh\necho \"$*\" >>calls\ncase $* in *--no-default-features*) exit 1;; esac\n",
    );
    let path = format!(
        "{}:{}",
        scratch.path("bin").display(),
        std::env::var("PATH").unwrap()
    );
    let output = Command::new(scratch.path("scripts/test"))
        .env("PATH", path)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("--no-default-features"), "{stderr}");
    let calls = fs::read_to_string(scratch.path("calls")).unwrap();
    let last = calls.lines().last().unwrap();
    assert!(last.ends_with("--doc --no-fail-fast"), "{calls}");
}
