//! From rules to automata: as few as their sizes allow.

use regex_automata::MatchKind;
use regex_automata::dfa::{StartKind, dense};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::util::syntax;

use super::automaton::Automaton;
use super::{PAYLOAD_RULES_MAX, Pattern, PayloadError, PayloadRule};

/// The most memory for the states of an automaton, in bytes. Many rules that remember what stood
/// before (`a.*b`) multiply their states, and are then shared out among several.
const AUTOMATON_BYTES_MAX: usize = 1 << 20;
/// The most memory while one is made.
const MAKING_BYTES_MAX: usize = 4 << 20;
/// The most memory for one rule before it becomes an automaton.
const RULE_BYTES_MAX: usize = 1 << 20;

/// A rule on its way.
struct Part {
    rule: u16,
    pattern: String,
    is_anchored: bool,
}

/// Automata for these rules, the one with the first rule first.
pub(super) fn build(rules: &[PayloadRule]) -> Result<Vec<Automaton>, PayloadError> {
    if rules.len() > PAYLOAD_RULES_MAX {
        return Err(PayloadError::TooMany { rules: rules.len() });
    }
    let parts: Result<Vec<_>, _> = rules
        .iter()
        .enumerate()
        .map(|(place, rule)| part(place, rule))
        .collect();
    let (anchored, free): (Vec<_>, Vec<_>) = parts?.into_iter().partition(|part| part.is_anchored);
    let mut automata = Vec::new();
    for (parts, is_anchored) in [(anchored, true), (free, false)] {
        add(&parts, is_anchored, &mut automata).map_err(|rule| too_large(rule, rules))?;
    }
    automata.sort_by_key(Automaton::first_rule);
    Ok(automata)
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
    Ok(Part {
        rule,
        pattern,
        is_anchored,
    })
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

fn nfa(patterns: &[&str]) -> Option<NFA> {
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

/// One automaton for all parts, or if it would be too large, one for each half of them. The error is
/// a rule that is too large by itself.
fn add(parts: &[Part], is_anchored: bool, automata: &mut Vec<Automaton>) -> Result<(), u16> {
    let patterns: Vec<_> = parts.iter().map(|part| &part.pattern[..]).collect();
    let rules: Vec<_> = parts.iter().map(|part| part.rule).collect();
    let made = || automaton(&nfa(&patterns)?, &rules, is_anchored);
    if parts.is_empty() {
        return Ok(());
    }
    match (parts, made()) {
        (_, Some(automaton)) => automata.push(automaton),
        ([part], None) => return Err(part.rule),
        (parts, None) => {
            let (front, back) = parts.split_at(parts.len() / 2);
            add(front, is_anchored, automata)?;
            add(back, is_anchored, automata)?;
        }
    }
    Ok(())
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
