//! docs/reference.md: the values, their types, and when they are unset.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use haproxy_spop::TypedData;
use ip_reputation::{PAYLOAD_BYTES_MAX, Pattern, PayloadRule, PayloadRules, Score};
use iprep_spoa::policy::{ActionRule, Attribute, PolicyConfig};

use crate::ask::{Became, address, ask, judge, message};
use crate::attributes::{asn, country, database};
use crate::table::source;

/// Attribute, type, what it is asked with, when it is unset.
fn rows() -> Vec<[String; 4]> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference.md");
    let reference = fs::read_to_string(path).unwrap();
    let (_, values) = reference.split_once("\n## Values\n").unwrap();
    let (values, _) = values.split_once("\n## ").unwrap();
    let rows = values.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|row| {
        let cells = row.trim_matches('|').split(" | ");
        let cells: Vec<_> = cells.map(|cell| cell.trim().replace('`', "")).collect();
        cells.try_into().unwrap()
    });
    rows.collect()
}

#[test]
fn the_reference_knows_every_value_its_type_and_when_it_is_unset() {
    let rows = rows();
    let listed: Vec<_> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(listed, Attribute::ALL.map(Attribute::name));

    let rule = PayloadRule {
        name: "junk".to_owned(),
        score: Score::new(0).unwrap(),
        pattern: Pattern::Prefix(b"junk".to_vec()),
    };
    let known = database(vec![("203.0.113.0", 24, asn(64_496))]);
    let countries = database(vec![("203.0.113.0", 24, country("ZZ"))]);
    let mut judge = judge(PolicyConfig {
        messages: vec![message("m", &Attribute::ALL)],
        source: source(),
        payload: Some(Arc::new(
            PayloadRules::new(vec![rule], PAYLOAD_BYTES_MAX).unwrap(),
        )),
        actions: vec![ActionRule {
            name: "deny".to_owned(),
            max_score: Score::new(20).unwrap(),
        }],
        asn: Some(known),
        country: Some(countries),
        ..PolicyConfig::default()
    });
    let mut asked = |arguments: &[(&str, TypedData<'_>)]| ask(&mut judge, &[("m", arguments)]);
    let junk = ("", TypedData::Binary(b"junk"));
    let other = ("", TypedData::Binary(b"other"));
    let listed = asked(&[("", address("203.0.113.1")), junk]);
    let unknown = asked(&[("", address("198.18.0.1")), other]);
    let without_address = asked(&[other]);
    let without_payload = asked(&[("", address("198.18.0.1"))]);
    for [value, kind, with, unset] in rows {
        let variable = format!("sess.{value}");
        let found = match &listed[&variable] {
            Became::Number(_) => "UINT32",
            Became::Text(_) => "string",
            Became::Truth(_) => "boolean",
            Became::Gone => "nothing",
        };
        // There is no live table here; tests/live.rs has their types.
        let is_live = unset.starts_with("no live decision");
        let kind = if is_live { "nothing".to_owned() } else { kind };
        assert_eq!(kind, found, "{value}");
        // The unknown address has a score, and so a combined one.
        let stays = unset.starts_with("never") || value == "combined_score";
        assert_eq!(
            unknown[&variable] != Became::Gone,
            stays,
            "{value}: {unset}"
        );
        let needs_address = with == "an address";
        assert_eq!(
            !without_address.contains_key(&variable),
            needs_address,
            "{value}"
        );
        let needs_payload = with == "a payload";
        assert_eq!(
            !without_payload.contains_key(&variable),
            needs_payload,
            "{value}"
        );
        if value == "combined_score" {
            assert_eq!(without_address[&variable], Became::Gone);
        }
    }
}
