//! A table of states that is walked with the bytes of a payload, one step a byte.
//!
//! A step needs the state that the one before it led to, so a single walk waits for memory most of the
//! time. A long payload is walked from several places at once instead:
//!
//! ```text
//!  payload   |----------|----------|----------|----------|
//!  at once    0 ───────▶ 1 ───────▶ 2 ───────▶ 3 ───────▶     each but 0 as if nothing stood before
//!  then                  0 ─▶=      1 ─▶=      2 ─▶=          the walk before goes on, until both
//!                                                             are in one state
//! ```
//!
//! A walk that begins later sees a part of the matches that the one from the front sees, and no others;
//! once both are in one state they stay together. Most patterns forget within a few bytes what stood
//! before. One that never does (`a.*b`) costs a second walk: the time stays linear.

use core::cmp::Reverse;
use core::fmt;
use std::collections::{HashMap, HashSet};

use regex_automata::Anchored;
use regex_automata::dfa::{Automaton as _, dense};
use regex_automata::util::alphabet::Unit;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;

/// The state that no match comes after.
const DEAD: usize = 0;
/// Walks at once.
const LANES: usize = 4;
/// How many bytes each of them has: as many as this, while there are enough for all.
const LONG: usize = 256;
/// Then as many as this.
const SHORT: usize = 32;

/// Some of the rules as one table.
pub(super) struct Automaton {
    /// The class of each byte: bytes that no rule tells apart have the same.
    classes: [u8; 256],
    /// The state after a state and a class. A state is given as the place of its first class.
    next: Box<[u32]>,
    /// How many places of `next` a state has, as a power of two.
    stride2: u32,
    /// The lowest rule that has matched if the payload ends after a state.
    at_end: Box<[u16]>,
    /// From here on a state means that some rule has matched.
    first_matching: usize,
    /// The lowest of the rules that have matched, of the states from there on; the highest first, so
    /// that what is lower than a rule begins with some state.
    matched: Box<[u16]>,
    /// The state at the front.
    start: usize,
    /// The state in front of a byte as if only one byte stood before it; by that byte.
    start_after: Box<[u32]>,
    /// The lowest rule of all.
    first_rule: u16,
    /// Every rule is anchored at the front, so that a walk soon comes to `DEAD`.
    is_anchored: bool,
}

/// No rule.
const NONE: u16 = u16::MAX;

impl Automaton {
    /// A table like this automaton, whose pattern `n` is the rule `rules[n]`. It has to know all
    /// matches, not only the leftmost ones.
    pub(super) fn new(
        dfa: &dense::DFA<Vec<u32>>,
        rules: &[u16],
        is_anchored: bool,
    ) -> Option<Self> {
        let start_of = |before: Option<u8>| {
            let config = start::Config::new()
                .anchored(Anchored::No)
                .look_behind(before);
            dfa.start_state(&config).ok()
        };
        let start = start_of(None)?;
        let starts: Option<Vec<_>> = (0..=u8::MAX).map(|byte| start_of(Some(byte))).collect();
        let starts = starts?;
        let states = States::reached(dfa, rules, starts.iter().copied().chain([start]));

        let stride2 = u32::try_from(dfa.stride2()).ok()?;
        let place = |state: StateID| states.place(state, stride2);
        let classes = core::array::from_fn(|byte| dfa.byte_classes().get(byte.to_le_bytes()[0]));
        let mut next = vec![0; states.order.len() << stride2];
        for (row, &state) in next.chunks_mut(1 << stride2).zip(&states.order) {
            for (next, byte) in row.iter_mut().zip(one_of_each_class(dfa)) {
                *next = place(dfa.next_state(state, byte))?;
            }
        }
        let lowest = |state| lowest_rule(dfa, rules, state);
        let at_end = states
            .order
            .iter()
            .map(|&state| lowest(dfa.next_eoi_state(state)));
        let matching = states.order.get(states.quiet..).unwrap_or_default();
        Some(Self {
            classes,
            next: next.into(),
            stride2,
            at_end: at_end.collect(),
            first_matching: states.quiet << stride2,
            matched: matching.iter().map(|&state| lowest(state)).collect(),
            start: place(start)? as usize,
            start_after: starts.into_iter().map(place).collect::<Option<_>>()?,
            first_rule: rules.iter().copied().min()?,
            is_anchored,
        })
    }

