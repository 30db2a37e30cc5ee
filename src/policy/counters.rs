//! What a [`PolicyHandler`](super::PolicyHandler) counts: messages and actions by name, verdicts by category.
//!
//! In scope: counting without a lock, without memory and without comparing names for every message. Out
//! of scope: who is told.
//!
//! ```text
//!  counts   messages [ 0 | 1 | 2 ]  actions [ 0 | 1 ]  verdicts [ 0 | 1 | 2 | 3 ]
//!           by place in the policy and in its table; with the next policy they are added up by name
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use super::compiled::CompiledMessage;
use super::report::Reported;
use super::{ActionRule, Policy, Source};
use crate::live::Kind;
use ip_reputation::Label;

/// How many names of a kind are told apart. What comes after them is `other`.
const NAMES_MAX: usize = 64;

/// Counts of one worker.
#[derive(Debug, Default)]
pub(super) struct PolicyCounters {
    /// The policy whose places the counts below go by.
    messages: Option<Arc<[CompiledMessage]>>,
    actions: Option<Arc<[ActionRule]>>,
    labels: Option<Arc<[Arc<str>]>>,
    of_messages: Vec<u64>,
    of_actions: Vec<u64>,
    of_labels: Vec<u64>,
    /// Answers that a live decision decided, by kind.
    of_decisions: [u64; 3],
    /// Answers that reports alone made worse.
    of_behavior: u64,
    of_reports: [u64; 3],
    /// The places of the labels that were counted, in the order in which they came.
    seen: Vec<usize>,
    /// What was counted with earlier policies.
    earlier: Counts,
}

