//! The one place where SPOP and reputation meet.
//!
//! In scope: which message asks, which of its arguments is the address or the payload, which
//! variables answer. Out of scope: the score itself ([`reputation`](ip_reputation)) and the frames
//! ([`session`](haproxy_spop::session)).
//!
//! Two handlers: [`IpReputation`] answers four fixed messages with a score from any [`Reputation`];
//! [`PolicyHandler`] answers what a [`Policy`] says, which can be replaced while it runs.

mod cell;
mod compiled;
mod counters;
mod handler;
mod message;
mod precedence;
mod question;
mod report;
mod rules;

pub use cell::PolicyCell;
pub use handler::{PolicyHandler, REASON_LEN_MAX};
pub use message::{Attribute, MessageRules, UnknownValue, VariableRule};
pub use precedence::{LiveDecision, decided, with_points};
pub use question::{ArgumentName, QUESTIONS, Question};
pub use rules::{
    ActionRule, BehaviorPolicy, FULL_NAME_LEN_MAX, LivePolicy, Policy, PolicyConfig, PolicyError,
    Source, variable_len_max,
};

use haproxy_spoa::{Handler, Reply};
use haproxy_spop::{Notify, Scope};
use ip_reputation::Reputation;

/// Answers the messages of [`QUESTIONS`] with the scores of a [`Reputation`]. Every other message is
/// passed over.
#[derive(Debug)]
pub struct IpReputation<R> {
    reputation: R,
}

impl<R: Reputation> IpReputation<R> {
    /// A handler over this source.
    pub const fn new(reputation: R) -> Self {
        Self { reputation }
    }
}

impl<R: Reputation> Handler for IpReputation<R> {
    #[inline]
    fn notify(&mut self, notify: &Notify<'_>, mut reply: Reply<'_>) {
        let mut known = None;
        for message in notify.messages() {
            let Some(question) = Question::of(&message) else {
                continue;
            };
            known = Some(question);
            let Some(address) = question.address(&message) else {
                continue;
            };
            let score = self.reputation.score(address);
            reply.set_var(question.scope, question.variable, u32::from(score.value()));
        }
        // HAProxy 3.1 and early 3.2 do not wake a stream for an ACK without actions. No answer has this
        // scope, so what an earlier message has set stays.
        if reply.is_empty()
            && let Some(question) = known
        {
            reply.unset_var(Scope::Response, question.variable);
        }
    }
}
