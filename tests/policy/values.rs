//! What each value is, for addresses of every kind.

use haproxy_spop::{Scope, TypedData};
use ip_reputation::Score;
use iprep_spoa::policy::{ActionRule, Attribute, MessageRules, PolicyConfig, PolicyHandler};

use crate::ask::{
    Became, about, address, answered, ask, ask_within, is, judge, looks, message, set_clock, text,
};
use crate::table::{EXPIRES, UNKNOWN, source};
use Became::{Gone, Number, Truth};

const ABOUT_THE_ADDRESS: [Attribute; 6] = [
    Attribute::Score,
    Attribute::Listed,
    Attribute::Category,
    Attribute::Feed,
    Attribute::Reason,
    Attribute::ShadowScore,
];

fn over_the_table(messages: Vec<MessageRules>) -> PolicyHandler {
    judge(PolicyConfig {
        messages,
        source: source(),
        ..PolicyConfig::default()
    })
}

#[test]
fn each_kind_of_address_has_its_values() {
    let mut judge = over_the_table(vec![message("m", &ABOUT_THE_ADDRESS)]);
    for (who, score, shadow, known, category, feed, reason) in [
        // A feed alone, and one of its prefixes of the other family.
        (
            "203.0.113.1",
            20,
            20,
            true,
            Some("scanner"),
            Some("scanners"),
            Some("scanners:203.0.113.0/24"),
        ),
        (
            "2001:db8::1",
            20,
            20,
            true,
            Some("scanner"),
            Some("scanners"),
            Some("scanners:2001:db8::/32"),
        ),
        (
            "::ffff:203.0.113.1",
            20,
            20,
            true,
            Some("scanner"),
            Some("scanners"),
            Some("scanners:203.0.113.0/24"),
        ),
        // Two feeds: the stronger one is the reason, and the category is its own.
        (
            "203.0.113.129",
            0,
            0,
            true,
            Some("abuse"),
            Some("abuse"),
            Some("abuse:203.0.113.128/25"),
        ),
        // A feed without a category.
        (
            "192.0.2.99",
            50,
            50,
            true,
            None,
            Some("plain"),
            Some("plain:192.0.2.0/24"),
        ),
        // Allowed inside what feeds list, and inside what is denied.
        (
            "203.0.113.200",
            100,
            100,
            true,
            None,
            Some("allow"),
            Some("allow:203.0.113.200"),
        ),
        (
            "192.0.2.7",
            100,
            100,
            true,
            None,
            Some("allow"),
            Some("allow:192.0.2.0/28"),
        ),
        (
            "192.0.2.17",
            0,
            0,
            true,
            None,
            Some("deny"),
            Some("deny:192.0.2.0/26"),
        ),
        // Only in a feed that is tried out, in guarded space, and nowhere.
        ("198.51.100.1", UNKNOWN, 0, false, None, None, None),
        ("10.0.0.1", UNKNOWN, UNKNOWN, false, None, None, None),
        ("192.0.3.1", UNKNOWN, UNKNOWN, false, None, None, None),
    ] {
        let string = |value: Option<&str>| value.map_or(Gone, text);
        let found = about(&mut judge, who);
        // Who guards is no feed; what it says of itself is the table's business.
        let reason_is_free = who == "10.0.0.1";
        let expected = answered([
            is("score", Number(score.into())),
            is("shadow_score", Number(shadow.into())),
            is("listed", Truth(known)),
            is("category", string(category)),
            is("feed", string(feed)),
            is("reason", string(reason)),
        ]);
        if !reason_is_free {
            assert_eq!(found, expected, "{who}");
        }
        assert_eq!(found["sess.score"], expected["sess.score"], "{who}");
        assert_eq!(found["sess.listed"], expected["sess.listed"], "{who}");
    }
}

#[test]
fn the_clock_is_read_once_and_only_for_what_changes_with_time() {
    let mut judge = over_the_table(vec![message("m", &ABOUT_THE_ADDRESS)]);
    looks();
    about(&mut judge, "203.0.113.1");
    about(&mut judge, "192.0.3.1");
    assert_eq!(looks(), 0);
    for (now, score, feed) in [
        (EXPIRES - 1, 0, "abuse"),
        (EXPIRES, 20, "scanners"),
        (u32::MAX, 20, "scanners"),
    ] {
        set_clock(now);
        let expiring: &[_] = &[("", address("203.0.113.129"))];
        let found = ask(&mut judge, &[("m", expiring), ("m", expiring)]);
        assert_eq!(looks(), 1, "once for two messages");
        assert_eq!(found["sess.score"], Number(score), "at {now}");
        assert_eq!(found["sess.feed"], text(feed), "at {now}");
    }
}

#[test]
fn data_is_stale_from_a_moment_on() {
    for (stale_from, now, stale) in [
        (None, u32::MAX, false),
        (Some(500), 499, false),
        (Some(500), 500, true),
        (Some(500), 501, true),
    ] {
        set_clock(now);
        let mut judge = judge(PolicyConfig {
            messages: vec![message("m", &[Attribute::Stale])],
            stale_from,
            ..PolicyConfig::default()
        });
        // It is not about the address.
        assert_eq!(
            ask(&mut judge, &[("m", &[])]),
            answered([is("stale", Truth(stale))])
        );
    }
}

