//! All that is known about one address, for people and as JSON.

use core::net::IpAddr;
use std::io::{self, Write};

use serde::Serialize;
use spoa::control::once::Once;
use spoa::control::status::Moment;
use spoa::reputation::{Contribution, Part, Score, Verdict};

use super::role_name;

/// All that is known about one address.
#[derive(Debug, Serialize)]
pub(super) struct Explanation<'a> {
    address: IpAddr,
    score: u8,
    shadow_score: u8,
    known: bool,
    /// What took precedence.
    decided_by: Option<&'static str>,
    category: Option<&'a str>,
    feed: Option<&'a str>,
    reason: Option<String>,
    action: Option<&'a str>,
    asn: Option<u32>,
    country: Option<String>,
    /// Seconds since 1970.
    expires: Option<u32>,
    entries: Vec<Line<'a>>,
}

/// One entry that covers the address.
#[derive(Debug, Serialize)]
struct Line<'a> {
    feed: &'a str,
    role: &'static str,
    prefix: String,
    confidence: f64,
    badness: f64,
    part: &'static str,
    category: Option<&'a str>,
    seen: Option<u32>,
    expires: Option<u32>,
}

/// A line that is no address.
pub(super) fn json_error(line: &str) -> String {
    serde_json::json!({ "input": line, "error": "not an address" }).to_string()
}

impl<'a> Explanation<'a> {
    pub(super) fn new(
        once: &'a Once,
        verdict: Option<&Verdict<'a>>,
        address: IpAddr,
        unknown: Score,
        now: u32,
    ) -> Self {
        let score = verdict.map_or(unknown, |verdict| verdict.score(now));
        let shadow = verdict.map_or(unknown, |verdict| verdict.shadow_score(now));
        let country = once.country(address);
        let entries = verdict.map(|verdict| {
            let entries = verdict.contributions(now);
            entries.map(|entry| Line::new(&entry, address)).collect()
        });
        let reason = verdict.and_then(|verdict| verdict.reason(now, address));
        Self {
            address,
            score: score.value(),
            shadow_score: shadow.value(),
            known: verdict.is_some_and(|verdict| verdict.is_known(now)),
            decided_by: verdict.and_then(|it| it.ruled_by(now)).map(role_name),
            category: verdict.and_then(|verdict| verdict.category(now)),
            feed: verdict.and_then(|verdict| verdict.feed(now)),
            reason: reason.map(|(feed, prefix)| format!("{feed}:{prefix}")),
            action: once.policy.action(score),
            asn: once.asn(address),
            country: country.map(|letters| letters.escape_ascii().to_string()),
            expires: verdict.and_then(Verdict::expires),
            entries: entries.unwrap_or_default(),
        }
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// A line about the address, and a table of the entries.
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        write!(to, "{}  score {}", self.address, self.score)?;
        match self.decided_by {
            Some("feed") => write!(to, ", from feeds")?,
            Some(role) => write!(to, ", decided by {role}")?,
            None => write!(to, ", nobody knows it")?,
        }
        if self.shadow_score != self.score {
            write!(to, ", {} with feeds in dry-run", self.shadow_score)?;
        }
        for (name, value) in [("action", self.action), ("category", self.category)] {
            if let Some(value) = value {
                write!(to, ", {name} {value}")?;
            }
        }
        if let Some(asn) = self.asn {
            write!(to, ", AS{asn}")?;
        }
        if let Some(country) = &self.country {
            write!(to, ", {country}")?;
        }
        if self.expires.is_some() {
            write!(to, ", changes {}", Moment(self.expires))?;
        }
        writeln!(to)?;
        let width = |of: fn(&Line<'_>) -> usize| self.entries.iter().map(of).max().unwrap_or(0);
        let (feeds, prefixes) = (width(|it| it.feed.len()), width(|it| it.prefix.len()));
        for entry in &self.entries {
            write!(
                to,
                "  {:feeds$}  {:prefixes$}  {:7}  badness {:.4}  {}",
                entry.feed, entry.prefix, entry.role, entry.badness, entry.part
            )?;
            if let Some(category) = entry.category {
                write!(to, "  {category}")?;
            }
            for (name, moment) in [("seen", entry.seen), ("expires", entry.expires)] {
                if moment.is_some() {
                    write!(to, "  {name} {}", Moment(moment))?;
                }
            }
            writeln!(to)?;
        }
        Ok(())
    }
}

impl<'a> Line<'a> {
    fn new(entry: &Contribution<'a>, address: IpAddr) -> Self {
        Self {
            feed: entry.feed,
            role: role_name(entry.role),
            prefix: entry.prefix(address).to_string(),
            confidence: entry.confidence.as_ratio(),
            badness: entry.badness,
            part: match entry.part {
                Part::Leads => "leads",
                Part::Counts => "counts",
                Part::Outdone => "outdone",
                Part::Overruled => "overruled",
                Part::DryRun => "dry-run",
                Part::Expired => "expired",
            },
            category: entry.category,
            seen: entry.seen,
            expires: entry.expires,
        }
    }
}
