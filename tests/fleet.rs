//! The fleet on real Valkey and Redis: what one node decides holds on all, whatever happens to the store.

#![cfg(test)]
#![cfg(all(feature = "admin", feature = "live-store", feature = "fleet"))]

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::sys::signal::{Signal as Kill, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::{Ended, Endpoint, Program, Scratch, debian, until};

/// A store that the tests start and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    Valkey,
    Redis,
}

impl Engine {
    const fn name(self) -> &'static str {
        match self {
            Self::Valkey => "valkey",
            Self::Redis => "redis",
        }
    }
}

struct Store {
    engine: Engine,
    scratch: Scratch,
    process: Option<Child>,
    extra: Vec<String>,
}

impl Store {
    fn start(engine: Engine) -> Self {
        Self::with(engine, &[])
    }

    fn with(engine: Engine, extra: &[&str]) -> Self {
        let mut store = Self {
            engine,
            scratch: Scratch::new(),
            process: None,
            extra: extra.iter().map(|it| (*it).to_owned()).collect(),
        };
        store.run();
        store
    }

    fn socket(&self) -> PathBuf {
        self.scratch.path("store.sock")
    }

    fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    fn run(&mut self) {
        let name = self.engine.name();
        let program = debian(name).join(format!("{name}-server"));
        let mut command = Command::new(program);
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--dir"]);
        command
            .arg(self.scratch.path(""))
            .arg("--unixsocket")
            .arg(self.socket());
        command
            .args(&self.extra)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.process = Some(command.spawn().unwrap());
        until("the store is up", || {
            self.cli(&["PING"]).contains("PONG") || self.cli(&["PING"]).contains("NOAUTH")
        });
    }

    /// The wrapper is replaced by the program: the process is the store itself.
    fn signal(&self, signal: Kill) {
        let id = self.process.as_ref().unwrap().id();
        kill(Pid::from_raw(i32::try_from(id).unwrap()), signal).unwrap();
    }

    fn kill(&mut self) {
        self.signal(Kill::SIGKILL);
        self.process.take().unwrap().wait().unwrap();
    }

