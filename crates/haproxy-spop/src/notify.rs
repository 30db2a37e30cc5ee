//! NOTIFY: messages for the agent (SPOE.txt 3.2.6).
//!
//! ```text
//!  payload   message*
//!  message   name: string | number of arguments: u8 | argument*
//!  argument  name: string (may be empty) | value: typed data
//! ```

mod fast;

use core::net::IpAddr;

use bytes::{BufMut as _, BytesMut};

use super::{DecodeError, Flags, Frame, FrameFull, FrameType, FrameWriter, Reader, TypedData};
use super::{Varint, data};

/// A NOTIFY whose payload has been checked to its last byte.
#[derive(Debug, Clone, Copy)]
pub struct Notify<'a> {
    /// The stream-id that the ACK must repeat.
    pub stream_id: u64,
    /// The frame-id that the ACK must repeat.
    pub frame_id: u64,
    pub(super) payload: &'a [u8],
    /// How many messages there are.
    pub(super) messages: usize,
}

impl<'a> Notify<'a> {
    /// Checks a list of messages. An empty one is legal: 3.1.0 to 3.2.0 send it.
    #[inline]
    pub fn parse(stream_id: u64, frame_id: u64, payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let mut messages = 0;
        while !reader.is_empty() {
            messages += 1;
            let (_, arguments) = read_head(&mut reader)?;
            for _ in 0..arguments {
                Argument::read(&mut reader)?;
            }
        }
        Ok(Self {
            stream_id,
            frame_id,
            payload,
            messages,
        })
    }

    /// Takes a whole and valid NOTIFY off the head of `input`. `None` says nothing about the input:
    /// [`Frame::split_first`] and [`parse`](Self::parse) tell what else it is.
    #[inline]
    pub(crate) fn split_first(input: &'a [u8], max: u32) -> Option<(Self, &'a [u8])> {
        fast::notify(input, max)
    }

    /// The view of a payload that [`parse`](Self::parse) has found to hold so many messages.
    pub(crate) const fn checked(
        (stream_id, frame_id): (u64, u64),
        payload: &'a [u8],
        messages: usize,
    ) -> Self {
        Self {
            stream_id,
            frame_id,
            payload,
            messages,
        }
    }

    /// The number of messages.
    pub(crate) const fn len(&self) -> usize {
        self.messages
    }

    /// The messages, in the order in which `HAProxy` sent them.
    #[must_use]
    #[inline]
    pub const fn messages(&self) -> Messages<'a> {
        Messages {
            reader: Reader::new(self.payload),
            skip: 0,
            left: self.messages,
        }
    }
}

#[inline]
fn read_head<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], u8), DecodeError> {
    Ok((
        reader.string("message name")?,
        reader.u8("number of arguments")?,
    ))
}

/// The messages of a [`Notify`].
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    reader: Reader<'a>,
    /// Arguments of the message handed out last, still in front of the next one.
    skip: u8,
    /// Messages not handed out yet. Behind the last one nothing needs to be skipped.
    left: usize,
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "out of line, with several handlers in a program, it costs each NOTIFY 25 instructions"
    )]
    fn next(&mut self) -> Option<Message<'a>> {
        self.left = self.left.checked_sub(1)?;
        // `Notify::parse` has seen every byte, so `ok()?` never ends the list early.
        for _ in 0..self.skip {
            Argument::read(&mut self.reader).ok()?;
        }
        let (name, arguments) = read_head(&mut self.reader).ok()?;
        self.skip = arguments;
        Some(Message {
            name,
            arguments,
            reader: self.reader,
        })
    }
}

/// One message: a name and arguments.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    name: &'a [u8],
    arguments: u8,
    reader: Reader<'a>,
}

