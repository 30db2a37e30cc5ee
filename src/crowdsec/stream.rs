//! The body of `GET /v1/decisions/stream`: what it says, and what can be used of it.
//!
//! In scope: scopes in any case, values with host bits, types, durations, `origins` and `scopes`. The server
//! removes duplicates before it filters by origin, so that origins are filtered here.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ip_reputation::Prefix;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use super::{CrowdSecOptions, duration};
use crate::live::{Import, Imported, Kind, Target};

/// The longest text of a decision that is kept, in bytes.
const TEXT_MAX: usize = 120;

/// A decision as the LAPI sends it. Everything may be missing, or something else.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Raw {
    id: Option<i64>,
    uuid: Option<String>,
    origin: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    scope: Option<String>,
    value: Option<String>,
    duration: Option<String>,
    scenario: Option<String>,
    simulated: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Element {
    Decision(Raw),
    Other(IgnoredAny),
}

type Elements = Option<Vec<Element>>;

#[derive(Debug, Deserialize)]
struct Body {
    #[serde(default, deserialize_with = "present")]
    new: Option<Elements>,
    #[serde(default, deserialize_with = "present")]
    deleted: Option<Elements>,
}

/// Tells a list that is null from one that is missing.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Elements>, D::Error> {
    Elements::deserialize(from).map(Some)
}

/// Why a body is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BodyError {
    /// It breaks off.
    Short,
    /// It is no JSON.
    NotJson,
    /// It is other JSON.
    Other,
}

/// What an answer says.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) import: Import,
    /// Decisions that cannot be used, by why.
    pub(super) unusable: BTreeMap<&'static str, u64>,
    /// Decisions that the options leave out.
    pub(super) filtered: u64,
    /// Types that the agent does not know.
    pub(super) unknown_kinds: BTreeSet<String>,
    /// An unusable decision, for the log.
    pub(super) example: Option<String>,
}

/// Reads a body that was received now.
pub(super) fn read(body: &[u8], options: &CrowdSecOptions, now: u32) -> Result<Reading, BodyError> {
    let body: Body = serde_json::from_slice(body).map_err(|error| {
        if error.is_eof() && !body.is_empty() {
            BodyError::Short
        } else if error.is_data() {
            BodyError::Other
        } else {
            BodyError::NotJson
        }
    })?;
    if body.new.is_none() && body.deleted.is_none() {
        return Err(BodyError::Other);
    }
    let mut reading = Reading::default();
    for element in body.deleted.flatten().into_iter().flatten() {
        if let Element::Decision(raw) = element
            && let Some(id) = raw.id()
        {
            reading.import.deleted.push(id);
        }
    }
    for element in body.new.flatten().into_iter().flatten() {
        reading.take(element, options, now);
    }
    Ok(reading)
}

impl Reading {
    fn take(&mut self, element: Element, options: &CrowdSecOptions, now: u32) {
        let Element::Decision(raw) = element else {
            return self.unusable("invalid", "an element that is no object");
        };
        let scope = raw
            .scope
            .as_deref()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let value = raw.value.as_deref().unwrap_or_default();
        if raw.simulated == Some(true) || !options.follows(&scope, raw.origin.as_deref()) {
            self.filtered += 1;
            return;
        }
        let shown = || {
            format!("{scope} {value}")
                .escape_debug()
                .take(TEXT_MAX)
                .collect::<String>()
        };
        let (Some(id), Some(target)) = (raw.id(), target(&scope, value)) else {
            return self.unusable("invalid", &shown());
        };
        let seconds = raw.duration.as_deref().and_then(duration::parse);
        let Some(seconds) = seconds else {
            return self.unusable("invalid", &shown());
        };
        if seconds <= 0.0 {
            return;
        }
        let kind = raw.kind.as_deref().unwrap_or_default().to_ascii_lowercase();
        let kind = match &kind[..] {
            "ban" => Kind::Ban,
            "captcha" => Kind::Challenge,
            _ => {
                self.unknown_kinds.insert(kind);
                Kind::Ban
            }
        };
        self.import.new.push(Imported {
            id,
            kind,
            target,
            origin: text(raw.origin.as_deref()),
            scenario: text(raw.scenario.as_deref()),
            until: end(now, seconds),
            is_lifted: false,
        });
    }

