//! Files that make trouble: each is one line, the last good data stays, memory is bounded, and other
//! lists go on. What `spoa check` says of most of them stands in `check.rs`.

#![cfg(test)]

mod support;

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};
use support::{Peer, Program, Scratch, Signal, until};

/// The peer asks about 192.0.2.1: bad in this one, good in that one.
const BAD: &str = "192.0.2.1\n198.51.100.1\n";
const GOOD: &str = "192.0.2.2\n198.51.100.1\n";

/// A list in trouble, and another one beside it.
const CONFIG: &str = "[[feed]]\nname = \"own\"\npath = \"own.txt\"\nmax-size = \"4MiB\"\n\
    [[feed]]\nname = \"beside\"\npath = \"beside.txt\"\n";

/// What the agent may take at the most, in KiB; without any of these files it takes 20 MiB.
const RESIDENT_KIB_MAX: u64 = 100 << 10;

fn stage(args: &[&str]) -> (Scratch, Program) {
    let scratch = Scratch::new();
    scratch.write("own.txt", BAD);
    scratch.write("beside.txt", "198.51.100.7\n");
    let config = scratch.write("spoa.toml", CONFIG);
    let agent = Program::configured(&config, args);
    assert_eq!(score(&agent), 0);
    (scratch, agent)
}

fn score(agent: &Program) -> u32 {
    Peer::greeted(agent.address()).ask()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The most memory that a process has had so far, in KiB.
fn resident_kib_max(agent: &Program) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.process().0)).unwrap();
    let mut lines = status.lines();
    let peak = lines.find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim_end_matches("kB").trim().parse().unwrap()
}

/// Something else in the place of the list: the number of refusals, and what is said.
fn is_refused(agent: &Program, number: usize, why: &str) {
    agent.shows("reputation ", &format!("refusals={number} "));
    agent.shows("feed=\"own\"", "state=kept");
    let line = agent.status("feed=\"own\"");
    assert!(line.contains(why), "{why}: {line}");
    let warnings = agent.count("WARN list not used list=own ");
    assert_eq!(warnings, number, "{:?}", agent.lines());
    assert_eq!(score(agent), 0, "{why}");
    assert_eq!(
        agent.count("WARN list not used list=beside"),
        0,
        "{:?}",
        agent.lines()
    );
}

#[test]
fn whatever_takes_the_place_of_a_file_that_is_watched_the_last_good_list_stays() {
    let (scratch, agent) = stage(&[]);
    let beside = |name: &str| scratch.path(name);
    mkfifo(&beside("fifo"), Mode::S_IRWXU).unwrap();
    fs::create_dir(beside("folder")).unwrap();
    symlink("/dev/zero", beside("zero")).unwrap();
    symlink("own.txt", beside("loop")).unwrap();
    let sparse = File::create(beside("sparse")).unwrap();
    sparse.set_len(10 << 30).unwrap();
    let packed = gzip(BAD.repeat(1000).as_bytes());
    scratch.write("cut", &packed[..packed.len() - 9]);
    // 3 GiB of zeros in 3 MiB, and as much of a text.
    scratch.write("zeros", gzip(&vec![0; 10 << 20]).repeat(300));
    let line = [b"# ", &[b'x'; 4093][..], b"\n"].concat();
    let bomb = gzip(&line.repeat(2560)).repeat(300);
    scratch.write("bomb", [gzip(BAD.as_bytes()), bomb].concat());
    scratch.write("binary", [BAD.as_bytes(), &[0; 2000]].concat());
    for (number, (name, why)) in [
        ("fifo", "a FIFO"),
        ("folder", "a folder"),
        ("zero", "a device"),
        ("loop", "symbolic links"),
        ("sparse", "max-size"),
        ("cut", "could not be read to its end"),
        ("zeros", "binary data"),
        ("bomb", "max-size"),
        ("binary", "binary data"),
    ]
    .into_iter()
    .enumerate()
    {
        // A folder takes the place of nothing but a folder.
        if scratch.path("own.txt").is_dir() {
            fs::remove_dir(scratch.path("own.txt")).unwrap();
        } else if name == "folder" {
            fs::remove_file(scratch.path("own.txt")).unwrap();
        }
        fs::rename(beside(name), scratch.path("own.txt")).unwrap();
        until(name, || agent.status("feed=\"own\"").contains(why));
        agent.says(why);
        assert_eq!(score(&agent), 0, "{name}");
        assert_eq!(
            agent.count("WARN list not used list=beside"),
            0,
            "{:?}",
            agent.lines()
        );
        until("its line", || {
            agent.count("WARN list not used list=own ") > number
        });
    }
    let peak = resident_kib_max(&agent);
    assert!(peak < RESIDENT_KIB_MAX, "{peak} KiB");
    // The other one is read as ever, and so is this one once it is good.
    scratch.replace("beside.txt", "198.51.100.7\n198.51.100.8\n");
    agent.shows("feed=\"beside\"", " v4=2 ");
    scratch.replace("own.txt", GOOD);
    until("the new list", || score(&agent) == 100);
    agent.stop();
}