    fn cli(&self, args: &[&str]) -> String {
        let name = self.engine.name();
        let program = debian(name).join(format!("{name}-cli"));
        let output = Command::new(program)
            .arg("-s")
            .arg(self.socket())
            .args(args)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may be gone or stopped.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

struct Agent {
    scratch: Scratch,
    program: Program,
    admin: String,
}

impl Agent {
    fn start(name: &str, url: &str) -> Self {
        Self::with(name, url, "")
    }

    fn with(name: &str, url: &str, more: &str) -> Self {
        Self::again(Scratch::new(), name, url, more)
    }

    fn again(scratch: Scratch, name: &str, url: &str, more: &str) -> Self {
        let config = format!(
            "[live]\nstore = \"live.db\"\n[behavior]\n[fleet]\nurl = \"{url}\"\nnode = \"{name}\"\n{more}"
        );
        let file = scratch.write("spoa.toml", &config);
        let admin = scratch.bind("admin.sock");
        let program = Program::configured(&file, &["--admin", &admin]);
        let endpoint = Endpoint::of(&program);
        until("it is up", || endpoint.get("/readyz").status == 200);
        Self {
            scratch,
            program,
            admin,
        }
    }

    fn ctl(&self, args: &[&str]) -> Ended {
        Program::run(&[&["ctl", "--admin", &self.admin], args].concat())
    }

    fn done(&self, args: &[&str]) -> String {
        let ended = self.ctl(args);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.stdout
    }

    fn fleet(&self) -> Value {
        serde_json::from_str(&self.done(&["fleet", "--json"])).unwrap()
    }

    fn is_connected(&self) -> bool {
        self.fleet()["connected"] == true
    }

    /// What is in force, without times: those of a second are those of another one on another node.
    fn decisions(&self) -> Vec<String> {
        let all: Value = serde_json::from_str(&self.done(&["decisions", "--json"])).unwrap();
        let all = all.as_array().unwrap().iter();
        let mut all: Vec<_> = all
            .map(|it| {
                format!(
                    "{} {} {} {}",
                    it["type"], it["value"], it["origin"], it["node"]
                )
                .replace('"', "")
            })
            .collect();
        all.sort();
        all
    }

    fn has(&self, what: &str) -> bool {
        self.decisions().iter().any(|it| it.contains(what))
    }

    fn log(&self) -> String {
        self.program.lines().join("\n")
    }

    fn logs(&self, what: &str) -> usize {
        self.program
            .lines()
            .iter()
            .filter(|it| it.contains(what))
            .count()
    }
}

fn all_equal(agents: &[&Agent]) -> bool {
    let first = agents[0].decisions();
    agents.iter().all(|it| it.decisions() == first)
}

macro_rules! on_each_store {
    ($($test:ident),* $(,)?) => {
        mod valkey {
            $(#[test] fn $test() { super::$test(super::Engine::Valkey); })*
        }
        mod redis {
            $(#[test] fn $test() { super::$test(super::Engine::Redis); })*
        }
    };
}

on_each_store!(
    a_decision_holds_on_all_nodes,
    entries_by_hand_hold_and_garbage_is_skipped,
    an_outage_is_made_up_for,
    a_flush_is_made_up_for,
    a_gap_is_filled_from_the_state,
    a_stopped_store_is_in_nobodys_way,
    the_user_of_the_package_has_the_rights,
    points_add_up,
);

fn a_decision_holds_on_all_nodes(engine: Engine) {
    let store = Store::start(engine);
    let (a, b) = (
        Agent::start("a", &store.url()),
        Agent::start("b", &store.url()),
    );
    a.done(&["ban", "203.0.113.9", "--reason", "six bad logins"]);
    until("b has it", || b.has("ban 203.0.113.9 ctl a"));
    b.done(&["allow", "203.0.113.9"]);
    b.done(&["ban", "AS64496"]);
    until("a has both", || {
        a.has("allow 203.0.113.9 ctl b") && a.has("ban AS64496 ctl b")
    });
    let lookup = b.done(&["lookup", "203.0.113.9"]);
    assert!(lookup.contains('b'), "{lookup}");
    b.done(&["unban", "203.0.113.9"]);
    until("it is lifted", || !a.has("203.0.113.9"));
    let c = Agent::start("c", &store.url());
    until("c has the state", || {
        c.decisions() == a.decisions() && c.has("AS64496")
    });
    until("the nodes are seen", || {
        a.fleet()["nodes"]
            .as_array()
            .is_some_and(|it| it.len() == 3)
    });
    let metrics = Endpoint::of(&a.program).get("/metrics").body;
    assert!(metrics.contains("spoa_fleet_connected 1"), "{metrics}");
    a.program.stop();
    // It goes on where it was, and has what was decided without it.
    b.done(&["ban", "198.51.100.7"]);
    let a = Agent::again(a.scratch, "a", &store.url(), "");
    until("a catches up", || {
        a.has("198.51.100.7") && all_equal(&[&a, &b, &c])
    });
}

fn entries_by_hand_hold_and_garbage_is_skipped(engine: Engine) {
    let store = Store::start(engine);
    store.cli(&[
        "XADD",
        "{fleet}:log",
        "*",
        "type",
        "ban",
        "value",
        "192.0.2.1",
    ]);
    let (a, b) = (
        Agent::start("a", &store.url()),
        Agent::start("b", &store.url()),
    );
    let add = |fields: &[&str]| {
        let added = store.cli(&[&["XADD", "{fleet}:log", "*"], fields].concat());
        assert!(added.contains('-'), "{added}");
    };
    add(&["foo", "bar"]);
    add(&["type", "ban", "value", "nonsense"]);
    add(&["type", "ban", "value", "203.0.113.1", "for", "-1"]);
    add(&[
        "type",
        "ban",
        "value",
        "203.0.113.9",
        "for",
        "3600",
        "reason",
        "by hand",
        "origin",
        "waf",
    ]);
    add(&["type", "challenge", "value", "2001:db8::1"]);
    add(&["type", "ban", "value", "203.0.113.8", "for", "1.5"]);
    for it in [&a, &b] {
        until("all of it", || {
            it.has("ban 203.0.113.9 waf")
                && it.has("challenge 2001:db8::/64 api")
                && it.has("192.0.2.1")
        });
        until("it expires", || !it.has("203.0.113.8"));
        assert_eq!(it.fleet()["garbage"], 3);
        assert!(it.logs("fleet entry skipped") >= 1, "{}", it.log());
    }
    until("the state has it", || {
        store
            .cli(&["HGETALL", "{fleet}:decisions"])
            .contains("ban 203.0.113.9/32 waf")
    });
    add(&["type", "unban", "value", "203.0.113.9"]);
    until("it is lifted", || {
        !a.has("203.0.113.9") && !b.has("203.0.113.9")
    });
    until("also in the state", || {
        !store
            .cli(&["HGETALL", "{fleet}:decisions"])
            .contains("203.0.113.9")
    });
}

fn an_outage_is_made_up_for(engine: Engine) {
    let mut store = Store::start(engine);
    let (a, b) = (
        Agent::start("a", &store.url()),
        Agent::start("b", &store.url()),
    );
    a.done(&["ban", "203.0.113.1"]);
    b.done(&["ban", "203.0.113.2"]);
    until("all equal", || {
        a.decisions().len() == 2 && all_equal(&[&a, &b])
    });
    store.kill();
    until("it is noticed", || !a.is_connected() && !b.is_connected());
    a.done(&["ban", "203.0.113.3"]);
    b.done(&["unban", "203.0.113.1"]);
    b.done(&["ban", "203.0.113.4"]);
    assert!(a.has("203.0.113.3") && a.has("203.0.113.1"));
    until("it waits", || a.fleet()["queue"] == 1);
    let metrics = Endpoint::of(&a.program).get("/metrics").body;
    assert!(metrics.contains("spoa_fleet_connected 0"), "{metrics}");
    // It comes back empty.
    store.run();
    for it in [&a, &b] {
        until("all of it", || {
            it.has("203.0.113.2") && it.has("203.0.113.3") && it.has("203.0.113.4")
        });
    }
    until("all equal", || {
        all_equal(&[&a, &b]) && !a.has("203.0.113.1")
    });
    assert_eq!(a.logs("fleet not connected"), 1, "{}", a.log());
    assert_eq!(a.logs("fleet connected"), 1, "{}", a.log());
    assert_eq!(a.logs("fleet reconnected"), 1, "{}", a.log());
}

fn a_flush_is_made_up_for(engine: Engine) {
    let store = Store::start(engine);
    let (a, b) = (
        Agent::start("a", &store.url()),
        Agent::start("b", &store.url()),
    );
    let c = Agent::start("c", &store.url());
    a.done(&["ban", "203.0.113.1"]);
    b.done(&["challenge", "203.0.113.2"]);
    c.done(&["ban", "203.0.113.3"]);
    until("all equal", || {
        a.decisions().len() == 3 && all_equal(&[&a, &b, &c])
    });
    // What c made is written again by others.
    c.program.stop();
    store.cli(&["FLUSHALL"]);
    until("all is written again", || {
        let state = store.cli(&["HKEYS", "{fleet}:decisions"]);
        (1..=3).all(|it| state.contains(&format!("203.0.113.{it}/32")))
    });
    assert!(all_equal(&[&a, &b]) && a.decisions().len() == 3);
    assert!(a.fleet()["losses"].as_u64() >= Some(1));
}

fn a_gap_is_filled_from_the_state(engine: Engine) {
    let mut store = Store::start(engine);
    let (a, b) = (
        Agent::start("a", &store.url()),
        Agent::start("b", &store.url()),
    );
    a.done(&["ban", "203.0.113.1"]);
    a.done(&["ban", "203.0.113.2"]);
    until("b has both", || b.decisions().len() == 2);
    b.program.stop();
    a.done(&["unban", "203.0.113.1"]);
    a.done(&["ban", "203.0.113.3"]);
    until("it is written", || {
        store
            .cli(&["HKEYS", "{fleet}:decisions"])
            .contains("203.0.113.3")
    });
    store.cli(&["XTRIM", "{fleet}:log", "MAXLEN", "1"]);
    let b = Agent::again(b.scratch, "b", &store.url(), "");
    until("b follows the state", || {
        b.decisions() == a.decisions() && b.decisions().len() == 2
    });
    store.kill();
}

fn a_stopped_store_is_in_nobodys_way(engine: Engine) {
    let store = Store::start(engine);
    let (a, b) = (
        Agent::start("a", &store.url()),
        Agent::start("b", &store.url()),
    );
    until("both are there", || a.is_connected() && b.is_connected());
    store.signal(Kill::SIGSTOP);
    a.done(&["ban", "203.0.113.1"]);
    assert!(a.has("203.0.113.1"));
    until("it is noticed", || !a.is_connected());
    store.signal(Kill::SIGCONT);
    until("b has it", || b.has("203.0.113.1"));
}

fn the_user_of_the_package_has_the_rights(engine: Engine) {
    let rights = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/fleet/iprep-spoa.acl");
    let rights = fs::read_to_string(rights).unwrap();
    let rules: Vec<_> = rights
        .lines()
        .filter(|it| it.starts_with("user "))
        .collect();
    let [rule] = rules[..] else {
        panic!("{rights}")
    };
    // The file has the hash of no password.
    let words = rule.split(' ').filter(|it| !it.starts_with('#'));
    let user: Vec<_> = words.chain([">secret"]).collect();
    let store = Store::start(engine);
    let set = store.cli(&[&["ACL", "SETUSER"], &user[1..]].concat());
    assert!(set.contains("OK"), "{set}");
    let url = store
        .url()
        .replace("redis+unix://", "redis+unix://iprep-spoa@");
    let scratch = Scratch::new();
    scratch.write("fleet.pass", "secret\n");
    let a = Agent::again(scratch, "a", &url, "password-file = \"fleet.pass\"\n");
    let b = Agent::start("b", &store.url());
    until("a is there", || a.is_connected());
    a.done(&["ban", "203.0.113.1"]);
    until("b has it", || b.has("203.0.113.1"));
    b.done(&["unban", "203.0.113.1"]);
    store.cli(&[
        "XADD",
        "{fleet}:log",
        "*",
        "type",
        "points",
        "value",
        "192.0.2.7",
        "points",
        "10",
    ]);
    until("a follows", || {
        !a.has("203.0.113.1") && a.done(&["behavior"]).contains("192.0.2.7")
    });
    let denied = store.cli(&["ACL", "LOG"]);
    assert!(!denied.contains("iprep-spoa"), "{denied}");
    // Another password: one line with the remedy.
    let scratch = Scratch::new();
    scratch.write("fleet.pass", "other\n");
    let c = Agent::again(scratch, "c", &url, "password-file = \"fleet.pass\"\n");
    until("it is told", || c.logs("wrong user or password") == 1);
    store.cli(&["ACL", "SETUSER", "iprep-spoa", "-xrange"]);
    until("rights are missing", || a.logs("lacks rights") == 1);
}

fn points_add_up(engine: Engine) {
    let store = Store::start(engine);
    let (a, b) = (
        Agent::start("a", &store.url()),
        Agent::start("b", &store.url()),
    );
    until("both are there", || a.is_connected() && b.is_connected());
    for _ in 0..3 {
        store.cli(&[
            "XADD",
            "{fleet}:log",
            "*",
            "type",
            "points",
            "value",
            "198.51.100.9",
            "points",
            "40",
        ]);
    }
    for it in [&a, &b] {
        until("it is banned", || it.has("ban 198.51.100.9 behavior"));
    }
}

/// What is not a store, or none that can be used: one line with the remedy, and the agent goes on.
#[test]
fn a_server_that_is_something_else_is_told() {
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = web.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in web.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n<html></html>");
        }
    });
    let a = Agent::start("a", &format!("redis://127.0.0.1:{port}"));
    until("it is told", || {
        a.logs("does not speak the protocol of Redis") == 1
    });
    a.done(&["ban", "203.0.113.1"]);
    assert!(a.has("203.0.113.1"));
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let b = Agent::start("b", &format!("redis://127.0.0.1:{closed}"));
    until("it is told", || b.logs("connection refused") == 1);
    assert_eq!(b.ctl(&["fleet"]).code, Some(0));
}

#[test]
fn an_old_version_is_told() {
    let old = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = old.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in old.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut seen = [0; 1024];
            while stream.read(&mut seen).is_ok_and(|it| it > 0) {
                let info = "# Server\r\nredis_version:6.0.16\r\n";
                let _ = stream.write_all(format!("${}\r\n{info}\r\n", info.len()).as_bytes());
            }
        }
    });
    let a = Agent::start("a", &format!("redis://127.0.0.1:{port}"));
    until("it is told", || a.logs("6.2 or later is needed") == 1);
}

