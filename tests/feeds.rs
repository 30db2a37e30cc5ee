//! Feeds from URLs, with a server that does everything a server can do wrong.

#![cfg(test)]
#![cfg(feature = "http")]

#[allow(dead_code, reason = "autonomous systems need numbers alone")]
#[path = "model/mmdb.rs"]
mod mmdb;
mod support;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use support::{Answer, Endpoint, Peer, Program, Scratch, Server, Signal, until};

const BAD: &str = "192.0.2.1\n198.51.100.1\n";
const GOOD: &str = "192.0.2.2\n198.51.100.1\n";

/// A configuration with one feed from this server.
fn config(scratch: &Scratch, server: &Server, more: &str) -> PathBuf {
    let url = server.url("/list.txt");
    let text = format!(
        "[reputation]\ncache-dir = \"cache\"\n[[feed]]\nname = \"web\"\nurl = \"{url}\"\n{more}\n"
    );
    scratch.write("spoa.toml", text)
}

fn score(agent: &Program) -> u32 {
    Peer::greeted(agent.address()).ask()
}

#[test]
fn a_url_is_asked_whether_it_has_something_newer() {
    let scratch = Scratch::new();
    let headers = [
        "ETag: \"one\"",
        "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT",
    ];
    let server = Server::start(Answer::new("200 OK", &headers, BAD));
    let agent = Program::configured(&config(&scratch, &server, ""), &[]);
    assert_eq!(score(&agent), 0);
    assert!(!server.requests()[0].contains("if-none-match"));
    server.answers(Answer::new("304 Not Modified", &[], ""));
    agent.signal(Signal::SIGHUP);
    until("asked again", || server.requests().len() == 2);
    let asked = server.requests().pop().unwrap();
    for header in [
        "get /list.txt http/1.1",
        "if-none-match: \"one\"",
        "if-modified-since: sun, 06 nov 1994 08:49:37 gmt",
        "user-agent: spoa/",
    ] {
        assert!(asked.contains(header), "{header}: {asked}");
    }
    agent.shows("feed=\"web\"", "state=good");
    assert_eq!(score(&agent), 0);
    server.answers(Answer::new("200 OK", &["ETag: \"two\""], GOOD));
    agent.signal(Signal::SIGHUP);
    until("the new list", || score(&agent) == 100);
    agent.shows("reputation ", "refusals=0 ");
}

#[test]
fn a_signal_during_the_start_ends_it_at_once() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let scratch = Scratch::new();
        let server = Server::start(Answer::Stalls);
        let config = config(&scratch, &server, "fetch-timeout = \"1h\"");
        let config = config.to_str().unwrap();
        let args = ["-n", "1", "-b", "127.0.0.1:0", "-f", config];
        let agent = Program::spawn(Program::command(&args));
        until("asked", || server.requests().len() == 1);
        agent.signal(signal);
        let ended = agent.wait();
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