#[test]
fn a_line_without_end_and_stray_bytes_are_wrong_lines() {
    let (scratch, agent) = stage(&[]);
    scratch.write("spoa.toml", CONFIG.replace("4MiB", "64MiB"));
    agent.signal(Signal::SIGHUP);
    agent.says("configuration reloaded");
    let mut file = File::create(scratch.path("long")).unwrap();
    file.write_all(&b"192.0.2.1\n".repeat(10_000)).unwrap();
    file.set_len(60 << 20).unwrap();
    drop(file);
    fs::rename(scratch.path("long"), scratch.path("own.txt")).unwrap();
    agent.says("list lines invalid list=own invalid=1 lines=10001 first=\"line 10001: ");
    assert_eq!(score(&agent), 0);
    scratch.replace("own.txt", format!("{}192.0.2.\x009\n", BAD.repeat(3)));
    agent.shows("feed=\"own\"", "wrong=1 ");
    agent.shows("feed=\"own\"", " v4=2 ");
    assert_eq!(score(&agent), 0);
    let peak = resident_kib_max(&agent);
    assert!(peak < RESIDENT_KIB_MAX, "{peak} KiB");
}

#[test]
fn a_file_that_is_gone_or_shut_at_a_reload_is_said_once() {
    // Root may read everything.
    let user: &[&str] = if geteuid().is_root() {
        &["--user", "nobody"]
    } else {
        &[]
    };
    let (scratch, agent) = stage(user);
    fs::set_permissions(scratch.path("own.txt"), Permissions::from_mode(0o000)).unwrap();
    agent.signal(Signal::SIGHUP);
    is_refused(&agent, 1, "Permission denied");
    fs::remove_file(scratch.path("own.txt")).unwrap();
    agent.shows("feed=\"own\"", "No such file");
    let refusals = agent.count("WARN list not used list=own ");
    assert_eq!(refusals, 2, "{:?}", agent.lines());
    scratch.write("own.txt", GOOD);
    until("the new list", || score(&agent) == 100);
}

#[test]
fn a_file_that_grows_while_it_is_read_is_not_half_a_list() {
    let scratch = Scratch::new();
    let text = "192.0.2.1\n".repeat(50_000);
    scratch.write("own.txt", &text);
    scratch.write("beside.txt", GOOD);
    let config = scratch.write("spoa.toml", CONFIG);
    let stop = Arc::<AtomicBool>::default();
    let path = scratch.path("own.txt");
    let is_over = Arc::clone(&stop);
    let writer = thread::spawn(move || {
        let mut file = File::options().append(true).open(path).unwrap();
        while !is_over.load(Ordering::Relaxed) {
            file.write_all(b"192.0.2.3\n").unwrap();
            thread::yield_now();
        }
    });
    let ended = Program::run(&["check", "-f", config.to_str().unwrap()]);
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    // A reader that is slow to come, or slower than the writer, finds it too large instead.
    let whys = [
        "own.txt was written to while it was read; write a new file and rename it into place",
        "more than 4194304 bytes; raise max-size",
    ];
    let is_said = whys.iter().any(|why| ended.stdout.contains(why));
    assert!(is_said, "{}", ended.stdout);
    for part in ["feed \"beside\": plain, 2 IPv4", "1 thing is WRONG"] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
}
