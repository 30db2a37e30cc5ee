//! A handler whose answer can be foretold: it shows what it was given, and does what a message's
//! name tells it to.

use haproxy_spoa::{Handler, Notify, Reply, Scope, TypedData};

use crate::encode::{self, Message, Value};

/// What a message's name makes the policy do. Any other name gets the message's digest.
pub(crate) const NAMES: [&str; 5] = ["clear", "greedy", "unset", "", "check-client-ip"];

/// FNV-1a over the message as it would be encoded: what the handler saw, in one number.
fn digest(message: &Message) -> u64 {
    let bytes = encode::messages(core::slice::from_ref(message));
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// How many bytes "greedy" asks for.
fn wanted(message: &Message) -> usize {
    let last = message.arguments.last().map_or(0, |(name, _)| name.len());
    (last * 97) % 600
}

/// The handler.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    pub(crate) calls: u32,
}

impl Handler for Policy {
    fn notify(&mut self, notify: &Notify<'_>, mut reply: Reply<'_>) {
        self.calls += 1;
        for message in seen(notify) {
            let bytes = vec![7; wanted(&message)];
            match message.name.as_str() {
                "clear" => reply.clear(),
                "greedy" => reply.set_var(Scope::Process, "large", TypedData::Binary(&bytes)),
                "unset" => reply.unset_var(Scope::Response, "old"),
                _ => reply.set_var(Scope::Session, "digest", digest(&message)),
            }
        }
    }
}

fn seen(notify: &Notify<'_>) -> Vec<Message> {
    let messages = notify.messages().map(|message| Message {
        name: String::from_utf8_lossy(message.name()).into_owned(),
        arguments: message
            .arguments()
            .map(|argument| (argument.name.to_vec(), Value::from(argument.value)))
            .collect(),
    });
    messages.collect()
}

impl From<TypedData<'_>> for Value {
    fn from(value: TypedData<'_>) -> Self {
        match value {
            TypedData::Null => Self::Null,
            TypedData::Bool(value) => Self::Bool(value),
            TypedData::Int32(value) => Self::Int32(value),
            TypedData::Uint32(value) => Self::Uint32(value),
            TypedData::Int64(value) => Self::Int64(value),
            TypedData::Uint64(value) => Self::Uint64(value),
            TypedData::Ipv4(value) => Self::Ipv4(value.octets()),
            TypedData::Ipv6(value) => Self::Ipv6(value.octets()),
            TypedData::String(value) => Self::String(value.to_vec()),
            TypedData::Binary(value) => Self::Binary(value.to_vec()),
        }
    }
}

/// The payload of the ACK that the policy gives to these messages, if `room` bytes are left for
/// actions.
pub(crate) fn actions(messages: &[Message], room: usize) -> Vec<u8> {
    let mut actions = Vec::new();
    for message in messages {
        let large = || encode::set_var(0, "large", &Value::Binary(vec![7; wanted(message)]));
        let action = match message.name.as_str() {
            "clear" => {
                actions.clear();
                continue;
            }
            "greedy" => large(),
            "unset" => encode::unset_var(4, "old"),
            _ => encode::set_var(1, "digest", &Value::Uint64(digest(message))),
        };
        if actions.len() + action.len() <= room {
            actions.extend(action);
        }
    }
    actions
}