    fn unusable(&mut self, why: &'static str, example: &str) {
        *self.unusable.entry(why).or_insert(0) += 1;
        self.example.get_or_insert_with(|| example.to_owned());
    }
}

impl Raw {
    /// What tells a decision apart; a server may have only one of the two.
    fn id(&self) -> Option<Arc<str>> {
        let number = self.id.filter(|it| *it != 0).map(|it| it.to_string());
        let text = number.or_else(|| self.uuid.clone().filter(|it| !it.is_empty()));
        text.map(Into::into)
    }
}

impl CrowdSecOptions {
    fn follows(&self, scope: &str, origin: Option<&str>) -> bool {
        let origin = origin.unwrap_or_default();
        let is_known = super::SCOPES.contains(&scope);
        let is_origin = self.origins.is_empty()
            || self.origins.iter().any(|it| {
                let name = origin.split(':').next().unwrap_or_default();
                it.eq_ignore_ascii_case(origin) || it.eq_ignore_ascii_case(name)
            });
        // An unknown scope is counted as not usable.
        is_origin && (!is_known || self.scopes.iter().any(|it| it == scope))
    }
}

/// What a value means in a scope.
fn target(scope: &str, value: &str) -> Option<Target> {
    let value = value.trim();
    match scope {
        "ip" | "range" => prefix(value).map(Target::Prefix),
        "as" => {
            let digits = value.get(..2).filter(|it| it.eq_ignore_ascii_case("as"));
            let digits = digits.map_or(value, |_| value.get(2..).unwrap_or_default());
            digits.parse().ok().map(Target::Asn)
        }
        "country" => {
            let letters: [u8; 2] = value.as_bytes().try_into().ok()?;
            let is_country = letters.iter().all(u8::is_ascii_alphabetic);
            is_country.then(|| Target::Country(letters.map(|it| it.to_ascii_uppercase())))
        }
        _ => None,
    }
}

/// Host bits do not count; without a length it is the address.
fn prefix(value: &str) -> Option<Prefix> {
    let Some((address, len)) = value.split_once('/') else {
        return value.parse().ok().map(Prefix::host);
    };
    let address: IpAddr = address.parse().ok()?;
    let is_mapped = matches!(address, IpAddr::V6(it) if it.to_ipv4_mapped().is_some());
    match len.parse().ok()? {
        // The length of the IPv4 address in it.
        len @ ..=32_u8 if is_mapped => Prefix::new(address.to_canonical(), len),
        len => Prefix::new(address, len),
    }
}

fn text(text: Option<&str>) -> Arc<str> {
    let text = text.unwrap_or("-");
    let text = text
        .get(..text.floor_char_boundary(TEXT_MAX))
        .unwrap_or_default();
    if text.contains(char::is_control) {
        return text.escape_debug().to_string().into();
    }
    text.into()
}

