//! All that is known about one address, for people and as JSON: what `spoa lookup` prints and the admin
//! endpoint shows.

use core::net::IpAddr;
use std::io::{self, Write};

use super::status::Moment;
use crate::policy::{Policy, Source};
use ip_reputation::{Contribution, Part, Role, Verdict};
use serde::Serialize;

/// All that is known about one address.
#[derive(Debug, Serialize)]
pub struct Explanation<'a> {
    address: IpAddr,
    score: u8,
    shadow_score: u8,
    listed: bool,
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

/// What is said of a line that is no address.
#[must_use]
pub fn json_error(line: &str) -> String {
    serde_json::json!({ "input": line, "error": "not an address" }).to_string()
}

/// A role as it is shown.
#[must_use]
pub const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Allow => "allow",
        Role::Deny => "deny",
        Role::Guard => "private",
        Role::Feed => "feed",
    }
}

impl<'a> Explanation<'a> {
    /// What a policy says about an address. None if its scores are random: there is nothing to explain.
    #[must_use]
    pub fn of(policy: &'a Policy, address: IpAddr, now: u32) -> Option<Self> {
        let Source::Table { table, unknown } = policy.source() else {
            return None;
        };
        let verdict = table.lookup(address);
        let verdict = verdict.as_ref();
        let score = verdict.map_or(*unknown, |verdict| verdict.score(now));
        let shadow = verdict.map_or(*unknown, |verdict| verdict.shadow_score(now));
        let country = policy.country(address);
        let entries = verdict.map(|verdict| {
            let entries = verdict.contributions(now);
            entries.map(|entry| Line::new(&entry, address)).collect()
        });
        let reason = verdict.and_then(|verdict| verdict.reason(now, address));
        Some(Self {
            address,
            score: score.value(),
            shadow_score: shadow.value(),
            listed: verdict.is_some_and(|verdict| verdict.is_listed(now)),
            decided_by: verdict.and_then(|it| it.ruled_by(now)).map(role_name),
            category: verdict.and_then(|verdict| verdict.category(now)),
            feed: verdict.and_then(|verdict| verdict.feed(now)),
            reason: reason.map(|(feed, prefix)| format!("{feed}:{prefix}")),
            action: policy.action(score),
            asn: policy.asn(address),
            country: country.map(|letters| letters.escape_ascii().to_string()),
            expires: verdict.and_then(Verdict::expires),
            entries: entries.unwrap_or_default(),
        })
    }

    /// A JSON object in one line.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// A line about the address, and a table of the entries.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        write!(to, "{}  score {}", self.address, self.score)?;
        match self.decided_by {
            Some("feed") => write!(to, ", from feeds")?,
            Some(role) => write!(to, ", decided by {role}")?,
            None => write!(to, ", nobody knows it")?,
        }
        if self.shadow_score != self.score {
            write!(to, ", {} with feeds in shadow", self.shadow_score)?;
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
            // What decides for an address says nothing bad of it.
            badness: match entry.role {
                Role::Allow | Role::Guard => 0.0,
                Role::Deny | Role::Feed => entry.badness,
            },
            part: match entry.part {
                Part::Leads => "leads",
                Part::Counts => "counts",
                Part::Outdone => "outdone",
                Part::Overruled => "overruled",
                Part::Shadow => "shadow",
                Part::Expired => "expired",
            },
            category: entry.category,
            seen: entry.seen,
            expires: entry.expires,
        }
    }
}
