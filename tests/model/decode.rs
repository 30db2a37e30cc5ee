//! The other direction of [`encode`](crate::encode), just as naive: whole values off the front of a
//! slice, `None` for anything that is not one.

use crate::encode::{Message, Value, varint_base};

/// A frame as it stands in a stream of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawFrame {
    /// With the length prefix, in bytes.
    pub(crate) size: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u32,
    pub(crate) ids: (u64, u64),
    pub(crate) payload: Vec<u8>,
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    Some(take(bytes, 1)?[0])
}

pub(crate) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let first = byte(bytes)?;
    if first < 240 {
        return Some(u64::from(first));
    }
    let mut above = u128::from(first & 0x0f);
    for len in 2..=10 {
        let next = byte(bytes)?;
        above += u128::from(next & 0x7f) << (4 + 7 * (len - 2));
        if next < 128 {
            return u64::try_from(varint_base(len) + above).ok();
        }
    }
    None
}

fn string(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let len = usize::try_from(varint(bytes)?).ok()?;
    Some(take(bytes, len)?.to_vec())
}

/// One value.
pub(crate) fn value(bytes: &mut &[u8]) -> Option<Value> {
    let head = byte(bytes)?;
    Some(match head % 16 {
        0 => Value::Null,
        1 => Value::Bool(head & 0x10 != 0),
        2 => Value::Int32(low_half(varint(bytes)?).cast_signed()),
        3 => Value::Uint32(low_half(varint(bytes)?)),
        4 => Value::Int64(varint(bytes)?.cast_signed()),
        5 => Value::Uint64(varint(bytes)?),
        6 => Value::Ipv4(take(bytes, 4)?.try_into().ok()?),
        7 => Value::Ipv6(take(bytes, 16)?.try_into().ok()?),
        8 => Value::String(string(bytes)?),
        9 => Value::Binary(string(bytes)?),
        _ => return None,
    })
}

/// HAProxy reads 64 bits whatever the integer type is, and keeps the low 32.
fn low_half(bits: u64) -> u32 {
    u32::try_from(bits % (1 << 32)).unwrap()
}

/// The payload of a HELLO or DISCONNECT.
pub(crate) fn kv_list(mut payload: &[u8]) -> Option<Vec<(Vec<u8>, Value)>> {
    let mut items = Vec::new();
    while !payload.is_empty() {
        items.push((string(&mut payload)?, value(&mut payload)?));
    }
    Some(items)
}

/// The payload of a NOTIFY. A name that is not UTF-8 loses what is not.
pub(crate) fn messages(mut payload: &[u8]) -> Option<Vec<Message>> {
    let mut messages = Vec::new();
    while !payload.is_empty() {
        let name = String::from_utf8_lossy(&string(&mut payload)?).into_owned();
        let count = byte(&mut payload)?;
        let argument = |_| Some((string(&mut payload)?, value(&mut payload)?));
        let arguments = (0..count).map(argument).collect::<Option<_>>()?;
        messages.push(Message { name, arguments });
    }
    Some(messages)
}

/// Scope, name, and the value unless the variable is removed.
pub(crate) type Action = (u8, Vec<u8>, Option<Value>);

/// The payload of an ACK.
pub(crate) fn actions(mut payload: &[u8]) -> Option<Vec<Action>> {
    let mut actions = Vec::new();
    while !payload.is_empty() {
        let sets = match take(&mut payload, 2)? {
            [1, 3] => true,
            [2, 2] => false,
            _ => return None,
        };
        let scope = byte(&mut payload).filter(|scope| *scope <= 4)?;
        let name = string(&mut payload)?;
        let value = if sets {
            Some(value(&mut payload)?)
        } else {
            None
        };
        actions.push((scope, name, value));
    }
    Some(actions)
}

/// What is at the front of a stream of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum First {
    Incomplete,
    Bad,
    Frame(RawFrame),
}

/// The first frame, of at most `max` bytes and at least the 7 that its head takes.
pub(crate) fn first(mut bytes: &[u8], max: u32) -> First {
    let Some(prefix) = take(&mut bytes, 4) else {
        return First::Incomplete;
    };
    let len = u32::from_be_bytes(prefix.try_into().unwrap());
    if len > max || len < 7 {
        return First::Bad;
    }
    take(&mut bytes, len as usize).map_or(First::Incomplete, |body| {
        read_frame(body).map_or(First::Bad, First::Frame)
    })
}

fn read_frame(mut body: &[u8]) -> Option<RawFrame> {
    Some(RawFrame {
        size: 4 + body.len(),
        kind: byte(&mut body)?,
        flags: u32::from_be_bytes(take(&mut body, 4)?.try_into().ok()?),
        ids: (varint(&mut body)?, varint(&mut body)?),
        payload: body.to_vec(),
    })
}

/// A stream of whole frames; `None` if a part of one is left over.
pub(crate) fn frames(mut bytes: &[u8]) -> Option<Vec<RawFrame>> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let First::Frame(frame) = first(bytes, u32::MAX) else {
            return None;
        };
        bytes = &bytes[frame.size..];
        frames.push(frame);
    }
    Some(frames)
}
