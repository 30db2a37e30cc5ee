//! The systemd units: what `systemd-analyze` says about them, and that they start the program in a way
//! that it understands; and the image. `scripts/package-test` starts the units in a real systemd.
//!
//! Without systemd-analyze the tests that need it say so and end.

#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The most that `systemd-analyze security` may find exposed, of 10.
const EXPOSURE_MAX: f64 = 2.0;

/// Ours.
const UNITS: [&str; 2] = ["iprep-spoa.service", "iprep-spoa-port.socket"];

/// The units that ours name.
const OTHERS: [&str; 8] = [
    "basic.target",
    "network.target",
    "shutdown.target",
    "sockets.target",
    "sysinit.target",
    "system.slice",
    "-.slice",
    "-.mount",
];

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging")
}

fn analyze(args: &[&str]) -> Option<Output> {
    let output = Command::new("systemd-analyze").args(args).output();
    if output.is_err() {
        println!("SKIPPED: systemd-analyze is not installed (Debian: apt-get install systemd)");
    }
    output.ok()
}

fn text(output: &Output) -> String {
    let (stdout, stderr) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(&[&stdout[..], &stderr[..]].concat()).into_owned()
}

#[test]
fn the_service_exposes_little() {
    let unit = packaging().join("iprep-spoa.service");
    let unit = unit.to_str().unwrap();
    let Some(output) = analyze(&["security", "--offline=true", "--no-pager", unit]) else {
        return;
    };
    let text = text(&output);
    let overall = text.lines().find(|line| line.contains("Overall exposure"));
    let overall = overall.unwrap_or_else(|| panic!("no verdict: {text}"));
    let (_, score) = overall.split_once(": ").unwrap();
    let score: f64 = score.split(' ').next().unwrap().parse().unwrap();
    println!("exposure {score}");
    assert!(score <= EXPOSURE_MAX, "{text}");
}

#[test]
fn systemd_understands_every_line() {
    let root = std::env::temp_dir().join(format!("spoa-test-units-{}", std::process::id()));
    let units = root.join("etc/systemd/system");
    fs::create_dir_all(&units).unwrap();
    for other in OTHERS {
        fs::write(units.join(other), "[Unit]\n").unwrap();
    }
    fs::write(units.join("-.mount"), "[Mount]\nWhat=none\nWhere=/\n").unwrap();
    for program in ["usr/sbin/spoa", "bin/sh"] {
        let program = root.join(program);
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::copy("/bin/true", program).unwrap();
    }
    for unit in UNITS {
        fs::copy(packaging().join(unit), units.join(unit)).unwrap();
    }
    let at = format!("--root={}", root.display());
    let verified = analyze(&[&["verify", "--man=no", &at], &UNITS[..]].concat());
    fs::remove_dir_all(&root).unwrap();
    if let Some(verified) = verified {
        assert_eq!(text(&verified), "");
    }
}

#[test]
fn the_program_understands_how_the_service_starts_it() {
    let unit = fs::read_to_string(packaging().join("iprep-spoa.service")).unwrap();
    let start = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    let mut words = start.unwrap().split(' ');
    assert_eq!(words.next(), Some("/usr/sbin/spoa"));
    let options = words.filter(|word| !word.starts_with('$'));
    // The help comes after the options have been understood, and in place of a start.
    let mut program = Command::new(env!("CARGO_BIN_EXE_spoa"));
    let output = program.args(options).arg("--version").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

/// What a linter does not know: `scripts/container` lints the rest, and runs the image's command.
#[test]
fn the_image_has_the_agent_and_nothing_else() {
    let file = fs::read_to_string(packaging().join("Containerfile")).unwrap();
    let lines: Vec<_> = file
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .collect();
    let last = lines
        .iter()
        .rposition(|line| line.starts_with("FROM "))
        .unwrap();
    // Every base has a name and a version, and the last one has no shell.
    for base in lines.iter().filter_map(|line| line.strip_prefix("FROM ")) {
        let image = base.split(' ').next().unwrap();
        let name = image.rsplit('/').next().unwrap();
        let version = name.split_once(':').map(|(_, version)| version);
        assert!(version.is_some_and(|it| it != "latest"), "{base}");
    }
    assert!(lines[last].contains("/distroless/"), "{}", lines[last]);
    let stage = &lines[last + 1..];
    let argument = |name: &str| stage.iter().find_map(|line| line.strip_prefix(name));
    let owner = argument("USER ").unwrap().split(':').next().unwrap();
    assert!(owner.parse::<u32>().unwrap() > 0, "{owner}");
    for name in ["ENTRYPOINT ", "CMD "] {
        let words = argument(name).unwrap();
        assert!(words.starts_with('[') && words.ends_with(']'), "{words}");
    }
    for line in stage {
        let what = line.split(' ').next().unwrap();
        assert!(!["RUN", "ADD", "ENV", "ARG"].contains(&what), "{line}");
        if let Some(copied) = line.strip_prefix("COPY --from=build /source/") {
            let path = copied.split(' ').next().unwrap();
            let root = packaging().join("..");
            assert!(
                path.starts_with("target/") || root.join(path).exists(),
                "{line}"
            );
        }
    }
    // The options are the program's.
    let options = argument("CMD ").unwrap().trim_matches(['[', ']']);
    let options = options.split(", ").map(|word| word.trim_matches('"'));
    let mut program = Command::new(env!("CARGO_BIN_EXE_spoa"));
    let output = program.args(options).arg("--version").output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}