/// Counts by kind and name.
type Counts = BTreeMap<(&'static str, String), u64>;

const VERDICT: &str = "verdict";

impl PolicyCounters {
    /// Goes by the places of this policy from now on. Costs a comparison if they are the same.
    #[inline]
    pub(super) fn follow(&mut self, policy: &Policy) {
        let same = self
            .messages
            .as_ref()
            .is_some_and(|own| Arc::ptr_eq(own, &policy.messages));
        if !same {
            self.change(policy);
        }
    }

    #[cold]
    fn change(&mut self, policy: &Policy) {
        let mut earlier = core::mem::take(&mut self.earlier);
        self.current(&mut |kind, name, count| add(&mut earlier, kind, name, count));
        self.verdicts(&mut |name, count| add(&mut earlier, VERDICT, name, count));
        let labels = match &policy.source {
            Source::Random => None,
            Source::Table { table, .. } => Some(Arc::clone(table.labels())),
        };
        let labels_len = labels.as_ref().map_or(0, |labels| labels.len());
        *self = Self {
            of_decisions: self.of_decisions,
            of_behavior: self.of_behavior,
            of_reports: self.of_reports,
            of_messages: vec![0; policy.messages.len()],
            of_actions: vec![0; policy.actions.len()],
            of_labels: vec![0; labels_len],
            seen: Vec::with_capacity(labels_len),
            messages: Some(Arc::clone(&policy.messages)),
            actions: Some(Arc::clone(&policy.actions)),
            labels,
            earlier,
        };
    }

    /// A message was answered, by its place in the policy.
    #[inline]
    pub(super) fn message(&mut self, place: usize) {
        if let Some(count) = self.of_messages.get_mut(place) {
            *count += 1;
        }
    }

    /// An answer said this action, by its place in the policy.
    #[inline]
    pub(super) fn action(&mut self, place: usize) {
        if let Some(count) = self.of_actions.get_mut(place) {
            *count += 1;
        }
    }

    /// An answer rests on a verdict with this label of the policy's table.
    #[inline]
    pub(super) fn verdict(&mut self, label: Label) {
        let place = label.place();
        if let Some(count) = self.of_labels.get_mut(place) {
            if *count == 0 {
                self.seen.push(place);
            }
            *count += 1;
        }
    }

    /// An answer rests on a live decision.
    #[inline]
    pub(super) fn decision(&mut self, kind: Kind) {
        if let Some(count) = self.of_decisions.get_mut(kind as usize) {
            *count += 1;
        }
    }

    /// An answer rests on reports alone.
    #[inline]
    pub(super) const fn behavior(&mut self) {
        self.of_behavior += 1;
    }

    /// A report came.
    #[inline]
    pub(super) fn report(&mut self, reported: Reported) {
        if let Some(count) = self.of_reports.get_mut(reported as usize) {
            *count += 1;
        }
    }

    /// Tells everything, each name of a kind once.
    pub(super) fn tell(&self, tell: &mut dyn FnMut(&'static str, &str, u64)) {
        let mut all = self.earlier.clone();
        self.current(&mut |kind, name, count| {
            *all.entry((kind, name.to_owned())).or_default() += count;
        });
        self.verdicts(&mut |name, count| add(&mut all, VERDICT, name, count));
        for (kind, count) in Kind::ALL.iter().zip(self.of_decisions) {
            if count > 0 {
                tell(VERDICT, &format!("live:{kind}"), count);
            }
        }
        if self.of_behavior > 0 {
            tell(VERDICT, "behavior", self.of_behavior);
        }
        for ((_, name), count) in Reported::NAMES.iter().zip(self.of_reports) {
            if count > 0 {
                tell("report", name, count);
            }
        }
        for ((kind, name), count) in all {
            tell(kind, &name, count);
        }
    }

    /// What was counted with the policy in force.
    fn current(&self, tell: &mut dyn FnMut(&'static str, &str, u64)) {
        let messages = self.messages.iter().flat_map(|messages| messages.iter());
        for (prepared, count) in messages.zip(&self.of_messages) {
            tell("message", &prepared.rules.name, *count);
        }
        let actions = self.actions.iter().flat_map(|actions| actions.iter());
        for (action, count) in actions.zip(&self.of_actions) {
            tell("action", &action.name, *count);
        }
    }

    /// Verdicts that were counted with the policy in force, in the order in which they came: names
    /// beyond the bound are the same ones every time.
    fn verdicts(&self, tell: &mut dyn FnMut(&str, u64)) {
        for place in &self.seen {
            let name = self.labels.as_ref().and_then(|labels| labels.get(*place));
            if let (Some(name), Some(count)) = (name, self.of_labels.get(*place)) {
                tell(name, *count);
            }
        }
    }
}

/// Adds a count to what is told under its name, or under `other` if there are too many names.
fn add(counts: &mut Counts, kind: &'static str, name: &str, count: u64) {
    let known = counts.keys().filter(|(of, _)| *of == kind).count();
    let key = (kind, name.to_owned());
    let key = if known < NAMES_MAX || counts.contains_key(&key) {
        key
    } else {
        (kind, "other".to_owned())
    };
    *counts.entry(key).or_default() += count;
}

#[cfg(test)]
mod tests {
    use super::super::PolicyConfig;
    use super::*;
    use ip_reputation::{
        Combine, Entry, FeedDataBuilder, FeedTerms, Prefix, Role, Score, TableBuilder,
    };

    fn policy(action: &str) -> Policy {
        of(action, Source::Random)
    }

    fn of(action: &str, source: Source) -> Policy {
        let action = ActionRule {
            name: action.to_owned(),
            max_score: Score::WORST,
        };
        Policy::new(PolicyConfig {
            actions: vec![action],
            source,
            ..PolicyConfig::default()
        })
        .unwrap()
    }

    /// A table of hosts, each with a category.
    fn table<'a>(categories: impl IntoIterator<Item = (u32, &'a str)>) -> Source {
        let mut data = FeedDataBuilder::new();
        for (host, category) in categories {
            data.add(Entry {
                category: Some(category).filter(|it| !it.is_empty()),
                ..Entry::bad(Prefix::v4(host, 32).unwrap())
            })
            .unwrap();
        }
        let mut table = TableBuilder::new(Combine::NoisyOr, Score::BEST);
        table.feed(FeedTerms::new("a", Role::Feed), Arc::new(data.finish()));
        Source::Table {
            table: Arc::new(table.build(0).unwrap()),
            unknown: Score::BEST,
        }
    }

    fn label(policy: &Policy, host: u32) -> Label {
        let Source::Table { table, .. } = policy.source() else {
            panic!("no table")
        };
        let address = core::net::Ipv4Addr::from_bits(host);
        table.lookup(address.into()).unwrap().label(0)
    }

    fn told(tally: &PolicyCounters) -> Vec<(&'static str, String, u64)> {
        let mut told = Vec::new();
        tally.tell(&mut |kind, name, count| told.push((kind, name.to_owned(), count)));
        told.retain(|(_, _, count)| *count > 0);
        told
    }

    #[test]
    fn counts_outlive_the_policy_that_they_were_made_with() {
        let mut tally = PolicyCounters::default();
        let one = of("deny", table([(1, "scanner"), (2, "")]));
        // The same names have other numbers.
        let other = of("challenge", table([(1, "proxy"), (2, ""), (3, "scanner")]));
        tally.follow(&one);
        tally.message(0);
        tally.action(0);
        tally.verdict(label(&one, 1));
        tally.verdict(label(&one, 2));
        tally.follow(&one);
        tally.action(0);
        tally.follow(&other);
        tally.message(0);
        tally.action(0);
        for host in [1, 2, 3, 3] {
            tally.verdict(label(&other, host));
        }
        tally.follow(&one);
        tally.action(0);
        let name = one.messages[0].rules.name.clone();
        let expected = [
            ("action", "challenge".to_owned(), 1),
            ("action", "deny".to_owned(), 3),
            ("message", name, 2),
            ("verdict", "feed".to_owned(), 2),
            ("verdict", "feed:proxy".to_owned(), 1),
            ("verdict", "feed:scanner".to_owned(), 3),
        ];
        assert_eq!(told(&tally), expected);
    }

    #[test]
    fn names_are_bounded() {
        let mut tally = PolicyCounters::default();
        for number in 0..200 {
            let category = format!("category {number}");
            let policy = of(
                &format!("action {number}"),
                table([(1, &category[..]), (2, "category 0")]),
            );
            tally.follow(&policy);
            tally.action(0);
            tally.verdict(label(&policy, 1));
            tally.verdict(label(&policy, 2));
        }
        tally.follow(&policy("last"));
        let told = told(&tally);
        let of = |kind: &str| {
            let of_kind = told.iter().filter(|it| it.0 == kind);
            let counts: Vec<u64> = of_kind.map(|it| it.2).collect();
            (counts.len(), counts.iter().sum::<u64>())
        };
        assert_eq!(of("action"), (NAMES_MAX + 1, 200));
        assert_eq!(of("verdict"), (NAMES_MAX + 1, 400));
    }

    /// Which names are told apart is settled by who came first, so that no count ever shrinks.
    #[test]
    fn a_name_that_is_told_stays() {
        let names: Vec<_> = (0..200_u32)
            .map(|it| (it, format!("category {it}")))
            .collect();
        let policy = of(
            "deny",
            table(names.iter().map(|(host, name)| (*host, &name[..]))),
        );
        let mut tally = PolicyCounters::default();
        tally.follow(&policy);
        let mut before = Vec::new();
        for host in (0..200).rev() {
            tally.verdict(label(&policy, host));
            let now = told(&tally);
            for (_, name, count) in before {
                let after = now.iter().find(|it| it.1 == name).unwrap();
                assert!(after.2 >= count, "{name}");
            }
            before = now;
        }
        assert_eq!(before.len(), NAMES_MAX + 1);
        tally.follow(&self::policy("deny"));
        assert_eq!(told(&tally), before);
    }
}