    /// The lowest rule that it has.
    pub(super) fn first_rule(&self) -> u16 {
        self.first_rule
    }

    /// The lowest rule that matches anywhere, or `below` if that is lower.
    pub(super) fn lowest(&self, payload: &[u8], below: u16) -> u16 {
        let mut watch = self.watch(below);
        let last = if self.is_anchored {
            self.walk_until_dead(payload, &mut watch)
        } else {
            self.walk_all(payload, &mut watch)
        };
        let at_end = self.at_end.get(last >> self.stride2).copied();
        watch.best.min(at_end.unwrap_or(NONE))
    }

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "the loops over it are all the work there is"
    )]
    #[expect(
        clippy::indexing_slicing,
        reason = "there are as many classes as bytes, and every state and class has its place"
    )]
    fn step(&self, state: usize, byte: u8) -> usize {
        self.next[state + usize::from(self.classes[usize::from(byte)])] as usize
    }

    /// Nothing but rules below this one is of interest.
    fn watch(&self, best: u16) -> Watch {
        let of_no_interest = self.matched.partition_point(|&rule| rule >= best);
        Watch {
            best,
            from: self.first_matching + (of_no_interest << self.stride2),
        }
    }

    /// The state says that a lower rule has matched. Whether no other can be lower still.
    #[cold]
    #[inline(never)]
    fn note(&self, state: usize, watch: &mut Watch) -> bool {
        let matching = state.saturating_sub(self.first_matching) >> self.stride2;
        let rule = self.matched.get(matching).copied().unwrap_or(NONE);
        *watch = self.watch(rule.min(watch.best));
        watch.best <= self.first_rule
    }

    /// The state at the end, or `DEAD` once nothing can be lower.
    fn walk(&self, mut state: usize, bytes: &[u8], watch: &mut Watch) -> usize {
        if state >= watch.from && self.note(state, watch) {
            return DEAD;
        }
        for &byte in bytes {
            state = self.step(state, byte);
            if state >= watch.from && self.note(state, watch) {
                return DEAD;
            }
        }
        state
    }

    fn walk_until_dead(&self, bytes: &[u8], watch: &mut Watch) -> usize {
        let mut state = self.start;
        if state >= watch.from && self.note(state, watch) {
            return DEAD;
        }
        for &byte in bytes {
            state = self.step(state, byte);
            if state == DEAD || (state >= watch.from && self.note(state, watch)) {
                return DEAD;
            }
        }
        state
    }

    /// In lanes as long as there are bytes for them.
    fn walk_all(&self, payload: &[u8], watch: &mut Watch) -> usize {
        let (state, rest) = self.walk_in_groups::<LONG>(self.start, payload, watch);
        let (state, rest) = self.walk_in_groups::<SHORT>(state, rest, watch);
        self.walk(state, rest, watch)
    }

    /// All groups of lanes of this length, and what is left.
    fn walk_in_groups<'a, const LEN: usize>(
        &self,
        mut state: usize,
        payload: &'a [u8],
        watch: &mut Watch,
    ) -> (usize, &'a [u8]) {
        let (lanes, _) = payload.as_chunks::<LEN>();
        let (groups, _) = lanes.as_chunks::<LANES>();
        for lanes in groups {
            state = self.walk_in_lanes(state, lanes, watch);
            if watch.best <= self.first_rule {
                return (DEAD, &[]);
            }
        }
        let rest = payload.get(groups.len() * LANES * LEN..);
        (state, rest.unwrap_or_default())
    }

    /// Several walks at once; the state at the end of the last lane.
    fn walk_in_lanes<const LEN: usize>(
        &self,
        start: usize,
        lanes: &[[u8; LEN]; LANES],
        watch: &mut Watch,
    ) -> usize {
        let fresh = self.fresh_starts(start, lanes);
        let [mut a, mut b, mut c, mut d] = fresh;
        for state in fresh {
            if state >= watch.from && self.note(state, watch) {
                return DEAD;
            }
        }
        let [first, second, third, fourth] = lanes;
        for (((&in_a, &in_b), &in_c), &in_d) in first.iter().zip(second).zip(third).zip(fourth) {
            a = self.step(a, in_a);
            b = self.step(b, in_b);
            c = self.step(c, in_c);
            d = self.step(d, in_d);
            for state in [a, b, c, d] {
                if state >= watch.from && self.note(state, watch) {
                    return DEAD;
                }
            }
        }
        let mut state = a;
        for ((lane, fresh), end) in lanes.iter().zip(fresh).skip(1).zip([b, c, d]) {
            state = self.go_on(state, lane, fresh, watch).unwrap_or(end);
        }
        state
    }

    /// Where each lane begins.
    fn fresh_starts<const LEN: usize>(
        &self,
        start: usize,
        lanes: &[[u8; LEN]; LANES],
    ) -> [usize; LANES] {
        let mut starts = [start; LANES];
        for (start, before) in starts.iter_mut().skip(1).zip(lanes) {
            let after = before
                .last()
                .and_then(|&byte| self.start_after.get(usize::from(byte)));
            *start = after.map_or(DEAD, |&state| state as usize);
        }
        starts
    }

    /// The walk that comes into a lane, beside the one that began there: the state at its end, or
    /// `None` if they have met.
    fn go_on(
        &self,
        mut state: usize,
        lane: &[u8],
        mut fresh: usize,
        watch: &mut Watch,
    ) -> Option<usize> {
        for &byte in lane {
            if state == fresh {
                return None;
            }
            (state, fresh) = (self.step(state, byte), self.step(fresh, byte));
            if state >= watch.from && self.note(state, watch) {
                return Some(DEAD);
            }
        }
        Some(state)
    }
}

