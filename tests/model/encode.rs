//! The wire once more, written from SPOE.txt alone and for clarity instead of speed, so that a
//! fault that reader and writer share in `haproxy_spop` does not go unseen.

/// A value of SPOE.txt 3.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int32(i32),
    Uint32(u32),
    Int64(i64),
    Uint64(u64),
    Ipv4([u8; 4]),
    Ipv6([u8; 16]),
    String(Vec<u8>),
    Binary(Vec<u8>),
}

/// A message of SPOE.txt 3.2.6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) name: String,
    pub(crate) arguments: Vec<(Vec<u8>, Value)>,
}

/// The smallest value that takes `len` bytes, for 2 and more: 240, 2288, 264432 ...
pub(crate) fn varint_base(len: usize) -> u128 {
    240 + (2..len).map(|k| 1_u128 << (11 + 7 * (k - 2))).sum::<u128>()
}

/// SPOE.txt 3.1: `[1111 XXXX] [1XXX XXXX]* [0XXX XXXX]`, what remains above the smallest value of
/// its length, low bits first.
pub(crate) fn varint(value: u64) -> Vec<u8> {
    if value < 240 {
        return vec![value.to_le_bytes()[0]];
    }
    let value = u128::from(value);
    let len = (2..=10).rfind(|&len| varint_base(len) <= value).unwrap();
    let above = value - varint_base(len);
    let digit = |bits: u128, mask: u8| bits.to_le_bytes()[0] & mask;
    let mut bytes = vec![0xf0 | digit(above, 0x0f)];
    for place in 0..len - 1 {
        let more = if place < len - 2 { 0x80 } else { 0 };
        bytes.push(more | digit(above >> (4 + 7 * place), 0x7f));
    }
    bytes
}

/// Length, then bytes.
pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    [varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// Type and flag bits, then the value.
pub(crate) fn value(value: &Value) -> Vec<u8> {
    let tagged = |tag: u8, rest: Vec<u8>| [vec![tag], rest].concat();
    match value {
        Value::Null => vec![0],
        Value::Bool(false) => vec![0x01],
        Value::Bool(true) => vec![0x11],
        Value::Int32(number) => tagged(2, varint(i64::from(*number).cast_unsigned())),
        Value::Uint32(number) => tagged(3, varint(u64::from(*number))),
        Value::Int64(number) => tagged(4, varint(number.cast_unsigned())),
        Value::Uint64(number) => tagged(5, varint(*number)),
        Value::Ipv4(octets) => tagged(6, octets.to_vec()),
        Value::Ipv6(octets) => tagged(7, octets.to_vec()),
        Value::String(bytes) => tagged(8, string(bytes)),
        Value::Binary(bytes) => tagged(9, string(bytes)),
    }
}

/// A name and a value.
pub(crate) fn kv(key: &[u8], item: &Value) -> Vec<u8> {
    [string(key), value(item)].concat()
}

/// The payload of a NOTIFY. A count above 255 has no encoding.
pub(crate) fn messages(messages: &[Message]) -> Vec<u8> {
    let mut payload = Vec::new();
    for message in messages {
        payload.extend(string(message.name.as_bytes()));
        payload.push(u8::try_from(message.arguments.len()).unwrap());
        for (name, value) in &message.arguments {
            payload.extend(kv(name, value));
        }
    }
    payload
}

/// SPOE.txt 3.4: set-var with its scope.
pub(crate) fn set_var(scope: u8, name: &str, item: &Value) -> Vec<u8> {
    [vec![1, 3, scope], kv(name.as_bytes(), item)].concat()
}

/// SPOE.txt 3.4: unset-var with its scope.
pub(crate) fn unset_var(scope: u8, name: &str) -> Vec<u8> {
    [vec![2, 2, scope], string(name.as_bytes())].concat()
}

/// A frame with its length (SPOE.txt 3.2).
pub(crate) fn frame(kind: u8, flags: u32, (stream, id): (u64, u64), payload: &[u8]) -> Vec<u8> {
    let head = [
        vec![kind],
        flags.to_be_bytes().to_vec(),
        varint(stream),
        varint(id),
    ]
    .concat();
    let len = u32::try_from(head.len() + payload.len()).unwrap();
    [&len.to_be_bytes()[..], &head, payload].concat()
}
