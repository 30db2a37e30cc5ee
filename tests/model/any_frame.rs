//! Any frame of SPOE.txt 3.2, in both directions: as values, as `haproxy_spop` writes it, as
//! [`encode`] does.

use bytes::BytesMut;
use haproxy_spop::{
    Ack, AgentHello, Argument, Capabilities, DISCONNECT_MESSAGE_MAX, Disconnect, Flags, FrameFull,
    FrameType, FrameWriter, HaproxyHello, NotifyWriter, Scope, Status, TypedData, Versions,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Strategy, any};
use proptest::prop_oneof;
use proptest::sample::select;

use crate::encode::{self, Message, Value};
use crate::values::{bytes, message, name, number, value};

/// The scopes in the order of their numbers.
pub(crate) const SCOPES: [Scope; 5] = [
    Scope::Process,
    Scope::Session,
    Scope::Transaction,
    Scope::Request,
    Scope::Response,
];

/// A frame, owned.
#[derive(Debug, Clone)]
pub(crate) enum AnyFrame {
    HaproxyHello {
        versions: Option<Vec<u8>>,
        max_frame_size: Option<u32>,
        capabilities: Option<Vec<u8>>,
        healthcheck: bool,
        engine_id: Option<Vec<u8>>,
    },
    AgentHello {
        version: Vec<u8>,
        max_frame_size: u32,
        capabilities: Vec<u8>,
    },
    Notify {
        ids: (u64, u64),
        messages: Vec<Message>,
    },
    /// Scope, name, and the value unless the variable is removed.
    Ack {
        ids: (u64, u64),
        actions: Vec<(u8, String, Option<Value>)>,
    },
    Disconnect {
        kind: u8,
        status: u32,
        message: Vec<u8>,
    },
    /// UNSET, and whatever else there may be.
    Other {
        kind: u8,
        flags: u32,
        ids: (u64, u64),
        payload: Vec<u8>,
    },
}

pub(crate) fn any_frame() -> impl Strategy<Value = AnyFrame> {
    prop_oneof![
        haproxy_hello(),
        agent_hello(),
        notify(),
        ack(),
        disconnect(),
        other()
    ]
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let usual = ["2.0", "pipelining,async", ", pipelining", "1.5, 2.0"]
        .map(Vec::from)
        .to_vec();
    prop_oneof![select(usual), bytes()]
}

fn haproxy_hello() -> impl Strategy<Value = AnyFrame> {
    let items = (
        option::of(text()),
        option::of(any::<u32>()),
        option::of(text()),
        any::<bool>(),
        option::of(bytes()),
    );
    items.prop_map(
        |(versions, max_frame_size, capabilities, healthcheck, engine_id)| AnyFrame::HaproxyHello {
            versions,
            max_frame_size,
            capabilities,
            healthcheck,
            engine_id,
        },
    )
}

fn agent_hello() -> impl Strategy<Value = AnyFrame> {
    (text(), any::<u32>(), text()).prop_map(|(version, max_frame_size, capabilities)| {
        AnyFrame::AgentHello {
            version,
            max_frame_size,
            capabilities,
        }
    })
}

fn notify() -> impl Strategy<Value = AnyFrame> {
    ((number(), number()), vec(message(), 0..4))
        .prop_map(|(ids, messages)| AnyFrame::Notify { ids, messages })
}

fn ack() -> impl Strategy<Value = AnyFrame> {
    let action = (0..5_u8, name(), option::weighted(0.7, value()));
    ((number(), number()), vec(action, 0..4))
        .prop_map(|(ids, actions)| AnyFrame::Ack { ids, actions })
}

fn disconnect() -> impl Strategy<Value = AnyFrame> {
    let message = prop_oneof![bytes(), vec(any::<u8>(), 250..400)];
    (select(vec![2, 102]), any::<u32>(), message).prop_map(|(kind, status, message)| {
        AnyFrame::Disconnect {
            kind,
            status,
            message,
        }
    })
}

fn other() -> impl Strategy<Value = AnyFrame> {
    let kind = prop_oneof![select(vec![0, 4, 100, 104]), any::<u8>()];
    (kind, any::<u32>(), (number(), number()), bytes()).prop_map(|(kind, flags, ids, payload)| {
        AnyFrame::Other {
            kind,
            flags,
            ids,
            payload,
        }
    })
}

