//! Variables: which ones the agent and HAProxy's own rules set, and which ones rules read.

use std::collections::BTreeSet;

use haproxy_spop::Scope;

use super::AgentSide;
use super::engine::Engine;
use super::sections::{Line, Sections};

/// Options of a `spoe-agent` that set a variable of the transaction.
const OPTIONS: [&str; 3] = ["set-on-error", "set-process-time", "set-total-time"];

/// A variable's full name as HAProxy writes it, in three parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FullName {
    pub(super) scope: String,
    pub(super) prefix: String,
    pub(super) name: String,
}

impl core::fmt::Display for FullName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}.{}", self.scope, self.prefix, self.name)
    }
}

/// HAProxy's word for a scope.
pub(super) const fn scope_word(scope: Scope) -> &'static str {
    match scope {
        Scope::Process => "proc",
        Scope::Session => "sess",
        Scope::Transaction => "txn",
        Scope::Request => "req",
        Scope::Response => "res",
    }
}

/// Returns what an engine sets: the answers to its messages, and what options of the agent section add.
pub(super) fn set_by_engine(engine: &Engine<'_>, side: &AgentSide) -> BTreeSet<FullName> {
    let mut set = BTreeSet::new();
    let (Some(prefix), Some(agent)) = (engine.prefix(), engine.agent()) else {
        return set;
    };
    let full = |scope: &str, name: &str| FullName {
        scope: scope.to_owned(),
        prefix: prefix.to_owned(),
        name: name.to_owned(),
    };
    for (name, _, _) in engine.messages() {
        let rules = side.message(name);
        let answers = rules.into_iter().flat_map(|rules| {
            let scope = scope_word(rules.scope);
            rules
                .answers
                .iter()
                .map(move |answer| (scope, &*answer.variable))
        });
        set.extend(answers.map(|(scope, name)| full(scope, name)));
    }
    for option in OPTIONS {
        let line = agent.line(&["option", option]);
        set.extend(line.map(|line| full("txn", line.word(2))));
    }
    set
}

/// A place where a rule names a variable.
#[derive(Debug)]
pub(super) struct Use<'a> {
    pub(super) name: FullName,
    pub(super) line: &'a Line,
    pub(super) access: Access,
}

/// What a rule does with a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Set,
    Unset,
}

/// Every place in the lines that names a variable with one of these prefixes.
pub(super) fn uses<'a>(
    lines: impl Iterator<Item = &'a Line>,
    prefixes: &BTreeSet<&str>,
) -> Vec<Use<'a>> {
    let words = lines.flat_map(|line| line.words.iter().map(move |word| (line, &**word)));
    words
        .flat_map(|(line, word)| {
            let found = names_in(word).into_iter();
            found.map(move |(name, access)| Use { name, line, access })
        })
        .filter(|found| prefixes.contains(&*found.name.prefix))
        .collect()
}

/// The variables that a word names as `var(scope.prefix.name)`, `set-var(…)` and the like.
fn names_in(word: &str) -> Vec<(FullName, Access)> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || "._".contains(letter);
    let mut found = Vec::new();
    for (open, _) in word.match_indices('(') {
        let (before, inner) = word.split_at(open);
        let inner = inner.trim_start_matches(['(', ' ']);
        let end = inner.find(|letter| !is_name(letter)).unwrap_or(inner.len());
        let mut parts = inner.get(..end).unwrap_or_default().splitn(3, '.');
        let (Some(scope), Some(prefix), Some(name)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let is_scope = matches!(scope, "proc" | "sess" | "txn" | "req" | "res");
        let Some(access) = access(before).filter(|_| is_scope && !name.is_empty()) else {
            continue;
        };
        let name = FullName {
            scope: scope.to_owned(),
            prefix: prefix.to_owned(),
            name: name.to_owned(),
        };
        found.push((name, access));
    }
    found
}

/// What stands before the parenthesis: a fetch, a converter or an action.
fn access(before: &str) -> Option<Access> {
    if before.ends_with("unset-var") {
        Some(Access::Unset)
    } else if before.ends_with("set-var") || before.ends_with("set-var-fmt") {
        Some(Access::Set)
    } else {
        before.ends_with("var").then_some(Access::Read)
    }
}

impl Sections {
    /// Every line of every section.
    pub(super) fn lines_of_all(&self) -> impl Iterator<Item = &Line> {
        self.all.iter().flat_map(|section| &section.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::names_in;

    #[test]
    fn names_are_found_wherever_they_stand() {
        let names = |word: &str| {
            let found = names_in(word).into_iter();
            let shown = found.map(|(name, access)| format!("{name} {access:?}"));
            shown.collect::<Vec<_>>()
        };
        let cases: [(&str, &[&str]); 8] = [
            ("var(sess.iprep.ip_score)", &["sess.iprep.ip_score Read"]),
            ("set-var(txn.iprep.x)", &["txn.iprep.x Set"]),
            (
                "set-var-fmt(txn.iprep.x.y,ifexists)",
                &["txn.iprep.x.y Set"],
            ),
            ("unset-var(txn.iprep.x)", &["txn.iprep.x Unset"]),
            (
                "a=%[var(sess.a.b),add(1)] b=%[var(txn.c.d,0)]",
                &["sess.a.b Read", "txn.c.d Read"],
            ),
            ("var(sess.score)", &[]),
            ("hdr(sess.iprep.x)", &[]),
            ("var(", &[]),
        ];
        for (word, expected) in cases {
            assert_eq!(names(word), expected, "{word}");
        }
    }
}
