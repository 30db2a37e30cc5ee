//! Lists and configurations change while the agent answers: old or new answers, and none lost.

#![cfg(test)]

mod support;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::{Peer, Program, Scratch, Signal, throughout, until};

/// The peer asks about 192.0.2.1: bad in this one, good in that one.
const BAD: &str = "192.0.2.1\n198.51.100.1\n";
const GOOD: &str = "192.0.2.2\n198.51.100.1\n";

const CONFIG: &str = "[[feed]]\nname = \"own\"\npath = \"own.txt\"\n";

fn scores(peer: &mut Peer, score: u32) {
    until(&format!("score {score}"), || peer.ask() == score);
}

#[test]
fn a_file_that_is_renamed_into_place_counts_and_no_answer_is_lost() {
    let scratch = Scratch::new();
    scratch.write("own.txt", BAD);
    let config = scratch.write("spoa.toml", CONFIG);
    let agent = Program::configured(&config, &[]);
    let stop = Arc::<AtomicBool>::default();
    let asking: Vec<_> = (0..2)
        .map(|_| {
            let (stop, mut peer) = (Arc::clone(&stop), Peer::greeted(agent.address()));
            thread::spawn(move || {
                let mut asked = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    // An answer that is missing or not an ACK fails in here.
                    let score = peer.ask();
                    assert!(score == 0 || score == 100, "neither old nor new: {score}");
                    asked += 1;
                }
                asked
            })
        })
        .collect();
    let mut peer = Peer::greeted(agent.address());
    scores(&mut peer, 0);
    for _ in 0..5 {
        scratch.replace("own.txt", GOOD);
        scores(&mut peer, 100);
        scratch.replace("own.txt", BAD);
        scores(&mut peer, 0);
    }
    stop.store(true, Ordering::Relaxed);
    for asked in asking {
        assert!(asked.join().unwrap() > 0);
    }
    agent.shows("reputation ", "refusals=0 ");
    drop(peer);
    agent.stop();
}

#[test]
fn links_that_are_swapped_as_kubernetes_does_it_count() {
    let scratch = Scratch::new();
    for (folder, text) in [("..one", BAD), ("..two", GOOD)] {
        fs::create_dir(scratch.path(folder)).unwrap();
        scratch.write(&format!("{folder}/own.txt"), text);
    }
    symlink("..one", scratch.path("..data")).unwrap();
    symlink("..data/own.txt", scratch.path("own.txt")).unwrap();
    let config = scratch.write("spoa.toml", CONFIG);
    let agent = Program::configured(&config, &[]);
    let mut peer = Peer::greeted(agent.address());
    assert_eq!(peer.ask(), 0);
    for (folder, score) in [("..two", 100), ("..one", 0), ("..two", 100)] {
        symlink(folder, scratch.path("..data_tmp")).unwrap();
        fs::rename(scratch.path("..data_tmp"), scratch.path("..data")).unwrap();
        scores(&mut peer, score);
    }
}

#[test]
fn a_folder_that_is_replaced_counts() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("lists")).unwrap();
    scratch.write("lists/own.txt", BAD);
    let config = scratch.write("spoa.toml", CONFIG.replace("own.txt", "lists/own.txt"));
    let agent = Program::configured(&config, &[]);
    let mut peer = Peer::greeted(agent.address());
    assert_eq!(peer.ask(), 0);
    fs::create_dir(scratch.path("next")).unwrap();
    scratch.write("next/own.txt", GOOD);
    fs::rename(scratch.path("lists"), scratch.path("last")).unwrap();
    fs::rename(scratch.path("next"), scratch.path("lists")).unwrap();
    scores(&mut peer, 100);
    scratch.replace("lists/own.txt", BAD);
    scores(&mut peer, 0);
}

#[cfg(feature = "admin")]
#[test]
fn reloads_that_wait_are_merged_and_each_gets_the_result() {
    let scratch = Scratch::new();
    let lines = (0..60_000).map(|number| format!("10.{}.{}.1\n", number / 256, number % 256));
    let own = lines.collect::<Vec<_>>().concat();
    scratch.write("own.txt", own);
    let config = scratch.write("spoa.toml", CONFIG);
    let socket = scratch.bind("admin");
    let agent = Program::configured(&config, &["--admin", &socket]);
    thread::scope(|scope| {
        for _ in 0..60 {
            scope.spawn(|| {
                let args = ["ctl", "--admin", &socket, "reload"];
                let ended = Program::run(&args);
                assert_eq!(ended.code, Some(0), "{ended:?}");
                assert!(ended.stdout.starts_with("reloaded: "), "{ended:?}");
            });
        }
    });
    let status = agent.status("reputation ");
    let (_, reloads) = status.split_once(" reloads=").unwrap();
    let (reloads, _) = reloads.split_once(' ').unwrap();
    let reloads: u32 = reloads.parse().unwrap();
    assert!((1..=30).contains(&reloads), "{status}");
}

