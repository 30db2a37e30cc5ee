//! Decisions of `CrowdSec`, each one by its id: several may be about the same value.
//!
//! The live table has one decision for each type and value: the one that ends last. The others are kept
//! here, so that they are shown, and so that one of them takes over when it is withdrawn. What an operator
//! has unbanned is kept as lifted until its own end.
//!
//! In scope: which of several counts. Out of scope: where they come from (`crate::crowdsec`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{Kind, Target};

/// The origin of imported decisions.
pub const ORIGIN_CROWDSEC: &str = "crowdsec";
/// An end that differs by less than this is the same: ends are computed from durations.
const SAME_END: u32 = 3;

/// A decision of `CrowdSec`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// What tells it apart.
    pub id: Arc<str>,
    /// What it does.
    pub kind: Kind,
    /// The addresses that it is about.
    pub target: Target,
    /// What made it: `crowdsec`, `cscli`, `CAPI`, `lists`, …
    pub origin: Arc<str>,
    /// Why.
    pub scenario: Arc<str>,
    /// When it ends, in seconds since 1970.
    pub until: u32,
    /// Whether an operator has unbanned it.
    pub is_lifted: bool,
}

impl Imported {
    /// The reason as people see it.
    #[must_use]
    pub fn reason(&self) -> String {
        format!("{} ({} {})", self.scenario, self.origin, self.id)
    }
}

/// What has changed.
#[derive(Debug, Default)]
pub struct Import {
    /// Whether `new` is all that there is.
    pub is_all: bool,
    /// Ids of decisions that are over.
    pub deleted: Vec<Arc<str>>,
    /// Decisions that are new or changed.
    pub new: Vec<Imported>,
}

/// What an import has changed.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub(super) values: BTreeSet<(Kind, Target)>,
    pub(super) put: Vec<Imported>,
    pub(super) removed: Vec<Arc<str>>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Imports {
    by_id: HashMap<Arc<str>, Imported>,
    by_value: HashMap<(Kind, Target), Vec<Arc<str>>>,
}

impl Imports {
    pub(super) fn apply(&mut self, import: Import, now: u32) -> Touched {
        let mut touched = Touched::default();
        let mut gone = import.deleted;
        if import.is_all {
            let named: std::collections::HashSet<_> = import.new.iter().map(|it| &it.id).collect();
            let missing = self.by_id.values();
            let missing = missing.filter(|it| !it.is_lifted && !named.contains(&it.id));
            gone.extend(missing.map(|it| Arc::clone(&it.id)));
        }
        for id in gone {
            // A lifted one stays known: it may come again.
            if self.by_id.get(&id).is_some_and(|it| !it.is_lifted)
                && let Some(removed) = self.remove(&id)
            {
                touched.values.insert((removed.kind, removed.target));
                touched.removed.push(id);
            }
        }
        for new in import.new.into_iter().filter(|it| it.until > now) {
            self.take(new, &mut touched);
        }
        touched
    }

    fn take(&mut self, mut new: Imported, touched: &mut Touched) {
        if let Some(old) = self.by_id.get(&new.id) {
            let is_about_same = (old.kind, old.target) == (new.kind, new.target);
            new.is_lifted |= is_about_same && old.is_lifted;
            if is_about_same && old.until.abs_diff(new.until) < SAME_END {
                return;
            }
            touched.values.insert((old.kind, old.target));
        }
        touched.values.insert((new.kind, new.target));
        touched.put.push(new.clone());
        self.put(new);
    }

    /// Takes what a store has.
    pub(super) fn restore(&mut self, all: &[Imported]) {
        for it in all {
            if !self.by_id.contains_key(&it.id) {
                self.put(it.clone());
            }
        }
    }

    fn put(&mut self, new: Imported) {
        self.remove(&Arc::clone(&new.id));
        let ids = self.by_value.entry((new.kind, new.target)).or_default();
        ids.push(Arc::clone(&new.id));
        self.by_id.insert(Arc::clone(&new.id), new);
    }

    fn remove(&mut self, id: &Arc<str>) -> Option<Imported> {
        let removed = self.by_id.remove(id)?;
        let value = (removed.kind, removed.target);
        if let Some(ids) = self.by_value.get_mut(&value) {
            ids.retain(|it| it != id);
            if ids.is_empty() {
                self.by_value.remove(&value);
            }
        }
        Some(removed)
    }

    /// Lifts what is about this value; what has changed.
    pub(super) fn lift(&mut self, target: Target) -> Vec<Imported> {
        let mut lifted = Vec::new();
        for kind in Kind::ALL {
            for id in self.by_value.get(&(kind, target)).into_iter().flatten() {
                if let Some(it) = self.by_id.get_mut(id).filter(|it| !it.is_lifted) {
                    it.is_lifted = true;
                    lifted.push(it.clone());
                }
            }
        }
        lifted
    }

    /// Forgets what is over. How many.
    pub(super) fn expire(&mut self, now: u32) -> usize {
        let over = self.by_id.values().filter(|it| it.until <= now);
        let over: Vec<_> = over.map(|it| Arc::clone(&it.id)).collect();
        for id in &over {
            self.remove(id);
        }
        over.len()
    }

