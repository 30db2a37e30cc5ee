//! From rules to lanes: as few as their sizes allow.
//!
//! Rules that are anchored at the front have tables of their own, which soon come to an end. The others
//! are tables too, but for those that keep in mind what stood before and are simple: they share words. A
//! list of rules that would be too large a table is halved until it fits.

use regex_automata::MatchKind;
use regex_automata::dfa::{StartKind, dense};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::syntax;

use super::automaton::Automaton;
use super::chains::{Chain, STATES_MAX, chains, is_mindful, states};
use super::lane::Lane;
use super::word::Word;
use super::{PAYLOAD_RULES_MAX, Pattern, PayloadError, PayloadRule};

/// The most memory for the states of an automaton, in bytes. Rules that remember what stood before
/// (`a.*b`) multiply their states, and are then shared out among several.
const AUTOMATON_BYTES_MAX: usize = 1 << 20;
/// The least rules a word, on average, for which words beside a table are better than tables alone.
const WORD_RULES_LEAST: usize = 4;
/// The most memory while one is made.
const MAKING_BYTES_MAX: usize = 4 << 20;
/// The most memory for one rule before it becomes an automaton.
const RULE_BYTES_MAX: usize = 1 << 20;

/// A rule on its way.
struct Part {
    rule: u16,
    pattern: String,
    is_anchored: bool,
    /// If it is not anchored, and as simple as that.
    chains: Option<Vec<Chain>>,
}

/// Lanes for these rules, the one with the first rule first.
pub(super) fn build(rules: &[PayloadRule]) -> Result<Vec<Lane>, PayloadError> {
    if rules.len() > PAYLOAD_RULES_MAX {
        return Err(PayloadError::TooMany { rules: rules.len() });
    }
    let parts: Result<Vec<_>, _> = rules
        .iter()
        .enumerate()
        .map(|(place, rule)| part(place, rule))
        .collect();
    let (anchored, free): (Vec<_>, Vec<_>) = parts?.into_iter().partition(|part| part.is_anchored);
    let anchored: Vec<_> = anchored.iter().collect();
    let mut lanes = Vec::new();
    add_tables(&anchored, &mut lanes)
        .and_then(|()| add_free(&free, &mut lanes))
        .map_err(|rule| too_large(rule, rules))?;
    lanes.sort_by_key(Lane::first_rule);
    Ok(lanes)
}

fn part(place: usize, rule: &PayloadRule) -> Result<Part, PayloadError> {
    let name = || rule.name.clone();
    if rule.name.is_empty() {
        return Err(PayloadError::Nameless { place });
    }
    let pattern = match &rule.pattern {
        Pattern::Prefix(bytes) if bytes.is_empty() => {
            return Err(PayloadError::EmptyPrefix {
                place,
                name: name(),
            });
        }
        Pattern::Prefix(bytes) => bytes.iter().fold(r"\A".to_owned(), |pattern, byte| {
            format!(r"{pattern}\x{byte:02x}")
        }),
        Pattern::Regex(pattern) => pattern.clone(),
    };
    if let Some(what) = syntax_error(&pattern) {
        let name = name();
        return Err(PayloadError::Syntax { place, name, what });
    }
    let too_large = || PayloadError::TooLarge {
        place,
        name: name(),
    };
    let nfa = nfa(&[&pattern]).ok_or_else(too_large)?;
    let rule = u16::try_from(place).map_err(|_| too_large())?;
    let is_anchored = nfa.is_always_start_anchored();
    let chains = if is_anchored { None } else { chains(&nfa) };
    Ok(Part {
        rule,
        pattern,
        is_anchored,
        chains,
    })
}

impl Part {
    /// It would double the states of a table, and a word can have it instead.
    fn is_mindful(&self) -> bool {
        self.chains.as_deref().is_some_and(is_mindful)
    }
}

