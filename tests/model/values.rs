//! Strategies: any typed data, any argument, any message.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any};
use proptest::prop_oneof;
use proptest::sample::select;

use crate::encode::{Message, Value, varint_base};

/// Any typed data, with the numbers at which an encoding grows more likely than others.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i32>().prop_map(Value::Int32),
        any::<u32>().prop_map(Value::Uint32),
        any::<i64>().prop_map(Value::Int64),
        number().prop_map(Value::Uint64),
        any::<[u8; 4]>().prop_map(Value::Ipv4),
        any::<[u8; 16]>().prop_map(Value::Ipv6),
        bytes().prop_map(Value::String),
        bytes().prop_map(Value::Binary),
    ]
}

/// Any number, of any length in bits; often one beside which the encoding grows by a byte.
pub(crate) fn number() -> impl Strategy<Value = u64> {
    let beside = (2..=10_usize, 0..3_u64)
        .prop_map(|(len, above)| u64::try_from(varint_base(len)).unwrap() - 1 + above);
    let any_length = (any::<u64>(), 0..64_u32).prop_map(|(number, shift)| number >> shift);
    prop_oneof![3 => any_length, 1 => beside]
}

/// Mostly few bytes, and sometimes more than one byte of length can say.
pub(crate) fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![8 => vec(any::<u8>(), 0..20), 1 => vec(any::<u8>(), 230..260)]
}

/// Any message: names may be empty, may repeat, and arguments' names need not be text.
pub(crate) fn message() -> impl Strategy<Value = Message> {
    let arguments = prop_oneof![20 => vec((bytes(), value()), 0..5), 1 => vec((Just(Vec::new()), Just(Value::Null)), 255)];
    (name(), arguments).prop_map(|(name, arguments)| Message { name, arguments })
}

/// Text of any script, and the names that mean something.
pub(crate) fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec!["", "check-client-ip", "ip-rep", "check-buffer"]).prop_map(str::to_owned),
        vec(any::<char>(), 0..12).prop_map(|text| text.into_iter().collect()),
    ]
}
