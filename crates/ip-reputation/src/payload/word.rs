//! Some simple rules as the bits of one word, all of them walked at once.
//!
//! A bit is a state of a [`Chain`]. A byte moves all bits up by one and keeps those that it leads to,
//! and keeps those where they are that it does not lead away:
//!
//! ```text
//!  state = ((state << 1) & advance[byte]) | (state & stay[byte])
//! ```
//!
//! The state at the front of a chain never ends, nor does the last one: it says that the chain has been
//! found. Rules that remember what stood before (`a.*b`) cost as many bits as they have steps, where one
//! table for all of them doubles its states with each.
//!
//! What is looked for next has nothing to do with what was found, so a long payload is walked from its
//! front and from its middle at once. What came to the middle goes on as in
//! [`Automaton`](super::automaton::Automaton): until there is nothing in it that a walk from there has
//! not.

use core::fmt;

use super::chains::{Bytes, Chain, STATES_MAX, states};

/// The least bytes for a walk from the middle.
const HALF_LEN_LEAST: usize = 32;
/// How many bytes are walked between two looks at what has been found.
const BLOCK_LEN: usize = 32;

/// What a byte does.
struct Steps {
    /// What may come after it, of what was one below before it.
    advance: [u64; 256],
    /// What it lets stay.
    stay: [u64; 256],
}

/// The chains of some rules.
pub(super) struct Word {
    steps: Box<Steps>,
    /// The states at the fronts.
    fronts: u64,
    /// The states that say that a chain has been found, and never end.
    found: u64,
    /// What says that a rule has matched, at the end of the payload; the lowest rule first.
    rules: Box<[(u64, u16)]>,
    /// What says that the first rule has matched, whatever comes.
    first_found: u64,
}

impl Word {
    /// The chains of some rules, the lowest first. `None` if they are too many for a word.
    pub(super) fn new(rules: &[(u16, &[Chain])]) -> Option<Self> {
        let mut word = Self {
            steps: Box::new(Steps {
                advance: [0; 256],
                stay: [0; 256],
            }),
            fronts: 0,
            found: 0,
            rules: Box::default(),
            first_found: 0,
        };
        let total: usize = rules.iter().map(|(_, chains)| states(chains)).sum();
        if rules.is_empty() || total > STATES_MAX {
            return None;
        }
        let mut bit = 1;
        let mut matches = Vec::new();
        for &(rule, chains) in rules {
            let mut ends = 0;
            for chain in chains {
                ends |= word.add(chain, &mut bit);
            }
            matches.push((ends, rule));
        }
        word.first_found = matches.first()?.0 & word.found;
        word.rules = matches.into();
        Some(word)
    }

    /// Adds a chain from this bit on; the bit of its last state.
    fn add(&mut self, chain: &Chain, bit: &mut u64) -> u64 {
        self.fronts |= *bit;
        self.always(*bit);
        let mut last = *bit;
        for link in &chain.links {
            last = last.wrapping_shl(1);
            set(&mut self.steps.advance, &link.enter, last);
            set(&mut self.steps.stay, &link.stay, last);
        }
        if !chain.at_end {
            self.found |= last;
            self.always(last);
        }
        *bit = last.wrapping_shl(1);
        last
    }

    /// No byte ends this state.
    fn always(&mut self, bit: u64) {
        set(&mut self.steps.stay, &[true; 256], bit);
    }

    /// The lowest rule that it has.
    pub(super) fn first_rule(&self) -> u16 {
        self.rules.first().map_or(u16::MAX, |&(_, rule)| rule)
    }

    /// The lowest rule that matches anywhere, or `below` if that is lower.
    pub(super) fn lowest(&self, payload: &[u8], below: u16) -> u16 {
        let last = if payload.len() < 2 * HALF_LEN_LEAST {
            self.walk(self.fronts, payload)
        } else {
            self.walk_in_halves(payload)
        };
        let mut rules = self.rules.iter();
        let lowest = rules.find(|(ends, _)| last & ends != 0);
        lowest.map_or(below, |&(_, rule)| rule.min(below))
    }

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "the loops over it are all the work there is"
    )]
    #[expect(clippy::indexing_slicing, reason = "there are as many steps as bytes")]
    fn step(&self, state: u64, byte: u8) -> u64 {
        let Steps { advance, stay } = &*self.steps;
        ((state << 1) & advance[usize::from(byte)]) | (state & stay[usize::from(byte)])
    }

    fn walk(&self, state: u64, bytes: &[u8]) -> u64 {
        bytes
            .iter()
            .fold(state, |state, &byte| self.step(state, byte))
    }

    /// From the front and from the middle at once; the states at the end.
    fn walk_in_halves(&self, payload: &[u8]) -> u64 {
        let (front, back) = payload.split_at(payload.len() / 2);
        let (mut came, mut fresh) = (self.fronts, self.fronts);
        let (front_blocks, front_tail) = front.as_chunks::<BLOCK_LEN>();
        let (back_blocks, _) = back.as_chunks::<BLOCK_LEN>();
        for (front, back) in front_blocks.iter().zip(back_blocks) {
            for (&a, &b) in front.iter().zip(back) {
                (came, fresh) = (self.step(came, a), self.step(fresh, b));
            }
            if (came | fresh) & self.first_found != 0 {
                return self.first_found;
            }
        }
        // The one at the back may be longer by one.
        let back_tail = back
            .get(front_blocks.len() * BLOCK_LEN..)
            .unwrap_or_default();
        let (came, fresh) = (self.walk(came, front_tail), self.walk(fresh, back_tail));
        self.go_on(came, back) | fresh
    }

    /// What comes out of the states that came to the middle, but for what a walk from there finds.
    fn go_on(&self, mut came: u64, back: &[u8]) -> u64 {
        let mut fresh = self.fronts;
        for block in back.chunks(BLOCK_LEN) {
            if (came ^ fresh) & !self.found == 0 {
                return came & self.found;
            }
            for &byte in block {
                (came, fresh) = (self.step(came, byte), self.step(fresh, byte));
            }
            if came & self.first_found != 0 {
                return self.first_found;
            }
        }
        came
    }
}

/// Sets a bit in the words of these bytes.
fn set(words: &mut [u64; 256], bytes: &Bytes, bit: u64) {
    for (word, &is_one) in words.iter_mut().zip(bytes) {
        *word |= if is_one { bit } else { 0 };
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Word")
            .field("rules", &self.rules.len())
            .field("first_rule", &self.first_rule())
            .finish_non_exhaustive()
    }
}
