//! All that is known about one address, for people and as JSON: what `spoa lookup` prints and the admin
//! endpoint shows.

use core::net::IpAddr;
use std::io::{self, Write};

use super::status::Moment;
use crate::live::{Decision, Kind, ORIGIN_BEHAVIOR, points_prefix, time};
use crate::policy::{self, Policy, Source, decided};
use ip_reputation::{Contribution, ContributionStatus, Role, Score, Verdict};
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
    /// Live decisions that cover it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    decisions: Vec<LiveLine>,
    /// Of reports, rounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    points: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    behavior: Option<BehaviorLine>,
    /// What the live decision displaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    displaced: Option<Displaced>,
}

/// What reports make of the address.
#[derive(Debug, Serialize)]
struct BehaviorLine {
    value: String,
    points: f64,
    badness: f64,
    part: &'static str,
}

/// What an address would have without the live decision.
#[derive(Debug, Serialize)]
struct Displaced {
    score: u8,
    decided_by: Option<&'static str>,
}

/// A live decision that covers the address.
#[derive(Debug, Serialize)]
struct LiveLine {
    #[serde(rename = "type")]
    kind: &'static str,
    value: String,
    origin: String,
    node: String,
    reason: String,
    until: String,
    decides: bool,
}

/// One entry that covers the address.
#[derive(Debug, Serialize)]
struct Line<'a> {
    feed: &'a str,
    role: &'static str,
    prefix: String,
    weight: f64,
    confidence: f64,
    age: f64,
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
            let lines = entries.map(|entry| Line::new(verdict, &entry, address));
            let mut lines: Vec<_> = lines.collect();
            // A list that decides alone comes first, then what is worse.
            lines.sort_by(|one, other| {
                let decides = |line: &Line<'_>| line.part == "leads" && line.role != "feed";
                let key = |line: &Line<'_>| (decides(line), line.badness);
                let (one, other) = (key(one), key(other));
                other.0.cmp(&one.0).then(other.1.total_cmp(&one.1))
            });
            lines
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
            decisions: Vec::new(),
            points: None,
            behavior: None,
            displaced: None,
        })
    }

    /// Adds points, and what they make of the address.
    fn with_points(&mut self, policy: &'a Policy, points: f64, now: u32) {
        self.points = Some(rounded(points));
        let Source::Table { table, .. } = policy.source() else {
            return;
        };
        if points <= 0.0 {
            return;
        }
        let verdict = table.lookup(self.address);
        let verdict = verdict.as_ref();
        let score = Score::new(self.score).unwrap_or(Score::BEST);
        let with = policy::with_points(verdict, now, score, points);
        let badness = (points / 100.0).min(1.0);
        let prefix = points_prefix(self.address).to_string();
        self.behavior = Some(BehaviorLine {
            value: prefix.clone(),
            points: (points * 10.0).round() / 10.0,
            badness,
            part: if with.is_some() {
                "counts"
            } else {
                "overruled"
            },
        });
        let Some(with) = with else {
            return;
        };
        self.score = with.value();
        let feeds = verdict.filter(|it| it.ruled_by(now).is_some());
        let shadow = feeds.map(|it| it.shadow_score_with(now, badness));
        self.shadow_score = shadow.unwrap_or(with).value();
        self.action = policy.action(with);
        if feeds.is_none() {
            self.decided_by = Some("behavior");
        }
        if feeds.is_none_or(|it| it.worst_badness(now) < badness) {
            self.feed = Some(ORIGIN_BEHAVIOR);
            self.category = None;
            self.reason = Some(format!("{ORIGIN_BEHAVIOR}:{prefix}"));
        }
    }

    /// Adds points and the live decisions that cover the address, and what they make of it.
    #[must_use]
    pub fn with_live(mut self, policy: &'a Policy, covering: &[Decision], now: u32) -> Self {
        let Some(live) = policy.live() else {
            return self;
        };
        let snapshot = live.table.current();
        if snapshot.has_points() {
            self.with_points(policy, snapshot.points(self.address), now);
        }
        let ruled_by = match policy.source() {
            Source::Table { table, .. } => {
                table.lookup(self.address).and_then(|it| it.ruled_by(now))
            }
            Source::Random => None,
        };
        let score = Score::new(self.score).unwrap_or(Score::BEST);
        let hits = snapshot.lookup(self.address, || now);
        let (asn, country) = (policy.asn(self.address), policy.country(self.address));
        let hits = snapshot.with_places(hits, asn, country, || now);
        let hits = hits.unwrap_or_default();
        let decided = decided(&hits, ruled_by, score, live.challenge_score);
        let leading = decided.map(|it| {
            let target = it.hit.target(self.address);
            (it.kind, target, snapshot.origin(it.hit).to_owned())
        });
        if let (Some(decided), Some((kind, target, origin))) = (decided, &leading) {
            self.displaced = Some(Displaced {
                score: self.score,
                decided_by: self.decided_by,
            });
            self.score = decided.score.value();
            self.shadow_score = self.score;
            self.listed = true;
            self.decided_by = Some(live_name(*kind));
            (self.category, self.feed) = (None, None);
            self.reason = Some(format!("{origin}:{target}"));
            self.action = policy.action(decided.score);
            self.expires = Some(decided.hit.until);
        }
        let lines = covering.iter().map(|it| LiveLine {
            kind: it.kind.name(),
            value: it.target.to_string(),
            origin: it.origin.to_string(),
            node: it.node.to_string(),
            reason: it.reason.to_string(),
            until: time::rfc3339(it.until),
            decides: leading.as_ref().is_some_and(|(kind, target, origin)| {
                (*kind, *target, &**origin) == (it.kind, it.target, &*it.origin)
                    && decided.is_some_and(|decided| decided.hit.until == it.until)
            }),
        });
        self.decisions = lines.collect();
        self
    }

    /// `ADDRESS SCORE ROLE REASON`, with `-` for what there is not.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_terse(&self, to: &mut impl Write) -> io::Result<()> {
        let role = self.decided_by.unwrap_or("-").replace(' ', "-");
        let reason = self.reason.as_deref().unwrap_or("-");
        writeln!(to, " {} {role} {reason}", self.score)
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
            Some("feed") if self.behavior.is_some() => write!(to, ", from feeds and reports")?,
            Some("feed") => write!(to, ", from feeds")?,
            Some(ORIGIN_BEHAVIOR) => write!(to, ", from reports")?,
            Some(role) => write!(to, ", decided by {role}")?,
            None => write!(to, ", nobody knows it")?,
        }
        if let Some(displaced) = &self.displaced {
            let by = displaced.decided_by.unwrap_or("default-score");
            write!(to, " instead of {} by {by}", displaced.score)?;
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
                "  {:feeds$}  {:prefixes$}  {:7}  badness {:.4}",
                entry.feed, entry.prefix, entry.role, entry.badness
            )?;
            if entry.badness > 0.0 {
                let Line {
                    weight,
                    confidence,
                    age,
                    ..
                } = entry;
                write!(to, " = {weight:.2} × {confidence:.2} × {age:.2}")?;
            }
            write!(to, "  {}", entry.part)?;
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
        if let Some(behavior) = &self.behavior {
            writeln!(
                to,
                "  behavior {}  {} points  badness {:.4}  {}",
                behavior.value, behavior.points, behavior.badness, behavior.part
            )?;
        }
        for decision in &self.decisions {
            let part = if decision.decides {
                "decides"
            } else {
                "outdone"
            };
            writeln!(
                to,
                "  live {} {} of {}@{} until {}  {part}  {}",
                decision.kind,
                decision.value,
                decision.origin,
                decision.node,
                decision.until,
                decision.reason
            )?;
        }
        Ok(())
    }
}

