//! The common case, quickly: a whole NOTIFY at the head of the input, and nothing wrong with it.
//!
//! Nothing here says what is wrong. `None` means "not this way": a frame that is incomplete, of another
//! type, malformed, or merely unusual; [`Frame::split_first`](crate::Frame::split_first) and
//! [`Notify::parse`] then find out which. Both ways give the same view of the same bytes (tested), this
//! one without carrying a possible error past every field.

use super::Notify;
use crate::reader::Bytes;
use crate::{Flags, FrameType, data};

/// A whole and valid NOTIFY at the head of `input`, and what follows it. `max` is the max-frame-size
/// in force.
#[inline]
pub(super) fn notify(input: &[u8], max: u32) -> Option<(Notify<'_>, &[u8])> {
    let mut input = Bytes(input);
    let len = u32::from_be_bytes(*input.array()?);
    if len > max {
        return None;
    }
    let mut frame = Bytes(input.take(u64::from(len))?);
    let [kind, flags @ ..] = *frame.array::<5>()?;
    if FrameType(kind) != FrameType::NOTIFY || !Flags(u32::from_be_bytes(flags)).is_fin() {
        return None;
    }
    let (stream_id, frame_id) = (frame.varint()?, frame.varint()?);
    let notify = Notify {
        stream_id,
        frame_id,
        payload: frame.0,
        messages: messages(frame)?,
    };
    Some((notify, input.0))
}

/// How many messages there are, if nothing is wrong with them.
#[inline]
fn messages(mut payload: Bytes<'_>) -> Option<usize> {
    let mut messages = 0;
    while !payload.0.is_empty() {
        messages += 1;
        payload.string()?;
        for _ in 0..payload.u8()? {
            payload.string()?;
            data::skip(&mut payload)?;
        }
    }
    Some(messages)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::{Argument, Frame, NotifyWriter, TypedData};

    const MAX: u32 = 1 << 20;

    fn frame(ids: (u64, u64), messages: &[(String, Vec<(String, TypedData<'_>)>)]) -> BytesMut {
        let mut out = BytesMut::new();
        let mut notify = NotifyWriter::begin(&mut out, ids.0, ids.1, MAX);
        for (name, arguments) in messages {
            let arguments: Vec<_> = arguments
                .iter()
                .map(|(name, value)| Argument {
                    name: name.as_bytes(),
                    value: *value,
                })
                .collect();
            notify.message(name, &arguments).unwrap();
        }
        notify.finish();
        out
    }

    /// All that a handler can see of a NOTIFY, and what follows it.
    fn seen<'a>((notify, rest): (Notify<'a>, &'a [u8])) -> String {
        let messages: Vec<_> = notify
            .messages()
            .map(|message| (message.name(), message.arguments().collect::<Vec<_>>()))
            .collect();
        let ids = (notify.stream_id, notify.frame_id);
        format!("{ids:?} {messages:?} {}", rest.len())
    }

    /// The other way to the same view.
    fn parsed(input: &[u8]) -> Option<(Notify<'_>, &[u8])> {
        let (frame, rest) = Frame::split_first(input, MAX).ok()??;
        let whole = frame.kind == FrameType::NOTIFY && frame.flags.is_fin();
        Some((Notify::try_from(frame).ok().filter(|_| whole)?, rest))
    }

    fn value() -> impl Strategy<Value = TypedData<'static>> {
        static BYTES: [u8; 5000] = [0xa5; 5000];
        prop_oneof![
            Just(TypedData::Null),
            any::<bool>().prop_map(TypedData::Bool),
            any::<i32>().prop_map(TypedData::Int32),
            any::<u32>().prop_map(TypedData::Uint32),
            any::<i64>().prop_map(TypedData::Int64),
            any::<u64>().prop_map(TypedData::Uint64),
            any::<[u8; 4]>().prop_map(|octets| TypedData::Ipv4(octets.into())),
            any::<[u8; 16]>().prop_map(|octets| TypedData::Ipv6(octets.into())),
            (0..5000_usize).prop_map(|len| TypedData::String(&BYTES[..len])),
            (0..300_usize).prop_map(|len| TypedData::Binary(&BYTES[..len])),
        ]
    }

    proptest! {
        /// What `HAProxy` sends goes this way, and gives what the other way gives.
        #[test]
        fn common_frames_are_taken(
            ids in any::<(u64, u64)>(),
            messages in prop::collection::vec(
                ("[a-z-]{0,300}", prop::collection::vec(("[a-z]{0,4}", value()), 0..4)), 0..4),
            behind in prop::collection::vec(any::<u8>(), 0..9),
        ) {
            let mut input = frame(ids, &messages);
            input.extend_from_slice(&behind);
            let taken = notify(&input, MAX).map(seen);
            prop_assert!(taken.is_some());
            prop_assert_eq!(taken, parsed(&input).map(seen));
        }

        /// Whatever is taken this way would have been taken the other way, and looks the same.
        #[test]
        fn nothing_else_is_taken(
            first in value(),
            second in value(),
            faults in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let arguments = vec![("a".to_owned(), first), (String::new(), second)];
            let mut input = frame((300, 1), &[("m".to_owned(), arguments), ("n".to_owned(), Vec::new())]);
            for (place, byte) in faults {
                let place = place.index(input.len().min(64));
                input[place] = byte;
            }
            for input in [&input[..], &input[..cut.index(input.len())]] {
                if let Some(taken) = notify(input, MAX) {
                    prop_assert_eq!(Some(seen(taken)), parsed(input).map(seen));
                }
            }
        }
    }

    #[test]
    fn integers_wider_than_their_type_are_taken() {
        for kind in [2, 3] {
            let arguments = vec![("n".to_owned(), TypedData::Uint64(u64::MAX - 4))];
            let mut input = frame((1, 1), &[("m".to_owned(), arguments)]);
            // The value is a type and a varint of ten bytes.
            let value_index = input.len() - 11;
            assert_eq!(input[value_index], 5);
            input[value_index] = kind;
            let taken = notify(&input, MAX).map(seen);
            assert!(taken.is_some());
            assert_eq!(taken, parsed(&input).map(seen));
        }
    }

    #[test]
    fn a_frame_above_the_limit_is_left_to_the_other_way() {
        let input = frame((1, 1), &[]);
        let len = u32::try_from(input.len() - 4).unwrap();
        assert!(notify(&input, len).is_some());
        assert!(notify(&input, len - 1).is_none());
    }
}
