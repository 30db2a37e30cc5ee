//! Law: every frame, in both directions, is written as SPOE.txt says and read back as it was; cut
//! anywhere it is incomplete and never another frame; any bytes at all are either refused with an
//! error that names its field or read as a second, naive reading of SPOE.txt reads them
//! ([`encode`], [`decode`]); and no frame exceeds the size it was given.

#![cfg(test)]

#[path = "model/any_frame.rs"]
mod any_frame;
#[path = "model/decode.rs"]
mod decode;
#[path = "model/encode.rs"]
mod encode;
#[path = "model/reading.rs"]
mod reading;
#[path = "model/values.rs"]
mod values;

use bytes::BytesMut;
use haproxy_spop::{Frame, FrameFull, LENGTH_PREFIX, Reader, Varint};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any};
use proptest::sample::Index;
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};

use any_frame::{AnyFrame, any_frame};

/// Type, flags and two ids at their longest: below this, no frame can be promised to fit.
const HEAD_MAX: u32 = 25;

/// One change to some bytes.
#[derive(Debug, Clone)]
enum Change {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        at().prop_map(Change::Remove),
        at().prop_map(Change::Cut),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: Vec<Change>) -> Vec<u8> {
    for change in changes {
        let len = bytes.len();
        match change {
            Change::Insert(at, byte) => bytes.insert(at.index(len + 1), byte),
            _ if len == 0 => {}
            Change::Set(at, byte) => bytes[at.index(len)] = byte,
            Change::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
            Change::Remove(at) => drop(bytes.remove(at.index(len))),
            Change::Cut(at) => bytes.truncate(at.index(len)),
        }
    }
    bytes
}

/// A payload of some frame, with as many changes as it takes to make anything of it.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let valid =
        any_frame().prop_map(|frame| decode::frames(&frame.encode()).unwrap().remove(0).payload);
    let changed = (valid, vec(change(), 0..4)).prop_map(|(bytes, changes)| changed(bytes, changes));
    prop_oneof![10 => changed, 5 => any_action(), 1 => vec(any::<u8>(), 0..60)]
}

/// An action of any type, with any number of arguments and any scope, most of which are undefined.
fn any_action() -> impl Strategy<Value = Vec<u8>> {
    (1..3_u8, 2..4_u8, 0..7_u8, values::value()).prop_map(|(kind, count, scope, value)| {
        [vec![kind, count, scope], encode::kv(b"name", &value)].concat()
    })
}

/// Bytes that begin like a varint, some of which are just about one of 64 bits.
fn almost_varint() -> impl Strategy<Value = Vec<u8>> {
    let long = (vec(0xfd..=0xff_u8, 9), 0..32_u8).prop_map(|(mut bytes, last)| {
        bytes.push(last);
        bytes
    });
    prop_oneof![2 => vec(prop_oneof![any::<u8>(), 0xf0..=0xff_u8], 0..12), 1 => long]
}

