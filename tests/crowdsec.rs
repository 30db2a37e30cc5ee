//! CrowdSec: decisions of a LAPI are in force, whatever the LAPI does.

#![cfg(test)]
#![cfg(all(feature = "admin", feature = "crowdsec", feature = "live-store"))]

#[path = "crowdsec/debian.rs"]
mod debian;
#[path = "model/mmdb.rs"]
mod mmdb;
mod support;

use std::fs;

use serde_json::Value;
use support::lapi::{Lapi, answer, decision};
use support::{Authority, Ended, Endpoint, Program, Scratch, Signal, throughout, until};

struct Agent {
    scratch: Scratch,
    program: Program,
    admin: String,
}

/// A configuration that follows a LAPI, with a key in a file.
fn config(url: &str, more: &str) -> String {
    let credentials = if more.contains("cert-file") {
        ""
    } else {
        "api-key-file = \"crowdsec.key\"\n"
    };
    format!(
        "[live]\nstore = \"live.db\"\n[reputation]\nasn-db = \"places.mmdb\"\n\
         country-db = \"places.mmdb\"\n[crowdsec]\nurl = \"{url}\"\ninterval = \"100ms\"\n{credentials}{more}"
    )
}

fn scratch() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("crowdsec.key", "secret-key\n");
    let code = mmdb::Value::Map(vec![("iso_code", mmdb::Value::Text("NL".to_owned()))]);
    let both = mmdb::Value::Map(vec![
        ("autonomous_system_number", mmdb::Value::Number(64_496)),
        ("country", code),
        ("is_anycast", mmdb::Value::Flag(false)),
    ]);
    let bytes = mmdb::Database::new(vec![([198, 51, 100, 0].into(), 24, both)]).bytes();
    fs::write(scratch.path("places.mmdb"), bytes).unwrap();
    scratch
}

impl Agent {
    fn start(config: &str) -> Self {
        Self::again(scratch(), config)
    }

    fn again(scratch: Scratch, config: &str) -> Self {
        let file = scratch.write("spoa.toml", config);
        let admin = scratch.bind("admin.sock");
        let args = ["-b", "127.0.0.1:0", "-n", "1", "--admin", &admin, "-f"];
        let mut command = Program::command(&args);
        command.arg(file);
        let program = Program::started(command);
        let endpoint = Endpoint::of(&program);
        until("it is up", || endpoint.get("/readyz").status == 200);
        Self {
            scratch,
            program,
            admin,
        }
    }

    fn kill(self) -> Scratch {
        self.program.signal(Signal::SIGKILL);
        assert_eq!(self.program.wait().code, None);
        self.scratch
    }

    fn get(&self, path: &str) -> String {
        Endpoint(self.admin.parse().unwrap()).get(path).body
    }

    fn ctl(&self, args: &[&str]) -> Ended {
        Program::run(&[&["ctl", "--admin", &self.admin], args].concat())
    }

    fn done(&self, args: &[&str]) -> String {
        let ended = self.ctl(args);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.stdout
    }

    fn score(&self, address: &str) -> u32 {
        let explained = self.get(&format!("/lookup?address={address}"));
        let (_, rest) = explained.split_once("score ").unwrap();
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    }

    fn has(&self, address: &str, score: u32) {
        until(&format!("{address} has {score}"), || {
            self.score(address) == score
        });
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.done(&["crowdsec", "--json"])).unwrap()
    }

    /// How many lines of the log have this in them.
    fn logged(&self, what: &str) -> usize {
        self.program
            .lines()
            .iter()
            .filter(|it| it.contains(what))
            .count()
    }
}

