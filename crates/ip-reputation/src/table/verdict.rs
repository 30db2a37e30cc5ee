//! What a table says of one address.

use core::net::IpAddr;

use super::labels::Label;
use super::outcome::{Outcome, View};
use super::terms::Role;
use super::verdict_store::{Feed, Node, VerdictId, VerdictStore};
use crate::{Confidence, Prefix, Score};

/// What a table says of an address that something covers.
///
/// `now` is in seconds since 1970. It matters only where [`expires`](Self::expires) says so: without
/// it, any number will do.
#[derive(Debug, Clone, Copy)]
pub struct Verdict<'a> {
    ledger: &'a VerdictStore,
    id: VerdictId,
    node: &'a Node,
}

/// What became of an entry in a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContributionStatus {
    /// It counted most.
    Leads,
    /// It counted.
    Counts,
    /// Another entry of its feed or group, or with [`Combine::Worst`](super::Combine::Worst) of any feed, is
    /// as strong or stronger.
    Outdone,
    /// What takes precedence over its feed decided.
    Overruled,
    /// Its feed is in shadow.
    Shadow,
    /// It no longer counts.
    Expired,
}

/// An entry that covers an address, and what it is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contribution<'a> {
    /// The name of its feed.
    pub feed: &'a str,
    /// What the feed is.
    pub role: Role,
    /// The length of its prefix, which is that of the address.
    pub prefix_len: u8,
    /// How sure the feed is.
    pub confidence: Confidence,
    /// The category of the entry or else of the feed.
    pub category: Option<&'a str>,
    /// When it was seen, or else of when the feed's data is, in seconds since 1970.
    pub seen: Option<u32>,
    /// From when on it does not count, in seconds since 1970.
    pub expires: Option<u32>,
    /// How much the feed counts, 0 to 1.
    pub weight: f64,
    /// How much of it its age has left, 0 to 1.
    pub aged: f64,
    /// How bad it alone makes an address, 0 to 1: weight × confidence × age.
    pub badness: f64,
    /// What became of it.
    pub part: ContributionStatus,
    /// Which feed of the table.
    feed_index: u16,
}

impl Contribution<'_> {
    /// The entry's prefix. The address is the one that was looked up.
    #[must_use]
    pub fn prefix(&self, address: IpAddr) -> Prefix {
        around(address, self.prefix_len)
    }
}

fn around(address: IpAddr, len: u8) -> Prefix {
    let address = address.to_canonical();
    Prefix::new(address, len).unwrap_or_else(|| Prefix::host(address))
}

impl<'a> Verdict<'a> {
    #[inline]
    pub(super) fn new(ledger: &'a VerdictStore, id: VerdictId) -> Option<Self> {
        let node = ledger.node(id)?;
        Some(Self { ledger, id, node })
    }

    /// The score.
    #[must_use]
    #[inline]
    pub fn score(&self, now: u32) -> Score {
        self.outcome(now).score
    }

    /// What the verdict is counted under: the category of the entry that counted most, or else who
    /// decided.
    #[must_use]
    #[inline]
    pub fn label(&self, now: u32) -> Label {
        self.outcome(now).label
    }

    /// Both at once: what every answer takes.
    #[must_use]
    #[inline]
    pub fn score_and_label(&self, now: u32) -> (Score, Label) {
        let outcome = self.outcome(now);
        (outcome.score, outcome.label)
    }

    /// The score if feeds in shadow counted as well.
    #[must_use]
    #[inline]
    pub fn shadow_score(&self, now: u32) -> Score {
        if now < self.node.expires {
            self.node.shadow
        } else {
            self.ledger.outcome(self.id, now, View::Shadow).score
        }
    }

    /// The score with one more piece of evidence beside feeds, of this badness from 0 to 1: combined as
    /// feeds are. It means nothing where feeds do not decide.
    #[must_use]
    pub fn score_with(&self, now: u32, badness: f64) -> Score {
        self.ledger.score_with(self.id, now, View::Live, badness)
    }

    /// The same if feeds in shadow counted as well.
    #[must_use]
    pub fn shadow_score_with(&self, now: u32, badness: f64) -> Score {
        self.ledger.score_with(self.id, now, View::Shadow, badness)
    }

    /// How bad the feed's entry that counted most makes the address, 0 to 1.
    #[must_use]
    pub fn worst_badness(&self, now: u32) -> f64 {
        self.ledger.evidence(self.id, now, View::Live).1
    }

    /// The first moment since the table was built at which the verdict changes, in seconds since
    /// 1970. None: it never does, and whoever asks needs no clock.
    #[must_use]
    #[inline]
    pub fn expires(&self) -> Option<u32> {
        (self.node.expires != u32::MAX).then_some(self.node.expires)
    }

