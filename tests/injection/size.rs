//! Lists that no memory could hold, or that never come.

use std::fs::{self, File};
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::{Answer, Peer, Program, Scratch, Server, Signal, until};
use crate::{BAD, CONFIG, GOOD, scores};

const MIB: u64 = 1 << 20;

/// These bytes again and again, packed.
fn packed(bytes: &[u8], len: u64) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let many = bytes.repeat(65_536 / bytes.len());
    for _ in 0..len / many.len() as u64 {
        encoder.write_all(&many).unwrap();
    }
    encoder.finish().unwrap()
}

#[test]
fn a_list_that_is_larger_than_memory_is_refused_in_bounded_memory() {
    let scratch = Scratch::new();
    scratch.write("own.txt", BAD);
    let config = scratch.write("spoa.toml", CONFIG.to_owned() + "max-size = \"16MiB\"\n");
    let agent = Program::configured(&config, &[]);
    let mut peer = Peer::greeted(agent.address());
    assert_eq!(peer.ask(), 0);
    let before = agent.process().peak();
    let sparse = |len: u64| {
        let path = scratch.path("sparse");
        File::create(&path).unwrap().set_len(len).unwrap();
        fs::rename(path, scratch.path("own.txt")).unwrap();
    };
    let refused = |number: usize, what: &str| {
        agent.shows("reputation ", &format!("refusals={number} "));
        agent.shows("feed=\"own\"", "state=kept");
        let status = agent.status("feed=\"own\"");
        assert!(status.contains(what), "{status}");
    };
    // Far more than there is memory, without a byte on the disk.
    sparse(1 << 40);
    refused(1, "raise max-size");
    assert_eq!(peer.ask(), 0);
    // A line without an end that is as long as may be.
    sparse(16 * MIB);
    refused(2, "");
    assert_eq!(peer.ask(), 0);
    // A few kilobytes that unpack to more. Few lines: parsing is not what takes time here.
    let line = format!("192.0.2.1 # {}\n", ".".repeat(1011)).into_bytes();
    scratch.replace("own.txt", packed(&line, 20 * MIB));
    refused(3, "raise max-size");
    assert_eq!(peer.ask(), 0);
    let grown = agent.process().peak().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
    scratch.replace("own.txt", GOOD);
    scores(&mut peer, 100);
    drop(peer);
    agent.stop();
}

#[test]
fn a_url_that_hangs_holds_up_no_file() {
    let scratch = Scratch::new();
    let server = Server::start(Answer::ok("203.0.113.1\n"));
    scratch.write("own.txt", BAD);
    let url = server.url("/list");
    let web = format!(
        "[[feed]]\nname = \"web\"\nurl = \"{url}\"\nrefresh-interval = \"1s\"\nfetch-timeout = \"10m\"\n"
    );
    let config = scratch.write("spoa.toml", CONFIG.to_owned() + &web);
    let agent = Program::configured(&config, &[]);
    let mut peer = Peer::greeted(agent.address());
    assert_eq!(peer.ask(), 0);
    server.answers(Answer::Stalls);
    let asked = server.requests().len();
    until("it hangs", || server.requests().len() > asked);
    for _ in 0..3 {
        scratch.replace("own.txt", GOOD);
        scores(&mut peer, 100);
        let reloaded = agent.count("configuration reloaded");
        agent.signal(Signal::SIGHUP);
        until("a reload", || {
            agent.count("configuration reloaded") > reloaded
        });
        scratch.replace("own.txt", BAD);
        scores(&mut peer, 0);
    }
    let fetching = agent.process().of_threads("Name:");
    let fetching = fetching
        .iter()
        .filter(|name| name.concat() == "fetch")
        .count();
    assert_eq!(fetching, 1, "no more than one at a time");
    drop(peer);
    // Nor does it hold up the end.
    agent.stop();
}