#[test]
fn a_url_that_hangs_does_not_hold_up_the_others_nor_the_start() {
    let scratch = Scratch::new();
    let hangs = Server::start(Answer::Stalls);
    let serves = Server::start(Answer::ok(BAD));
    let (hangs_at, serves_at) = (hangs.url("/list"), serves.url("/list"));
    let file = scratch.write(
        "spoa.toml",
        format!(
            "[[feed]]\nname = \"slow\"\nurl = \"{hangs_at}\"\nfetch-timeout = \"10m\"\n\
             [[feed]]\nname = \"web\"\nurl = \"{serves_at}\"\n"
        ),
    );
    let agent = Program::configured(&file, &["--admin", "127.0.0.1:0"]);
    assert_eq!(score(&agent), 0);
    agent.says("WARN source not answering list=slow ");
    agent.shows("feed=\"slow\"", "state=absent");
    let endpoint = Endpoint::of(&agent);
    let ready = endpoint.get("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("waiting for slow"), "{ready:?}");
}

#[test]
fn redirects_share_the_time_of_a_fetch() {
    let scratch = Scratch::new();
    let server = Server::start(Answer::ok(BAD));
    let agent = Program::configured(&config(&scratch, &server, "fetch-timeout = \"1s\""), &[]);
    assert_eq!(score(&agent), 0);
    let location = format!("Location: {}", server.url("/next"));
    let redirect = Answer::new("302 Found", &[&location], "");
    let Answer::Raw(bytes) = redirect else {
        unreachable!("it is made of bytes")
    };
    server.answers(Answer::Late(Duration::from_millis(700), bytes));
    let before = server.requests().len();
    agent.signal(Signal::SIGHUP);
    agent.says("no whole answer within the timeout");
    // The third hop would begin after the timeout.
    assert_eq!(server.requests().len() - before, 2);
}

#[test]
fn whatever_a_server_does_the_last_good_list_stays() {
    let scratch = Scratch::new();
    let server = Server::start(Answer::ok(BAD));
    let more = "fetch-timeout = \"3s\"\nmax-size = \"1MiB\"\nmax-shrink-ratio = 0.4";
    let agent = Program::configured(&config(&scratch, &server, more), &[]);
    assert_eq!(score(&agent), 0);
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n192.0.2.2\n".to_vec();
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n192.0.2.2\n\r\nfff\r\n"
            .to_vec();
    let gzip = [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"[..],
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03ab",
    ];
    let huge = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec();
    let head = [&b"HTTP/1.1 200 OK\r\nX: "[..], &vec![b'x'; 1 << 20]].concat();
    let loops = format!("Location: {}", server.url("/"));
    for (number, (answer, why)) in [
        (
            Answer::new("500 Internal Server Error", &[], "oops"),
            "status 500",
        ),
        (Answer::new("404 Not Found", &[], "<html>"), "status 404"),
        (Answer::new("304 Not Modified", &[], ""), "status 304"),
        (Answer::ok("<html><body>Sign in</body></html>"), "HTML"),
        (Answer::ok(""), "no entry"),
        (Answer::ok("198.51.100.1\n"), "max-shrink-ratio"),
        (Answer::Raw(cut), "broke off"),
        (Answer::Raw(chunked), "broke off"),
        (Answer::Raw(gzip.concat()), "not be read to its end"),
        (Answer::Raw(head), "cannot be understood"),
        (Answer::new("206 Partial Content", &[], GOOD), "status 206"),
        (Answer::ok("{\"error\":\"rate limit\"}\n"), "read as json"),
        (Answer::Raw(huge), "max-size"),
        (Answer::Raw(b"SSH-2.0-x\r\n".to_vec()), ""),
        (Answer::Endless, "max-size"),
        (Answer::Stalls, "within the timeout"),
        (Answer::Drips, "within the timeout"),
        (Answer::Closes, ""),
        (Answer::new("302 Found", &[&loops], ""), "redirects"),
        (
            Answer::new("302 Found", &["Location: file:///etc/passwd"], ""),
            "redirect",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        server.answers(answer);
        agent.signal(Signal::SIGHUP);
        agent.shows("reputation ", &format!("refusals={} ", number + 1));
        agent.shows("feed=\"web\"", &format!("failures={} ", number + 1));
        let line = agent.status("feed=\"web\"");
        assert!(
            line.contains("state=kept") && line.contains(why),
            "{why}: {line}"
        );
        assert_eq!(score(&agent), 0, "{why}");
    }
    server.answers(Answer::ok(GOOD));
    until("a good one", || {
        // On a machine that is loaded enough an answer is too late now and then.
        agent.signal(Signal::SIGHUP);
        agent.status("feed=\"web\"").contains("state=good")
    });
    agent.says("list recovered list=web entries=2");
    until("the new list", || score(&agent) == 100);
}

#[test]
fn a_server_that_asks_for_time_gets_it() {
    let scratch = Scratch::new();
    let server = Server::start(Answer::ok(BAD));
    let agent = Program::configured(&config(&scratch, &server, ""), &[]);
    let headers = ["Retry-After: 3600"];
    server.answers(Answer::new("429 Too Many Requests", &headers, ""));
    agent.signal(Signal::SIGHUP);
    agent.shows("feed=\"web\"", "status 429");
    let asked = server.requests().len();
    for reloads in 2..5 {
        agent.signal(Signal::SIGHUP);
        until("a reload", || {
            agent.count("configuration reloaded") == reloads
        });
    }
    assert_eq!(server.requests().len(), asked);
    assert_eq!(score(&agent), 0);
}

#[test]
fn a_server_that_asks_for_a_second_is_asked_again_after_it() {
    let scratch = Scratch::new();
    let headers = ["Retry-After: 1"];
    let server = Server::start(Answer::new("503 Service Unavailable", &headers, ""));
    // Without that wish it would be half a minute.
    let agent = Program::configured(&config(&scratch, &server, "refresh-interval = \"1s\""), &[]);
    agent.shows("feed=\"web\"", "status 503");
    server.answers(Answer::ok(BAD));
    until("the list", || score(&agent) == 0);
}

#[test]
fn a_list_that_comes_packed_is_unpacked() {
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write as _;

    let scratch = Scratch::new();
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(BAD.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n";
    let server = Server::start(Answer::Raw([head.as_bytes(), &packed].concat()));
    let agent = Program::configured(&config(&scratch, &server, ""), &[]);
    assert_eq!(score(&agent), 0);
    assert!(server.requests()[0].contains("accept-encoding: gzip"));
}

/// An answer with a body of bytes.
fn packed(headers: &str, body: &[u8]) -> Answer {
    let len = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n{headers}\r\n");
    Answer::Raw([head.as_bytes(), body].concat())
}

fn zlib(text: &str) -> Vec<u8> {
    use flate2::{Compression, write::ZlibEncoder};
    use std::io::Write as _;

    let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write as _;

    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(text).unwrap();
    packed.finish().unwrap()
}

#[test]
fn encodings_of_a_transfer_are_unpacked_or_refused_by_name() {
    let scratch = Scratch::new();
    let server = Server::start(Answer::ok(BAD));
    let more = "max-size = \"1MiB\"\nfetch-timeout = \"10s\"";
    let agent = Program::configured(&config(&scratch, &server, more), &[]);
    assert_eq!(score(&agent), 0);
    let bomb = gzip(&b"192.0.2.1\n".repeat(1 << 20));
    for (answer, why) in [
        (
            packed("Content-Encoding: br\r\n", b"\x0b\x02\x80"),
            "Content-Encoding br is not unpacked",
        ),
        (
            packed("Content-Encoding: zstd\r\n", b"\x28\xb5\x2f\xfd"),
            "Content-Encoding zstd is not unpacked",
        ),
        (
            packed("Content-Encoding: gzip\r\n", BAD.as_bytes()),
            "Content-Encoding is gzip, and the answer is not",
        ),
        (packed("Content-Encoding: gzip\r\n", &bomb), "max-size"),
        (packed("", &bomb), "max-size"),
        (
            packed("Content-Encoding: gzip, gzip\r\n", &bomb),
            "more than one encoding",
        ),
        (
            Answer::Raw(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n192.0.2.2\n192.0.2.3".to_vec(),
            ),
            "its last line has no end",
        ),
    ] {
        server.answers(answer);
        agent.signal(Signal::SIGHUP);
        until(why, || agent.status("feed=\"web\"").contains(why));
        assert_eq!(score(&agent), 0, "{why}");
    }
    let (zlib, gz) = (zlib(GOOD), gzip(GOOD.as_bytes()));
    for (body, coding) in [
        (&zlib[..], "deflate"),
        // Without the frame: two bytes in front, and the checksum.
        (&zlib[2..zlib.len() - 4], "deflate"),
        (&gz, "gzip"),
        (&gzip(&gz), "gzip"),
    ] {
        server.answers(Answer::ok(BAD));
        agent.signal(Signal::SIGHUP);
        until("the other list", || score(&agent) == 0);
        server.answers(packed(&format!("Content-Encoding: {coding}\r\n"), body));
        agent.signal(Signal::SIGHUP);
        until(coding, || score(&agent) == 100);
    }
}

#[test]
fn all_fetches_together_hold_no_more_than_max_fetch_memory() {
    let scratch = Scratch::new();
    let server = Server::start(Answer::ok(&"192.0.2.1\n".repeat(20_000)));
    let (one, two) = (server.url("/one"), server.url("/two"));
    let file = scratch.write(
        "spoa.toml",
        format!(
            "[reputation]\nmax-fetch-memory = \"100KiB\"\n[[feed]]\nname = \"one\"\nurl = \"{one}\"\n\
             [[feed]]\nname = \"two\"\nurl = \"{two}\"\n"
        ),
    );
    let agent = Program::configured(&file, &[]);
    agent.says("more than max-fetch-memory = 102400 bytes");
    server.answers(Answer::ok(BAD));
    // Each takes 64 KiB at least, so that one waits for the other.
    until("both", || {
        agent.signal(Signal::SIGHUP);
        ["one", "two"].iter().all(|name| {
            agent
                .status(&format!("feed=\"{name}\""))
                .contains("state=good")
        })
    });
}

#[test]
fn data_is_as_old_as_the_server_says_and_the_same_bytes_are_no_newer() {
    let scratch = Scratch::new();
    let modified = ["Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"];
    let server = Server::start(Answer::new("200 OK", &modified, BAD));
    let config = config(&scratch, &server, "");
    let agent = Program::configured(&config, &[]);
    agent.shows("feed=\"web\"", "as_of=1994-11-06T08:49:37Z");
    // The same bytes, by a server that touches its file.
    let touched = [
        "Last-Modified: Mon, 07 Nov 1994 08:49:37 GMT",
        "ETag: \"x\"",
    ];
    server.answers(Answer::new("200 OK", &touched, BAD));
    agent.signal(Signal::SIGHUP);
    until("asked again", || server.requests().len() == 2);
    agent.signal(Signal::SIGHUP);
    until("asked with the new tag", || {
        let requests = server.requests();
        requests.len() > 2 && requests[2].contains("if-none-match: \"x\"")
    });
    agent.shows("feed=\"web\"", "as_of=1994-11-06T08:49:37Z");
    agent.stop();
    server.answers(Answer::Closes);
    let agent = Program::configured(&config, &[]);
    agent.shows("feed=\"web\"", "as_of=1994-11-06T08:49:37Z");
    assert_eq!(score(&agent), 0);
}

#[test]
fn networks_of_systems_follow_the_list_and_the_database() {
    let scratch = Scratch::new();
    let database = |number: u32| {
        let system = mmdb::Value::Map(vec![(
            "autonomous_system_number",
            mmdb::Value::Number(number),
        )]);
        let networks = vec![([192, 0, 2, 0].into(), 24, system)];
        mmdb::Database::new(networks).bytes()
    };
    scratch.write("asn.mmdb", database(64_496));
    scratch.write("list.txt", "AS64496\n");
    let server = Server::start(Answer::ok("AS64496\n"));
    for place in [
        "path = \"list.txt\"".to_owned(),
        format!("url = \"{}\"", server.url("/asn.txt")),
    ] {
        scratch.write("asn.mmdb", database(64_496));
        let file = scratch.write(
            "spoa.toml",
            format!(
                "[reputation]\nasn-db = \"asn.mmdb\"\n[[feed]]\nname = \"systems\"\n{place}\n\
                 allow-empty = true\nmax-shrink-ratio = 1\n"
            ),
        );
        let agent = Program::configured(&file, &[]);
        assert_eq!(score(&agent), 0, "{place}");
        let requests = server.requests().len();
        scratch.write("asn.mmdb.new", database(64_497));
        fs::rename(scratch.path("asn.mmdb.new"), scratch.path("asn.mmdb")).unwrap();
        until("other networks", || score(&agent) == 100);
        assert_eq!(server.requests().len(), requests, "{place}");
    }
}

#[test]
fn the_copy_on_disk_serves_while_the_source_is_down() {
    let scratch = Scratch::new();
    let server = Server::start(Answer::new("200 OK", &["ETag: \"one\""], BAD));
    let config = config(&scratch, &server, "refresh-interval = \"1s\"");
    let agent = Program::configured(&config, &[]);
    assert_eq!(score(&agent), 0);
    agent.stop();
    let names: Vec<_> = fs::read_dir(scratch.path("cache")).unwrap().collect();
    assert_eq!(names.len(), 2, "{names:?}");

    server.answers(Answer::Closes);
    let agent = Program::configured(&config, &[]);
    assert_eq!(score(&agent), 0);
    // It is asked, with what the copy came with.
    until("asked", || server.requests().len() > 1);
    let asked = server.requests().pop().unwrap();
    assert!(asked.contains("if-none-match: \"one\""), "{asked}");
    agent.shows("feed=\"web\"", "state=kept");
    assert_eq!(score(&agent), 0);
    server.answers(Answer::new("304 Not Modified", &[], ""));
    agent.signal(Signal::SIGHUP);
    agent.shows("feed=\"web\"", "state=good");
    assert_eq!(score(&agent), 0);
    agent.stop();

    // A copy that is damaged is none.
    for entry in fs::read_dir(scratch.path("cache")).unwrap() {
        fs::write(entry.unwrap().path(), "<html>").unwrap();
    }
    server.answers(Answer::ok(BAD));
    let agent = Program::configured(&config, &[]);
    assert_eq!(score(&agent), 0);
    assert!(!server.requests().pop().unwrap().contains("if-none-match"));
}

#[test]
fn without_a_copy_a_source_that_is_down_is_said_and_asked_again() {
    let scratch = Scratch::new();
    let server = Server::start(Answer::Closes);
    let agent = Program::configured(&config(&scratch, &server, "refresh-interval = \"1s\""), &[]);
    agent.says("WARN list not used list=web ");
    agent.shows("feed=\"web\"", "state=absent");
    assert_eq!(score(&agent), 100);
    server.answers(Answer::ok(BAD));
    // By itself, after its interval.
    until("the list", || score(&agent) == 0);
    agent.says("list recovered");
}

#[test]
fn secrets_are_sent_to_their_host_alone_and_never_shown() {
    let scratch = Scratch::new();
    let other = Server::start(Answer::ok(BAD));
    let moved = format!("Location: {}", other.url("/moved"));
    let server = Server::start(Answer::new("302 Found", &[&moved], ""));
    scratch.write("key", "s3cret-in-file\n");
    let more = "headers = [{ name = \"X-File\", file = \"key\" }, { name = \"X-Env\", env = \"SPOA_TEST_KEY\" }]";
    let config = config(&scratch, &server, more);
    let args = ["-p", "0", "-n", "1", "-f", config.to_str().unwrap()];
    let mut command = Program::command(&args);
    command.env("SPOA_TEST_KEY", "s3cret-in-env");
    let agent = Program::started(command);
    assert_eq!(score(&agent), 0);
    let asked = server.requests().pop().unwrap();
    assert!(asked.contains("x-file: s3cret-in-file\r\n"), "{asked}");
    assert!(asked.contains("x-env: s3cret-in-env\r\n"), "{asked}");
    let asked = other.requests().pop().unwrap();
    assert!(
        asked.starts_with("get /moved ") && !asked.contains("s3cret"),
        "{asked}"
    );

    scratch.write("key", "s3cret\u{1}broken\n");
    agent.signal(Signal::SIGHUP);
    agent.says("header X-File: its value is empty");
    agent.status("feed=");
    assert_eq!(agent.count("s3cret"), 0);
}
