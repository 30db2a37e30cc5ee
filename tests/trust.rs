//! A list that goes bad turns nobody away: guards, and how an operator overrides one of them once.

#![cfg(all(test, feature = "admin"))]

mod support;

use support::{Ended, Endpoint, Program, Scratch, until};

fn start(scratch: &Scratch, text: &str) -> (Program, String) {
    let config = scratch.write("spoa.toml", text);
    let admin = scratch.bind("admin.sock");
    let agent = Program::configured(&config, &["--admin", &admin]);
    let endpoint = Endpoint::of(&agent);
    until("the agent is ready", || {
        endpoint.get("/readyz").status == 200
    });
    (agent, admin)
}

fn ctl(admin: &str, args: &[&str]) -> Ended {
    Program::run(&[&["ctl", "--admin", admin], args].concat())
}

fn score(admin: &str, address: &str) -> String {
    let answer = ctl(admin, &["lookup", address]);
    let (_, rest) = answer.stdout.split_once("score ").unwrap();
    rest.split([',', '\n']).next().unwrap().to_owned()
}

const FEED: &str = "[[feed]]\nname = \"bad\"\npath = \"bad\"\n";

#[test]
fn a_list_that_covers_many_times_as_many_addresses_is_kept_out_until_it_is_accepted() {
    let scratch = Scratch::new();
    scratch.write("bad", "192.0.2.1\n198.51.100.0/24\n");
    let (agent, admin) = start(&scratch, FEED);
    // Everybody between 8.0.0.0 and 23.255.255.255, in valid lines.
    let wide: String = (8..24).map(|first| format!("{first}.0.0.0/8\n")).collect();
    scratch.replace("bad", &wide);
    agent.says("max-growth-ratio = 10");
    assert_eq!(score(&admin, "8.8.8.8"), "100");
    assert_eq!(score(&admin, "192.0.2.1"), "0");
    let unknown = ctl(&admin, &["accept", "good"]);
    assert_eq!(unknown.code, Some(1));
    assert!(
        unknown.stderr[0].contains("no list is called \"good\""),
        "{unknown:?}"
    );
    let accepted = ctl(&admin, &["accept", "bad"]);
    assert_eq!(
        (accepted.code, accepted.stdout.trim_end()),
        (Some(0), "feed \"bad\": used")
    );
    until("it is in use", || score(&admin, "8.8.8.8") == "0");
    // Once: the next one has guards again.
    scratch.replace("bad", "192.0.2.1\n");
    agent.says("max-shrink-ratio = 0.5");
    assert_eq!(score(&admin, "8.8.8.8"), "0");
    agent.stop();
}

#[test]
fn a_small_list_may_grow_unless_its_feed_says_otherwise() {
    for (key, is_taken) in [
        ("", true),
        ("max-growth-ratio = 2.0\n", false),
        ("max-growth-ratio = 300.0\n", true),
    ] {
        let scratch = Scratch::new();
        scratch.write("bad", "192.0.2.1\n");
        let (agent, admin) = start(&scratch, &format!("{FEED}{key}"));
        scratch.replace("bad", "192.0.2.0/24\n");
        if is_taken {
            until("it is in use", || score(&admin, "192.0.2.9") == "0");
        } else {
            agent.says("256 addresses where 1 were");
            assert_eq!(score(&admin, "192.0.2.9"), "100");
        }
        agent.stop();
    }
    let scratch = Scratch::new();
    let config = scratch.write("spoa.toml", format!("{FEED}max-growth-ratio = 0.5\n"));
    let ended = Program::run(&["check", "-f", config.to_str().unwrap()]);
    assert!(
        ended
            .refusal(1)
            .contains("spoa.toml:4: max-growth-ratio: 0.5: expected"),
        "{ended:?}"
    );
}

#[test]
fn scores_are_random_only_where_the_configuration_says_so() {
    let scratch = Scratch::new();
    let (agent, admin) = start(&scratch, "[reputation]\ndefault-score = 70\n");
    agent.says("no lists configured");
    for address in ["192.0.2.1", "198.51.100.1", "2001:db8::1"] {
        assert_eq!(score(&admin, address), "70");
    }
    let before = agent.count("no lists configured");
    assert_eq!(ctl(&admin, &["reload"]).code, Some(0));
    until("the reload warns as well", || {
        agent.count("no lists configured") > before
    });
    agent.stop();

    let config = scratch.path("spoa.toml").display().to_string();
    let ended = Program::run(&["check", "-f", &config]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended
            .stdout
            .contains("no lists: WRONG: every address has the score 70"),
        "{ended:?}"
    );
    scratch.write("spoa.toml", "[reputation]\nsource = \"random\"\n");
    let ended = Program::run(&["check", "-f", &config]);
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let without = Program::start(&[]);
    without.says("scores are random");
    without.stop();
}

#[test]
fn a_check_for_programs_says_what_the_text_says() {
    let scratch = Scratch::new();
    scratch.write(
        "bad",
        format!(
            "192.0.2.1\n2001:db8::/32\nnonsense\n{}",
            "192.0.2.7\n".repeat(30)
        ),
    );
    scratch.write("old.csv", "192.0.2.1,2020-01-01\n192.0.2.2,2020-01-01\n");
    let text = format!(
        "{FEED}[[feed]]\nname = \"old\"\npath = \"old.csv\"\nformat = \"csv\"\ncolumns = {{ expires = 1 }}\n\
         [[feed]]\nname = \"gone\"\npath = \"gone\"\nrole = \"deny\"\n"
    );
    let config = scratch.write("spoa.toml", text).display().to_string();
    let ended = Program::run(&["check", "--json", "-f", &config]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let object: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        (object["ok"].as_bool(), object["wrong"].as_u64()),
        (Some(false), Some(2)),
        "{object}"
    );
    let [bad, old, gone] = &object["lists"].as_array().unwrap()[..] else {
        panic!("{object}")
    };
    assert_eq!(
        (
            bad["name"].as_str(),
            bad["role"].as_str(),
            bad["state"].as_str()
        ),
        (Some("bad"), Some("feed"), Some("ok"))
    );
    assert_eq!(
        (&bad["format"], &bad["format_assumed"]),
        (&"plain".into(), &true.into())
    );
    assert_eq!(
        (&bad["entries"]["ipv4"], &bad["entries"]["ipv6"]),
        (&2.into(), &1.into())
    );
    assert_eq!(
        (&bad["invalid"], &bad["invalid_lines"][0]["line"]),
        (&1.into(), &3.into())
    );
    assert!(
        bad["invalid_lines"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("nonsense")
    );
    assert!(
        bad["age_seconds"].as_u64().is_some_and(|age| age < 3600),
        "{bad}"
    );
    assert_eq!(
        (&old["expired"], &old["ok"], &old["format_assumed"]),
        (&2.into(), &false.into(), &false.into())
    );
    assert_eq!(
        (gone["state"].as_str(), gone["role"].as_str()),
        (Some("not_used"), Some("deny"))
    );
    assert!(
        gone["error"].as_str().unwrap().contains("No such file"),
        "{gone}"
    );
    let text = Program::run(&["check", "-f", &config]).stdout;
    assert!(text.contains("all entries have expired: WRONG"), "{text}");
}