#[test]
fn decisions_are_in_force_and_follow_the_lapi() {
    let lapi = Lapi::start();
    lapi.has(&[
        decision(1, "ban", "Ip", "192.0.2.1", "3h59m2.5s"),
        decision(2, "captcha", "ip", "::ffff:192.0.2.2", "1h"),
        decision(3, "ban", "Range", "203.0.113.77/28", "1h"),
        decision(4, "ban", "AS", "64496", "1h"),
        decision(5, "captcha", "Country", "nl", "1h"),
        decision(6, "throttle", "Ip", "192.0.2.6/32", "1h"),
        decision(7, "ban", "Ip", "2001:db8::7/128", "1h"),
        decision(8, "ban", "username", "root", "1h"),
        decision(9, "ban", "Ip", "10.0.0.9", "1h"),
    ]);
    let agent = Agent::start(&config(&lapi.url, ""));
    agent.has("192.0.2.1", 0);
    for (address, score) in [
        ("192.0.2.2", 40),
        ("203.0.113.65", 0),
        ("203.0.113.63", 100),
        ("198.51.100.1", 0),
        ("192.0.2.6", 0),
        ("2001:db8::7", 0),
        ("2001:db8::8", 100),
        // Private space is not touched.
        ("10.0.0.9", 100),
    ] {
        assert_eq!(agent.score(address), score, "{address}");
    }
    let requests = lapi.requests();
    let first = &requests[0];
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        first.contains("/v1/decisions/stream?startup=true&scopes=ip,range,as,country"),
        "{first}"
    );
    for header in [
        "x-api-key: secret-key".to_owned(),
        format!("user-agent: iprep-spoa/{version}"),
    ] {
        assert!(first.to_ascii_lowercase().contains(&header), "{first}");
    }
    until("polls without startup", || lapi.count("startup=false") > 2);
    assert_eq!(lapi.count("startup=true"), 1);
    // What is deleted goes before what is new comes, and comes again within two seconds.
    let gone = decision(1, "ban", "Ip", "192.0.2.1", "-1s");
    lapi.delta(
        &[gone.clone()],
        &[decision(10, "ban", "Ip", "192.0.2.1", "1h")],
    );
    lapi.delta(
        &[gone, decision(2, "captcha", "ip", "192.0.2.2", "-5m1s")],
        &[],
    );
    agent.has("192.0.2.2", 100);
    assert_eq!(agent.score("192.0.2.1"), 0);
    assert_eq!(agent.logged("throttle"), 1);
    assert_eq!(agent.logged("username root"), 1);
    let status = agent.status();
    assert_eq!(status["connected"], true);
    assert_eq!(status["unusable"]["invalid"], 1);
    assert!(agent.get("/metrics").contains("spoa_crowdsec_connected 1"));
    let text = agent.done(&["crowdsec"]);
    assert!(
        text.contains("connected") && text.contains("cscli"),
        "{text}"
    );
    // Usage metrics: an older LAPI, never again.
    assert_eq!(lapi.count("POST /v1/usage-metrics"), 1);
}

#[test]
fn several_decisions_about_one_address_all_stand_in_a_lookup() {
    let lapi = Lapi::start();
    lapi.has(&[
        decision(1, "captcha", "Ip", "192.0.2.1", "9h"),
        decision(2, "ban", "Ip", "192.0.2.1", "1h"),
        decision(3, "ban", "Ip", "192.0.2.1", "2h"),
    ]);
    let agent = Agent::start(&config(&lapi.url, ""));
    agent.has("192.0.2.1", 0);
    let all = ["scenario-1", "scenario-2", "scenario-3"];
    let explained = agent.done(&["lookup", "192.0.2.1"]);
    assert!(all.iter().all(|it| explained.contains(it)), "{explained}");
    let deciding: Vec<_> = explained
        .lines()
        .filter(|it| it.contains("decides"))
        .collect();
    assert!(
        deciding.len() == 1 && deciding[0].contains("scenario-3"),
        "{explained}"
    );
    lapi.delta(&[decision(3, "ban", "Ip", "192.0.2.1", "-1s")], &[]);
    until("the next takes over", || {
        let explained = agent.done(&["lookup", "192.0.2.1"]);
        !explained.contains("scenario-3") && explained.contains("score 0")
    });
    lapi.delta(&[decision(2, "ban", "Ip", "192.0.2.1", "-1s")], &[]);
    agent.has("192.0.2.1", 40);
    lapi.delta(&[], &[decision(4, "ban", "Ip", "192.0.2.1", "1h")]);
    agent.has("192.0.2.1", 0);
    // The store has all of them as well.
    let scratch = agent.kill();
    let file = scratch.path("spoa.toml");
    let ended = Program::run(&["lookup", "-f", file.to_str().unwrap(), "192.0.2.1"]);
    let text = ended.stdout;
    assert!(
        text.contains("scenario-1") && text.contains("scenario-4"),
        "{text}"
    );
}

