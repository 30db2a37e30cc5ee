//! Reports of `HAProxy`: points that decay, and the ban that they lead to.

use haproxy_spop::TypedData;
use serde_json::Value;

use super::{Agent, value};
use crate::support::{Clock, Program, Scratch, Signal, until};

const CONFIG: &str = "\
[live]
store = \"live.db\"
[behavior]
half-life = \"10m\"
max-addresses = 3
ban-duration = \"20m\"
[[message]]
name = \"check-client-ip\"
vars = [
    { name = \"ip_score\", value = \"score\" },
    { name = \"points\", value = \"points\" },
    { name = \"decision\", value = \"decision\" },
    { name = \"origin\", value = \"origin\" },
    { name = \"reason\", value = \"reason\" },
]
";

impl Agent {
    fn report(&self, address: &str, points: i64, reason: &str) {
        let arguments = [
            ("ip", value(address)),
            ("points", TypedData::Int64(points)),
            ("reason", TypedData::String(reason.as_bytes())),
        ];
        assert!(self.send("report", &arguments).is_empty());
    }

    fn points(&self, address: &str) -> u32 {
        let points = self.variable(address, "points").unwrap();
        points.parse().unwrap()
    }

    fn has_points(&self, address: &str, points: u32) {
        until(&format!("{address} has {points} points"), || {
            self.points(address) == points
        });
    }

    fn reports(&self, result: &str) -> usize {
        let metrics = self.request("GET", "/metrics", "").body;
        let sample = format!("spoa_behavior_reports_total{{result=\"{result}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&sample));
        line.map_or(0, |count| count.parse().unwrap())
    }

    fn json(&self, args: &[&str]) -> Vec<Value> {
        let answer: Value = serde_json::from_str(&self.done(args)).unwrap();
        answer.as_array().unwrap().clone()
    }
}

#[test]
fn points_count_as_evidence_and_lead_to_a_ban() {
    let agent = Agent::start(CONFIG);
    assert_eq!(agent.points("192.0.2.9"), 0);
    assert_eq!(agent.score("192.0.2.9"), "100");
    agent.report("192.0.2.9", 30, "failed-login");
    agent.has_points("192.0.2.9", 30);
    assert_eq!(agent.score("192.0.2.9"), "70");
    let reason = agent.variable("192.0.2.9", "reason").unwrap();
    assert_eq!(reason, "behavior:192.0.2.9");
    // Without points it is ten of them.
    assert!(
        agent
            .send("report", &[("ip", value("192.0.2.9"))])
            .is_empty()
    );
    agent.has_points("192.0.2.9", 40);
    let explained = agent.done(&["lookup", "192.0.2.9"]);
    assert!(explained.contains("score 60, from reports"), "{explained}");
    assert!(explained.contains("40 points"), "{explained}");
    agent.report("192.0.2.9", 60, "failed-login");
    until("a ban", || agent.score("192.0.2.9") == "0");
    assert_eq!(agent.variable("192.0.2.9", "origin").unwrap(), "behavior");
    agent.program.says("behavior ban value=192.0.2.9");
    let decisions = agent.json(&["decisions", "--json"]);
    assert_eq!(decisions[0]["reason"], "100 points: failed-login");
    let explained = agent.done(&["lookup", "192.0.2.9"]);
    assert!(
        explained.contains("decided by live ban instead of 0 by behavior"),
        "{explained}"
    );
    let offenders = agent.json(&["behavior", "--json"]);
    assert_eq!(offenders.len(), 1);
    assert_eq!(offenders[0]["value"], "192.0.2.9");
    assert_eq!(offenders[0]["reports"], 3);
    assert!(offenders[0]["banned_until"].is_string());
    // An unban ends both.
    assert_eq!(agent.done(&["unban", "192.0.2.9"]), "1\n");
    assert_eq!(agent.score("192.0.2.9"), "100");
    assert_eq!(agent.points("192.0.2.9"), 0);
    let one = agent.json(&["behavior", "192.0.2.9", "--json"]);
    assert_eq!((one.len(), &one[0]["points"]), (1, &Value::from(0.0)));
    until("the ban is counted", || {
        let metrics = agent.request("GET", "/metrics", "").body;
        metrics.contains("spoa_behavior_bans_total 1")
    });
}

#[test]
fn wrong_reports_are_acknowledged_and_counted() {
    let agent = Agent::start(CONFIG);
    let long = "x".repeat(200);
    let (points, reason) = (TypedData::Int64(-1), TypedData::String(b"a\nb"));
    for arguments in [
        &[][..],
        &[("ip", TypedData::Null)],
        &[("ip", TypedData::String(b"192.0.2.9"))],
        &[("ip", value("192.0.2.9")), ("points", points)],
        &[("ip", value("192.0.2.9")), ("points", TypedData::Null)],
        &[
            ("ip", value("192.0.2.9")),
            ("points", TypedData::Int64(1 << 40)),
        ],
        &[("ip", value("192.0.2.9")), ("reason", reason)],
        &[("ip", value("192.0.2.9")), ("reason", TypedData::Int64(1))],
    ] {
        assert!(agent.send("report", arguments).is_empty());
    }
    until("all are counted", || agent.reports("invalid") == 8);
    agent.report("192.0.2.9", 7, &long);
    agent.has_points("192.0.2.9", 7);
    until("it is counted", || agent.reports("queued") == 1);
    let reason = &agent.json(&["behavior", "--json"])[0]["reason"];
    assert_eq!(reason.as_str().unwrap(), &long[..40]);
}

#[test]
fn private_space_stays_as_it_is_and_ipv6_goes_by_its_network() {
    let agent = Agent::start(CONFIG);
    agent.report("10.1.2.3", 500, "scan");
    agent.report("2001:db8::1", 20, "scan");
    agent.report("2001:db8::ffff", 20, "scan");
    agent.has_points("2001:db8::2", 40);
    assert_eq!(agent.points("2001:db8:0:1::1"), 0);
    assert_eq!(
        (agent.points("10.1.2.3"), &agent.score("10.1.2.3")[..]),
        (0, "100")
    );
    assert_eq!(
        agent.json(&["behavior", "--json"])[0]["value"],
        "2001:db8::/64"
    );
    assert!(agent.json(&["decisions", "--json"]).is_empty());
    assert_eq!(agent.done(&["unban", "2001:db8::7"]), "0\n");
    assert_eq!(agent.points("2001:db8::2"), 0);
}

#[test]
fn at_the_limit_the_lowest_goes_first() {
    let agent = Agent::start(CONFIG);
    for (address, points) in [
        ("192.0.2.1", 40),
        ("192.0.2.2", 10),
        ("192.0.2.3", 30),
        ("192.0.2.4", 20),
    ] {
        agent.report(address, points, "");
        until("it is added", || {
            agent.json(&["behavior", address, "--json"])[0]["reports"] != 0
        });
    }
    let left = agent.json(&["behavior", "--json"]);
    let left: Vec<_> = left
        .iter()
        .map(|it| it["value"].as_str().unwrap())
        .collect();
    assert_eq!(left, ["192.0.2.1", "192.0.2.3", "192.0.2.4"]);
    let limited = agent.done(&["behavior", "--limit", "1"]);
    assert!(limited.starts_with("192.0.2.1  ") && limited.lines().count() == 1);
}

#[test]
fn a_reload_keeps_points_and_a_restart_finds_them() {
    let agent = Agent::start(CONFIG);
    agent.report("192.0.2.9", 50, "scan");
    agent.has_points("192.0.2.9", 50);
    // Another half-life: the points of now stay.
    let other = CONFIG
        .replace("10m", "1h")
        .replace("max-addresses = 3", "max-addresses = 9");
    agent.scratch.write("spoa.toml", &other);
    agent.done(&["reload"]);
    assert_eq!(agent.points("192.0.2.9"), 50);
    let Agent {
        scratch, program, ..
    } = agent;
    program.signal(Signal::SIGTERM);
    assert_eq!(program.wait().code, Some(0));
    let config = scratch.path("spoa.toml");
    let looked = Program::run(&["lookup", "-f", config.to_str().unwrap(), "192.0.2.9"]);
    assert!(
        looked.stdout.contains("score 50, from reports"),
        "{looked:?}"
    );
    let agent = Agent::again(scratch, &other);
    assert_eq!(agent.points("192.0.2.9"), 50);
    // No ban of what was there before: only of what crosses ban-at.
    agent.report("192.0.2.9", 49, "scan");
    agent.has_points("192.0.2.9", 99);
    assert!(agent.json(&["decisions", "--json"]).is_empty());
    // Without the section nothing is left of it.
    agent.scratch.write("spoa.toml", "[live]\n");
    agent.done(&["reload"]);
    let ended = agent.ctl(&["behavior"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr[0].contains("[behavior]"), "{ended:?}");
}

/// The clock is moved: half an hour later the address is let in again.
#[test]
fn points_decay_and_a_ban_ends() {
    let scratch = Scratch::new();
    let Some(clock) = Clock::new(&scratch) else {
        return;
    };
    let config = scratch.write("spoa.toml", CONFIG);
    let admin = scratch.bind("admin.sock");
    let args = ["-b", "127.0.0.1:0", "-n", "2", "--admin", &admin, "-f"];
    let mut command = Program::command(&args);
    clock.equip(command.arg(config));
    let agent = Agent::started(scratch, admin, command);
    agent.report("192.0.2.8", 80, "scan");
    agent.report("192.0.2.9", 108, "failed-login");
    agent.has_points("192.0.2.8", 80);
    until("a ban", || agent.score("192.0.2.9") == "0");
    clock.step(600);
    assert_eq!(
        (agent.points("192.0.2.8"), agent.points("192.0.2.9")),
        (40, 54)
    );
    assert_eq!(&agent.score("192.0.2.8"), "60");
    assert_eq!(agent.variable("192.0.2.9", "decision").unwrap(), "ban");
    clock.step(1799);
    assert_eq!(agent.variable("192.0.2.9", "decision"), None);
    assert_eq!(agent.score("192.0.2.9"), "86");
    // What was reported an hour ago is worth as much when the clock is set back.
    agent.report("192.0.2.7", 20, "");
    agent.has_points("192.0.2.7", 20);
    clock.step(-1800);
    agent.has_points("192.0.2.7", 20);
}
