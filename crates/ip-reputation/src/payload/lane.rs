//! Some of the rules, made ready to be looked for in one go.

use super::automaton::Automaton;
use super::word::Word;

/// A table or a word.
#[derive(Debug)]
pub(super) enum Lane {
    /// Of any rules.
    Table(Box<Automaton>),
    /// Of simple ones.
    Word(Word),
}

impl Lane {
    /// The lowest rule that it has.
    pub(super) fn first_rule(&self) -> u16 {
        match self {
            Self::Table(table) => table.first_rule(),
            Self::Word(word) => word.first_rule(),
        }
    }

    /// The lowest rule that matches anywhere, or `below` if that is lower.
    pub(super) fn lowest(&self, payload: &[u8], below: u16) -> u16 {
        match self {
            Self::Table(table) => table.lowest(payload, below),
            Self::Word(word) => word.lowest(payload, below),
        }
    }
}
