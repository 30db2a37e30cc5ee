//! The NOTIFY that is sent again and again, and what its ACK has to say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::BytesMut;
use haproxy_spop::{
    Ack, AckView, Action, Argument, Flags, Frame, FrameFull, FrameType, FrameWriter, NotifyWriter,
    Reader, Scope, TypedData, Varint,
};

use crate::options::Ask;
use crate::tally::Kind;

/// The highest score.
const SCORE_MAX: u32 = 100;

/// A NOTIFY with a place for the address, and the variable that answers it.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    v4: Template,
    v6: Template,
    scope: Scope,
    variable: Vec<u8>,
    /// The payload of an ACK that sets the variable and nothing else, up to the value.
    expected: Vec<u8>,
}

/// The payload of a NOTIFY.
#[derive(Debug, Clone)]
struct Template {
    payload: Vec<u8>,
    /// Where the address begins.
    address_at: usize,
}

impl Question {
    /// # Errors
    /// If the message does not fit the max-frame-size that HELLO offers.
    pub(crate) fn new(ask: &Ask) -> Result<Self, FrameFull> {
        Ok(Self {
            v4: Template::new(ask, Ipv4Addr::UNSPECIFIED.into())?,
            v6: Template::new(ask, Ipv6Addr::UNSPECIFIED.into())?,
            scope: ask.scope,
            variable: ask.variable.clone().into_bytes(),
            expected: expected(ask)?,
        })
    }

    /// Appends a NOTIFY. `FrameFull` if it exceeds what was negotiated.
    #[inline]
    pub(crate) fn write(
        &mut self,
        address: IpAddr,
        ids: (u64, u64),
        out: &mut BytesMut,
        max: u32,
    ) -> Result<(), FrameFull> {
        let template = match address {
            IpAddr::V4(address) => self.v4.fill(&address.octets()),
            IpAddr::V6(address) => self.v6.fill(&address.octets()),
        };
        let mut frame = FrameWriter::begin(out, FrameType::NOTIFY, Flags::FIN, ids, max);
        frame.put(&template.payload)?;
        frame.finish();
        Ok(())
    }

    /// Whether an ACK sets the variable to a score. The error says what is wrong, first in general.
    #[inline]
    pub(crate) fn check(&self, frame: Frame<'_>) -> Result<(), (Kind, String)> {
        if !frame.flags.is_fin() {
            return Err((Kind::AckFlags, format!("flags {:#x}", frame.flags.0)));
        }
        if let Some(value) = frame.payload.strip_prefix(self.expected.as_slice()) {
            let mut reader = Reader::new(value);
            if let (Ok(value), true) = (TypedData::read(&mut reader, "value"), reader.is_empty()) {
                return score(value);
            }
        }
        self.check_any(frame)
    }

    /// An ACK that is not just what is expected.
    fn check_any(&self, frame: Frame<'_>) -> Result<(), (Kind, String)> {
        let view = AckView::try_from(frame)
            .map_err(|malformed| (Kind::Garbage, format!("ACK: {malformed}")))?;
        if self.variable.is_empty() {
            return Ok(());
        }
        let mut found = None;
        for action in view.actions() {
            if let Action::SetVar { scope, name, value } = action
                && name == self.variable
            {
                if scope == self.scope {
                    return score(value);
                }
                found = Some(scope);
            }
        }
        Err(match found {
            Some(scope) => (
                Kind::AckScope,
                format!("scope {scope} in place of {}", self.scope),
            ),
            None => (
                Kind::AckVariable,
                format!("{} actions", view.actions().count()),
            ),
        })
    }
}

fn expected(ask: &Ask) -> Result<Vec<u8>, FrameFull> {
    let mut out = BytesMut::new();
    let mut ack = Ack::begin(&mut out, 0, 0, ask.max_frame_size);
    ack.set_var(ask.scope, &ask.variable, TypedData::Null)?;
    ack.finish();
    let payload = payload_of(&out, ask.max_frame_size)?;
    let (_null, before) = payload.split_last().ok_or(FrameFull)?;
    Ok(before.to_vec())
}

/// The payload of a frame that was just written.
fn payload_of(frame: &[u8], max: u32) -> Result<&[u8], FrameFull> {
    let (frame, _) = Frame::split_first(frame, max)
        .ok()
        .flatten()
        .ok_or(FrameFull)?;
    Ok(frame.payload)
}

#[inline]
fn score(value: TypedData<'_>) -> Result<(), (Kind, String)> {
    match value.as_u32() {
        Some(..=SCORE_MAX) => Ok(()),
        Some(score) => Err((Kind::AckRange, format!("the score is {score}"))),
        None => Err(match value {
            TypedData::Int32(_) | TypedData::Int64(_) | TypedData::Uint64(_) => {
                (Kind::AckRange, format!("the score is {value:?}"))
            }
            _ => (Kind::AckType, format!("the score is {value:?}")),
        }),
    }
}

