//! What a [`Judge`](super::Judge) counts: messages and actions by name, verdicts by category.
//!
//! In scope: counting without a lock, without memory and without comparing names for every message. Out
//! of scope: who is told.
//!
//! ```text
//!  counts   messages [ 0 | 1 | 2 ]  actions [ 0 | 1 ]     by place in the policy
//!               when the policy has other names, they are added up under their names
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use super::policy::Prepared;
use super::{ActionRule, Policy};

/// How many names of a kind are told apart. What comes after them is `other`.
const NAMES_MAX: usize = 64;

/// Counts of one worker.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The policy whose places the counts below go by.
    messages: Option<Arc<[Prepared]>>,
    actions: Option<Arc<[ActionRule]>>,
    of_messages: Vec<u64>,
    of_actions: Vec<u64>,
    /// What was counted with policies that had other names.
    earlier: BTreeMap<(&'static str, String), u64>,
    /// Verdicts by category. The place is that of the name.
    categories: Vec<(Box<str>, u64)>,
    other: u64,
}

impl Tally {
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
        self.current(&mut |kind, name, count| {
            let known = earlier.keys().filter(|(of, _)| *of == kind).count();
            let key = (kind, name.to_owned());
            let key = if known < NAMES_MAX || earlier.contains_key(&key) {
                key
            } else {
                (kind, "other".to_owned())
            };
            *earlier.entry(key).or_default() += count;
        });
        self.earlier = earlier;
        self.of_messages = vec![0; policy.messages.len()];
        self.of_actions = vec![0; policy.actions.len()];
        self.messages = Some(Arc::clone(&policy.messages));
        self.actions = Some(Arc::clone(&policy.actions));
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

    /// A verdict was of this category. The first ones are found soonest.
    #[inline]
    pub(super) fn category(&mut self, name: &str) {
        let found = self
            .categories
            .iter_mut()
            .find(|(known, _)| **known == *name);
        match found {
            Some((_, count)) => *count += 1,
            None => self.new_category(name),
        }
    }

    #[cold]
    fn new_category(&mut self, name: &str) {
        if self.categories.len() < NAMES_MAX {
            self.categories.push((name.into(), 1));
        } else {
            self.other += 1;
        }
    }

    /// Tells everything, each name of a kind once.
    pub(super) fn tell(&self, tell: &mut dyn FnMut(&'static str, &str, u64)) {
        let mut all = self.earlier.clone();
        self.current(&mut |kind, name, count| {
            *all.entry((kind, name.to_owned())).or_default() += count;
        });
        for (name, count) in &self.categories {
            *all.entry(("verdict", name.to_string())).or_default() += count;
        }
        if self.other > 0 {
            *all.entry(("verdict", "other".to_owned())).or_default() += self.other;
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
}

#[cfg(test)]
mod tests {
    use super::super::PolicyTerms;
    use super::*;
    use crate::reputation::Score;

    fn policy(action: &str) -> Policy {
        let action = ActionRule {
            name: action.to_owned(),
            at_most: Score::WORST,
        };
        Policy::new(PolicyTerms {
            actions: vec![action],
            ..PolicyTerms::default()
        })
        .unwrap()
    }

    fn told(tally: &Tally) -> Vec<(&'static str, String, u64)> {
        let mut told = Vec::new();
        tally.tell(&mut |kind, name, count| told.push((kind, name.to_owned(), count)));
        told.retain(|(_, _, count)| *count > 0);
        told
    }

    #[test]
    fn counts_outlive_the_policy_that_they_were_made_with() {
        let mut tally = Tally::default();
        let (one, other) = (policy("deny"), policy("challenge"));
        tally.follow(&one);
        tally.message(0);
        tally.action(0);
        tally.follow(&one);
        tally.action(0);
        tally.follow(&other);
        tally.message(0);
        tally.action(0);
        tally.follow(&one);
        tally.action(0);
        let name = one.messages[0].rules.name.clone();
        let expected = [
            ("action", "challenge".to_owned(), 1),
            ("action", "deny".to_owned(), 3),
            ("message", name, 2),
        ];
        assert_eq!(told(&tally), expected);
    }

    #[test]
    fn names_are_bounded() {
        let mut tally = Tally::default();
        for number in 0..200 {
            tally.follow(&policy(&format!("action {number}")));
            tally.action(0);
            tally.category(&format!("category {number}"));
            tally.category("category 0");
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
}