impl AnyFrame {
    /// As `haproxy_spop` writes it.
    pub(crate) fn write(&self, out: &mut BytesMut, max: u32) -> Result<(), FrameFull> {
        match self {
            Self::HaproxyHello {
                versions,
                max_frame_size,
                capabilities,
                healthcheck,
                engine_id,
            } => HaproxyHello {
                supported_versions: versions.as_deref().map(Versions),
                max_frame_size: *max_frame_size,
                capabilities: capabilities.as_deref().map(Capabilities),
                healthcheck: *healthcheck,
                engine_id: engine_id.as_deref(),
            }
            .write(out, max),
            Self::AgentHello {
                version,
                max_frame_size,
                capabilities,
            } => AgentHello {
                version,
                max_frame_size: *max_frame_size,
                capabilities: Capabilities(capabilities),
            }
            .write(out, max),
            Self::Notify { ids, messages } => write_notify(out, *ids, messages, max),
            Self::Ack { ids, actions } => write_ack(out, *ids, actions, max),
            Self::Disconnect {
                kind,
                status,
                message,
            } => Disconnect {
                status: Status(*status),
                message,
            }
            .write(FrameType(*kind), out, max),
            Self::Other {
                kind,
                flags,
                ids,
                payload,
            } => {
                let kind = FrameType(*kind);
                let mut frame = FrameWriter::begin(out, kind, Flags(*flags), *ids, max);
                frame.put(payload)?;
                frame.finish();
                Ok(())
            }
        }
    }

    /// As SPOE.txt says it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let text = |bytes: &[u8]| Value::String(bytes.to_vec());
        let hello = |kind, items: [(&str, Option<Value>); 5]| {
            let present = items
                .into_iter()
                .filter_map(|(key, item)| Some((key, item?)));
            let list = present.flat_map(|(key, item)| encode::kv(key.as_bytes(), &item));
            encode::frame(kind, 1, (0, 0), &list.collect::<Vec<_>>())
        };
        let nothing = ("", None);
        match self {
            Self::HaproxyHello {
                versions,
                max_frame_size,
                capabilities,
                healthcheck,
                engine_id,
            } => hello(
                1,
                [
                    ("supported-versions", versions.as_deref().map(text)),
                    ("max-frame-size", max_frame_size.map(Value::Uint32)),
                    ("capabilities", capabilities.as_deref().map(text)),
                    ("healthcheck", healthcheck.then_some(Value::Bool(true))),
                    ("engine-id", engine_id.as_deref().map(text)),
                ],
            ),
            Self::AgentHello {
                version,
                max_frame_size,
                capabilities,
            } => hello(
                101,
                [
                    ("version", Some(text(version))),
                    ("max-frame-size", Some(Value::Uint32(*max_frame_size))),
                    ("capabilities", Some(text(capabilities))),
                    nothing.clone(),
                    nothing,
                ],
            ),
            Self::Disconnect {
                kind,
                status,
                message,
            } => {
                let kept = message.len().min(DISCONNECT_MESSAGE_MAX);
                hello(
                    *kind,
                    [
                        ("status-code", Some(Value::Uint32(*status))),
                        ("message", Some(text(&message[..kept]))),
                        nothing.clone(),
                        nothing.clone(),
                        nothing,
                    ],
                )
            }
            Self::Notify { ids, messages } => {
                encode::frame(3, 1, *ids, &encode::messages(messages))
            }
            Self::Ack { ids, actions } => {
                let actions = actions.iter().flat_map(|(scope, name, value)| match value {
                    Some(value) => encode::set_var(*scope, name, value),
                    None => encode::unset_var(*scope, name),
                });
                encode::frame(103, 1, *ids, &actions.collect::<Vec<_>>())
            }
            Self::Other {
                kind,
                flags,
                ids,
                payload,
            } => encode::frame(*kind, *flags, *ids, payload),
        }
    }
}

fn write_notify(
    out: &mut BytesMut,
    (stream, id): (u64, u64),
    messages: &[Message],
    max: u32,
) -> Result<(), FrameFull> {
    let mut notify = NotifyWriter::begin(out, stream, id, max);
    for message in messages {
        let arguments = message.arguments.iter();
        let arguments: Vec<_> = arguments
            .map(|(name, value)| Argument {
                name,
                value: typed(value),
            })
            .collect();
        notify.message(&message.name, &arguments)?;
    }
    notify.finish();
    Ok(())
}

fn write_ack(
    out: &mut BytesMut,
    (stream, id): (u64, u64),
    actions: &[(u8, String, Option<Value>)],
    max: u32,
) -> Result<(), FrameFull> {
    let mut ack = Ack::begin(out, stream, id, max);
    for (scope, name, value) in actions {
        let scope = SCOPES[usize::from(*scope)];
        match value {
            Some(value) => ack.set_var(scope, name, typed(value))?,
            None => ack.unset_var(scope, name)?,
        }
    }
    ack.finish();
    Ok(())
}

/// The same value, borrowed.
pub(crate) fn typed(value: &Value) -> TypedData<'_> {
    match value {
        Value::Null => TypedData::Null,
        Value::Bool(value) => TypedData::Bool(*value),
        Value::Int32(value) => TypedData::Int32(*value),
        Value::Uint32(value) => TypedData::Uint32(*value),
        Value::Int64(value) => TypedData::Int64(*value),
        Value::Uint64(value) => TypedData::Uint64(*value),
        Value::Ipv4(value) => TypedData::Ipv4((*value).into()),
        Value::Ipv6(value) => TypedData::Ipv6((*value).into()),
        Value::String(value) => TypedData::String(value),
        Value::Binary(value) => TypedData::Binary(value),
    }
}
