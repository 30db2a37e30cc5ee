//! Decisions, reports and reloads under load: no answer is lost, and each is of some decision in force.

use haproxy_spop::TypedData;

use super::{Agent, value};
use crate::support::{Habit, Load, until};

const CONFIG: &str = "\
[live]
store = \"live.db\"
[behavior]
ban-at = 1000
";

/// Changes in one request.
const BATCH: u32 = 50;
const ROUNDS: u32 = 100;

#[test]
fn thousands_of_changes_under_load_cost_no_answer() {
    let agent = Agent::start(CONFIG);
    let mut load = Load::new();
    load.add(3, Habit::Persistent, agent.program.address());
    load.runs_for(100);
    let address = |number: u32| format!("198.18.{}.{}", number / 250, 1 + number % 250);
    for round in 0..ROUNDS {
        let bans = (0..BATCH).map(|at| {
            let value = address(round * BATCH + at);
            format!(r#"{{"type":"ban","value":"{value}","for":"1h"}}"#)
        });
        let body = format!("[{}]", bans.collect::<Vec<_>>().join(","));
        let answer = agent.request("POST", "/decisions", &body);
        assert_eq!(answer.status, 200, "{answer:?}");
        // In force when it is confirmed, the last as the first.
        assert_eq!(agent.score(&address((round + 1) * BATCH - 1)), "0");
        let gone = address(round * BATCH);
        agent.request("DELETE", &format!("/decisions?value={gone}"), "");
        assert_eq!(agent.score(&gone), "100");
        let report = [
            ("ip", value("192.0.2.200")),
            ("points", TypedData::Int64(1)),
        ];
        agent.send("report", &report);
        if round % 25 == 0 {
            agent.done(&["reload"]);
        }
    }
    load.runs_for(1000);
    let all = load.end();
    assert_eq!(all.lost, [""; 0]);
    let left = agent.request("GET", "/decisions", "").body;
    let left: Vec<serde_json::Value> = serde_json::from_str(&left).unwrap();
    assert_eq!(left.len(), (ROUNDS * (BATCH - 1)) as usize);
    until("all reports are in", || {
        let one = agent
            .request("GET", "/behavior?address=192.0.2.200", "")
            .body;
        let one: serde_json::Value = serde_json::from_str(&one).unwrap();
        one[0]["reports"] == ROUNDS
    });
}