impl<'a> Message<'a> {
    /// The name, as the `spoe-message` line of `HAProxy`'s configuration says it.
    #[must_use]
    #[inline]
    pub const fn name(&self) -> &'a [u8] {
        self.name
    }

    /// The arguments in the order of the `args` line. Names may be empty and may repeat.
    #[must_use]
    #[inline]
    pub const fn arguments(&self) -> Arguments<'a> {
        Arguments {
            reader: self.reader,
            left: self.arguments,
        }
    }

    /// The value of the first argument with this name.
    #[must_use]
    pub fn argument(&self, name: &str) -> Option<TypedData<'a>> {
        let mut arguments = self.arguments();
        arguments
            .find(|argument| argument.name == name.as_bytes())
            .map(|argument| argument.value)
    }

    /// The first argument with this name, if it is an IPv4 or IPv6 address.
    #[must_use]
    pub fn ip(&self, name: &str) -> Option<IpAddr> {
        self.argument(name)?.address()
    }

    /// The first argument with this name, if it is a STRING in UTF-8.
    #[must_use]
    pub fn str(&self, name: &str) -> Option<&'a str> {
        match self.argument(name)? {
            TypedData::String(bytes) => core::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The first argument with this name, if it is an integer of any width that an `i64` holds.
    #[must_use]
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.argument(name)? {
            TypedData::Int32(value) => Some(value.into()),
            TypedData::Uint32(value) => Some(value.into()),
            TypedData::Int64(value) => Some(value),
            TypedData::Uint64(value) => value.try_into().ok(),
            _ => None,
        }
    }

    /// The first argument with this name, if it is a BINARY or a STRING.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<&'a [u8]> {
        match self.argument(name)? {
            TypedData::Binary(bytes) | TypedData::String(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// The arguments of a [`Message`].
#[derive(Debug, Clone)]
pub struct Arguments<'a> {
    reader: Reader<'a>,
    left: u8,
}

impl<'a> Iterator for Arguments<'a> {
    type Item = Argument<'a>;

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "out of line, with several handlers in a program, it costs each NOTIFY 25 instructions"
    )]
    fn next(&mut self) -> Option<Argument<'a>> {
        self.left = self.left.checked_sub(1)?;
        Argument::read(&mut self.reader).ok()
    }
}

/// One argument of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argument<'a> {
    /// The name; empty if the `args` line gives none.
    pub name: &'a [u8],
    /// The sample; NULL if it was not available.
    pub value: TypedData<'a>,
}

impl<'a> Argument<'a> {
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "15 % of the instructions of a NOTIFY, by callgrind"
    )]
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let name = reader.string("argument name")?;
        Ok(Self {
            name,
            value: TypedData::read(reader, "argument value")?,
        })
    }
}

/// Writes a NOTIFY, as `HAProxy` would.
#[derive(Debug)]
pub struct NotifyWriter<'a> {
    frame: FrameWriter<'a>,
}

impl<'a> NotifyWriter<'a> {
    /// Begins a NOTIFY of at most `max` bytes.
    pub fn begin(out: &'a mut BytesMut, stream_id: u64, frame_id: u64, max: u32) -> Self {
        let ids = (stream_id, frame_id);
        Self {
            frame: FrameWriter::begin(out, FrameType::NOTIFY, Flags::FIN, ids, max),
        }
    }

