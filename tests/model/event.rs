//! What a peer can send, as HAProxy or as its evil twin, before it is bytes.

use crate::encode::{self, Value};

/// One frame, or what pretends to be one.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Hello(Head, Offer),
    Disconnect(Head, Farewell),
    /// NOTIFY, UNSET, or a type that nobody knows.
    Frame(u8, Head, Vec<u8>),
    /// A length prefix that no frame can have.
    Length(u32),
    /// A whole frame whose ids are these bytes: cut off, or above 64 bits.
    Ids(u8, &'static [u8]),
}

/// Flags, stream-id and frame-id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) flags: u32,
    pub(crate) ids: (u64, u64),
}

impl Head {
    /// Every frame of a handshake has this one.
    pub(crate) const HANDSHAKE: Self = Self {
        flags: 1,
        ids: (0, 0),
    };

    pub(crate) const fn is_fin(self) -> bool {
        self.flags & 1 != 0
    }

    pub(crate) const fn is_abort(self) -> bool {
        self.flags & 2 != 0
    }
}

/// The items of a HAPROXY-HELLO.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) versions: Option<Value>,
    /// Whether `versions` holds a version 2.
    pub(crate) has_two: bool,
    pub(crate) max_frame_size: Option<Value>,
    pub(crate) capabilities: Option<Value>,
    /// Whether `capabilities` holds it.
    pub(crate) pipelining: bool,
    pub(crate) healthcheck: Option<Value>,
    pub(crate) engine_id: Option<Value>,
    pub(crate) shape: Shape,
}

/// How the list of items is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Plain,
    /// The order is free.
    Reversed,
    /// The last item is cut off.
    Garbled,
}

/// The items of a HAPROXY-DISCONNECT.
#[derive(Debug, Clone)]
pub(crate) struct Farewell {
    pub(crate) status: Option<Value>,
    pub(crate) message: Option<Value>,
    pub(crate) garbled: bool,
}

impl Event {
    /// The bytes. `Length` and `Ids` are followed by nothing: what comes after is read as theirs.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Hello(head, offer) => encode::frame(1, head.flags, head.ids, &offer.encode()),
            Self::Disconnect(head, farewell) => {
                encode::frame(2, head.flags, head.ids, &farewell.encode())
            }
            Self::Frame(kind, head, payload) => encode::frame(*kind, head.flags, head.ids, payload),
            Self::Length(len) => len.to_be_bytes().to_vec(),
            Self::Ids(kind, ids) => {
                let len = u32::try_from(5 + ids.len()).unwrap().to_be_bytes();
                [&len[..], &[*kind, 0, 0, 0, 1], ids].concat()
            }
        }
    }
}

impl Offer {
    fn encode(&self) -> Vec<u8> {
        let mut items = [
            (&b"supported-versions"[..], self.versions.as_ref()),
            (b"max-frame-size", self.max_frame_size.as_ref()),
            (b"x-unknown", Some(&Value::Null)),
            (b"capabilities", self.capabilities.as_ref()),
            (b"healthcheck", self.healthcheck.as_ref()),
            (b"engine-id", self.engine_id.as_ref()),
        ];
        if self.shape == Shape::Reversed {
            items.reverse();
        }
        kv_list(&items, self.shape == Shape::Garbled)
    }

    /// Whether every item that SPOE.txt knows has the type that it gives it.
    pub(crate) fn is_well_formed(&self) -> bool {
        let texts = [&self.versions, &self.capabilities, &self.engine_id];
        let is_text = |item: &&Option<Value>| matches!(item, None | Some(Value::String(_)));
        self.shape != Shape::Garbled
            && texts.iter().all(is_text)
            && matches!(self.healthcheck, None | Some(Value::Bool(_)))
            && self
                .max_frame_size
                .as_ref()
                .is_none_or(|offered| size(offered).is_some())
    }
}

impl Farewell {
    fn encode(&self) -> Vec<u8> {
        let items = [
            (&b"message"[..], self.message.as_ref()),
            (b"x-unknown", Some(&Value::Bool(true))),
            (b"status-code", self.status.as_ref()),
        ];
        kv_list(&items, self.garbled)
    }

    /// The status code, unless the list is malformed.
    pub(crate) fn status(&self) -> Option<u32> {
        let message = matches!(self.message, None | Some(Value::String(_)));
        self.status
            .as_ref()
            .and_then(number)
            .filter(|_| message && !self.garbled)
    }
}

fn kv_list(items: &[(&[u8], Option<&Value>)], garbled: bool) -> Vec<u8> {
    let present = items.iter().filter_map(|(key, item)| Some((key, (*item)?)));
    let mut payload: Vec<u8> = present
        .flat_map(|(key, item)| encode::kv(key, item))
        .collect();
    if garbled {
        payload.extend(b"\x09cut-off");
    }
    payload
}

/// An unsigned 32-bit number in whichever integer type.
pub(crate) fn number(value: &Value) -> Option<u32> {
    match *value {
        Value::Uint32(number) => Some(number),
        Value::Int32(number) => number.try_into().ok(),
        Value::Int64(number) => number.try_into().ok(),
        Value::Uint64(number) => number.try_into().ok(),
        _ => None,
    }
}

/// A size in whichever integer type: one that is no u32 counts as the nearest that is.
pub(crate) fn size(value: &Value) -> Option<u32> {
    let wide = match *value {
        Value::Int32(size) => i128::from(size),
        Value::Uint32(size) => i128::from(size),
        Value::Int64(size) => i128::from(size),
        Value::Uint64(size) => i128::from(size),
        _ => return None,
    };
    u32::try_from(wide.clamp(0, i128::from(u32::MAX))).ok()
}
