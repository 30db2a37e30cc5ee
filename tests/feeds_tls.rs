//! Feeds from https URLs: whose certificates are believed, and what is said of all others.

#![cfg(test)]
#![cfg(feature = "http")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;

use support::{Answer, Authority, Life, Peer, Program, Scratch, Server, Signal, until};

const BAD: &str = "192.0.2.1\n198.51.100.1\n";
const GOOD: &str = "192.0.2.2\n198.51.100.1\n";

/// A configuration with one feed from this URL, which trusts the CA in `ca.pem`.
fn config(scratch: &Scratch, url: &str, more: &str) -> PathBuf {
    let text = format!(
        "[reputation]\ncache-dir = \"cache\"\n[[feed]]\nname = \"web\"\nurl = \"{url}\"\n\
         ca-file = \"ca.pem\"\n{more}\n"
    );
    scratch.write("spoa.toml", text)
}

fn score(agent: &Program) -> u32 {
    Peer::greeted(agent.address()).ask()
}

#[test]
fn a_server_of_the_ca_is_believed() {
    let scratch = Scratch::new();
    let authority = Authority::new("lists");
    scratch.write("ca.pem", &authority.pem);
    let headers = ["ETag: \"one\""];
    let server = Server::sealed(
        Answer::new("200 OK", &headers, BAD),
        &authority.issue("127.0.0.1"),
    );
    let agent = Program::configured(&config(&scratch, &server.url("/list.txt"), ""), &[]);
    assert_eq!(score(&agent), 0);
    server.answers(Answer::new("304 Not Modified", &[], ""));
    agent.signal(Signal::SIGHUP);
    until("asked again", || server.requests().len() == 2);
    let asked = server.requests().pop().unwrap();
    assert!(asked.contains("if-none-match: \"one\""), "{asked}");
    agent.shows("feed=\"web\"", "state=good");
    assert_eq!(score(&agent), 0);
    server.answers(Answer::ok(GOOD));
    agent.signal(Signal::SIGHUP);
    until("the new list", || score(&agent) == 100);
    agent.shows("reputation ", "refusals=0 ");
}

#[test]
fn the_ca_of_all_feeds_may_stand_in_one_place_and_change_without_a_reload() {
    let scratch = Scratch::new();
    // A CA is believed because the file has it, whatever its own dates.
    let (old, new) = (
        Authority::with_life("old", Life::Past),
        Authority::new("new"),
    );
    scratch.write("ca.pem", &old.pem);
    let server = Server::sealed(Answer::ok(BAD), &old.issue("127.0.0.1"));
    let text = format!(
        "[reputation]\nca-file = \"ca.pem\"\n[[feed]]\nname = \"web\"\nurl = \"{}\"\n\
         refresh-interval = \"1s\"\n",
        server.url("/")
    );
    let agent = Program::configured(&scratch.write("spoa.toml", text), &[]);
    assert_eq!(score(&agent), 0);
    server.shows(&new.issue("127.0.0.1"));
    agent.shows("feed=\"web\"", "state=kept");
    assert_eq!(score(&agent), 0);
    // Both, as long as it takes.
    scratch.replace("ca.pem", old.pem.clone() + &new.pem);
    server.answers(Answer::ok(GOOD));
    until("the new list", || score(&agent) == 100);
}