fn syntax_error(pattern: &str) -> Option<String> {
    match syntax::parse_with(pattern, &bytes_only()) {
        Ok(parsed) => {
            let looks = parsed.properties().look_set();
            let unicode = looks.contains_word_unicode();
            unicode.then(|| "a word boundary of Unicode; remove (?u)".to_owned())
        }
        Err(error) => {
            // A picture of the pattern comes first, in several lines.
            let said = error.to_string();
            let what = said.rsplit("error: ").next().unwrap_or(&said);
            Some(what.trim().replace('\n', " "))
        }
    }
}

/// No Unicode: one byte at a time, and matches wherever they are.
fn bytes_only() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

pub(super) fn nfa(patterns: &[&str]) -> Option<NFA> {
    let config = thompson::Config::new()
        .utf8(false)
        .nfa_size_limit(Some(RULE_BYTES_MAX.saturating_mul(patterns.len())))
        .which_captures(WhichCaptures::None);
    thompson::Compiler::new()
        .configure(config)
        .syntax(bytes_only())
        .build_many(patterns)
        .ok()
}

/// Lanes for rules that are not anchored. The error is a rule that is too large by itself.
fn add_free(parts: &[Part], lanes: &mut Vec<Lane>) -> Result<(), u16> {
    let all: Vec<_> = parts.iter().collect();
    let (mindful, rest): (Vec<_>, Vec<_>) = all.iter().partition(|part| part.is_mindful());
    let words = words(&mindful);
    let is_one_word = rest.is_empty() && words.len() == 1;
    if !is_one_word && words.len() * WORD_RULES_LEAST > mindful.len() {
        return add_tables(&all, lanes);
    }
    lanes.extend(words.into_iter().map(Lane::Word));
    add_tables(&rest, lanes)
}

/// Words for these rules, each with as many as it can take.
fn words(parts: &[&Part]) -> Vec<Word> {
    let mut words = Vec::new();
    let mut taken = Vec::new();
    let mut room = STATES_MAX;
    for part in parts {
        let chains = part.chains.as_deref().unwrap_or_default();
        if states(chains) > room {
            words.extend(Word::new(&taken));
            taken.clear();
            room = STATES_MAX;
        }
        room -= states(chains);
        taken.push((part.rule, chains));
    }
    words.extend(Word::new(&taken));
    words
}

/// One table for all parts, or if it would be too large, one for each half of them. The error is a rule
/// that is too large by itself.
fn add_tables(parts: &[&Part], lanes: &mut Vec<Lane>) -> Result<(), u16> {
    if parts.is_empty() {
        return Ok(());
    }
    match (parts, table(parts)) {
        (_, Some(table)) => lanes.push(Lane::Table(Box::new(table))),
        ([part], None) => return Err(part.rule),
        (parts, None) => {
            let (front, back) = parts.split_at(parts.len() / 2);
            add_tables(front, lanes)?;
            add_tables(back, lanes)?;
        }
    }
    Ok(())
}

/// One table for these parts, of which all or none are anchored.
fn table(parts: &[&Part]) -> Option<Automaton> {
    let patterns: Vec<_> = parts.iter().map(|part| &part.pattern[..]).collect();
    let rules: Vec<_> = parts.iter().map(|part| part.rule).collect();
    let is_anchored = parts.iter().all(|part| part.is_anchored);
    automaton(&nfa(&patterns)?, &rules, is_anchored)
}

fn too_large(rule: u16, rules: &[PayloadRule]) -> PayloadError {
    let place = usize::from(rule);
    let name = rules.get(place).map(|rule| rule.name.clone());
    PayloadError::TooLarge {
        place,
        name: name.unwrap_or_default(),
    }
}

fn automaton(nfa: &NFA, rules: &[u16], is_anchored: bool) -> Option<Automaton> {
    let config = dense::Config::new()
        .match_kind(MatchKind::All)
        .start_kind(StartKind::Unanchored)
        .accelerate(false)
        .dfa_size_limit(Some(AUTOMATON_BYTES_MAX))
        .determinize_size_limit(Some(MAKING_BYTES_MAX));
    let dfa = dense::Builder::new()
        .configure(config)
        .build_from_nfa(nfa)
        .ok()?;
    Automaton::new(&dfa, rules, is_anchored)
}
