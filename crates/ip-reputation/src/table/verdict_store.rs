//! All verdicts of a table, each once.
//!
//! A verdict is the one around it and one entry more, so that verdicts form a tree whose branches are
//! the ways in which prefixes lie within each other:
//!
//! ```text
//!  nothing ─ a /8 ─┬─ b /24 ─ a /32
//!                  └─ b /32
//! ```
//!
//! Entries are added in the order of length, feed and evidence. So the same set of entries always is
//! the same path, and the same verdict.

use std::collections::HashMap;
use std::sync::Arc;

use super::builder::TableFull;
use super::labels::{self, Label, Labels};
use super::merge::Item;
use super::outcome::{Outcome, View};
use super::terms::{Combine, FeedTerms};
use crate::Score;
use crate::data::{EntryMeta, Evidence, EvidenceId, Evidences};

/// Which verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct VerdictId(u32);

impl VerdictId {
    /// Nothing covers the address.
    pub(super) const NOTHING: Self = Self(u32::MAX);

    const fn place(self) -> usize {
        self.0 as usize
    }
}

/// A verdict: one entry, those around it, and what came of them when the table was built.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub(super) around: VerdictId,
    pub(super) feed: u16,
    pub(super) tail: EntryMeta,
    /// How bad the entry alone makes an address.
    pub(super) badness: f64,
    /// The next moment at which one of the entries expires; `u32::MAX`: never.
    pub(super) expires: u32,
    pub(super) outcome: Outcome,
    pub(super) shadow: Score,
}

/// A feed, as far as verdicts need it.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) terms: FeedTerms,
    /// The index of the first feed of its group; without a group its own.
    pub(super) group: u16,
    pub(super) evidences: Arc<Evidences>,
    /// What an entry without a category is counted under, and then one with each category.
    labels: Vec<Label>,
}

impl Feed {
    fn new(terms: FeedTerms, group: u16, evidences: Arc<Evidences>, labels: &mut Labels) -> Self {
        let own = labels::name(terms.role, terms.category.as_deref());
        let categories = evidences.categories().iter();
        let categories = categories.map(|category| labels::name(terms.role, Some(category)));
        let names = core::iter::once(own).chain(categories);
        let labels = names.map(|name| labels.label(&name)).collect();
        Self {
            terms,
            group,
            evidences,
            labels,
        }
    }

    fn label(&self, id: EvidenceId) -> Label {
        let place = self
            .evidences
            .category_place(id)
            .map_or(0, |place| place + 1);
        self.labels.get(place).copied().unwrap_or(Label::NONE)
    }

    pub(super) fn evidence(&self, id: EvidenceId) -> Evidence {
        self.evidences.evidence(id)
    }

    pub(super) fn category(&self, id: EvidenceId) -> Option<&str> {
        self.evidences
            .category(id)
            .or(self.terms.category.as_deref())
    }
}

/// All verdicts of a table.
#[derive(Debug)]
pub(super) struct VerdictStore {
    nodes: Vec<Node>,
    pub(super) feeds: Vec<Feed>,
    pub(super) combine: Combine,
    pub(super) unknown: Score,
    /// When the table was built, up to which ages are counted.
    pub(super) built: u32,
    /// The names of all labels.
    pub(super) labels: Arc<[Arc<str>]>,
}

impl VerdictStore {
    pub(super) fn node(&self, id: VerdictId) -> Option<&Node> {
        self.nodes.get(id.place())
    }

    pub(super) fn feed(&self, node: &Node) -> Option<&Feed> {
        self.feeds.get(usize::from(node.feed))
    }

    /// What a verdict is counted under in which this entry leads.
    pub(super) fn label(&self, leading: VerdictId) -> Label {
        let node = self.node(leading);
        let feed = node.and_then(|node| Some((node, self.feed(node)?)));
        feed.map_or(Label::NONE, |(node, feed)| feed.label(node.tail.evidence()))
    }

    /// A verdict's entries with their ids, the innermost first.
    pub(super) fn chain(&self, id: VerdictId) -> impl Iterator<Item = (VerdictId, &Node)> + Clone {
        let first = self.node(id).map(|node| (id, node));
        core::iter::successors(first, |(_, node)| {
            self.node(node.around).map(|around| (node.around, around))
        })
    }

    pub(super) const fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn bytes(&self) -> usize {
        let evidences = self.feeds.iter().map(|feed| feed.evidences.bytes());
        size_of::<Node>() * self.nodes.capacity()
            + size_of::<Feed>() * self.feeds.capacity()
            + evidences.sum::<usize>()
    }
}

/// Verdicts while the feeds are swept.
#[derive(Debug)]
pub(super) struct VerdictStoreBuilder {
    ledger: VerdictStore,
    ids: HashMap<Key, VerdictId>,
    /// Which verdicts a range has.
    used: Vec<bool>,
    /// What was asked last: entries that are side by side often make the same verdict.
    last: Option<(Key, VerdictId)>,
    now: u32,
}

