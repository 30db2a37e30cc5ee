//! The rules of messages, with everything worked out that can be before the first of them comes.

use std::sync::Arc;

use super::{Attribute, MessageRules};
use haproxy_spop::{Scope, Variable};

/// A message's rules, and what answering them takes.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing")]
pub(super) struct CompiledMessage {
    pub(super) rules: MessageRules,
    /// The variables of its answers, and what each is set to.
    pub(super) answers: Vec<(Variable, Attribute, Option<Arc<str>>)>,
    /// The variable, if the score of the address is all that is asked: what nearly every message is.
    pub(super) score_only: Option<Variable>,
    /// Unset where nothing else is answered. It is in another scope than the answers: a variable that
    /// an earlier message has set stays.
    pub(super) filler: Variable,
    /// No message behind this one has its name.
    pub(super) is_last: bool,
    pub(super) needs_address: bool,
    pub(super) needs_verdict: bool,
    pub(super) needs_payload: bool,
}

impl CompiledMessage {
    pub(super) fn all(messages: Vec<MessageRules>) -> Arc<[Self]> {
        let mut all: Vec<_> = messages.into_iter().map(Self::new).collect();
        let mut rest = &mut all[..];
        while let [first, behind @ ..] = rest {
            first.is_last = behind.iter().all(|it| it.rules.name != first.rules.name);
            rest = behind;
        }
        all.into()
    }

    fn new(rules: MessageRules) -> Self {
        let answers = rules.answers.iter();
        let answers = answers.map(|rule| {
            let variable = Variable::new(rules.scope, &rule.variable);
            (variable, rule.value, rule.of.clone())
        });
        let answers: Vec<_> = answers.collect();
        let score_only = match &answers[..] {
            [(variable, Attribute::Score, _)] => Some(variable.clone()),
            _ => None,
        };
        Self {
            answers,
            score_only,
            filler: filler(&rules),
            is_last: true,
            needs_address: rules.needs(Attribute::needs_address),
            needs_verdict: rules.needs(Attribute::needs_verdict),
            needs_payload: rules.needs(Attribute::needs_payload),
            rules,
        }
    }
}

/// A variable of a name that `HAProxy` knows, where no answer is.
fn filler(rules: &MessageRules) -> Variable {
    let name = rules.answers.first().map_or("", |answer| &answer.variable);
    let scope = match rules.scope {
        Scope::Response => Scope::Request,
        _ => Scope::Response,
    };
    Variable::new(scope, name)
}
