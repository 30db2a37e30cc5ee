//! Asking a policy: a NOTIFY in, the actions of its ACK out.

use std::cell::Cell;
use std::collections::BTreeMap;

use bytes::BytesMut;
use haproxy_spoa::Replies;
use haproxy_spop::{AckView, Action, Argument, Frame, Notify, NotifyWriter, Scope, TypedData};
use ip_reputation::Random;
use iprep_spoa::policy::{
    Attribute, MessageRules, Policy, PolicyCell, PolicyConfig, PolicyHandler, VariableRule,
};

thread_local! {
    /// The time of this test, and how often somebody has looked.
    static NOW: Cell<u32> = const { Cell::new(0) };
    static LOOKS: Cell<usize> = const { Cell::new(0) };
}

/// The clock of every judge here.
pub(crate) fn clock() -> u32 {
    LOOKS.set(LOOKS.get() + 1);
    NOW.get()
}

pub(crate) fn set_clock(now: u32) {
    NOW.set(now);
}

/// How often the clock was looked at since the last call.
pub(crate) fn looks() -> usize {
    LOOKS.replace(0)
}

/// What became of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Became {
    Number(u32),
    Text(String),
    Truth(bool),
    Gone,
}

pub(crate) fn text(text: &str) -> Became {
    Became::Text(text.to_owned())
}

/// The variables of an answer, by scope and name: `sess.ip_score`. Later ones overwrite earlier ones,
/// as in HAProxy.
pub(crate) type Answered = BTreeMap<String, Became>;

pub(crate) type Asked<'a> = (&'a str, &'a [(&'a str, TypedData<'a>)]);

pub(crate) fn judge(terms: PolicyConfig) -> PolicyHandler {
    let published = PolicyCell::new(Policy::new(terms).unwrap());
    PolicyHandler::new(&published, Random::seeded(1, 0), clock)
}

/// What a judge answers to a NOTIFY of these messages.
pub(crate) fn ask(judge: &mut PolicyHandler, messages: &[Asked<'_>]) -> Answered {
    let (answered, dropped) = ask_within(judge, messages, 16_380);
    assert_eq!(dropped, 0);
    answered
}

/// The same with a frame of at most so many bytes for the answer.
pub(crate) fn ask_within(
    judge: &mut PolicyHandler,
    messages: &[Asked<'_>],
    max: u32,
) -> (Answered, u32) {
    let mut bytes = BytesMut::new();
    let mut writer = NotifyWriter::begin(&mut bytes, 1, 1, 200_000);
    for (name, arguments) in messages {
        let arguments: Vec<_> = arguments
            .iter()
            .map(|&(name, value)| Argument {
                name: name.as_bytes(),
                value,
            })
            .collect();
        writer.message(name, &arguments).unwrap();
    }
    writer.finish();
    let (frame, _) = Frame::split_first(&bytes, 200_000).unwrap().unwrap();
    let mut out = BytesMut::new();
    let mut replies = Replies::detached();
    let notify = Notify::try_from(frame).unwrap();
    replies.answer(judge, &notify, max, &mut out);
    let (frame, _) = Frame::split_first(&out, max).unwrap().unwrap();
    let actions = AckView::try_from(frame).unwrap().actions();
    let answered = actions.filter(|action| !is_filler(action)).map(became);
    (answered.collect(), replies.take_actions_dropped())
}

/// Whether an action only keeps the ACK from being empty: no answer here is in this scope.
fn is_filler(action: &Action<'_>) -> bool {
    matches!(action, Action::UnsetVar { scope, .. } if *scope == Scope::Response)
}

fn became(action: Action<'_>) -> (String, Became) {
    let name = |scope: Scope, name: &[u8]| format!("{scope}.{}", String::from_utf8_lossy(name));
    match action {
        Action::UnsetVar {
            scope,
            name: variable,
        } => (name(scope, variable), Became::Gone),
        Action::SetVar {
            scope,
            name: variable,
            value,
        } => {
            let value = match value {
                TypedData::Uint32(number) => Became::Number(number),
                TypedData::Bool(truth) => Became::Truth(truth),
                TypedData::String(bytes) => {
                    Became::Text(String::from_utf8(bytes.to_vec()).unwrap())
                }
                other => panic!("no variable is {other:?}"),
            };
            (name(scope, variable), value)
        }
    }
}

/// A message that sets each of these values, in a variable of the value's name.
pub(crate) fn message(name: &str, values: &[Attribute]) -> MessageRules {
    let answers = values
        .iter()
        .map(|&value| VariableRule::new(value.name().to_owned(), value));
    MessageRules {
        name: name.to_owned(),
        argument: None,
        payload_argument: None,
        scope: Scope::Session,
        answers: answers.collect(),
    }
}

/// The answer to one address, in message `m`.
pub(crate) fn about(judge: &mut PolicyHandler, address: &str) -> Answered {
    ask(judge, &[("m", &[("", self::address(address))])])
}

pub(crate) fn address(address: &str) -> TypedData<'static> {
    match address.parse().unwrap() {
        std::net::IpAddr::V4(address) => TypedData::Ipv4(address),
        std::net::IpAddr::V6(address) => TypedData::Ipv6(address),
    }
}

/// `sess.name` and what became of it.
pub(crate) fn is(name: &str, became: Became) -> (String, Became) {
    (format!("sess.{name}"), became)
}

pub(crate) fn answered<const N: usize>(expected: [(String, Became); N]) -> Answered {
    expected.into_iter().collect()
}
