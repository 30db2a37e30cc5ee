//! Payload rules in an answer, alone and together with an address.

use std::sync::Arc;

use haproxy_spop::TypedData;
use ip_reputation::{PAYLOAD_BYTES_MAX, Pattern, PayloadRule, PayloadRules, Score};
use iprep_spoa::policy::{ActionRule, Attribute, MessageRules, PolicyConfig, PolicyHandler};

use crate::ask::{Answered, Became, address, answered, ask, is, judge, message, text};
use crate::table::source;
use Became::{Gone, Number};

const VALUES: [Attribute; 4] = [
    Attribute::Payload,
    Attribute::PayloadScore,
    Attribute::CombinedScore,
    Attribute::Action,
];

fn rules() -> Arc<PayloadRules> {
    let rule = |name: &str, score, pattern| PayloadRule {
        name: name.to_owned(),
        score: Score::new(score).unwrap(),
        pattern,
    };
    let rules = vec![
        rule("navis", 100, Pattern::Prefix(b"*>S".to_vec())),
        rule("http", 5, Pattern::Regex(r"^(GET|POST) ".to_owned())),
        rule("binary", 30, Pattern::Regex(r"[\x00-\x08]".to_owned())),
    ];
    Arc::new(PayloadRules::new(rules, PAYLOAD_BYTES_MAX).unwrap())
}

fn terms() -> PolicyConfig {
    PolicyConfig {
        messages: vec![message("m", &VALUES)],
        source: source(),
        payload: Some(rules()),
        actions: vec![ActionRule {
            name: "deny".to_owned(),
            max_score: Score::new(20).unwrap(),
        }],
        ..PolicyConfig::default()
    }
}

fn about(judge: &mut PolicyHandler, arguments: &[(&str, TypedData<'_>)]) -> Answered {
    ask(judge, &[("m", arguments)])
}

fn expected(rule: Option<(&str, u32)>, combined: Option<u32>, action: Option<&str>) -> Answered {
    answered([
        is("payload", rule.map_or(Gone, |(name, _)| text(name))),
        is(
            "payload_score",
            rule.map_or(Gone, |(_, score)| Number(score)),
        ),
        is("combined_score", combined.map_or(Gone, Number)),
        is("action", action.map_or(Gone, text)),
    ])
}

#[test]
fn a_payload_alone_answers_for_itself() {
    let mut judge = judge(terms());
    for (bytes, rule, action) in [
        (&b"*>S:123;\x00"[..], Some(("navis", 100)), None),
        (b"GET / HTTP/1.1\r\n", Some(("http", 5)), Some("deny")),
        (b"text and \x00", Some(("binary", 30)), None),
        (b"text", None, None),
        (b"", None, None),
    ] {
        for value in [TypedData::Binary(bytes), TypedData::String(bytes)] {
            let found = about(&mut judge, &[("buf", value)]);
            assert_eq!(
                found,
                expected(rule, rule.map(|(_, score)| score), action),
                "{bytes:?}"
            );
        }
    }
}

#[test]
fn the_lower_score_of_both_is_the_combined_one() {
    let mut judge = judge(terms());
    let (listed, half, unknown) = (
        address("203.0.113.1"),
        address("192.0.2.99"),
        address("192.0.3.1"),
    );
    let navis = TypedData::Binary(b"*>S");
    let binary = TypedData::Binary(b"\x01");
    let none = TypedData::Binary(b"");
    for (who, what, rule, combined, action) in [
        (listed, navis, Some(("navis", 100)), 20, Some("deny")),
        (half, binary, Some(("binary", 30)), 30, None),
        (unknown, navis, Some(("navis", 100)), 90, None),
        (half, none, None, 50, None),
    ] {
        for arguments in [[("ip", who), ("buf", what)], [("buf", what), ("ip", who)]] {
            let found = about(&mut judge, &arguments);
            assert_eq!(
                found,
                expected(rule, Some(combined), action),
                "{arguments:?}"
            );
        }
    }
    // An address alone is no question about a payload, but has a combined score.
    let found = about(&mut judge, &[("ip", half)]);
    assert_eq!(
        found,
        answered([is("combined_score", Number(50)), is("action", Gone)])
    );
}

#[test]
fn a_named_payload_argument_is_the_only_one_that_counts() {
    let mut judge = judge(PolicyConfig {
        messages: vec![MessageRules {
            payload_argument: Some("buf".to_owned()),
            ..message("m", &[Attribute::Payload])
        }],
        ..terms()
    });
    let (navis, http) = (TypedData::Binary(b"*>S"), TypedData::String(b"GET /"));
    let found = about(
        &mut judge,
        &[("host", http), ("buf", TypedData::Null), ("buf", navis)],
    );
    assert_eq!(found, answered([is("payload", text("navis"))]));
    assert_eq!(about(&mut judge, &[("host", http)]), answered([]));
}

/// With payload rules and nothing said about messages, `check-buffer` answers with them.
#[test]
fn check_buffer_answers_by_default() {
    let mut judge = judge(PolicyConfig {
        messages: Vec::new(),
        ..terms()
    });
    let navis = TypedData::Binary(b"*>S");
    let found = ask(&mut judge, &[("check-buffer", &[("buf", navis)])]);
    assert_eq!(
        found,
        answered([
            is("payload", text("navis")),
            is("payload_score", Number(100))
        ])
    );
    let found = ask(
        &mut judge,
        &[("check-client-ip", &[("", address("203.0.113.1"))])],
    );
    assert_eq!(found, answered([is("ip_score", Number(20))]));
}

#[test]
fn without_rules_no_payload_matches() {
    let mut judge = judge(PolicyConfig {
        payload: None,
        ..terms()
    });
    let found = about(&mut judge, &[("buf", TypedData::Binary(b"*>S"))]);
    assert_eq!(found, expected(None, None, None));
}
