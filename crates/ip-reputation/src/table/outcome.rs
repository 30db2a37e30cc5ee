//! What a set of entries that cover an address comes to: precedence, then how feeds combine.

use core::cmp::Reverse;

use super::labels::Label;
use super::terms::{Combine, Role};
use super::verdict::ContributionStatus;
use super::verdict_store::{Node, VerdictId, VerdictStore};
use crate::Score;

/// A group of feeds, its strongest entry, and how bad that makes an address.
pub(super) type Strongest = (u16, VerdictId, f64);

/// Whose entries are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// Those of feeds that count.
    Live,
    /// Those of feeds in shadow as well.
    Shadow,
}

/// What a set of entries comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The entry that counted most; without a role there is none.
    pub(super) leading: VerdictId,
    pub(super) score: Score,
    /// Who decided; nobody if no entry counts.
    pub(super) role: Option<Role>,
    /// What it is counted under.
    pub(super) label: Label,
}

impl VerdictStore {
    /// What a verdict's entries come to at a time. It walks all of them once for each feed, and
    /// allocates nothing: a worker does this when an entry has expired since the table was built.
    pub(super) fn outcome(&self, id: VerdictId, now: u32, view: View) -> Outcome {
        let role = self.counting(id, now, view).map(|(.., role)| role).min();
        let (leading, score) = match role {
            None => (VerdictId::NOTHING, self.unknown),
            Some(Role::Feed) => self.combined(id, now, view),
            Some(role) => {
                let score = match role {
                    Role::Allow => Score::BEST,
                    Role::Deny => Score::WORST,
                    Role::Guard | Role::Feed => self.unknown,
                };
                (self.innermost(id, now, view, role), score)
            }
        };
        Outcome {
            leading,
            score,
            role,
            label: self.label(leading),
        }
    }

    /// The same, with room for what it has to remember: in time that is nearly linear in the entries.
    pub(super) fn outcome_with(
        &self,
        id: VerdictId,
        now: u32,
        view: View,
        scratch: &mut Vec<Strongest>,
    ) -> Outcome {
        let role = self.counting(id, now, view).map(|(.., role)| role).min();
        if role != Some(Role::Feed) {
            return self.outcome(id, now, view);
        }
        scratch.clear();
        let entries = self.counting(id, now, view);
        scratch.extend(entries.filter_map(|(id, node, _)| {
            let group = self.feed(node)?.group;
            Some((group, id, node.badness))
        }));
        // Stable: among equals of a group the earlier feed, and of a feed the innermost, stays in front.
        scratch.sort_by_key(|(group, id, _)| (*group, self.node(*id).map(|node| node.feed)));
        let groups = scratch.chunk_by(|(one, ..), (other, ..)| one == other);
        let strongest = groups.filter_map(|entries| {
            let entries = entries.iter().copied();
            entries.reduce(|best, next| if next.2 > best.2 { next } else { best })
        });
        let (leading, _, good) = self.together(strongest);
        Outcome {
            leading,
            score: Score::ratio(good),
            role,
            label: self.label(leading),
        }
    }

    /// The entries that count, the innermost first, and what their feeds are.
    pub(super) fn counting(
        &self,
        id: VerdictId,
        now: u32,
        view: View,
    ) -> impl Iterator<Item = (VerdictId, &Node, Role)> + Clone {
        self.chain(id).filter_map(move |(id, node)| {
            let feed = self.feed(node)?;
            let expires = feed.evidence(node.tail.evidence()).expires();
            let is_in_view = view == View::Shadow || !feed.terms.shadow;
            let counts = is_in_view && expires.is_none_or(|expires| now < expires);
            counts.then_some((id, node, feed.terms.role))
        })
    }

    /// The most specific entry of a role; among equals that of the earlier feed.
    fn innermost(&self, id: VerdictId, now: u32, view: View, wanted: Role) -> VerdictId {
        let entries = self.counting(id, now, view);
        entries
            .filter(|(.., role)| *role == wanted)
            .max_by_key(|(_, node, _)| (node.tail.len(), Reverse(node.feed)))
            .map_or(VerdictId::NOTHING, |(id, ..)| id)
    }

    /// What feeds come to, and the worst entry of all; among equals that of the earlier feed.
    fn combined(&self, id: VerdictId, now: u32, view: View) -> (VerdictId, Score) {
        let (leading, _, good) = self.evidence(id, now, view);
        (leading, Score::ratio(good))
    }