type Key = (VerdictId, u16, EntryMeta);

impl VerdictStoreBuilder {
    pub(super) fn new(
        combine: Combine,
        unknown: Score,
        feeds: Vec<(FeedTerms, Arc<Evidences>)>,
        now: u32,
    ) -> Result<Self, TableFull> {
        if feeds.len() > usize::from(u16::MAX) {
            return Err(TableFull::Feeds);
        }
        let mut labels = Labels::new();
        let mut groups: HashMap<Arc<str>, u16> = HashMap::new();
        let feeds = (0_u16..).zip(feeds).map(|(index, (terms, evidences))| {
            let group = match &terms.group {
                Some(name) => *groups.entry(Arc::clone(name)).or_insert(index),
                None => index,
            };
            Feed::new(terms, group, evidences, &mut labels)
        });
        Ok(Self {
            ledger: VerdictStore {
                nodes: Vec::new(),
                feeds: feeds.collect(),
                combine,
                unknown,
                built: now,
                labels: labels.finish(),
            },
            ids: HashMap::new(),
            used: Vec::new(),
            last: None,
            now,
        })
    }

    /// Whether the entry no longer counts when the table is built.
    pub(super) fn has_expired<A>(&self, item: &Item<A>) -> bool {
        let feed = self.ledger.feeds.get(usize::from(item.feed));
        let expires = feed.and_then(|feed| feed.evidence(item.tail.evidence()).expires());
        expires.is_some_and(|expires| expires <= self.now)
    }

    /// The verdict on what an entry covers, within what already has one.
    pub(super) fn verdict<A>(
        &mut self,
        around: VerdictId,
        item: &Item<A>,
    ) -> Result<VerdictId, TableFull> {
        let key = (around, item.feed, item.tail);
        if let Some((last, id)) = self.last
            && last == key
        {
            return Ok(id);
        }
        let id = match self.ids.get(&key) {
            Some(id) => *id,
            None => self.add(key)?,
        };
        self.last = Some((key, id));
        Ok(id)
    }

    fn add(&mut self, key: Key) -> Result<VerdictId, TableFull> {
        let (around, feed, tail) = key;
        let ledger = &mut self.ledger;
        let id = u32::try_from(ledger.nodes.len()).map_or(VerdictId::NOTHING, VerdictId);
        if id == VerdictId::NOTHING {
            return Err(TableFull::Verdicts);
        }
        let Some(terms) = ledger.feeds.get(usize::from(feed)) else {
            return Err(TableFull::Feeds);
        };
        let evidence = terms.evidence(tail.evidence());
        let until = evidence.expires().unwrap_or(u32::MAX);
        let until_around = ledger.node(around).map_or(u32::MAX, |node| node.expires);
        let badness = terms.terms.badness(evidence, self.now);
        let is_short = ledger.nodes.try_reserve(1).is_err() || self.used.try_reserve(1).is_err();
        if is_short || self.ids.try_reserve(1).is_err() {
            return Err(TableFull::Memory);
        }
        self.used.push(false);
        ledger.nodes.push(Node {
            around,
            feed,
            tail,
            badness,
            expires: until.min(until_around),
            outcome: Outcome {
                leading: id,
                score: ledger.unknown,
                role: None,
                label: Label::NONE,
            },
            shadow: ledger.unknown,
        });
        self.ids.insert(key, id);
        Ok(id)
    }

    /// Notes that a range has this verdict. Only of these it is worked out what they come to: where many
    /// feeds have one address, most verdicts are but steps on the way to the last.
    pub(super) fn use_verdict(&mut self, id: VerdictId) {
        if let Some(is_used) = self.used.get_mut(id.place()) {
            *is_used = true;
        }
    }

    /// Works out what the verdicts in use come to.
    pub(super) fn finish(self) -> VerdictStore {
        let mut ledger = self.ledger;
        ledger.nodes.shrink_to_fit();
        let has_shadow = ledger.feeds.iter().any(|feed| feed.terms.shadow);
        let mut scratch = Vec::new();
        let places = (0_u32..).zip(&self.used);
        for (place, _) in places.filter(|(_, is_used)| **is_used) {
            let id = VerdictId(place);
            let outcome = ledger.outcome_with(id, self.now, View::Live, &mut scratch);
            let shadow = if has_shadow {
                let shadow = ledger.outcome_with(id, self.now, View::Shadow, &mut scratch);
                shadow.score
            } else {
                outcome.score
            };
            if let Some(node) = ledger.nodes.get_mut(id.place()) {
                (node.outcome, node.shadow) = (outcome, shadow);
            }
        }
        ledger
    }
}
