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

use core::fmt;
use std::collections::{HashMap, HashSet};

use regex_automata::Anchored;
use regex_automata::dfa::{Automaton as _, dense};
use regex_automata::util::alphabet::Unit;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;

/// The state that no match comes after.
const DEAD: u32 = 0;
/// Walks at once.
const LANES: usize = 4;
/// The least bytes for each of them.
const LANE_LEN_LEAST: usize = 16;

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
    first_matching: u32,
    /// The lowest of the rules that have matched, of the states from there on.
    matched: Box<[u16]>,
    /// The state at the front.
    start: u32,
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
        let mut next = vec![DEAD; states.order.len() << stride2];
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
            first_matching: u32::try_from(states.quiet << stride2).ok()?,
            matched: matching.iter().map(|&state| lowest(state)).collect(),
            start: place(start)?,
            start_after: starts.into_iter().map(place).collect::<Option<_>>()?,
            first_rule: rules.iter().copied().min()?,
            is_anchored,
        })
    }

    /// The lowest rule that it has.
    pub(super) fn first_rule(&self) -> u16 {
        self.first_rule
    }

    /// The lowest rule that matches anywhere.
    pub(super) fn lowest(&self, payload: &[u8]) -> Option<u16> {
        let mut best = NONE;
        let len = payload.len() / LANES;
        let last = if self.is_anchored {
            self.walk_until_dead(payload, &mut best)
        } else if len < LANE_LEN_LEAST {
            self.walk(self.start, payload, &mut best)
        } else {
            self.walk_in_lanes(payload, len, &mut best)
        };
        let at_end = self.at_end.get((last >> self.stride2) as usize).copied();
        best = best.min(at_end.unwrap_or(NONE));
        (best != NONE).then_some(best)
    }

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "the loops over it are all the work there is"
    )]
    #[expect(
        clippy::indexing_slicing,
        reason = "there are as many classes as bytes"
    )]
    fn step(&self, state: u32, byte: u8) -> u32 {
        let place = state as usize + usize::from(self.classes[usize::from(byte)]);
        // Every state and class has its place.
        self.next.get(place).copied().unwrap_or(DEAD)
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "as step")]
    fn see(&self, state: u32, best: &mut u16) {
        if state >= self.first_matching {
            let matching = (state - self.first_matching) >> self.stride2;
            if let Some(rule) = self.matched.get(matching as usize) {
                *best = (*best).min(*rule);
            }
        }
    }

    fn walk(&self, mut state: u32, bytes: &[u8], best: &mut u16) -> u32 {
        self.see(state, best);
        for &byte in bytes {
            state = self.step(state, byte);
            self.see(state, best);
        }
        state
    }

    fn walk_until_dead(&self, bytes: &[u8], best: &mut u16) -> u32 {
        let mut state = self.start;
        self.see(state, best);
        for &byte in bytes {
            state = self.step(state, byte);
            self.see(state, best);
            if state == DEAD || *best == self.first_rule {
                return DEAD;
            }
        }
        state
    }

    /// Several walks at once; the state at the end of the payload.
    fn walk_in_lanes(&self, payload: &[u8], len: usize, best: &mut u16) -> u32 {
        let (first, rest) = payload.split_at(len);
        let (second, rest) = rest.split_at(len);
        let (third, rest) = rest.split_at(len);
        let (fourth, tail) = rest.split_at(len);
        let lanes = [first, second, third, fourth];
        let fresh = self.fresh_starts(lanes);
        let mut states = fresh;
        for (((a, b), c), d) in first.iter().zip(second).zip(third).zip(fourth) {
            for (state, &byte) in states.iter_mut().zip([a, b, c, d]) {
                *state = self.step(*state, byte);
            }
            // One question for all: hardly any payload matches.
            let [a, b, c, d] = states;
            if a.max(b).max(c.max(d)) >= self.first_matching {
                for state in states {
                    self.see(state, best);
                }
                if *best == self.first_rule {
                    return DEAD;
                }
            }
        }
        let mut ends = states.into_iter();
        let mut state = ends.next().unwrap_or(DEAD);
        for ((lane, fresh), end) in lanes.into_iter().zip(fresh).skip(1).zip(ends) {
            state = self.go_on(state, lane, fresh, best).unwrap_or(end);
        }
        self.walk(state, tail, best)
    }

    /// Where each lane begins.
    fn fresh_starts(&self, lanes: [&[u8]; LANES]) -> [u32; LANES] {
        let mut starts = [self.start; LANES];
        for (start, before) in starts.iter_mut().skip(1).zip(lanes) {
            let after = before
                .last()
                .and_then(|&byte| self.start_after.get(usize::from(byte)));
            *start = after.copied().unwrap_or(DEAD);
        }
        starts
    }

    /// The walk that comes into a lane, beside the one that began there: the state at its end, or
    /// `None` if they have met.
    fn go_on(&self, mut state: u32, lane: &[u8], mut fresh: u32, best: &mut u16) -> Option<u32> {
        for &byte in lane {
            if state == fresh {
                return None;
            }
            (state, fresh) = (self.step(state, byte), self.step(fresh, byte));
            self.see(state, best);
            if *best == self.first_rule {
                return Some(DEAD);
            }
        }
        Some(state)
    }
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
