//! Law: whatever frames come in whatever order, valid or not, a session keeps to the laws of
//! `fuzz/laws.rs` (any chunking gives the same answers, every ACK answers a NOTIFY, nothing exceeds
//! what was agreed on, nothing follows the close), adds to the output without touching what is
//! there, and keeps connections apart.
//!
//! What each single fault is answered with is the simulation's concern.

#![cfg(test)]

#[path = "model/encode.rs"]
mod encode;
#[path = "../fuzz/laws.rs"]
mod laws;
#[path = "model/values.rs"]
mod values;

use core::time::Duration;

use bytes::BytesMut;
use haproxy_spoa::{Deferred, Limits, Notify, Replies, Reply, Scope};
use haproxy_spop::session::{Session, SessionConfig};
use haproxy_spop::{AckView, Frame, FrameType, Status};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any};
use proptest::sample::select;
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};

/// A frame that HAProxy could send, or something like it: few ids, so that they meet.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![
        6 => Just(3_u8),
        4 => Just(0),
        1 => select(vec![1, 2, 101, 103]),
        1 => any::<u8>(),
    ];
    let flags = prop_oneof![4 => Just(1_u32), 3 => Just(0), 1 => select(vec![2, 3, 0xffff_fffe])];
    let ids = prop_oneof![4 => (1..3_u64, 1..3_u64), 1 => any::<(u64, u64)>(), 1 => Just((0, 0))];
    (kind, flags, ids, payload())
        .prop_map(|(kind, flags, ids, payload)| encode::frame(kind, flags, ids, &payload))
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(values::message(), 0..3).prop_map(|messages| encode::messages(&messages)),
        1 => vec(any::<u8>(), 0..400),
        1 => Just(Vec::new()),
        1 => (any::<u8>(), values::value()).prop_map(|(scope, value)| {
            [encode::set_var(scope % 6, "a", &value), encode::unset_var(scope % 6, "b")].concat()
        }),
        1 => any::<u32>().prop_map(|status| {
            encode::kv(b"status-code", &encode::Value::Uint32(status))
        }),
    ]
}

/// Frames, with perhaps some bytes in between that are none.
fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![30 => frame(), 1 => vec(any::<u8>(), 0..30)];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Says how many messages there were.
fn count(notify: &Notify<'_>, mut reply: Reply<'_>) {
    reply.set_var(Scope::Request, "messages", notify.messages().count() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_in_any_order_keep_to_the_laws(choice in any::<[u8; 4]>(), bytes in conversation()) {
        laws::session(&[&choice[..], &bytes].concat());
    }

    #[test]
    fn frames_of_any_type_are_read_as_they_are_written(bytes in conversation()) {
        laws::frame(&[&[2], &bytes[..]].concat());
    }

    #[test]
    fn any_payload_in_any_fragments_keeps_to_the_laws(
        bound in any::<u8>(),
        sizes in vec(any::<u8>(), 0..16),
        payload in payload(),
    ) {
        let count = u8::try_from(sizes.len()).unwrap();
        laws::reassembly(&[&[bound, count], &sizes[..], &payload].concat());
    }

    #[test]
    fn output_is_added_to_what_is_there(there in vec(any::<u8>(), 0..99), bytes in conversation()) {
        let input = [&laws::hello(300), &bytes[..]].concat();
        let receive = |output: &mut BytesMut| {
            let mut session = Session::new(SessionConfig::default());
            let step = Replies::detached().serve(&mut session, &input, output, &mut count);
            session.disconnect(Status::IO, output);
            step
        };
        let (mut alone, mut behind) = (BytesMut::new(), BytesMut::from(&there[..]));
        prop_assert_eq!(receive(&mut alone), receive(&mut behind));
        prop_assert_eq!(&behind[..there.len()], &there[..]);
        prop_assert_eq!(&behind[there.len()..], &alone[..]);
    }

    #[test]
    fn connections_know_nothing_of_each_other(
        conversations in vec(conversation(), 2),
        turns in vec((0..2_usize, 1..200_usize), 0..30),
    ) {
        let mut sessions = [Session::new(SessionConfig::default()), Session::new(SessionConfig::default())];
        let mut replies = Replies::detached();
        let mut rest = [&conversations[0][..], &conversations[1]];
        let mut outputs = [BytesMut::new(), BytesMut::new()];
        let mut tails = [Vec::new(), Vec::new()];
        let to_the_end = [(0, usize::MAX), (1, usize::MAX)];
        for (which, len) in turns.into_iter().chain(to_the_end) {
            let (now, later) = rest[which].split_at(len.min(rest[which].len()));
            rest[which] = later;
            tails[which].extend_from_slice(now);
            let step = replies.serve(
                &mut sessions[which],
                &tails[which],
                &mut outputs[which],
                &mut count,
            );
            tails[which].drain(..step.consumed);
        }
        for (conversation, output) in conversations.iter().zip(outputs) {
            let mut alone = BytesMut::new();
            let mut session = Session::new(SessionConfig::default());
            replies.serve(&mut session, conversation, &mut alone, &mut count);
            prop_assert_eq!(alone, output);
        }
    }

    /// Every NOTIFY gets exactly one ACK, whether it is answered at once, later, not at all by the one
    /// who has its answer, or at a limit.
    #[test]
    fn deferred_answers_are_one_ack_each_in_any_order(
        ways in vec((0..4_u8, any::<u16>()), 0..40),
        cuts in vec(1..200_usize, 0..20),
        per_connection in 0..40_usize,
    ) {
        let limits = Limits { deferred_per_connection: per_connection, ..Limits::default() };
        let mut replies = Replies::detached_with(&limits);
        let mut waiting: Vec<(u16, u8, Deferred)> = Vec::new();
        let mut handler = |notify: &Notify<'_>, mut reply: Reply<'_>| {
            let (way, order) = ways[usize::try_from(notify.frame_id).unwrap()];
            reply.set_var(Scope::Request, "way", u32::from(way));
            if way > 0 {
                waiting.push((order, way, reply.defer()));
            }
        };
        let mut input = laws::hello(300);
        for id in 0..ways.len() {
            input.extend(encode::frame(3, 1, (7, id as u64), b""));
        }
        let mut session = Session::new(SessionConfig::default());
        let (mut output, mut tail) = (BytesMut::new(), Vec::new());
        let mut rest = &input[..];
        for len in cuts.into_iter().chain([usize::MAX]) {
            let (now, later) = rest.split_at(len.min(rest.len()));
            rest = later;
            tail.extend_from_slice(now);
            let served = replies.serve(&mut session, &tail, &mut output, &mut handler);
            tail.drain(..served.consumed);
        }
        waiting.sort_by_key(|(order, ..)| *order);
        for (_, way, mut deferred) in waiting {
            if way > 1 {
                deferred.set_var(Scope::Request, "late", true);
                deferred.send();
            }
        }
        let deferred = ways.iter().filter(|(way, _)| *way > 0).count().min(per_connection);
        prop_assert_eq!(replies.receive(Duration::ZERO, &mut output), deferred);
        let (mut bytes, mut ids) = (&output[..], Vec::new());
        while let Some((frame, behind)) = Frame::split_first(bytes, 300).unwrap() {
            bytes = behind;
            if frame.kind == FrameType::ACK {
                prop_assert!(AckView::try_from(frame).is_ok());
                ids.push(frame.frame_id);
            }
        }
        prop_assert!(bytes.is_empty());
        ids.sort_unstable();
        prop_assert!(ids.into_iter().eq(0..ways.len() as u64));
    }
}