#[test]
fn a_fleet_is_joined_and_left_by_a_reload() {
    let store = Store::start(Engine::Valkey);
    let scratch = Scratch::new();
    let file = scratch.write("spoa.toml", "[live]\nstore = \"live.db\"\n");
    let admin = scratch.bind("admin.sock");
    let program = Program::configured(&file, &["--admin", &admin]);
    let a = Agent {
        scratch,
        program,
        admin,
    };
    until("it is up", || {
        Endpoint::of(&a.program).get("/readyz").status == 200
    });
    a.done(&["ban", "203.0.113.1"]);
    assert_eq!(a.ctl(&["fleet"]).code, Some(1));
    let b = Agent::start("b", &store.url());
    let joined = format!(
        "[live]\nstore = \"live.db\"\n[fleet]\nurl = \"{}\"\n",
        store.url()
    );
    a.scratch.write("spoa.toml", &joined);
    a.done(&["reload"]);
    until("b has what a made before", || b.has("203.0.113.1"));
    a.scratch
        .write("spoa.toml", "[fleet]\nurl = \"redis://127.0.0.1\"\n");
    let refused = a.ctl(&["reload"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        a.log().contains("[fleet] needs a [live] section"),
        "{}",
        a.log()
    );
    assert!(a.is_connected());
    a.scratch
        .write("spoa.toml", "[live]\nstore = \"live.db\"\n");
    a.done(&["reload"]);
    until("it has left", || a.ctl(&["fleet"]).code == Some(1));
    // Waits for nothing: the store is told nothing any more.
    a.done(&["ban", "203.0.113.2"]);
    b.done(&["ban", "203.0.113.3"]);
    until("b goes on", || {
        store
            .cli(&["HKEYS", "{fleet}:decisions"])
            .contains("203.0.113.3")
    });
    assert!(!b.has("203.0.113.2") && !a.has("203.0.113.3"));
}