#[test]
fn a_list_that_keeps_changing_delays_no_other_and_is_read_as_it_is() {
    let scratch = Scratch::new();
    scratch.write("own.txt", GOOD);
    scratch.write("busy.txt", "203.0.113.1\n");
    let busy = "[[feed]]\nname = \"busy\"\npath = \"busy.txt\"\n";
    let config = scratch.write("spoa.toml", format!("{CONFIG}{busy}"));
    let agent = Program::configured(&config, &[]);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let path = scratch.path("busy.txt");
            let mut file = File::options().append(true).open(path).unwrap();
            for host in (2..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                writeln!(file, "10.0.{}.{}", host / 250, host % 250).unwrap();
                thread::park_timeout(Duration::from_millis(50));
            }
        });
        let mut peer = Peer::greeted(agent.address());
        for (list, score) in [(BAD, 0), (GOOD, 100)] {
            let start = Instant::now();
            scratch.replace("own.txt", list);
            scores(&mut peer, score);
            assert!(start.elapsed() < Duration::from_secs(2), "{score}");
        }
        agent.says("file keeps changing");
        until("what was appended counts", || {
            !agent.status("feed=\"busy\"").contains(" v4=1 ")
        });
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_slow_writer_is_waited_for() {
    let scratch = Scratch::new();
    scratch.write("own.txt", BAD);
    let config = scratch.write("spoa.toml", CONFIG);
    let agent = Program::configured(&config, &[]);
    let mut peer = Peer::greeted(agent.address());
    let mut file = File::create(scratch.path("own.txt")).unwrap();
    file.write_all(GOOD.as_bytes()).unwrap();
    // Good as it is, but the writer has not closed it yet.
    throughout(Duration::from_millis(400), "the old list", || {
        peer.ask() == 0
    });
    file.write_all(b"192.0.2.1\n192.0.2.3\n").unwrap();
    drop(file);
    agent.shows("feed=\"own\"", " v4=4 ");
    agent.shows("reputation ", "reloads=1 ");
    assert_eq!(peer.ask(), 0);
}

#[test]
fn a_list_that_goes_bad_never_wipes_the_last_good_one() {
    let scratch = Scratch::new();
    scratch.write("own.txt", "192.0.2.1\n".to_owned() + &hosts(99));
    let config = scratch.write("spoa.toml", CONFIG);
    let agent = Program::configured(&config, &[]);
    let mut peer = Peer::greeted(agent.address());
    let bad: [(&str, String); 7] = [
        ("HTML", "<!DOCTYPE html><html>Bad gateway</html>".into()),
        ("no entry", String::new()),
        ("max-shrink-ratio", hosts(40)),
        (
            "2 entries where 100",
            "# spoa: empty\n".to_owned() + &hosts(2),
        ),
        (
            "lines are wrong",
            format!("{}{}", hosts(80), "nonsense\n".repeat(20)),
        ),
        ("only comments", "# only a comment\n".into()),
        ("", "\0\u{1}\u{2}binary".into()),
    ];
    for (number, (why, text)) in bad.iter().enumerate() {
        scratch.replace("own.txt", text);
        let refusals = format!("refusals={} ", number + 1);
        agent.shows("reputation ", &refusals);
        agent.shows("feed=\"own\"", "state=kept");
        agent.shows("feed=\"own\"", why);
        assert_eq!(peer.ask(), 0, "{why}");
    }
    fs::remove_file(scratch.path("own.txt")).unwrap();
    agent.says("No such file");
    assert_eq!(peer.ask(), 0);
    // The same again is not said again.
    let said = agent.count("WARN list not used list=own ");
    for refusals in ["refusals=9 ", "refusals=10 "] {
        agent.signal(Signal::SIGHUP);
        agent.shows("reputation ", refusals);
    }
    assert_eq!(agent.count("WARN list not used list=own "), said);

    scratch.replace("own.txt", "# spoa: empty\n");
    agent.says("list recovered list=own entries=0");
    scores(&mut peer, 100);
}

