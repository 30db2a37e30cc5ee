//! Roles and groups of feeds, and the attributes that list what has an address.

#![cfg(test)]

mod support;

use core::net::IpAddr;
use std::collections::BTreeMap;

use bytes::BytesMut;
use haproxy_spop::{AckView, Action, Argument, Frame, NotifyWriter, TypedData};
use support::{Peer, Program, Scratch};

/// Two aggregators that copy each other, an independent witness, and lists of good and bad bots.
const CONFIG: &str = r#"
[reputation]
ignore-private = true
[[feed]]
name = "one"
path = "one"
weight = 0.5
group = "aggregators"
default-category = "attacks"
[[feed]]
name = "two"
path = "two"
weight = 0.4
group = "aggregators"
default-category = "tor"
[[feed]]
name = "three"
path = "three"
weight = 0.5
default-category = "spam"
[[feed]]
name = "crawlers"
role = "allow"
path = "crawlers"
default-category = "searchbot"
[[feed]]
name = "partners-that-left"
role = "deny"
path = "denied"
[allow]
prefixes = ["192.0.2.66"]
[deny]
prefixes = ["192.0.2.33"]
[[message]]
name = "check-client-ip"
vars = [
    { name = "score", value = "score" },
    { name = "feeds", value = "feeds" },
    { name = "categories", value = "categories" },
    { name = "is_tor", value = "category:tor" },
    { name = "in_one", value = "feed:one" },
    { name = "is_crawler", value = "feed:crawlers" },
]
"#;

fn start() -> (Scratch, String) {
    let scratch = Scratch::new();
    scratch.write("one", "192.0.2.0/24\n");
    scratch.write("two", "192.0.2.0/25\n");
    scratch.write("three", "192.0.2.1\n192.0.2.33\n192.0.2.34\n10.0.0.1\n");
    scratch.write("crawlers", "192.0.2.34\n192.0.2.33\n10.0.0.1\n10.0.0.2\n");
    scratch.write("denied", "192.0.2.64/30\n10.0.0.2\n10.0.0.3\n192.0.2.34\n");
    let config = scratch.write("spoa.toml", CONFIG).display().to_string();
    (scratch, config)
}

#[test]
fn a_group_counts_once_and_roles_go_before_feeds() {
    let (_scratch, config) = start();
    for (address, expected) in [
        // 1 - (1 - 0.5)(1 - 0.5): the aggregators count as one.
        ("192.0.2.1", "25 feed one:192.0.2.0/24"),
        ("192.0.2.2", "50 feed one:192.0.2.0/24"),
        ("192.0.2.200", "50 feed one:192.0.2.0/24"),
        // An allow list goes before [deny], and [allow] before a deny list.
        ("192.0.2.33", "100 allow crawlers:192.0.2.33"),
        ("192.0.2.34", "100 allow crawlers:192.0.2.34"),
        ("192.0.2.66", "100 allow allow:192.0.2.66"),
        ("192.0.2.65", "0 deny partners-that-left:192.0.2.64/30"),
        // Private space is a matter for one's own lists, and feeds with a role are.
        ("10.0.0.1", "100 allow crawlers:10.0.0.1"),
        ("10.0.0.2", "100 allow crawlers:10.0.0.2"),
        ("10.0.0.3", "0 deny partners-that-left:10.0.0.3"),
        ("10.0.0.4", "100 private private:10.0.0.0/8"),
    ] {
        let ended = Program::run(&["lookup", "--terse", "-f", &config, address]);
        assert_eq!(
            ended.stdout.trim_end(),
            format!("{address} {expected}"),
            "{ended:?}"
        );
    }
    let explained = Program::run(&["lookup", "-f", &config, "192.0.2.1"]).stdout;
    let part = |feed: &str| {
        explained
            .lines()
            .find(|line| line.trim_start().starts_with(feed))
            .unwrap()
    };
    assert!(part("one").contains("leads"), "{explained}");
    assert!(part("two").contains("outdone"), "{explained}");
    assert!(part("three").contains("counts"), "{explained}");
}

/// What the agent sets for an address, by name.
fn ask(agent: &Program, address: &str) -> BTreeMap<String, String> {
    let mut peer = Peer::greeted(agent.address());
    let mut out = BytesMut::new();
    let mut notify = NotifyWriter::begin(&mut out, 1, 1, 16380);
    let value = match address.parse().unwrap() {
        IpAddr::V4(address) => TypedData::Ipv4(address),
        IpAddr::V6(address) => TypedData::Ipv6(address),
    };
    let argument = Argument { name: b"ip", value };
    notify.message("check-client-ip", &[argument]).unwrap();
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
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let actions = AckView::try_from(frame).unwrap().actions();
    let actions = actions.map(|action| match action {
        Action::SetVar { name, value, .. } => {
            let value = match value {
                TypedData::String(value) => text(value),
                TypedData::Uint32(number) => number.to_string(),
                TypedData::Bool(flag) => flag.to_string(),
                other => panic!("{other:?}"),
            };
            (text(name), value)
        }
        Action::UnsetVar { name, .. } => (text(name), "-".to_owned()),
    });
    actions.collect()
}

#[test]
fn attributes_list_what_has_an_address() {
    let (_scratch, config) = start();
    let agent = Program::configured(config.as_ref(), &[]);
    let names = [
        "score",
        "feeds",
        "categories",
        "is_tor",
        "in_one",
        "is_crawler",
    ];
    for (address, expected) in [
        (
            "192.0.2.1",
            [
                "25",
                "one,two,three",
                "attacks,tor,spam",
                "true",
                "true",
                "false",
            ],
        ),
        (
            "192.0.2.200",
            ["50", "one", "attacks", "false", "true", "false"],
        ),
        (
            "192.0.2.34",
            ["100", "crawlers", "searchbot", "false", "false", "true"],
        ),
        (
            "192.0.2.65",
            ["0", "partners-that-left", "-", "false", "false", "false"],
        ),
        ("198.51.100.1", ["100", "-", "-", "false", "false", "false"]),
    ] {
        let mut answer = ask(&agent, address);
        // In the order of prefixes, the leading one first.
        let sorted = |text: String| {
            let mut rest: Vec<_> = text.split(',').map(str::to_owned).collect();
            rest[1..].sort();
            rest.join(",")
        };
        for list in ["feeds", "categories"] {
            let text = answer.remove(list).unwrap();
            answer.insert(list.to_owned(), sorted(text));
        }
        let got = names.map(|name| answer[name].clone());
        let expected = expected.map(|text| sorted(text.to_owned()));
        assert_eq!(got, expected, "{address}");
    }
    agent.stop();
}

#[test]
fn a_name_that_no_list_has_is_refused() {
    let (scratch, _) = start();
    let config = scratch.write("spoa.toml", CONFIG.replace("feed:one", "feed:on"));
    let ended = Program::run(&["check", "-f", config.to_str().unwrap()]);
    let line = ended.refusal(1);
    assert!(
        line.contains("sets in_one by feed:on, and no list has that name"),
        "{line}"
    );
    let config = scratch.write(
        "spoa.toml",
        CONFIG.replace("role = \"deny\"", "role = \"block\""),
    );
    let ended = Program::run(&["check", "-f", config.to_str().unwrap()]);
    assert!(ended.refusal(1).contains("block"), "{ended:?}");
}
