//! Reads a payload twice, with `haproxy_spop` and with [`decode`], and compares.

use haproxy_spop::{
    AckView, Action, AgentHello, DecodeError, Disconnect, Frame, HaproxyHello, Notify, TypedData,
};

use crate::any_frame::{SCOPES, typed};
use crate::decode;
use crate::encode::Value;

/// Both readings of a payload, by every parser, are the same: the same values, or refused by both.
pub(crate) fn agrees(frame: Frame<'_>) {
    let payload = frame.payload;
    let items = decode::kv_list(payload);
    let items = items.as_deref();
    same("HAPROXY-HELLO", &HaproxyHello::parse(payload), |hello| {
        haproxy_hello(items?, hello)
    });
    same("AGENT-HELLO", &AgentHello::parse(payload), |hello| {
        agent_hello(items?, hello)
    });
    same("DISCONNECT", &Disconnect::parse(payload), |farewell| {
        disconnect(items?, farewell)
    });
    same("NOTIFY", &Notify::try_from(frame), |notify| {
        self::notify(payload, notify)
    });
    same("ACK", &AckView::try_from(frame), |ack| {
        self::ack(payload, ack)
    });
}

/// `compare` gives `None` if the second reading refuses the payload, and otherwise whether it reads
/// what the first one did, if that read anything.
fn same<T>(
    name: &str,
    parsed: &Result<T, DecodeError>,
    compare: impl FnOnce(Option<&T>) -> Option<bool>,
) {
    let second = compare(parsed.as_ref().ok());
    match parsed {
        Ok(_) => assert_eq!(second, Some(true), "{name}: read as something else"),
        Err(malformed) => {
            assert_eq!(second, None, "{name}: refused for {malformed}");
            names_its_field(*malformed);
        }
    }
}

pub(crate) fn names_its_field(malformed: DecodeError) {
    let words = malformed.to_string();
    match malformed {
        DecodeError::TooBig { len, max } => {
            assert!(len > max && words.contains(&len.to_string()));
        }
        DecodeError::Field { name, .. } => {
            assert!(!name.is_empty() && words.len() > name.len() && words.starts_with(name));
        }
    }
}

type Items<'a> = &'a [(Vec<u8>, Value)];

/// The items of this name, each of which has to be of the right type; the last one counts.
fn all<'a, T>(
    items: Items<'a>,
    key: &str,
    read: impl Fn(&'a Value) -> Option<T>,
) -> Option<Vec<T>> {
    let of_key = items.iter().filter(|(name, _)| name == key.as_bytes());
    of_key.map(|(_, value)| read(value)).collect()
}

fn text(value: &Value) -> Option<&[u8]> {
    if let Value::String(text) = value {
        Some(text)
    } else {
        None
    }
}

fn number(value: &Value) -> Option<u32> {
    match *value {
        Value::Int32(number) => number.try_into().ok(),
        Value::Uint32(number) => Some(number),
        Value::Int64(number) => number.try_into().ok(),
        Value::Uint64(number) => number.try_into().ok(),
        _ => None,
    }
}

/// A size in whichever integer type: one that is no u32 counts as the nearest that is.
fn size(value: &Value) -> Option<u32> {
    let wide = match *value {
        Value::Int32(size) => i128::from(size),
        Value::Uint32(size) => i128::from(size),
        Value::Int64(size) => i128::from(size),
        Value::Uint64(size) => i128::from(size),
        _ => return None,
    };
    u32::try_from(wide.clamp(0, i128::from(u32::MAX))).ok()
}

fn boolean(value: &Value) -> Option<bool> {
    if let Value::Bool(value) = value {
        Some(*value)
    } else {
        None
    }
}

fn haproxy_hello(items: Items<'_>, first: Option<&HaproxyHello<'_>>) -> Option<bool> {
    let versions = all(items, "supported-versions", text)?.pop();
    let max_frame_size = all(items, "max-frame-size", size)?.pop();
    let capabilities = all(items, "capabilities", text)?.pop();
    let healthcheck = all(items, "healthcheck", boolean)?.pop().unwrap_or(false);
    let engine_id = all(items, "engine-id", text)?.pop();
    Some(first.is_some_and(|hello| {
        hello.supported_versions.map(|versions| versions.0) == versions
            && hello.max_frame_size == max_frame_size
            && hello.capabilities.map(|capabilities| capabilities.0) == capabilities
            && hello.healthcheck == healthcheck
            && hello.engine_id == engine_id
    }))
}

fn agent_hello(items: Items<'_>, first: Option<&AgentHello<'_>>) -> Option<bool> {
    let version = all(items, "version", text)?.pop()?;
    let max_frame_size = all(items, "max-frame-size", size)?.pop()?;
    let capabilities = all(items, "capabilities", text)?.pop()?;
    Some(first.is_some_and(|hello| {
        hello.version == version
            && hello.max_frame_size == max_frame_size
            && hello.capabilities.0 == capabilities
    }))
}

fn disconnect(items: Items<'_>, first: Option<&Disconnect<'_>>) -> Option<bool> {
    let status = all(items, "status-code", number)?.pop()?;
    let message = all(items, "message", text)?.pop().unwrap_or_default();
    Some(first.is_some_and(|first| first.status.0 == status && first.message == message))
}

fn notify(payload: &[u8], first: Option<&Notify<'_>>) -> Option<bool> {
    let second = decode::messages(payload)?;
    let Some(first) = first else {
        return Some(false);
    };
    let mut messages = first.messages();
    let same = second.iter().all(|message| {
        let read = messages.next().unwrap();
        let arguments = message
            .arguments
            .iter()
            .map(|(name, value)| (&name[..], typed(value)));
        String::from_utf8_lossy(read.name()) == message.name
            && read
                .arguments()
                .map(|argument| (argument.name, argument.value))
                .eq(arguments)
            && message
                .arguments
                .iter()
                .all(|(name, _)| finds_first(read, name))
    });
    Some(same && messages.next().is_none())
}

/// Looking a name up gives the first argument that has it.
fn finds_first(message: haproxy_spop::Message<'_>, name: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(name) else {
        return true;
    };
    let first = message.arguments().find(|argument| argument.name == name);
    message.argument(text) == first.map(|argument| argument.value)
}

fn ack(payload: &[u8], first: Option<&AckView<'_>>) -> Option<bool> {
    let second = decode::actions(payload)?;
    let scope_of = |number: u8| SCOPES[usize::from(number)];
    let second = second.iter().map(|(number, name, value)| match value {
        Some(value) => Action::SetVar {
            scope: scope_of(*number),
            name,
            value: typed(value),
        },
        None => Action::UnsetVar {
            scope: scope_of(*number),
            name,
        },
    });
    Some(first.is_some_and(|first| first.actions().eq(second)))
}

/// Both readings of one value, and what it is as an address.
pub(crate) fn value_agrees(bytes: &[u8]) {
    let mut reader = haproxy_spop::Reader::new(bytes);
    let first = TypedData::read(&mut reader, "value");
    let mut rest = bytes;
    let second = decode::value(&mut rest);
    assert_eq!(first.ok(), second.as_ref().map(typed));
    if first.is_ok() {
        assert_eq!(reader.rest(), rest);
    }
}