fn hosts(count: u32) -> String {
    let lines: Vec<_> = (0..count)
        .map(|host| format!("198.51.100.{host}\n"))
        .collect();
    lines.concat()
}

#[test]
fn a_broken_configuration_leaves_the_last_good_one_in_place() {
    let scratch = Scratch::new();
    scratch.write("own.txt", BAD);
    let config = scratch.write("spoa.toml", CONFIG);
    let agent = Program::configured(&config, &[]);
    let mut peer = Peer::greeted(agent.address());
    scratch.write("spoa.toml", CONFIG.replace("path", "pth"));
    agent.signal(Signal::SIGHUP);
    agent.says("unknown key \"pth\" in [[feed]]; did you mean \"path\"?");
    agent.shows("reputation ", "bad_configurations=1 ");
    assert_eq!(peer.ask(), 0);
    fs::remove_file(&config).unwrap();
    agent.signal(Signal::SIGHUP);
    agent.shows("reputation ", "bad_configurations=2 ");
    assert_eq!(peer.ask(), 0);

    let more = "\n[agent]\nworkers = 3\n\n[allow]\nprefixes = [\"192.0.2.0/24\"]\n";
    scratch.write("spoa.toml", CONFIG.to_owned() + more);
    agent.signal(Signal::SIGHUP);
    agent.says("restart required keys=\"[agent] workers\"");
    agent.says("configuration reloaded");
    scores(&mut peer, 100);
    // Watched under its new terms as well.
    scratch.write("spoa.toml", CONFIG.to_owned() + "weight = 0.5\n");
    agent.signal(Signal::SIGHUP);
    scores(&mut peer, 50);
    scratch.replace("own.txt", GOOD);
    scores(&mut peer, 100);
}

#[test]
fn a_list_of_ones_own_counts_as_it_is_and_to_empty_it_is_said() {
    let scratch = Scratch::new();
    scratch.write("own.txt", GOOD);
    scratch.write("deny.txt", "192.0.2.0/24\n");
    let config = CONFIG.to_owned() + "\n[deny]\nfiles = [\"deny.txt\"]\n";
    let config = scratch.write("spoa.toml", config);
    let agent = Program::configured(&config, &[]);
    let mut peer = Peer::greeted(agent.address());
    assert_eq!(peer.ask(), 0);
    scratch.replace("deny.txt", "");
    scores(&mut peer, 100);
    agent.says("deny.txt before=1");
}

#[test]
fn a_path_that_is_misspelt_loses_nothing() {
    let scratch = Scratch::new();
    scratch.write("own.txt", BAD);
    scratch.write("allow.txt", "192.0.2.1\n");
    let config = scratch.write("spoa.toml", CONFIG);
    let agent = Program::configured(&config, &[]);
    let mut peer = Peer::greeted(agent.address());
    scratch.write("spoa.toml", CONFIG.replace("own.txt", "owm.txt"));
    agent.signal(Signal::SIGHUP);
    agent.says("list not used");
    agent.shows("feed=\"own\"", "state=kept");
    assert_eq!(peer.ask(), 0);

    let with = |allow: &str| format!("{CONFIG}\n[allow]\nfiles = [\"{allow}\"]\n");
    scratch.write("spoa.toml", with("allow.txt"));
    agent.signal(Signal::SIGHUP);
    scores(&mut peer, 100);
    scratch.write("spoa.toml", with("alow.txt"));
    agent.signal(Signal::SIGHUP);
    agent.says("configuration not used error=\"allow list ");
    assert_eq!(peer.ask(), 100);
    scratch.replace("allow.txt", "");
    scores(&mut peer, 0);
}

#[test]
fn many_reloads_at_once_end_with_the_last_state() {
    let scratch = Scratch::new();
    scratch.write("own.txt", BAD);
    let config = scratch.write("spoa.toml", CONFIG);
    let agent = Program::configured(&config, &[]);
    let mut peer = Peer::greeted(agent.address());
    for round in 0..20 {
        scratch.replace("own.txt", if round % 2 == 0 { GOOD } else { BAD });
        agent.signal(Signal::SIGHUP);
        let score = peer.ask();
        assert!(score == 0 || score == 100);
    }
    scratch.replace("own.txt", GOOD);
    agent.signal(Signal::SIGHUP);
    scores(&mut peer, 100);
    throughout(Duration::from_millis(300), "the last state", || {
        peer.ask() == 100
    });
    // What was replaced is let go of as soon as the worker has looked at what is new.
    until("nothing retired", || {
        peer.ask();
        agent.status("reputation ").contains("retired=0 ")
    });
    drop(peer);
    agent.stop();
}