/// What is still of interest.
struct Watch {
    /// The lowest rule that has matched.
    best: u16,
    /// From here on a state says that a lower one has.
    from: usize,
}

/// A byte of each class, in the order of the classes.
fn one_of_each_class(dfa: &dense::DFA<Vec<u32>>) -> impl Iterator<Item = u8> {
    // The last one stands for the end of the payload.
    dfa.byte_classes()
        .representatives(..)
        .filter_map(Unit::as_u8)
}

/// The states that can be reached: the dead one, those in which no rule has matched, the others.
struct States {
    order: Vec<StateID>,
    /// How many of them come before the first one that matches.
    quiet: usize,
    places: HashMap<StateID, usize>,
}

impl States {
    fn reached(
        dfa: &dense::DFA<Vec<u32>>,
        rules: &[u16],
        starts: impl Iterator<Item = StateID>,
    ) -> Self {
        let mut seen = HashSet::new();
        let mut open: Vec<_> = starts.collect();
        let (mut quiet, mut matching) = (Vec::new(), Vec::new());
        while let Some(state) = open.pop() {
            if !seen.insert(state) || dfa.is_dead_state(state) {
                continue;
            }
            let is_quiet = lowest_rule(dfa, rules, state) == NONE;
            if is_quiet { &mut quiet } else { &mut matching }.push(state);
            open.extend(one_of_each_class(dfa).map(|byte| dfa.next_state(state, byte)));
        }
        // The highest rule first.
        matching.sort_by_key(|&state| Reverse(lowest_rule(dfa, rules, state)));
        // `DEAD` is 0, in regex-automata as here.
        let order: Vec<_> = [StateID::ZERO]
            .into_iter()
            .chain(quiet)
            .chain(matching.iter().copied())
            .collect();
        let places = order
            .iter()
            .enumerate()
            .map(|(place, &state)| (state, place));
        Self {
            quiet: order.len() - matching.len(),
            places: places.collect(),
            order,
        }
    }

    /// Where a state's classes begin.
    fn place(&self, state: StateID, stride2: u32) -> Option<u32> {
        let place = self.places.get(&state)?;
        u32::try_from(place << stride2).ok()
    }
}

fn lowest_rule(dfa: &dense::DFA<Vec<u32>>, rules: &[u16], state: StateID) -> u16 {
    if !dfa.is_match_state(state) {
        return NONE;
    }
    let patterns = (0..dfa.match_len(state)).map(|index| dfa.match_pattern(state, index));
    let matched = patterns.filter_map(|pattern| rules.get(pattern.as_usize()).copied());
    matched.min().unwrap_or(NONE)
}

impl fmt::Debug for Automaton {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Automaton")
            .field("states", &(self.next.len() >> self.stride2))
            .field("first_rule", &self.first_rule)
            .finish_non_exhaustive()
    }
}
