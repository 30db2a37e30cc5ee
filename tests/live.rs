//! Live decisions: `spoa ctl` and `/decisions` change what the next NOTIFY is answered with, and the
//! store brings decisions back after a restart.

#![cfg(test)]
#![cfg(all(feature = "admin", feature = "live-store"))]

#[path = "live/behavior.rs"]
mod behavior;
#[path = "live/load.rs"]
mod load;
#[path = "model/mmdb.rs"]
mod mmdb;
#[path = "live/page.rs"]
mod page;
#[path = "live/places.rs"]
mod places;
#[path = "live/stores.rs"]
mod stores;
mod support;

use std::fs;
use std::net::IpAddr;
use std::process::Command;

use bytes::BytesMut;
use haproxy_spop::{AckView, Action, Argument, Frame, NotifyWriter, TypedData};
use serde_json::Value;
use support::{Answered, Ended, Endpoint, Peer, Program, Scratch, Signal, until};

const CONFIG: &str = "\
[live]
store = \"live.db\"
max-decisions = 5
[allow]
prefixes = [\"203.0.113.0/28\"]
[deny]
prefixes = [\"198.51.100.0/24\"]
[[message]]
name = \"check-client-ip\"
scope = \"session\"
vars = [
    { name = \"ip_score\", value = \"score\" },
    { name = \"decision\", value = \"decision\" },
    { name = \"origin\", value = \"origin\" },
    { name = \"expires_in\", value = \"expires_in\" },
    { name = \"reason\", value = \"reason\" },
]
";

struct Agent {
    scratch: Scratch,
    program: Program,
    admin: String,
}

impl Agent {
    fn start(config: &str) -> Self {
        Self::again(Scratch::new(), config)
    }

    /// Over what an earlier one left behind.
    fn again(scratch: Scratch, config: &str) -> Self {
        let file = scratch.write("spoa.toml", config);
        let admin = scratch.bind("admin.sock");
        let args = ["-b", "127.0.0.1:0", "-n", "1", "--admin", &admin, "-f"];
        let mut command = Program::command(&args);
        command.arg(file);
        Self::started(scratch, admin, command)
    }

    fn started(scratch: Scratch, admin: String, command: Command) -> Self {
        let program = Program::started(command);
        let endpoint = Endpoint::of(&program);
        until("it is up", || endpoint.get("/readyz").status == 200);
        Self {
            scratch,
            program,
            admin,
        }
    }

    fn ctl(&self, args: &[&str]) -> Ended {
        let args = [&["ctl", "--admin", &self.admin], args].concat();
        Program::run(&args)
    }

    /// The same, expected to succeed: what it prints.
    fn done(&self, args: &[&str]) -> String {
        let ended = self.ctl(args);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.stdout
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Answered {
        let endpoint = Endpoint(self.admin.parse().unwrap());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        endpoint.raw(request.as_bytes()).unwrap()
    }

    /// The variables that a question about an address sets, as text.
    fn ask(&self, address: &str) -> Vec<(String, String)> {
        self.send("check-client-ip", &[("ip", value(address))])
    }

    /// The variables that a message sets, as text.
    fn send(&self, message: &str, arguments: &[(&str, TypedData<'_>)]) -> Vec<(String, String)> {
        let mut peer = Peer::greeted(self.program.address());
        let mut out = BytesMut::new();
        let mut notify = NotifyWriter::begin(&mut out, 1, 1, 16380);
        let arguments = arguments.iter().map(|(name, value)| Argument {
            name: name.as_bytes(),
            value: *value,
        });
        notify
            .message(message, &arguments.collect::<Vec<_>>())
            .unwrap();
        notify.finish();
        peer.send(&out);
        let received = peer.frame();
        let frame = Frame {
            kind: received.kind,
            flags: received.flags,
            stream_id: received.ids.0,
            frame_id: received.ids.1,
            payload: &received.payload,
        };
        let actions = AckView::try_from(frame).unwrap().actions();
        actions
            .filter_map(|action| match action {
                Action::SetVar { name, value, .. } => {
                    let value = match value {
                        TypedData::Uint32(number) => number.to_string(),
                        TypedData::String(text) => String::from_utf8(text.to_vec()).unwrap(),
                        other => panic!("{other:?}"),
                    };
                    Some((String::from_utf8(name.to_vec()).unwrap(), value))
                }
                Action::UnsetVar { .. } => None,
            })
            .collect()
    }

    fn variable(&self, address: &str, name: &str) -> Option<String> {
        let all = self.ask(address).into_iter();
        all.filter(|it| it.0 == name).map(|it| it.1).next()
    }

    fn score(&self, address: &str) -> String {
        self.variable(address, "ip_score").unwrap()
    }
}

fn value(address: &str) -> TypedData<'static> {
    match address.parse().unwrap() {
        IpAddr::V4(address) => TypedData::Ipv4(address),
        IpAddr::V6(address) => TypedData::Ipv6(address),
    }
}

#[test]
fn a_ban_is_in_force_when_it_returns_and_an_unban_ends_it() {
    let agent = Agent::start(CONFIG);
    assert_eq!(agent.score("192.0.2.9"), "100");
    let said = agent.done(&[
        "ban",
        "192.0.2.9",
        "--for",
        "1h",
        "--reason",
        "six bad logins",
    ]);
    assert!(said.starts_with("ban 192.0.2.9 until 20"), "{said}");
    let all = agent.ask("192.0.2.9");
    let of = |name: &str| &all.iter().find(|it| it.0 == name).unwrap().1;
    assert_eq!((&of("ip_score")[..], &of("decision")[..]), ("0", "ban"));
    assert_eq!(
        (&of("origin")[..], &of("reason")[..]),
        ("ctl", "ctl:192.0.2.9")
    );
    let left: u32 = of("expires_in").parse().unwrap();
    assert!((3500..=3600).contains(&left), "{left}");
    assert_eq!(agent.score("192.0.2.8"), "100");
    assert_eq!(agent.variable("192.0.2.8", "decision"), None);
    let explained = agent.done(&["lookup", "192.0.2.9"]);
    assert!(
        explained.contains("score 0, decided by live ban"),
        "{explained}"
    );
    assert!(
        explained.contains("live ban 192.0.2.9 of ctl@"),
        "{explained}"
    );
    let metrics = agent.request("GET", "/metrics", "").body;
    for sample in [
        "spoa_live_decisions{type=\"ban\",origin=\"ctl\"} 1",
        "spoa_verdicts_total{decided_by=\"live\",category=\"ban\"} 1",
        "spoa_live_changes_total 1",
        "spoa_live_stored 1",
    ] {
        assert!(metrics.contains(sample), "{sample}: {metrics}");
    }
    let listed: Value = serde_json::from_str(&agent.done(&["decisions", "--json"])).unwrap();
    let listed = &listed.as_array().unwrap()[0];
    assert_eq!(listed["type"], "ban");
    assert_eq!(listed["value"], "192.0.2.9");
    assert_eq!(listed["reason"], "six bad logins");
    assert!(listed["until"].as_str().unwrap().ends_with('Z'), "{listed}");
    assert_eq!(agent.done(&["unban", "192.0.2.9"]), "1\n");
    assert_eq!(agent.done(&["unban", "192.0.2.9"]), "0\n");
    assert_eq!(agent.score("192.0.2.9"), "100");
    agent.program.says("decisions added");
    agent.program.says("uid:");
}

#[test]
fn decisions_rank_among_lists() {
    let agent = Agent::start(CONFIG);
    // [allow] before live decisions, with a warning.
    let ended = agent.ctl(&["ban", "203.0.113.0/24"]);
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr[0].contains("203.0.113.0/28"), "{ended:?}");
    assert_eq!(agent.score("203.0.113.1"), "100");
    assert_eq!(agent.score("203.0.113.99"), "0");
    // A live allow before [deny] and before a ban, however long their prefixes are.
    assert_eq!(agent.score("198.51.100.7"), "0");
    assert_eq!(agent.variable("198.51.100.7", "decision"), None);
    agent.done(&["allow", "198.51.100.0/25"]);
    agent.done(&["ban", "198.51.100.7"]);
    assert_eq!(agent.score("198.51.100.7"), "100");
    assert_eq!(agent.variable("198.51.100.7", "decision").unwrap(), "allow");
    // One's own word counts in private space, that of others does not.
    agent.done(&["challenge", "192.0.2.0/24"]);
    assert_eq!(agent.score("192.0.2.1"), "40");
    let body = r#"[{"type":"ban","value":"10.0.0.0/8","origin":"crowdsec"}]"#;
    assert_eq!(agent.request("POST", "/decisions", body).status, 200);
    assert_eq!(agent.score("10.1.2.3"), "100");
    agent.done(&["unban", "192.0.2.0/24"]);
    agent.done(&["ban", "10.1.2.3"]);
    assert_eq!(agent.score("10.1.2.3"), "0");
}

#[test]
fn an_ipv6_address_is_its_network_unless_exact() {
    let agent = Agent::start(CONFIG);
    agent.done(&["ban", "2001:db8::1"]);
    assert_eq!(agent.score("2001:db8::2"), "0");
    assert_eq!(agent.done(&["unban", "2001:db8::1", "--exact"]), "0\n");
    assert_eq!(agent.done(&["unban", "2001:db8::1"]), "1\n");
    agent.done(&["ban", "2001:db8::1", "--exact"]);
    assert_eq!(agent.score("2001:db8::2"), "100");
    assert_eq!(agent.score("2001:db8::1"), "0");
}

#[test]
fn what_is_wrong_is_named_and_nothing_is_half_done() {
    let agent = Agent::start(CONFIG);
    for (args, says) in [
        (&["ban", "203.0.113.9/24"][..], "203.0.113.0/24"),
        (&["ban", "nonsense"], "invalid prefix"),
        (&["ban", "192.0.2.1", "--for", "1"], "--for"),
        (&["ban"], "PREFIX"),
    ] {
        let ended = agent.ctl(args);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.join("\n").contains(says), "{ended:?}");
    }
    let body = r#"[{"type":"ban","value":"192.0.2.1","for":"1h"},
        {"type":"ban","value":"192.0.2.9/24"},{"type":"hug","value":"192.0.2.2"}]"#;
    let answer = agent.request("POST", "/decisions", body);
    assert_eq!(answer.status, 422, "{answer:?}");
    let errors: Value = serde_json::from_str(&answer.body).unwrap();
    let errors = errors["errors"].as_array().unwrap().clone();
    assert_eq!(errors.len(), 2);
    assert_eq!(
        (&errors[0]["index"], &errors[1]["index"]),
        (&1.into(), &2.into())
    );
    assert!(
        errors[0]["error"]
            .as_str()
            .unwrap()
            .contains("192.0.2.0/24")
    );
    assert_eq!(agent.score("192.0.2.1"), "100");
    for body in ["", "{}", "[1]", "nonsense"] {
        let status = agent.request("POST", "/decisions", body).status;
        assert!([400, 422].contains(&status), "{body}: {status}");
    }
    assert_eq!(agent.request("PUT", "/decisions", "").status, 405);
    assert_eq!(agent.request("DELETE", "/decisions", "").status, 422);
    // At the limit nothing in force is dropped.
    for host in 1..=5 {
        agent.done(&["ban", &format!("192.0.2.{host}")]);
    }
    let ended = agent.ctl(&["ban", "192.0.2.6"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr[0].contains("max-decisions"), "{ended:?}");
    assert_eq!(agent.score("192.0.2.6"), "100");
    assert_eq!(agent.score("192.0.2.1"), "0");
    agent.done(&["ban", "192.0.2.1", "--for", "2h"]);
}

#[test]
fn a_confirmed_ban_survives_kill_9_and_a_damaged_store_is_set_aside() {
    let agent = Agent::start(CONFIG);
    agent.done(&["ban", "192.0.2.9", "--for", "1h"]);
    agent.done(&["ban", "192.0.2.8", "--for", "1h"]);
    agent.done(&["unban", "192.0.2.8"]);
    let Agent {
        scratch, program, ..
    } = agent;
    program.signal(Signal::SIGKILL);
    assert_eq!(program.wait().code, None);
    let agent = Agent::again(scratch, CONFIG);
    assert_eq!(agent.score("192.0.2.9"), "0");
    assert_eq!(agent.score("192.0.2.8"), "100");
    let Agent {
        scratch, program, ..
    } = agent;
    program.signal(Signal::SIGTERM);
    assert_eq!(program.wait().code, Some(0));
    fs::write(
        scratch.path("live.db"),
        "no database at all, whatever its name says".repeat(99),
    )
    .unwrap();
    // Its log alone would mend it.
    for end in ["live.db-wal", "live.db-shm"] {
        let _ = fs::remove_file(scratch.path(end));
    }
    let agent = Agent::again(scratch, CONFIG);
    agent.program.says("store damaged");
    assert!(
        agent
            .scratch
            .names()
            .iter()
            .any(|it| it.contains("corrupt"))
    );
    assert_eq!(agent.score("192.0.2.9"), "100");
    agent.done(&["ban", "192.0.2.9"]);
}

/// An unban holds, although the store that has the ban could not be opened at the time.
#[test]
fn what_was_decided_before_the_store_opened_is_newer_than_its_rows() {
    let agent = Agent::start(CONFIG);
    for address in ["192.0.2.7", "192.0.2.9"] {
        agent.done(&["ban", address, "--for", "1h"]);
    }
    let Agent {
        scratch, program, ..
    } = agent;
    program.signal(Signal::SIGTERM);
    assert_eq!(program.wait().code, Some(0));
    let [store, away] = ["live.db", "away.db"].map(|name| scratch.path(name));
    fs::rename(&store, &away).unwrap();
    fs::create_dir(&store).unwrap();

    let agent = Agent::again(scratch, CONFIG);
    assert_eq!(agent.score("192.0.2.7"), "100");
    agent.done(&["unban", "192.0.2.9"]);
    let ended = agent.ctl(&["ban", "192.0.2.8"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    fs::remove_dir(&store).unwrap();
    fs::rename(&away, &store).unwrap();
    agent.program.says("store recovered");
    let scores = ["192.0.2.7", "192.0.2.8", "192.0.2.9"].map(|address| agent.score(address));
    assert_eq!(scores, ["0", "0", "100"]);
}

#[test]
fn a_store_that_cannot_be_written_is_no_reason_not_to_ban() {
    // A folder where the database would be.
    let scratch = Scratch::new();
    fs::create_dir(scratch.path("live.db")).unwrap();
    let agent = Agent::again(scratch, CONFIG);
    let ended = agent.ctl(&["ban", "192.0.2.9"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr[0].contains("in memory only"), "{ended:?}");
    assert_eq!(agent.score("192.0.2.9"), "0");
    let body = r#"[{"type":"ban","value":"192.0.2.7"}]"#;
    let answer = agent.request("POST", "/decisions", body);
    assert!(answer.body.contains("\"stored\":false"), "{answer:?}");
}

#[test]
fn a_reload_turns_it_on_and_off() {
    let agent = Agent::start("[deny]\nprefixes = [\"198.51.100.0/24\"]\n");
    let ended = agent.ctl(&["ban", "192.0.2.9"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr[0].contains("[live]"), "{ended:?}");
    agent.scratch.write("spoa.toml", "[live]\n");
    agent.done(&["reload"]);
    agent.done(&["ban", "192.0.2.9"]);
    let score = || Peer::greeted(agent.program.address()).ask();
    assert_eq!(score(), 100);
    agent.done(&["ban", "192.0.2.1"]);
    assert_eq!(score(), 0);
    agent
        .scratch
        .write("spoa.toml", "[deny]\nprefixes = [\"198.51.100.0/24\"]\n");
    agent.done(&["reload"]);
    assert_eq!(score(), 100);
}

/// docs/openapi.json has the routes of the endpoint with their methods, and no others.
#[test]
fn the_openapi_description_has_every_route() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    let document: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, operations)| {
        let methods = operations.as_object().unwrap().keys();
        methods.map(move |method| (method.to_uppercase(), path.clone()))
    });
    let looks = iprep_spoa::admin::LOOKS.iter().map(|it| ("GET", *it));
    let commands = iprep_spoa::admin::COMMANDS.iter().map(|it| ("POST", *it));
    let all = looks.chain(commands).chain([("DELETE", "/decisions")]);
    let mut routes: Vec<_> = all.map(|it| (it.0.to_owned(), it.1.to_owned())).collect();
    let mut described: Vec<_> = operations.collect();
    routes.sort();
    described.sort();
    assert_eq!(described, routes);
}