    /// What is in force of one type and value, the one that counts first.
    pub(super) fn of(&self, kind: Kind, target: Target, now: u32) -> Vec<&Imported> {
        let ids = self.by_value.get(&(kind, target)).into_iter().flatten();
        let found = ids.filter_map(|id| self.by_id.get(id));
        let mut found: Vec<_> = found.filter(|it| !it.is_lifted && it.until > now).collect();
        found.sort_by(|one, other| {
            let by_end = other.until.cmp(&one.until);
            by_end.then_with(|| one.id.cmp(&other.id))
        });
        found
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Imported> {
        self.by_id.values()
    }

    pub(super) fn counts(&self, now: u32) -> ImportCounts {
        let mut counts = ImportCounts::default();
        for it in self.by_id.values().filter(|it| it.until > now) {
            if it.is_lifted {
                counts.lifted += 1;
                continue;
            }
            let key = (it.kind, Arc::clone(&it.origin));
            *counts.in_force.entry(key).or_insert(0) += 1;
            match it.target {
                Target::Prefix(_) => {}
                Target::Asn(_) => counts.systems += 1,
                Target::Country(_) => counts.countries += 1,
            }
        }
        counts
    }
}

/// How many decisions of `CrowdSec` there are.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ImportCounts {
    /// By type and `CrowdSec`'s own origin.
    pub in_force: BTreeMap<(Kind, Arc<str>), u64>,
    /// About autonomous systems.
    pub systems: u64,
    /// About countries.
    pub countries: u64,
    /// Unbanned here.
    pub lifted: u64,
}

impl ImportCounts {
    /// All that are in force.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.in_force.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::parse_target;

    fn imported(id: &str, kind: Kind, value: &str, until: u32) -> Imported {
        Imported {
            id: id.into(),
            kind,
            target: parse_target(value, 128).unwrap(),
            origin: "crowdsec".into(),
            scenario: "ssh".into(),
            until,
            is_lifted: false,
        }
    }

    fn new(all: &[(&str, u32)]) -> Import {
        let new = all
            .iter()
            .map(|(id, until)| imported(id, Kind::Ban, "192.0.2.1", *until));
        Import {
            new: new.collect(),
            ..Import::default()
        }
    }

    fn ids(imports: &Imports, now: u32) -> Vec<String> {
        let target = parse_target("192.0.2.1", 128).unwrap();
        let found = imports.of(Kind::Ban, target, now);
        found.iter().map(|it| it.id.to_string()).collect()
    }

    #[test]
    fn the_longest_counts_and_the_next_takes_over() {
        let mut imports = Imports::default();
        imports.apply(new(&[("1", 100), ("2", 300), ("3", 200)]), 0);
        assert_eq!(ids(&imports, 0), ["2", "3", "1"]);
        assert_eq!(ids(&imports, 100), ["2", "3"]);
        let deleted = Import {
            deleted: vec!["2".into(), "unknown".into()],
            ..Import::default()
        };
        let touched = imports.apply(deleted, 0);
        assert_eq!((touched.values.len(), touched.removed.len()), (1, 1));
        assert_eq!(ids(&imports, 0), ["3", "1"]);
        assert_eq!(imports.expire(100), 1);
        assert_eq!(ids(&imports, 0), ["3"]);
    }

    #[test]
    fn deleted_counts_before_new_and_all_replaces_all() {
        let mut imports = Imports::default();
        imports.apply(new(&[("1", 100)]), 0);
        let both = Import {
            deleted: vec!["1".into()],
            ..new(&[("1", 500)])
        };
        imports.apply(both, 0);
        assert_eq!(ids(&imports, 200), ["1"]);
        let all = Import {
            is_all: true,
            ..new(&[("7", 600)])
        };
        let touched = imports.apply(all, 0);
        assert_eq!(touched.removed.len(), 1);
        assert_eq!(ids(&imports, 200), ["7"]);
        // Nothing is written again for the same.
        let touched = imports.apply(new(&[("7", 601)]), 0);
        assert!(touched.values.is_empty() && touched.put.is_empty());
    }

    #[test]
    fn what_is_lifted_stays_lifted_until_its_own_end() {
        let mut imports = Imports::default();
        imports.apply(new(&[("1", 100)]), 0);
        let target = parse_target("192.0.2.1", 128).unwrap();
        assert_eq!(imports.lift(target).len(), 1);
        let all = |until| Import {
            is_all: true,
            ..new(&[("1", until)])
        };
        imports.apply(all(100), 0);
        assert!(ids(&imports, 0).is_empty());
        // Missing once, or extended: the same decision.
        imports.apply(
            Import {
                is_all: true,
                ..Import::default()
            },
            0,
        );
        imports.apply(all(150), 0);
        assert!(ids(&imports, 0).is_empty());
        assert_eq!(imports.counts(0).lifted, 1);
        assert_eq!(imports.expire(150), 1);
        imports.apply(all(300), 150);
        assert_eq!(ids(&imports, 150), ["1"]);
        // Another decision about the same address counts.
        imports.lift(target);
        imports.apply(new(&[("2", 400)]), 150);
        assert_eq!(ids(&imports, 150), ["2"]);
    }
}