impl Template {
    fn new(ask: &Ask, address: IpAddr) -> Result<Self, FrameFull> {
        let buffer = vec![b'x'; ask.payload.unwrap_or_default()];
        let name = ask.argument.as_bytes();
        let value = TypedData::from(address);
        let both = [
            Argument { name, value },
            Argument {
                name: b"buf",
                value: TypedData::Binary(&buffer),
            },
        ];
        let arguments = match ask.payload {
            Some(_) => &both[..],
            None => &both[..1],
        };
        let mut out = BytesMut::new();
        let mut notify = NotifyWriter::begin(&mut out, 0, 0, ask.max_frame_size);
        notify.message(&ask.message, arguments)?;
        notify.finish();
        let string = |text: &str| Varint::len_of(text.len() as u64) + text.len();
        Ok(Self {
            payload: payload_of(&out, ask.max_frame_size)?.to_vec(),
            // Message name, count of arguments, argument name, data type.
            address_at: string(&ask.message) + 1 + string(&ask.argument) + 1,
        })
    }

    #[inline]
    fn fill(&mut self, octets: &[u8]) -> &Self {
        let end = self.address_at + octets.len();
        if let Some(place) = self.payload.get_mut(self.address_at..end) {
            place.copy_from_slice(octets);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use haproxy_spop::Notify;

    use super::*;

    fn ask(message: &str, argument: &str, payload: Option<usize>) -> Ask {
        Ask {
            message: message.to_owned(),
            argument: argument.to_owned(),
            variable: "ip_score".to_owned(),
            scope: Scope::Session,
            addresses: "random".parse().unwrap(),
            payload,
            max_frame_size: 16380,
            seed: 1,
        }
    }

    fn check(write: impl FnOnce(&mut Ack<'_>)) -> Result<(), Kind> {
        let mut out = BytesMut::new();
        let mut ack = Ack::begin(&mut out, 1, 1, 16380);
        write(&mut ack);
        ack.finish();
        let (frame, _) = Frame::split_first(&out, 16380).unwrap().unwrap();
        let question = Question::new(&ask("check-client-ip", "", None)).unwrap();
        question.check(frame).map_err(|(kind, _)| kind)
    }

    #[test]
    fn every_notify_carries_its_own_address() {
        for (message, argument, payload) in [
            ("check-client-ip", "", None),
            ("ip-rep", "ip", Some(0)),
            (&"m".repeat(300), &"a".repeat(300), Some(10_000)),
        ] {
            let mut question = Question::new(&ask(message, argument, payload)).unwrap();
            for address in ["192.0.2.1", "2001:db8::1", "198.51.100.255"] {
                let address: IpAddr = address.parse().unwrap();
                let mut out = BytesMut::new();
                question.write(address, (5, 1), &mut out, 16380).unwrap();
                let (frame, rest) = Frame::split_first(&out, 16380).unwrap().unwrap();
                assert!(rest.is_empty() && frame.flags.is_fin());
                let notify = Notify::try_from(frame).unwrap();
                let message_sent = notify.messages().next().unwrap();
                assert_eq!(message_sent.name(), message.as_bytes());
                let found = message_sent.argument(argument).unwrap().address();
                assert_eq!(found, Some(address));
                let buffer = message_sent.argument("buf");
                assert_eq!(
                    buffer.map(|value| value.encoded_len() > 9_999),
                    payload.map(|len| len > 0)
                );
            }
        }
    }

    #[test]
    fn a_payload_that_does_not_fit_is_refused() {
        assert!(Question::new(&ask("m", "", Some(16_380))).is_err());
        let mut question = Question::new(&ask("m", "", Some(1000))).unwrap();
        let mut out = BytesMut::new();
        let address = Ipv4Addr::LOCALHOST.into();
        assert_eq!(
            question.write(address, (1, 1), &mut out, 256),
            Err(FrameFull)
        );
        assert!(out.is_empty());
    }

    #[test]
    fn an_ack_must_set_the_variable_to_a_score() {
        let set = |scope, name: &'static str, value: TypedData<'static>| {
            check(|ack| ack.set_var(scope, name, value).unwrap())
        };
        let (sess, name) = (Scope::Session, "ip_score");
        for value in [
            TypedData::Uint32(0),
            TypedData::Int64(100),
            TypedData::Int32(7),
        ] {
            assert_eq!(set(sess, name, value), Ok(()));
        }
        let above = TypedData::Uint32(101);
        assert_eq!(set(sess, name, above), Err(Kind::AckRange));
        assert_eq!(set(sess, name, TypedData::Int32(-1)), Err(Kind::AckRange));
        assert_eq!(set(sess, name, TypedData::Null), Err(Kind::AckType));
        let good = TypedData::Uint32(1);
        assert_eq!(set(Scope::Request, name, good), Err(Kind::AckScope));
        assert_eq!(set(sess, "ip_scor", good), Err(Kind::AckVariable));
        assert_eq!(check(|_| ()), Err(Kind::AckVariable));
        let both = check(|ack| {
            ack.set_var(sess, "other", good).unwrap();
            ack.set_var(sess, name, good).unwrap();
            ack.set_var(sess, "third", good).unwrap();
        });
        assert_eq!(both, Ok(()));
        let unset = check(|ack| ack.unset_var(sess, name).unwrap());
        assert_eq!(unset, Err(Kind::AckVariable));
    }
}
