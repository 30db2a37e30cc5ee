//! Folders and files that are not what they should be.

use std::fs;
use std::path::PathBuf;

use crate::support::{Answer, Peer, Program, Scratch, Server, Signal, until};
use crate::{BAD, CONFIG, GOOD, apart, inside, scores};

/// A list of 60,000 bytes with the address that the peer asks about.
fn long_list() -> String {
    let others = (0..4000).map(|host| format!("198.51.{}.{}\n", host / 250, host % 250));
    others.fold(BAD.to_owned(), |list, line| list + &line)
}

/// A configuration with one feed from this server, asked every second.
fn from_url(scratch: &Scratch, server: &Server) -> PathBuf {
    let url = server.url("/list.txt");
    let feed = format!("[[feed]]\nname = \"web\"\nurl = \"{url}\"\nrefresh-interval = \"1s\"\n");
    scratch.write(
        "spoa.toml",
        format!("[reputation]\ncache-dir = \"cache\"\n{feed}"),
    )
}

/// The copy is not written, for this reason, until this has been done.
fn without_a_copy(
    scratch: &Scratch,
    agent: &Program,
    server: &Server,
    why: &str,
    mend: impl FnOnce(),
) {
    agent.says("list not cached");
    assert_eq!(agent.count(why), 1, "{:?}", agent.lines());
    let mut peer = Peer::greeted(agent.address());
    assert_eq!(peer.ask(), 0);
    let asked = server.requests().len();
    until("asked again and again", || {
        server.requests().len() >= asked + 2
    });
    assert_eq!(
        agent.count("list not cached"),
        1,
        "said once: {:?}",
        agent.lines()
    );
    // A 304 would leave the disk without a copy for as long as the list does not change.
    assert!(!server.requests().concat().contains("if-none-match"));
    agent.shows("feed=\"web\"", "state=good");
    assert_eq!(peer.ask(), 0);
    mend();
    agent.says("list cached again");
    let cache = format!(
        "/proc/{}/root{}",
        agent.process().0,
        scratch.path("cache").display()
    );
    let mut copies = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap());
    let len = |ending: &str| {
        let mut found = copies
            .by_ref()
            .filter(|it| it.path().extension().is_some_and(|own| own == ending));
        found.next().map(|it| it.metadata().unwrap().len())
    };
    let mut len = len;
    assert_eq!(len("feed"), Some(long_list().len() as u64));
    until("asked for what is newer", || {
        server.requests().pop().unwrap().contains("if-none-match")
    });
    assert_eq!(peer.ask(), 0);
}

fn server() -> Server {
    Server::start(Answer::new("200 OK", &["ETag: \"one\""], &long_list()))
}

#[test]
fn a_full_disk_costs_the_copy_and_nothing_else() {
    let (scratch, server) = (Scratch::new(), server());
    fs::create_dir(scratch.path("cache")).unwrap();
    let cache = scratch.path("cache").display().to_string();
    let full = format!("mount -t tmpfs -o size=16k none {cache}");
    let Some(agent) = apart(&full, &from_url(&scratch, &server), &[]) else {
        return;
    };
    without_a_copy(&scratch, &agent, &server, "No space left on device", || {
        inside(
            agent.process(),
            &format!("mount -o remount,size=1m none {cache}"),
        );
    });
    agent.stop();
}

#[test]
fn a_folder_for_copies_that_is_read_only_costs_them_and_nothing_else() {
    let (scratch, server) = (Scratch::new(), server());
    fs::create_dir(scratch.path("cache")).unwrap();
    let cache = scratch.path("cache").display().to_string();
    let locked = format!("mount --bind {cache} {cache}; mount -o remount,bind,ro {cache}");
    let Some(agent) = apart(&locked, &from_url(&scratch, &server), &[]) else {
        return;
    };
    without_a_copy(&scratch, &agent, &server, "Read-only file system", || {
        inside(
            agent.process(),
            &format!("mount -o remount,bind,rw {cache}"),
        );
    });
    agent.stop();
}

#[test]
fn a_file_in_the_place_of_the_folder_for_copies_costs_them_and_nothing_else() {
    let (scratch, server) = (Scratch::new(), server());
    scratch.write("cache", "no folder");
    let agent = Program::configured(&from_url(&scratch, &server), &["--confine", "off"]);
    without_a_copy(&scratch, &agent, &server, "File exists", || {
        fs::remove_file(scratch.path("cache")).unwrap();
    });
    agent.stop();
}

#[test]
fn a_list_that_becomes_a_folder_is_said_and_the_last_good_one_stays() {
    let scratch = Scratch::new();
    scratch.write("own.txt", BAD);
    let config = scratch.write("spoa.toml", CONFIG);
    let agent = Program::configured(&config, &[]);
    let mut peer = Peer::greeted(agent.address());
    fs::remove_file(scratch.path("own.txt")).unwrap();
    fs::create_dir(scratch.path("own.txt")).unwrap();
    agent.says("is a folder; expected a regular file\" in_use=previous");
    agent.shows("feed=\"own\"", "state=kept");
    assert_eq!(peer.ask(), 0);
    fs::remove_dir(scratch.path("own.txt")).unwrap();
    scratch.replace("own.txt", GOOD);
    scores(&mut peer, 100);
    agent.says("list recovered list=own ");

    // The configuration itself.
    fs::remove_file(&config).unwrap();
    fs::create_dir(&config).unwrap();
    agent.signal(Signal::SIGHUP);
    agent.says("configuration not used error=");
    assert_eq!(
        agent.count("is not a regular file"),
        1,
        "{:?}",
        agent.lines()
    );
    assert_eq!(peer.ask(), 100);
    fs::remove_dir(&config).unwrap();
    scratch.write("spoa.toml", CONFIG.to_owned() + "weight = 0.5\n");
    scratch.replace("own.txt", BAD);
    agent.signal(Signal::SIGHUP);
    scores(&mut peer, 50);
    drop(peer);
    agent.stop();
}