#[test]
fn a_partial_answer_is_not_taken_at_once_and_taken_when_it_repeats() {
    let all: Vec<_> = (1..=10)
        .map(|it| decision(it, "ban", "Ip", &format!("192.0.2.{it}"), "1h"))
        .collect();
    let lapi = Lapi::start();
    lapi.has(&all);
    let agent = Agent::start(&config(&lapi.url, ""));
    agent.has("192.0.2.10", 0);
    // After a failure all are requested; one answer has only the first ones.
    let part = format!(r#"{{"new":[{}],"deleted":null}}"#, all[..3].join(","));
    lapi.next(answer("500 Internal Server Error", ""));
    lapi.next(answer("200 OK", &part));
    until("it is not taken", || agent.logged("may be a part") == 1);
    assert_eq!(agent.score("192.0.2.10"), 0);
    let full = lapi.count("startup=true");
    until("requested again", || lapi.count("startup=true") > full);
    assert_eq!(agent.score("192.0.2.10"), 0);
    until("back to changes", || {
        lapi.requests().last().unwrap().contains("startup=false")
    });
    assert_eq!(agent.score("192.0.2.10"), 0);
    lapi.next(answer("500 Internal Server Error", ""));
    lapi.has(&all[..3]);
    agent.has("192.0.2.10", 100);
    assert_eq!(agent.score("192.0.2.3"), 0);
}

#[test]
fn without_the_lapi_decisions_stay_until_their_own_end_also_over_a_restart() {
    let lapi = Lapi::start();
    lapi.has(&[
        decision(1, "ban", "Ip", "192.0.2.1", "1h"),
        decision(2, "ban", "Ip", "192.0.2.2", "6s"),
    ]);
    let agent = Agent::start(&config(&lapi.url, ""));
    agent.has("192.0.2.2", 0);
    lapi.always(Some(Vec::new()));
    until("it is noticed", || agent.status()["connected"] == false);
    assert_eq!(agent.score("192.0.2.1"), 0);
    let scratch = agent.kill();
    // Nobody listens there.
    let agent = Agent::again(scratch, &config("http://127.0.0.1:1", ""));
    assert_eq!(agent.score("192.0.2.1"), 0);
    agent.has("192.0.2.2", 100);
    assert_eq!(agent.score("192.0.2.1"), 0);
    until("one line", || agent.logged("cannot be reached") == 1);
    // A reload leads to one that answers: what it has is all.
    lapi.always(None);
    lapi.has(&[decision(3, "ban", "Ip", "192.0.2.3", "1h")]);
    agent.scratch.write("spoa.toml", config(&lapi.url, ""));
    agent.done(&["reload"]);
    agent.has("192.0.2.3", 0);
    agent.has("192.0.2.1", 100);
    // Without the section nothing is left of it.
    agent
        .scratch
        .write("spoa.toml", "[live]\nstore = \"live.db\"\n");
    agent.done(&["reload"]);
    agent.has("192.0.2.3", 100);
    assert_eq!(agent.ctl(&["crowdsec"]).code, Some(1));
}

#[test]
fn what_is_unbanned_stays_lifted_over_a_restart_and_later_answers() {
    let lapi = Lapi::start();
    let ban = decision(1, "ban", "Ip", "192.0.2.1", "1h");
    lapi.has(&[ban.clone(), decision(2, "ban", "Ip", "192.0.2.2", "1h")]);
    let agent = Agent::start(&config(&lapi.url, ""));
    agent.has("192.0.2.1", 0);
    assert_eq!(agent.done(&["unban", "192.0.2.1"]), "1\n");
    assert_eq!(agent.score("192.0.2.1"), 100);
    lapi.next(answer("500 Internal Server Error", ""));
    let full = lapi.count("startup=true");
    until("all are received again", || {
        lapi.count("startup=true") > full
    });
    lapi.delta(&[], &[ban]);
    lapi.delta(&[], &[decision(3, "ban", "Ip", "192.0.2.3", "1h")]);
    agent.has("192.0.2.3", 0);
    assert_eq!(agent.score("192.0.2.1"), 100);
    let agent = Agent::again(agent.kill(), &config(&lapi.url, ""));
    agent.has("192.0.2.2", 0);
    until("it has polled", || !agent.status()["last_full"].is_null());
    assert_eq!(agent.score("192.0.2.1"), 100);
    assert_eq!(agent.status()["lifted"], 1);
    // Another decision is another matter.
    lapi.delta(&[], &[decision(9, "ban", "Ip", "192.0.2.1", "1h")]);
    agent.has("192.0.2.1", 0);
}

#[test]
fn every_bad_answer_is_one_line_and_loses_nothing() {
    let lapi = Lapi::start();
    lapi.has(&[decision(1, "ban", "Ip", "192.0.2.1", "1h")]);
    let agent = Agent::start(&config(&lapi.url, ""));
    agent.has("192.0.2.1", 0);
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"new\":[".to_vec();
    for (wrong, says) in [
        (
            answer("403 Forbidden", "{\"message\":\"access forbidden\"}"),
            "cscli bouncers add",
        ),
        (answer("200 OK", "<html>hello</html>"), "answers no JSON"),
        (answer("500 Internal Server Error", "oops"), "answers 500"),
        (half, "broke off"),
        (answer("200 OK", "{\"new\":[{\"id\":"), "half a document"),
        (
            answer("200 OK", "{\"message\":\"hi\"}"),
            "no list of decisions",
        ),
        (answer("302 Found", ""), "redirects"),
        (b"nonsense\r\n\r\n".to_vec(), "answers no HTTP"),
    ] {
        lapi.always(Some(wrong));
        until(says, || agent.logged(says) == 1);
        let polls = lapi.requests().len();
        until("polled again", || lapi.requests().len() > polls);
        assert_eq!(agent.logged(says), 1, "{says}");
        assert_eq!(agent.score("192.0.2.1"), 0, "{says}");
        // The key may be replaced by then, and what was missed is in the next answer.
        lapi.always(None);
        until("it is well again", || agent.status()["connected"] == true);
        assert!(
            agent
                .done(&["crowdsec", "--json"])
                .contains("\"error\":null")
        );
    }
}

#[test]
fn a_socket_and_a_certificate_lead_to_a_lapi() {
    let scratch = scratch();
    let lapi = Lapi::unix(&scratch.path("lapi.sock"));
    lapi.has(&[decision(1, "ban", "Ip", "192.0.2.1", "1h")]);
    lapi.takes_metrics();
    let agent = Agent::again(scratch, &config(&lapi.url, ""));
    agent.has("192.0.2.1", 0);
    until("usage metrics", || lapi.count("active_decisions") == 1);
    drop(agent);

    let authority = Authority::new("ca.example");
    let lapi = Lapi::mutual(&authority, &authority.issue("127.0.0.1"));
    lapi.has(&[decision(1, "ban", "Ip", "192.0.2.1", "1h")]);
    let scratch = self::scratch();
    let client = authority.issue("bouncer");
    for (name, text) in [
        ("ca.pem", &authority.pem),
        ("client.crt", &client.certificate),
        ("client.key", &client.key),
    ] {
        scratch.write(name, text);
    }
    let more = "cert-file = \"client.crt\"\nkey-file = \"client.key\"\nca-file = \"ca.pem\"\n";
    let agent = Agent::again(scratch, &config(&lapi.url, more));
    agent.has("192.0.2.1", 0);
    assert!(
        !lapi.requests()[0]
            .to_ascii_lowercase()
            .contains("x-api-key")
    );
}

#[test]
fn origins_and_scopes_are_filtered_here() {
    let lapi = Lapi::start();
    lapi.has(&[
        decision(1, "ban", "Ip", "192.0.2.1", "1h").replace("cscli", "CAPI"),
        decision(2, "ban", "Ip", "192.0.2.2", "1h"),
        decision(3, "ban", "AS", "64496", "1h"),
    ]);
    let more = "origins = [\"cscli\"]\nscopes = [\"ip\", \"range\"]\n";
    let agent = Agent::start(&config(&lapi.url, more));
    agent.has("192.0.2.2", 0);
    assert_eq!(agent.score("192.0.2.1"), 100);
    assert_eq!(agent.score("198.51.100.1"), 100);
    assert!(!lapi.requests()[0].contains("origins"));
    assert_eq!(agent.status()["filtered"], 2);
}

#[test]
fn without_databases_scopes_are_counted_and_logged_once() {
    let lapi = Lapi::start();
    lapi.has(&[
        decision(1, "ban", "AS", "64496", "1h"),
        decision(2, "ban", "Country", "NL", "1h"),
    ]);
    let text = config(&lapi.url, "")
        .replace("asn-db", "#")
        .replace("country-db", "#");
    let agent = Agent::start(&text);
    until("polled", || lapi.count("startup=false") > 3);
    let status = agent.status();
    assert_eq!(status["unusable"]["as"], 1);
    assert_eq!(status["unusable"]["country"], 1);
    assert_eq!(
        (agent.logged("no asn-db"), agent.logged("no country-db")),
        (1, 1)
    );
}

#[test]
fn a_second_process_requests_all_once_more_when_the_first_has_gone() {
    let lapi = Lapi::start();
    lapi.has(&[decision(1, "ban", "Ip", "192.0.2.1", "1h")]);
    let old = Agent::start(&config(&lapi.url, ""));
    old.has("192.0.2.1", 0);
    // Another process with the same key: a second admin socket, the same files.
    let admin = old.scratch.bind("second.sock");
    let mut command = Program::command(&["-b", "127.0.0.1:0", "-n", "1", "--admin", &admin, "-f"]);
    command.arg(old.scratch.path("spoa.toml"));
    let new = Program::started(command);
    until("the second one has asked", || {
        lapi.count("startup=true") == 2
    });
    throughout(
        std::time::Duration::from_millis(300),
        "no further one",
        || lapi.count("startup=true") == 2,
    );
    lapi.has(&[
        decision(1, "ban", "Ip", "192.0.2.1", "1h"),
        decision(2, "ban", "Ip", "192.0.2.2", "1h"),
    ]);
    let _scratch = old.kill();
    until("and once more", || lapi.count("startup=true") == 3);
    let endpoint = Endpoint::of(&new);
    until("what was missed is in force", || {
        endpoint
            .get("/lookup?address=192.0.2.2")
            .body
            .contains("score 0")
    });
}