    /// Appends a message: all of it, or nothing if it does not fit.
    pub fn message(&mut self, name: &str, arguments: &[Argument<'_>]) -> Result<(), FrameFull> {
        let count = u8::try_from(arguments.len()).map_err(|_| FrameFull)?;
        let mark = self.frame.mark();
        let written = self.put_message(name, count, arguments);
        if written.is_err() {
            self.frame.roll_back(mark);
        }
        written
    }

    fn put_message(
        &mut self,
        name: &str,
        count: u8,
        arguments: &[Argument<'_>],
    ) -> Result<(), FrameFull> {
        let out = self
            .frame
            .admit(Varint::len_of(name.len() as u64) + name.len() + 1)?;
        data::write_string(name.as_bytes(), out);
        out.put_u8(count);
        arguments
            .iter()
            .try_for_each(|argument| self.frame.put_kv(argument.name, argument.value))
    }

    /// Completes the frame.
    pub fn finish(self) {
        self.frame.finish();
    }
}

impl<'a> TryFrom<Frame<'a>> for Notify<'a> {
    type Error = DecodeError;

    #[inline]
    fn try_from(frame: Frame<'a>) -> Result<Self, DecodeError> {
        Self::parse(frame.stream_id, frame.frame_id, frame.payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fault;

    fn sample() -> BytesMut {
        let mut out = BytesMut::new();
        let mut notify = NotifyWriter::begin(&mut out, 7, u64::MAX, 16380);
        let address = TypedData::Ipv4([192, 0, 2, 1].into());
        notify
            .message(
                "check-client-ip",
                &[Argument {
                    name: b"",
                    value: address,
                }],
            )
            .unwrap();
        notify.message("none", &[]).unwrap();
        let twice = [
            Argument {
                name: b"x",
                value: TypedData::Null,
            },
            Argument {
                name: b"x",
                value: TypedData::Int64(-1),
            },
        ];
        notify.message("twice", &twice).unwrap();
        notify.finish();
        out
    }

    #[test]
    fn messages_and_arguments_keep_order_repetition_and_missing_names() {
        let bytes = sample();
        let (frame, _) = Frame::split_first(&bytes, 16380).unwrap().unwrap();
        let notify = Notify::try_from(frame).unwrap();
        assert_eq!((notify.stream_id, notify.frame_id), (7, u64::MAX));
        let messages: Vec<_> = notify.messages().collect();
        let names: Vec<_> = messages.iter().map(Message::name).collect();
        assert_eq!(names, [&b"check-client-ip"[..], b"none", b"twice"]);
        let first = messages[0].arguments().next().unwrap();
        assert_eq!(first.name, b"");
        assert_eq!(first.value.address(), Some([192, 0, 2, 1].into()));
        assert_eq!(messages[1].arguments().count(), 0);
        assert_eq!(messages[2].arguments().count(), 2);
        assert_eq!(messages[2].argument("x"), Some(TypedData::Null));
        assert_eq!(messages[2].argument("y"), None);
    }

    #[test]
    fn typed_accessors_return_their_type_only() {
        let mut out = BytesMut::new();
        let mut notify = NotifyWriter::begin(&mut out, 1, 1, 16380);
        let arguments: [(&[u8], TypedData<'_>); 6] = [
            (b"ip", TypedData::Ipv6([0; 16].into())),
            (b"host", TypedData::String(b"example")),
            (b"broken", TypedData::String(&[0xff])),
            (b"port", TypedData::Int32(-1)),
            (b"huge", TypedData::Uint64(u64::MAX)),
            (b"body", TypedData::Binary(b"x")),
        ];
        let arguments = arguments.map(|(name, value)| Argument { name, value });
        notify.message("m", &arguments).unwrap();
        notify.finish();
        let (frame, _) = Frame::split_first(&out, 16380).unwrap().unwrap();
        let notify = Notify::try_from(frame).unwrap();
        let message = notify.messages().next().unwrap();
        assert_eq!(message.ip("ip"), Some([0_u16; 8].into()));
        assert_eq!(message.str("host"), Some("example"));
        assert_eq!(message.bytes("host"), Some(&b"example"[..]));
        assert_eq!(message.int("port"), Some(-1));
        assert_eq!(message.bytes("body"), Some(&b"x"[..]));
        assert_eq!((message.str("broken"), message.str("body")), (None, None));
        assert_eq!((message.int("huge"), message.ip("port")), (None, None));
        assert_eq!(message.bytes("absent"), None);
    }

    #[test]
    fn every_cut_inside_a_message_is_refused() {
        let bytes = sample();
        let (frame, _) = Frame::split_first(&bytes, 16380).unwrap().unwrap();
        let notify = Notify::try_from(frame).unwrap();
        let mut whole = vec![0];
        let mut messages = notify.messages();
        while messages.next().is_some() {
            let mut ahead = messages.clone();
            ahead.next();
            let rest = messages.reader.rest().len();
            whole.push(frame.payload.len() - rest);
        }
        // A payload that ends behind a message is a shorter list; anywhere else it is an error.
        let ends: Vec<_> = (0..=frame.payload.len())
            .filter(|&cut| Notify::parse(1, 1, &frame.payload[..cut]).is_ok())
            .collect();
        assert_eq!(ends.len(), 4, "{ends:?}");
    }

    #[test]
    fn a_count_that_promises_more_arguments_than_there_are_is_refused() {
        let payload = [1, b'm', 2, 1, b'a', 0];
        let fault = DecodeError::field("argument name", Fault::Truncated);
        assert_eq!(Notify::parse(1, 1, &payload).map(|_| ()), Err(fault));
    }

    #[test]
    fn a_message_that_does_not_fit_is_not_begun() {
        let mut out = BytesMut::new();
        let mut notify = NotifyWriter::begin(&mut out, 1, 1, 16);
        let long = Argument {
            name: b"long",
            value: TypedData::Binary(&[0; 64]),
        };
        assert_eq!(notify.message("m", &[long]), Err(FrameFull));
        notify.message("m", &[]).unwrap();
        notify.finish();
        assert_eq!(out.len(), 4 + 7 + 3);
    }
}