/// Takes frames off the front until nothing is left or nothing goes, with both readings.
fn both_split(mut input: &[u8], max: u32) {
    loop {
        let first = Frame::split_first(input, max);
        match decode::first(input, max) {
            decode::First::Incomplete => return assert_eq!(first, Ok(None)),
            decode::First::Bad => return reading::names_its_field(first.unwrap_err()),
            decode::First::Frame(second) => {
                let (frame, rest) = first.unwrap().expect("a whole frame");
                let (consumed, left) = input.split_at(second.size);
                assert_eq!(rest, left);
                assert_eq!((frame.kind.0, frame.flags.0), (second.kind, second.flags));
                assert_eq!((frame.stream_id, frame.frame_id), second.ids);
                assert_eq!(frame.payload, second.payload);
                assert!(consumed.ends_with(frame.payload));
                reading::agrees(frame);
                input = rest;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_frame_is_written_as_specified_and_read_back(
        frame in any_frame(),
        before in vec(any::<u8>(), 0..9),
        after in vec(any::<u8>(), 0..9),
    ) {
        let mut out = BytesMut::from(&before[..]);
        prop_assert_eq!(frame.write(&mut out, u32::MAX), Ok(()));
        let written = out.split_off(before.len());
        prop_assert_eq!(&out[..], &before[..]);
        prop_assert_eq!(&written[..], frame.encode());

        let stream = [&written[..], &after].concat();
        let (read, rest) = Frame::split_first(&stream, u32::MAX).unwrap().unwrap();
        prop_assert_eq!(rest, &after[..]);
        reading::agrees(read);
    }

    #[test]
    fn the_second_reading_reads_what_it_writes(messages in vec(values::message(), 0..4)) {
        let payload = encode::messages(&messages);
        prop_assert_eq!(decode::messages(&payload), Some(messages));
    }

    #[test]
    fn a_frame_fits_or_leaves_no_trace(
        frame in any_frame(),
        before in vec(any::<u8>(), 0..9),
        max in HEAD_MAX..700,
    ) {
        let size = u32::try_from(frame.encode().len() - LENGTH_PREFIX).unwrap();
        for max in [max, size, size.saturating_sub(1).max(HEAD_MAX)] {
            let mut out = BytesMut::from(&before[..]);
            let written = frame.write(&mut out, max);
            prop_assert_eq!(written, if size <= max { Ok(()) } else { Err(FrameFull) });
            let expected = if size <= max { LENGTH_PREFIX + size as usize } else { 0 };
            prop_assert_eq!(out.len() - before.len(), expected);
            prop_assert!(out.starts_with(&before));
        }
    }

    #[test]
    fn a_frame_is_there_with_its_last_byte_and_not_before(frame in any_frame()) {
        let bytes = frame.encode();
        let size = u32::try_from(bytes.len() - LENGTH_PREFIX).unwrap();
        for cut in 0..bytes.len() {
            prop_assert_eq!(Frame::split_first(&bytes[..cut], size), Ok(None), "cut at {}", cut);
        }
        prop_assert!(Frame::split_first(&bytes, size).unwrap().is_some());
        let too_big = Frame::split_first(&bytes[..LENGTH_PREFIX], size - 1);
        prop_assert!(too_big.is_err(), "refused as soon as the length is there");
    }

    #[test]
    fn a_payload_cut_anywhere_is_refused_or_shorter(frame in any_frame()) {
        let bytes = frame.encode();
        let (frame, _) = Frame::split_first(&bytes, u32::MAX).unwrap().unwrap();
        for cut in 0..frame.payload.len() {
            reading::agrees(Frame { payload: &frame.payload[..cut], ..frame });
        }
    }

    #[test]
    fn any_payload_is_refused_or_read_as_specified(payload in payload(), ids in any::<(u64, u64)>()) {
        let bytes = encode::frame(3, 1, ids, &payload);
        both_split(&bytes, u32::MAX);
    }

    #[test]
    fn any_stream_is_taken_apart_without_loss(
        frames in vec(any_frame(), 0..4),
        changes in vec(change(), 0..4),
        max in prop_oneof![7..800_u32, HEAD_MAX..=u32::MAX],
    ) {
        let bytes: Vec<u8> = frames.iter().flat_map(AnyFrame::encode).collect();
        both_split(&changed(bytes, changes), max);
    }

    #[test]
    fn any_bytes_are_taken_apart_without_loss(bytes in vec(any::<u8>(), 0..80), max in 7..90_u32) {
        both_split(&bytes, max);
        let len = u32::try_from(bytes.len()).unwrap();
        for len in [len, len.min(8)] {
            both_split(&[&len.to_be_bytes(), &bytes[..]].concat(), u32::MAX);
        }
        reading::value_agrees(&bytes);
    }

    #[test]
    fn any_value_with_any_flag_bits_is_read_as_specified(
        value in values::value(),
        flags in any::<u8>(),
        changes in vec(change(), 0..2),
    ) {
        let mut bytes = encode::value(&value);
        bytes[0] ^= flags & 0xf0;
        reading::value_agrees(&changed(bytes, changes));
    }

    #[test]
    fn a_varint_has_one_encoding_and_is_read_to_its_end(
        value in values::number(),
        bytes in almost_varint(),
    ) {
        prop_assert_eq!(Varint::new(value).as_slice().to_vec(), encode::varint(value));
        prop_assert_eq!(Varint::len_of(value), encode::varint(value).len());
        let (mut reader, mut rest) = (Reader::new(&bytes), &bytes[..]);
        let (first, second) = (reader.varint("varint"), decode::varint(&mut rest));
        prop_assert_eq!(first.ok(), second);
        if let Some(value) = second {
            prop_assert_eq!(reader.rest(), rest);
            prop_assert_eq!(encode::varint(value), &bytes[..bytes.len() - rest.len()]);
        }
    }
}
