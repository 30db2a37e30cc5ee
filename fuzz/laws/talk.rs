//! A conversation that has taken place, and what holds for every one.

use bytes::BytesMut;
use haproxy_spoa::{Handler, Reply};
use haproxy_spop::session::SessionConfig;
use haproxy_spop::{
    AckView, AgentHello, Capabilities, Disconnect, Flags, Frame, FrameType, FrameWriter,
    HaproxyHello, LENGTH_PREFIX, Notify, Scope, Status, TypedData, Versions,
};

use super::driver::{Driver, Total};

/// What the agent sent and did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Talk {
    pub(crate) sent: Vec<u8>,
    pub(crate) total: Total,
    /// The ids of the NOTIFYs that the handler was given.
    asked: Vec<(u64, u64)>,
}

/// Says what it was asked: for every message a variable with the value of the first argument.
#[derive(Debug, Default)]
struct Echo {
    asked: Vec<(u64, u64)>,
}

impl Handler for Echo {
    fn notify(&mut self, notify: &Notify<'_>, mut reply: Reply<'_>) {
        self.asked.push((notify.stream_id, notify.frame_id));
        for message in notify.messages() {
            let first = message.arguments().next();
            let value = first.map_or(TypedData::Null, |argument| argument.value);
            reply.set_var(Scope::Session, "first", value);
        }
    }
}

impl Talk {
    /// Hands the pieces to a new session, one after the other, then stops it.
    pub(crate) fn new(terms: SessionConfig, pieces: &[&[u8]]) -> Self {
        let mut echo = Echo::default();
        let mut driver = Driver::new(terms, 0);
        for piece in pieces {
            driver.feed(piece, &mut echo);
        }
        driver.disconnect(Status::NORMAL);
        driver.feed(b"too late", &mut echo);
        Self {
            sent: driver.sent().to_vec(),
            total: driver.total(),
            asked: echo.asked,
        }
    }

    /// What holds whatever the input was.
    pub(crate) fn is_lawful(&self, input: &[u8]) {
        let answers = all_frames(&self.sent);
        self.is_well_formed(&answers);
        let acks = answers
            .iter()
            .filter(|answer| answer.kind == FrameType::ACK);
        let acks: Vec<_> = acks.map(|ack| (ack.stream_id, ack.frame_id)).collect();
        assert_eq!(acks, self.asked);
        assert_eq!(acks.len(), self.total.acks as usize);

        // The frame that the peer is refused for may look like the end of a NOTIFY.
        let owed = owed(&input[..self.total.consumed]);
        let refused = usize::from(self.total.refusal.is_some());
        assert!(
            owed.starts_with(&acks) && owed.len() <= acks.len() + refused,
            "{owed:?} {acks:?}"
        );
    }

    /// HELLO first, DISCONNECT last, ACKs between them, none larger than agreed.
    fn is_well_formed(&self, answers: &[Frame<'_>]) {
        let mut max = None;
        for (place, answer) in answers.iter().enumerate() {
            assert_eq!(answer.flags, Flags::FIN);
            match answer.kind {
                FrameType::AGENT_HELLO => {
                    assert_eq!(place, 0);
                    max = Some(AgentHello::parse(answer.payload).unwrap().max_frame_size);
                }
                FrameType::AGENT_DISCONNECT => {
                    assert_eq!(place + 1, answers.len());
                    let status = Disconnect::parse(answer.payload).unwrap().status;
                    assert_eq!(status, self.total.close.unwrap_or(Status::NORMAL));
                }
                FrameType::ACK => {
                    assert!(place > 0 && AckView::try_from(*answer).is_ok());
                }
                other => panic!("an agent sends no {other}"),
            }
        }
        let largest = sizes(&self.sent).max().unwrap_or(0);
        assert!(
            max.is_none_or(|max| largest <= max),
            "{largest} bytes, agreed on {max:?}"
        );
    }
}

/// The ids of the NOTIFYs that are complete, in the order in which they became so.
fn owed(input: &[u8]) -> Vec<(u64, u64)> {
    let complete = |frame: &Frame<'_>| match frame.kind {
        FrameType::NOTIFY => frame.flags.is_fin(),
        FrameType::UNSET => frame.flags.is_fin() && !frame.flags.is_abort(),
        _ => false,
    };
    let frames = all_frames(input).into_iter().filter(complete);
    frames
        .map(|frame| (frame.stream_id, frame.frame_id))
        .collect()
}

fn all_frames(mut bytes: &[u8]) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    while let Some((frame, rest)) = Frame::split_first(bytes, u32::MAX).unwrap() {
        frames.push(frame);
        bytes = rest;
    }
    assert!(bytes.is_empty(), "part of a frame");
    frames
}

/// The lengths that the frames announce.
fn sizes(mut bytes: &[u8]) -> impl Iterator<Item = u32> {
    core::iter::from_fn(move || {
        let (prefix, rest) = bytes.split_first_chunk::<LENGTH_PREFIX>()?;
        let len = u32::from_be_bytes(*prefix);
        bytes = &rest[len as usize..];
        Some(len)
    })
}

/// A HAPROXY-HELLO that offers this max-frame-size.
pub(crate) fn hello(max_frame_size: u32) -> Vec<u8> {
    let offer = HaproxyHello {
        supported_versions: Some(Versions(b"2.0")),
        max_frame_size: Some(max_frame_size),
        capabilities: Some(Capabilities(b"pipelining,async")),
        ..HaproxyHello::default()
    };
    let mut out = BytesMut::new();
    offer.write(&mut out, 256).unwrap();
    out.to_vec()
}

/// A frame of any kind with any payload.
pub(crate) fn raw(kind: FrameType, flags: Flags, ids: (u64, u64), payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    let mut frame = FrameWriter::begin(&mut out, kind, flags, ids, u32::MAX);
    frame.put(payload).unwrap();
    frame.finish();
    out.to_vec()
}
