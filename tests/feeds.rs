//! Feeds from URLs, with a server that does everything a server can do wrong.

#![cfg(test)]
#![cfg(feature = "http")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use support::{Answer, Peer, Program, Scratch, Server, Signal, until};

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
        (Answer::ok("{\"error\":\"rate limit\"}\n"), "no format"),
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
    assert!(server.requests()[0].contains("accept-encoding: identity"));
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