#[test]
fn whoever_a_certificate_is_not_right_for_the_last_good_list_stays() {
    let scratch = Scratch::new();
    let (authority, other) = (Authority::new("lists"), Authority::new("lists"));
    scratch.write("ca.pem", &authority.pem);
    let server = Server::sealed(Answer::ok(BAD), &authority.issue("127.0.0.1"));
    let config = config(&scratch, &server.url("/"), "fetch-timeout = \"20s\"");
    let agent = Program::configured(&config, &[]);
    assert_eq!(score(&agent), 0);
    server.answers(Answer::ok(GOOD));
    let path = scratch.path("ca.pem").display().to_string();
    let unknown = format!("no CA in the ca-file {path} has signed the server's certificate; put");
    for (number, (leaf, said)) in [
        (other.issue("127.0.0.1"), &unknown[..]),
        (
            authority.issue("lists.example.org"),
            "is not for 127.0.0.1 but for DnsName(\\\"lists.example.org\\\"); ask the URL",
        ),
        (
            authority.issue_for("127.0.0.1", Life::Past),
            " days ago; its owner has to renew it",
        ),
        (
            authority.issue_for("127.0.0.1", Life::Future),
            "not valid yet; check the clock",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        server.shows(&leaf);
        agent.signal(Signal::SIGHUP);
        agent.shows("reputation ", &format!("refusals={} ", number + 1));
        agent.shows("feed=\"web\"", "state=kept");
        let lines = agent.lines();
        let warnings = lines.iter().filter(|line| line.contains("WARN list "));
        let warnings: Vec<_> = warnings.collect();
        assert_eq!(warnings.len(), number + 1, "one line each: {warnings:?}");
        assert!(warnings[number].contains(said), "{said}: {warnings:?}");
        assert_eq!(score(&agent), 0, "{said}");
    }
    assert_eq!(server.requests().len(), 1, "nobody else is asked anything");
    agent.stop();

    // The copy on disk serves an agent that starts now.
    let agent = Program::configured(&config, &[]);
    assert_eq!(score(&agent), 0);
    agent.shows("feed=\"web\"", "state=copy");
    agent.signal(Signal::SIGHUP);
    agent.shows("feed=\"web\"", "state=kept");
    assert_eq!(score(&agent), 0);
    server.shows(&authority.issue("127.0.0.1"));
    agent.signal(Signal::SIGHUP);
    until("the new list", || score(&agent) == 100);
}

#[test]
fn without_a_ca_file_the_public_cas_count_and_the_line_names_the_key() {
    let scratch = Scratch::new();
    let authority = Authority::new("lists");
    let server = Server::sealed(Answer::ok(BAD), &authority.issue("127.0.0.1"));
    let text = format!("[[feed]]\nname = \"web\"\nurl = \"{}\"\n", server.url("/"));
    let config = scratch.write("spoa.toml", text);
    let ended = Program::run(&["check", "-f", config.to_str().unwrap()]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let said = "WRONG: no public CA has signed the server's certificate; if a CA of your own has, \
                name its certificate with ca-file";
    assert!(ended.stdout.contains(said), "{}", ended.stdout);
}

#[test]
fn a_port_without_tls_is_called_that() {
    let scratch = Scratch::new();
    scratch.write("ca.pem", Authority::new("lists").pem);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for mut client in listener.incoming().map_while(Result::ok) {
            let _ = client.read(&mut [0; 1024]);
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let config = config(&scratch, &format!("https://{address}/"), "");
    let ended = Program::run(&["check", "-f", config.to_str().unwrap()]);
    assert!(
        ended
            .stdout
            .contains("the server does not speak TLS; check the port"),
        "{ended:?}"
    );
}

#[test]
fn an_answer_over_tls_that_breaks_off_is_not_a_shorter_list() {
    let scratch = Scratch::new();
    let authority = Authority::new("lists");
    scratch.write("ca.pem", &authority.pem);
    let server = Server::sealed(Answer::ok(BAD), &authority.issue("127.0.0.1"));
    let agent = Program::configured(&config(&scratch, &server.url("/"), ""), &[]);
    assert_eq!(score(&agent), 0);
    let chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n17\r\n192.0.2.2\n\r\n";
    for (number, part) in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n192.0.2.2\n"[..],
        chunks,
    ]
    .into_iter()
    .enumerate()
    {
        server.answers(Answer::Raw(part.to_vec()));
        agent.signal(Signal::SIGHUP);
        agent.shows("reputation ", &format!("refusals={} ", number + 1));
        agent.says("the answer broke off");
        assert_eq!(score(&agent), 0);
    }
    // Without a length only TLS's own end could say that all of it has come, and this one has none.
    let cut = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n192.0.2.2\n198.51.100.1\n";
    server.answers(Answer::Raw(cut.to_vec()));
    agent.signal(Signal::SIGHUP);
    agent.says("says neither its length nor where it ends");
    assert_eq!(score(&agent), 0);
    let whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n17\r\n192.0.2.2\n198.51.100.1\n\r\n0\r\n\r\n";
    server.answers(Answer::Raw(whole.to_vec()));
    agent.signal(Signal::SIGHUP);
    until("the new list", || score(&agent) == 100);
}

#[test]
fn no_redirect_leads_out_of_tls_and_no_secret_to_another_host() {
    let scratch = Scratch::new();
    let authority = Authority::new("lists");
    scratch.write("ca.pem", &authority.pem);
    scratch.write("key", "s3cret\n");
    let leaf = authority.issue("127.0.0.1");
    let (plain, other) = (
        Server::start(Answer::ok(GOOD)),
        Server::sealed(Answer::ok(BAD), &leaf),
    );
    let to = |server: &Server| {
        let moved = format!("Location: {}", server.url("/moved"));
        Answer::new("301 Moved Permanently", &[&moved], "")
    };
    let server = Server::sealed(to(&other), &leaf);
    let headers = "headers = [{ name = \"X-Key\", file = \"key\" }]";
    let agent = Program::configured(&config(&scratch, &server.url("/"), headers), &[]);
    assert_eq!(score(&agent), 0);
    let asked = server.requests().pop().unwrap();
    assert!(asked.contains("x-key: s3cret\r\n"), "{asked}");
    let asked = other.requests().pop().unwrap();
    assert!(
        asked.starts_with("get /moved ") && !asked.contains("s3cret"),
        "{asked}"
    );

    server.answers(to(&plain));
    agent.signal(Signal::SIGHUP);
    agent.says("a redirect from https to http; not followed");
    assert_eq!(plain.requests(), [""; 0]);
    assert_eq!(score(&agent), 0);
    assert_eq!(agent.count("s3cret"), 0);
}

#[test]
fn a_ca_file_that_is_none_is_a_mistake_in_the_configuration() {
    let scratch = Scratch::new();
    let config = config(&scratch, "https://127.0.0.1:9/", "");
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (text, said) in [
        (
            None,
            "No such file or directory (os error 2); check the path",
        ),
        (Some(""), "no certificate in it; it has to be PEM"),
        (
            Some("\0\u{1}\u{2}"),
            "no certificate in it; it has to be PEM",
        ),
        (Some(junk), "certificate 1 in it cannot be used: "),
        (Some("-----BEGIN CERTIFICATE-----\n!"), "is broken PEM: "),
    ] {
        if let Some(text) = text {
            scratch.write("ca.pem", text);
        }
        for command in [&["check"][..], &["-p", "0"]] {
            let args = [command, &["-f", config.to_str().unwrap()]].concat();
            let ended = Program::run(&args);
            let line = ended.refusal(1);
            assert!(line.contains("spoa.toml:6: ca-file: "), "{line}");
            assert!(line.contains(said), "{said}: {line}");
        }
    }
    fs::remove_file(scratch.path("ca.pem")).unwrap();
    fs::create_dir(scratch.path("ca.pem")).unwrap();
    let ended = Program::run(&["check", "-f", config.to_str().unwrap()]);
    assert!(ended.refusal(1).contains("ca.pem is a folder"), "{ended:?}");
}

#[test]
fn a_ca_file_that_goes_bad_leaves_configuration_and_list_as_they_are() {
    let scratch = Scratch::new();
    let authority = Authority::new("lists");
    scratch.write("ca.pem", &authority.pem);
    let server = Server::sealed(Answer::ok(BAD), &authority.issue("127.0.0.1"));
    let config = config(&scratch, &server.url("/"), "refresh-interval = \"1s\"");
    let agent = Program::configured(&config, &[]);
    assert_eq!(score(&agent), 0);
    scratch.replace("ca.pem", "nothing\n");
    // By itself, at the next asking.
    agent.says("ca.pem: no certificate in it; it has to be PEM");
    agent.shows("feed=\"web\"", "state=kept");
    agent.signal(Signal::SIGHUP);
    agent.shows("reputation ", "bad_configurations=1 ");
    agent.says("spoa.toml:6: ca-file: ");
    assert_eq!(score(&agent), 0);
}