/// A worker that nobody asks is told; it would keep what it looked at last for as long.
#[test]
fn a_worker_without_traffic_lets_go_of_what_was_replaced() {
    let scratch = Scratch::new();
    scratch.write("own.txt", BAD);
    let config = scratch.write("spoa.toml", CONFIG);
    let agent = Program::start(&["-n", "3", "-f", config.to_str().unwrap()]);
    let mut peer = Peer::greeted(agent.address());
    assert_eq!(peer.ask(), 0);
    for reloads in 1..=2 {
        agent.signal(Signal::SIGHUP);
        agent.shows("reputation ", &format!("reloads={reloads} "));
        agent.shows("reputation ", "retired=0 ");
    }
    // A file that changed, with no configuration read.
    scratch.replace("own.txt", GOOD);
    agent.shows("reputation ", "reloads=3 ");
    agent.shows("reputation ", "retired=0 ");
    assert_eq!(peer.ask(), 100);
    drop(peer);
    agent.stop();
}

#[test]
fn a_file_that_appears_later_counts() {
    let scratch = Scratch::new();
    let config = scratch.write("spoa.toml", CONFIG.replace("own.txt", "a/b/own.txt"));
    let agent = Program::configured(&config, &[]);
    agent.says("WARN list not used list=own ");
    let mut peer = Peer::greeted(agent.address());
    assert_eq!(peer.ask(), 100);
    fs::create_dir_all(scratch.path("a/b")).unwrap();
    scratch.write("a/b/own.txt", BAD);
    scores(&mut peer, 0);
}

#[test]
fn a_feed_that_suddenly_covers_the_world_is_kept_out_until_it_is_accepted() {
    let scratch = Scratch::new();
    scratch.write("own.txt", "192.0.2.1\n198.51.100.0/24\n");
    let text = CONFIG.to_owned() + "max-growth-ratio = 3\n";
    let config = scratch.write("spoa.toml", text);
    let admin = scratch.bind("admin");
    let agent = Program::configured(&config, &["--admin", &admin]);
    let mut peer = Peer::greeted(agent.address());
    scratch.replace("own.txt", "198.51.0.0/16\n");
    agent.says("it covers 65536 IPv4 addresses where it covered 257");
    assert_eq!(peer.ask(), 0);
    let accept = |list: &str| Program::run(&["ctl", "accept", list, "--admin", &admin]);
    let ended = accept("other");
    assert!(ended.refusal(1).contains("there is no list"), "{ended:?}");
    let ended = accept("own");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    scores(&mut peer, 100);
    // Once.
    scratch.replace("own.txt", "192.0.0.0/8\n");
    agent.says("it covers 16777216 IPv4 addresses where it covered 65536");
}

#[test]
fn the_last_good_file_survives_a_restart() {
    let scratch = Scratch::new();
    scratch.write("own.txt", "192.0.2.1\n".to_owned() + &hosts(99));
    let text = format!("[reputation]\ncache-dir = \"cache\"\n{CONFIG}");
    let config = scratch.write("spoa.toml", text);
    let agent = Program::configured(&config, &[]);
    assert_eq!(Peer::greeted(agent.address()).ask(), 0);
    agent.stop();
    for bad in ["198.51.100.1\n", "<!DOCTYPE html><html>Bad gateway</html>"] {
        scratch.replace("own.txt", bad);
        let agent = Program::configured(&config, &[]);
        agent.says("WARN list not used list=own ");
        agent.shows("feed=\"own\"", "state=kept");
        assert_eq!(Peer::greeted(agent.address()).ask(), 0);
        agent.stop();
    }
    fs::remove_file(scratch.path("own.txt")).unwrap();
    let agent = Program::configured(&config, &[]);
    agent.says("WARN list not used list=own ");
    assert_eq!(Peer::greeted(agent.address()).ask(), 0);
}

#[test]
fn a_configuration_without_lists_is_never_random() {
    let scratch = Scratch::new();
    scratch.write("own.txt", "192.0.2.1\n");
    let config = scratch.write("spoa.toml", CONFIG);
    let agent = Program::configured(&config, &[]);
    let mut peer = Peer::greeted(agent.address());
    assert_eq!(peer.ask(), 0);
    scratch.write("spoa.toml", "");
    agent.signal(Signal::SIGHUP);
    agent.says("WARN no lists configured score=100 ");
    scores(&mut peer, 100);
    assert_eq!(peer.ask(), 100);
}