/// A fraction of a second counts: a decision is not over before its end.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped by the cast itself"
)]
fn end(now: u32, seconds: f64) -> u32 {
    now.saturating_add(seconds.ceil() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crowdsec::Credentials;
    use core::time::Duration;

    fn options(origins: &[&str]) -> CrowdSecOptions {
        CrowdSecOptions {
            url: "http://127.0.0.1".parse().unwrap(),
            credentials: Credentials::Key("key".into()),
            ca_file: None,
            interval: Duration::from_secs(10),
            scopes: super::super::SCOPES.map(str::to_owned).to_vec(),
            origins: origins.iter().map(|it| (*it).to_owned()).collect(),
        }
    }

    fn one(scope: &str, value: &str) -> Option<String> {
        let body = format!(
            r#"{{"new":[{{"id":1,"type":"ban","scope":"{scope}","value":"{value}","duration":"1h"}}]}}"#
        );
        let reading = read(body.as_bytes(), &options(&[]), 0).unwrap();
        reading.import.new.first().map(|it| it.target.to_string())
    }

    #[test]
    fn scopes_come_in_any_case_and_values_in_any_form() {
        for (scope, value, target) in [
            ("Ip", "192.0.2.1", "192.0.2.1"),
            ("ip", "192.0.2.1/32", "192.0.2.1"),
            ("IP", "::ffff:192.0.2.1", "192.0.2.1"),
            ("Ip", "::ffff:192.0.2.1/128", "192.0.2.1"),
            ("Ip", "::ffff:192.0.2.1/32", "192.0.2.1"),
            ("ip", "2001:db8::1", "2001:db8::1"),
            ("ip", "2001:db8::1/128", "2001:db8::1"),
            ("Range", "192.0.2.77/24", "192.0.2.0/24"),
            ("range", "2001:db8::1/48", "2001:db8::/48"),
            ("AS", "64496", "AS64496"),
            ("as", "AS64496", "AS64496"),
            ("Country", "nl", "NL"),
            ("country", "NL", "NL"),
        ] {
            assert_eq!(
                one(scope, value).as_deref(),
                Some(target),
                "{scope} {value}"
            );
        }
        for (scope, value) in [
            ("ip", "x"),
            ("range", "192.0.2.1/33"),
            ("as", "ASX"),
            ("country", "NLD"),
            ("username", "root"),
            ("", ""),
        ] {
            assert_eq!(one(scope, value), None, "{scope} {value}");
        }
    }

    #[test]
    fn lists_may_be_null_and_one_bad_element_costs_itself() {
        for body in [r#"{"new":null,"deleted":null}"#, r#"{"new":[],"extra":1}"#] {
            let reading = read(body.as_bytes(), &options(&[]), 0).unwrap();
            assert!(reading.import.new.is_empty() && reading.unusable.is_empty());
        }
        let body = r#"{"new":[7,{"id":"x"},{"id":3,"uuid":"u","type":"throttle","scope":"ip",
            "value":"192.0.2.1","duration":"0.5s","scenario":"a\nb"},
            {"id":4,"scope":"ip","value":"192.0.2.2","duration":"soon"},
            {"id":5,"scope":"ip","value":"192.0.2.3","duration":"-3s"}],
            "deleted":[{"id":9,"duration":"-1h"},{"uuid":"w"},{}]}"#;
        let reading = read(body.as_bytes(), &options(&[]), 10).unwrap();
        let deleted: Vec<_> = reading.import.deleted.iter().map(|it| &**it).collect();
        assert_eq!(deleted, ["9", "w"]);
        assert_eq!(reading.unusable["invalid"], 3);
        let [taken] = &reading.import.new[..] else {
            panic!("{reading:?}");
        };
        assert_eq!((taken.until, &*taken.scenario), (11, "a\\nb"));
        assert_eq!(taken.kind, Kind::Ban);
        assert!(reading.unknown_kinds.contains("throttle"));
    }

    #[test]
    fn origins_are_filtered_here() {
        let body = r#"{"new":[
            {"id":1,"origin":"CAPI","type":"ban","scope":"Ip","value":"192.0.2.1","duration":"1h"},
            {"id":2,"origin":"lists:tor","type":"ban","scope":"Ip","value":"192.0.2.2","duration":"1h"},
            {"id":3,"origin":"cscli","type":"captcha","scope":"Ip","value":"192.0.2.3","duration":"1h"}]}"#;
        let ids = |origins: &[&str]| {
            let reading = read(body.as_bytes(), &options(origins), 0).unwrap();
            let ids = reading.import.new.iter().map(|it| it.id.to_string());
            (ids.collect::<Vec<_>>().join(""), reading.filtered)
        };
        assert_eq!(ids(&[]), ("123".to_owned(), 0));
        assert_eq!(ids(&["capi", "lists"]), ("12".to_owned(), 1));
        assert_eq!(ids(&["cscli"]), ("3".to_owned(), 2));
    }

    #[test]
    fn a_body_that_is_none_is_told_apart() {
        let error = |body: &str| read(body.as_bytes(), &options(&[]), 0).unwrap_err();
        assert_eq!(error(r#"{"new":[{"id":1"#), BodyError::Short);
        assert_eq!(error("<html>"), BodyError::NotJson);
        assert_eq!(error(""), BodyError::NotJson);
        for body in ["{}", "[]", "null", r#"{"new":7}"#, r#"{"message":"x"}"#] {
            assert_eq!(error(body), BodyError::Other, "{body}");
        }
    }
}