/// Points as answers give them.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped by the cast itself"
)]
const fn rounded(points: f64) -> u32 {
    points.round() as u32
}

/// What decides, as it is shown.
const fn live_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Ban => "live ban",
        Kind::Challenge => "live challenge",
        Kind::Allow => "live allow",
    }
}

impl<'a> Line<'a> {
    fn new(verdict: &Verdict<'_>, entry: &Contribution<'a>, address: IpAddr) -> Self {
        let prefix = match verdict.range(entry, address) {
            Some((first, last)) => format!("{first}-{last}"),
            None => entry.prefix(address).to_string(),
        };
        Self {
            feed: entry.feed,
            role: role_name(entry.role),
            prefix,
            weight: entry.weight,
            confidence: entry.confidence.as_ratio(),
            age: entry.aged,
            // What decides for an address says nothing bad of it.
            badness: match entry.role {
                Role::Allow | Role::Guard => 0.0,
                Role::Deny | Role::Feed => entry.badness,
            },
            part: match entry.part {
                ContributionStatus::Leads => "leads",
                ContributionStatus::Counts => "counts",
                ContributionStatus::Outdone => "outdone",
                ContributionStatus::Overruled => "overruled",
                ContributionStatus::Shadow => "shadow",
                ContributionStatus::Expired => "expired",
            },
            category: entry.category,
            seen: entry.seen,
            expires: entry.expires,
        }
    }
}