    /// The score with one more piece of evidence beside those of feeds.
    pub(super) fn score_with(&self, id: VerdictId, now: u32, view: View, badness: f64) -> Score {
        let (.., good) = self.evidence(id, now, view);
        Score::ratio(self.add(good, badness))
    }

    fn add(&self, good: f64, badness: f64) -> f64 {
        match self.combine {
            Combine::NoisyOr => good * (1.0 - badness),
            Combine::Worst => f64::min(good, 1.0 - badness),
        }
    }

    /// The worst entry of feeds, its badness, and how good the address is with all of them.
    pub(super) fn evidence(&self, id: VerdictId, now: u32, view: View) -> (VerdictId, f64, f64) {
        let first = self.strongest_of_next(id, now, view, None);
        self.together(core::iter::successors(first, |(group, ..)| {
            self.strongest_of_next(id, now, view, Some(*group))
        }))
    }

    /// The same of the strongest entries of groups.
    fn together(&self, strongest: impl Iterator<Item = Strongest>) -> (VerdictId, f64, f64) {
        let (mut good, mut leading) = (1.0, None::<(VerdictId, f64)>);
        for (_, id, badness) in strongest {
            good = self.add(good, badness);
            if leading.is_none_or(|(_, most)| badness > most) {
                leading = Some((id, badness));
            }
        }
        let (leading, worst) = leading.unwrap_or((VerdictId::NOTHING, 0.0));
        (leading, worst, good)
    }

    /// Of the first group of feeds after another one the strongest entry; among equals that of the
    /// earlier feed, and then the innermost. A feed without a group is a group of its own.
    fn strongest_of_next(
        &self,
        id: VerdictId,
        now: u32,
        view: View,
        after: Option<u16>,
    ) -> Option<Strongest> {
        let entries = self.counting(id, now, view);
        let feeds = entries.filter(|(.., role)| *role == Role::Feed);
        let mut best: Option<(u16, VerdictId, &Node)> = None;
        for (id, node, _) in feeds {
            let Some(group) = self.feed(node).map(|feed| feed.group) else {
                continue;
            };
            if after.is_some_and(|after| group <= after) {
                continue;
            }
            let is_better = best.is_none_or(|(best_group, _, most)| {
                group < best_group
                    || (group == best_group
                        && (node.badness > most.badness
                            || (node.badness >= most.badness && node.feed < most.feed)))
            });
            if is_better {
                best = Some((group, id, node));
            }
        }
        best.map(|(group, id, node)| (group, id, node.badness))
    }
}

/// What became of each entry of a verdict at a time.
pub(super) struct Parts<'a> {
    ledger: &'a VerdictStore,
    verdict: VerdictId,
    now: u32,
    outcome: Outcome,
}

impl VerdictStore {
    pub(super) fn parts(&self, verdict: VerdictId, now: u32) -> Parts<'_> {
        Parts {
            ledger: self,
            verdict,
            now,
            outcome: self.outcome(verdict, now, View::Live),
        }
    }
}

impl Parts<'_> {
    pub(super) fn of(&self, id: VerdictId, node: &Node) -> ContributionStatus {
        let Some(feed) = self.ledger.feed(node) else {
            return ContributionStatus::Expired;
        };
        let expires = feed.evidence(node.tail.evidence()).expires();
        if expires.is_some_and(|expires| expires <= self.now) {
            ContributionStatus::Expired
        } else if feed.terms.shadow {
            ContributionStatus::Shadow
        } else if id == self.outcome.leading {
            ContributionStatus::Leads
        } else if self.outcome.role != Some(feed.terms.role) {
            ContributionStatus::Overruled
        } else if feed.terms.role == Role::Feed && !self.is_strongest(id, feed.group) {
            ContributionStatus::Outdone
        } else {
            ContributionStatus::Counts
        }
    }

    fn is_strongest(&self, id: VerdictId, group: u16) -> bool {
        let (verdict, now) = (self.verdict, self.now);
        let before = group.checked_sub(1);
        let strongest = self
            .ledger
            .strongest_of_next(verdict, now, View::Live, before);
        self.ledger.combine == Combine::NoisyOr && strongest.is_some_and(|(_, best, _)| best == id)
    }
}