#[test]
fn no_address_is_no_question_about_one() {
    let mut judge = over_the_table(vec![message("m", &Attribute::ALL)]);
    for value in [TypedData::Null, TypedData::Int64(1), TypedData::Bool(true)] {
        let found = ask(&mut judge, &[("m", &[("", value)])]);
        assert_eq!(found, answered([is("stale", Truth(false))]), "{value:?}");
    }
    // A payload asks about itself: only what has to do with it is removed.
    let found = ask(
        &mut judge,
        &[("m", &[("", TypedData::String(b"203.0.113.1"))])],
    );
    let expected = answered([
        is("stale", Truth(false)),
        is("payload", Gone),
        is("payload_score", Gone),
        is("combined_score", Gone),
        is("action", Gone),
    ]);
    assert_eq!(found, expected);
}

#[test]
fn what_an_address_has_not_is_removed() {
    let mut judge = over_the_table(vec![message("m", &Attribute::ALL)]);
    let found = about(&mut judge, "192.0.3.1");
    let gone: Vec<_> = found
        .iter()
        .filter(|(_, became)| **became == Gone)
        .collect();
    let names: Vec<_> = gone.iter().map(|(name, _)| &name[..]).collect();
    // Payload variables stay: no payload was asked about.
    assert_eq!(
        names,
        [
            "sess.action",
            "sess.asn",
            "sess.categories",
            "sess.category",
            "sess.country",
            "sess.decision",
            "sess.expires_in",
            "sess.feed",
            "sess.feeds",
            "sess.origin",
            "sess.reason"
        ]
    );
    assert!(!found.contains_key("sess.payload"));
}

#[test]
fn every_scope_every_name_and_every_message_of_a_name() {
    let scopes = [
        (Scope::Process, "proc"),
        (Scope::Session, "sess"),
        (Scope::Transaction, "txn"),
        (Scope::Request, "req"),
        (Scope::Response, "res"),
    ];
    let messages = scopes.map(|(scope, _)| MessageRules {
        scope,
        ..message("m", &[Attribute::Score])
    });
    let mut judge = over_the_table(messages.to_vec());
    let found = about(&mut judge, "203.0.113.1");
    let expected = scopes.map(|(_, scope)| (format!("{scope}.score"), Number(20)));
    assert_eq!(found, answered(expected));
    assert_eq!(
        ask(&mut judge, &[("M", &[("", address("203.0.113.1"))])]),
        answered([])
    );
}

#[test]
fn a_named_argument_is_the_only_one_that_counts() {
    let named = MessageRules {
        argument: Some("ip".to_owned()),
        ..message("m", &[Attribute::Score])
    };
    let mut judge = over_the_table(vec![named]);
    let (listed, other) = (address("203.0.113.1"), address("192.0.2.99"));
    let found = ask(
        &mut judge,
        &[(
            "m",
            &[
                ("", other),
                ("ip", TypedData::Null),
                ("ip", listed),
                ("ip", other),
            ],
        )],
    );
    assert_eq!(found, answered([is("score", Number(20))]));
    assert_eq!(
        ask(&mut judge, &[("m", &[("", other), ("IP", other)])]),
        answered([])
    );
}

#[test]
fn the_action_is_that_of_the_lowest_threshold_that_holds() {
    let rule = |name: &str, max_score| ActionRule {
        name: name.to_owned(),
        max_score: Score::new(max_score).unwrap(),
    };
    let mut judge = judge(PolicyConfig {
        messages: vec![message("m", &[Attribute::Action])],
        source: source(),
        actions: vec![rule("challenge", 60), rule("deny", 20)],
        ..PolicyConfig::default()
    });
    for (who, action) in [
        ("203.0.113.1", text("deny")),
        ("192.0.2.99", text("challenge")),
        ("192.0.3.1", Gone),
        ("192.0.2.7", Gone),
    ] {
        assert_eq!(
            about(&mut judge, who),
            answered([is("action", action)]),
            "{who}"
        );
    }
}

/// The agent without a configuration is the policy that nobody has changed.
#[test]
fn the_default_policy_answers_the_four_questions() {
    let mut judge = judge(PolicyConfig::default());
    for (name, argument, variable) in [
        ("check-client-ip", "", "ip_score"),
        ("get-ip-reputation", "ip", "ip_score"),
        ("ip-rep", "ip", "reputation"),
        ("check-buffer", "any", "ip_score"),
    ] {
        let found = ask(&mut judge, &[(name, &[(argument, address("192.0.2.1"))])]);
        let [(set, Number(0..=100))] = &found.iter().collect::<Vec<_>>()[..] else {
            panic!("{name}: {found:?}")
        };
        assert_eq!(**set, format!("sess.{variable}"));
        assert_eq!(
            ask(&mut judge, &[(name, &[(argument, TypedData::Null)])]),
            answered([])
        );
    }
}

/// All or nothing: what HAProxy gets is never a part of an answer.
#[test]
fn an_answer_that_does_not_fit_its_frame_is_an_error() {
    let mut judge = over_the_table(vec![message("m", &ABOUT_THE_ADDRESS)]);
    let asked: &[_] = &[("", address("203.0.113.1"))];
    assert_ne!(ask_within(&mut judge, &[("m", asked)], 64).1, 0);
    assert_eq!(ask_within(&mut judge, &[("m", asked)], 256).1, 0);
}
