//! Decisions about autonomous systems and countries.

use std::fs;

use serde_json::Value;

use super::Agent;
use crate::mmdb::{Database, Value as Field};
use crate::support::{Program, Scratch, Signal};

const CONFIG: &str = "\
[live]
store = \"live.db\"
[reputation]
asn-db = \"places.mmdb\"
country-db = \"places.mmdb\"
[[message]]
name = \"check-client-ip\"
vars = [
    { name = \"ip_score\", value = \"score\" },
    { name = \"decision\", value = \"decision\" },
    { name = \"origin\", value = \"origin\" },
    { name = \"reason\", value = \"reason\" },
]
";

fn scratch() -> Scratch {
    let scratch = Scratch::new();
    let code = Field::Map(vec![("iso_code", Field::Text("NL".to_owned()))]);
    let both = Field::Map(vec![
        ("autonomous_system_number", Field::Number(64_496)),
        ("country", code),
        ("is_anycast", Field::Flag(false)),
    ]);
    let bytes = Database::new(vec![([192, 0, 2, 0].into(), 24, both)]).bytes();
    fs::write(scratch.path("places.mmdb"), bytes).unwrap();
    scratch
}

#[test]
fn an_as_and_a_country_are_banned_and_survive_a_restart() {
    let agent = Agent::again(scratch(), CONFIG);
    assert_eq!(agent.score("192.0.2.9"), "100");
    agent.done(&["ban", "as64496", "--reason", "hosting"]);
    agent.done(&["challenge", "nl"]);
    assert_eq!(agent.score("192.0.2.9"), "0");
    assert_eq!(agent.score("198.51.100.1"), "100");
    assert_eq!(
        agent.variable("192.0.2.9", "reason").unwrap(),
        "ctl:AS64496"
    );
    let listed = agent.done(&["decisions", "192.0.2.9"]);
    assert!(
        listed.contains("AS64496") && listed.contains("NL"),
        "{listed}"
    );
    let listed = agent.done(&["decisions", "AS64496", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["value"], "AS64496");
    // A prefix is more specific, but an allow precedes a ban whatever they are about.
    agent.done(&["allow", "AS64496"]);
    assert_eq!(agent.score("192.0.2.9"), "100");
    let explained = agent.done(&["lookup", "192.0.2.9"]);
    assert!(explained.contains("decided by live allow"), "{explained}");
    assert!(explained.contains("live challenge NL"), "{explained}");

    let Agent {
        scratch, program, ..
    } = agent;
    program.signal(Signal::SIGKILL);
    assert_eq!(program.wait().code, None);
    let file = scratch.path("spoa.toml");
    let ended = Program::run(&["lookup", "-f", file.to_str().unwrap(), "192.0.2.9"]);
    assert!(ended.stdout.contains("live allow AS64496"), "{ended:?}");
    let agent = Agent::again(scratch, CONFIG);
    assert_eq!(agent.score("192.0.2.9"), "100");
    assert_eq!(agent.done(&["unban", "AS64496"]), "2\n");
    assert_eq!(agent.score("192.0.2.9"), "40");
    assert_eq!(agent.done(&["unban", "NL"]), "1\n");
    assert_eq!(agent.score("192.0.2.9"), "100");
}

#[test]
fn without_a_database_there_is_a_warning() {
    let agent = Agent::start("[live]\nstore = \"live.db\"\n");
    for (value, key) in [("AS64496", "asn-db"), ("NL", "country-db")] {
        let ended = agent.ctl(&["ban", value]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let said = ended.stderr.join("\n");
        assert!(said.contains("WARNING") && said.contains(key), "{said}");
    }
    assert!(agent.done(&["decisions"]).contains("AS64496"));
}