    /// Who decided. None if all that covers the address has expired or is in shadow.
    #[must_use]
    #[inline]
    pub fn ruled_by(&self, now: u32) -> Option<Role> {
        self.outcome(now).role
    }

    /// Whether the score rests on an entry of a list or a feed. Guarded space is not known.
    #[must_use]
    #[inline]
    pub fn is_listed(&self, now: u32) -> bool {
        matches!(
            self.ruled_by(now),
            Some(Role::Allow | Role::Deny | Role::Feed)
        )
    }

    /// The category of the strongest entry that has one, or whose feed has; of those that decide.
    #[must_use]
    pub fn category(&self, now: u32) -> Option<&'a str> {
        let (node, feed) = self.leading(now)?;
        if let Some(category) = feed.category(node.tail.evidence()) {
            return Some(category);
        }
        let ledger = self.ledger;
        let entries = ledger.counting(self.id, now, View::Live);
        let entries = entries.filter(|(.., role)| *role == feed.terms.role);
        let named = entries.filter_map(|(_, node, _)| {
            let category = ledger.feed(node)?.category(node.tail.evidence())?;
            Some((node.badness, category))
        });
        // Among equals the innermost.
        let strongest = named.reduce(|best, next| if next.0 > best.0 { next } else { best });
        strongest.map(|(_, category)| category)
    }

    /// The range, as its list has it, that an entry is part of; `None` if the list has the prefix. The
    /// address is the one that was looked up.
    #[must_use]
    pub fn range(&self, entry: &Contribution<'_>, address: IpAddr) -> Option<(IpAddr, IpAddr)> {
        let feed = self.ledger.feeds.get(usize::from(entry.feed_index))?;
        feed.evidences.range(entry.prefix(address))
    }

    /// The feed of the entry that counted most.
    #[must_use]
    pub fn feed(&self, now: u32) -> Option<&'a str> {
        let (_, feed) = self.leading(now)?;
        Some(&feed.terms.name)
    }

    /// The entry that counted most: its feed and its prefix. The address is the one that was looked
    /// up.
    #[must_use]
    pub fn reason(&self, now: u32, address: IpAddr) -> Option<(&'a str, Prefix)> {
        let (node, feed) = self.leading(now)?;
        Some((&feed.terms.name, around(address, node.tail.len())))
    }

    /// When the newest evidence was seen, in seconds since 1970, of the entries that count.
    #[must_use]
    pub fn freshest(&self, now: u32) -> Option<u32> {
        self.seen(now).max()
    }

    /// When the oldest evidence was seen, in seconds since 1970, of the entries that count.
    #[must_use]
    pub fn oldest(&self, now: u32) -> Option<u32> {
        self.seen(now).min()
    }

    /// All entries that cover the address, the innermost first.
    pub fn contributions(&self, now: u32) -> impl Iterator<Item = Contribution<'a>> + use<'a> {
        let ledger = self.ledger;
        let parts = ledger.parts(self.id, now);
        ledger.chain(self.id).filter_map(move |(id, node)| {
            let feed = ledger.feed(node)?;
            let evidence = feed.evidence(node.tail.evidence());
            Some(Contribution {
                feed: &feed.terms.name,
                role: feed.terms.role,
                prefix_len: node.tail.len(),
                confidence: evidence.confidence,
                category: feed.category(node.tail.evidence()),
                seen: evidence.seen().or(feed.terms.as_of),
                expires: evidence.expires(),
                weight: feed.terms.weight.clamp(0.0, 1.0),
                aged: feed.terms.aged(evidence, ledger.built),
                badness: node.badness,
                part: parts.of(id, node),
                feed_index: node.feed,
            })
        })
    }

    #[inline]
    fn outcome(&self, now: u32) -> Outcome {
        if now < self.node.expires {
            self.node.outcome
        } else {
            self.ledger.outcome(self.id, now, View::Live)
        }
    }

    fn leading(&self, now: u32) -> Option<(&'a Node, &'a Feed)> {
        let node = self.ledger.node(self.outcome(now).leading)?;
        Some((node, self.ledger.feed(node)?))
    }

    fn seen(&self, now: u32) -> impl Iterator<Item = u32> {
        let entries = self.ledger.counting(self.id, now, View::Live);
        entries.filter_map(|(_, node, _)| {
            let feed = self.ledger.feed(node)?;
            let evidence = feed.evidence(node.tail.evidence());
            evidence.seen().or(feed.terms.as_of)
        })
    }
}
