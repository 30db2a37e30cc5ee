//! HAPROXY-DISCONNECT and AGENT-DISCONNECT: one shape, two types (SPOE.txt 3.2.8 and 3.2.9).

use bytes::BytesMut;

use super::{DISCONNECT_MESSAGE_MAX, DecodeError, Fault, Flags, FrameFull, FrameType, FrameWriter};
use super::{Status, TypedData, kv};

const STATUS_CODE: &[u8] = b"status-code";
const MESSAGE: &[u8] = b"message";

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// The status code.
    pub status: Status,
    /// The reason in words.
    pub message: &'a [u8],
}

impl<'a> Disconnect<'a> {
    /// Checks a payload to its last byte. The status code has to be there; a message that is
    /// missing is an empty one.
    pub fn parse(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let (mut status, mut message) = (None, &b""[..]);
        kv::each(payload, |key, value| {
            match (key, value) {
                (STATUS_CODE, value) => {
                    let wrong = DecodeError::field("status-code", Fault::WrongType);
                    status = Some(Status(value.as_u32().ok_or(wrong)?));
                }
                (MESSAGE, TypedData::String(text)) => message = text,
                (MESSAGE, _) => return Err(DecodeError::field("message", Fault::WrongType)),
                _ => {}
            }
            Ok(())
        })?;
        let status = status.ok_or(DecodeError::field("status-code", Fault::Missing))?;
        Ok(Self { status, message })
    }

    /// Appends the frame, as the agent (`AGENT_DISCONNECT`) or as `HAProxy`. The message is cut to
    /// 255 bytes.
    pub fn write(&self, kind: FrameType, out: &mut BytesMut, max: u32) -> Result<(), FrameFull> {
        let message = self
            .message
            .get(..DISCONNECT_MESSAGE_MAX)
            .unwrap_or(self.message);
        let mut frame = FrameWriter::begin(out, kind, Flags::FIN, (0, 0), max);
        frame.put_kv(STATUS_CODE, TypedData::Uint32(self.status.0))?;
        frame.put_kv(MESSAGE, TypedData::String(message))?;
        frame.finish();
        Ok(())
    }
}

impl From<Status> for Disconnect<'static> {
    fn from(status: Status) -> Self {
        Self {
            status,
            message: status.message().as_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Frame;

    #[test]
    fn any_status_round_trips() {
        for code in [0, 3, 13, 99, 100, 4242, u32::MAX] {
            let mut out = BytesMut::new();
            let disconnect = Disconnect {
                status: Status(code),
                message: b"because",
            };
            disconnect
                .write(FrameType::HAPROXY_DISCONNECT, &mut out, 256)
                .unwrap();
            let (frame, _) = Frame::split_first(&out, 256).unwrap().unwrap();
            assert_eq!(
                (frame.kind, frame.flags),
                (FrameType::HAPROXY_DISCONNECT, Flags::FIN)
            );
            assert_eq!(Disconnect::parse(frame.payload), Ok(disconnect));
        }
    }

    #[test]
    fn a_status_has_to_be_there_and_a_message_need_not() {
        let missing = DecodeError::field("status-code", Fault::Missing);
        assert_eq!(Disconnect::parse(&[]), Err(missing));
        let mut payload = vec![11];
        payload.extend_from_slice(b"status-code");
        payload.extend_from_slice(&[4, 7]);
        let parsed = Disconnect::parse(&payload).unwrap();
        assert_eq!(
            parsed,
            Disconnect {
                status: Status(7),
                message: b""
            }
        );
        *payload.last_mut().unwrap() = 0;
        payload[12] = 8;
        let wrong = DecodeError::field("status-code", Fault::WrongType);
        assert_eq!(Disconnect::parse(&payload), Err(wrong));
    }

    #[test]
    fn a_message_is_cut_to_what_haproxy_takes_and_fits_the_least_frame() {
        let mut out = BytesMut::new();
        let long = Disconnect {
            status: Status::UNKNOWN,
            message: &[b'x'; 400],
        };
        long.write(FrameType::AGENT_DISCONNECT, &mut out, 16380)
            .unwrap();
        let (frame, _) = Frame::split_first(&out, 16380).unwrap().unwrap();
        assert_eq!(Disconnect::parse(frame.payload).unwrap().message.len(), 255);
        for code in (0..14).chain([99]) {
            let own = Disconnect::from(Status(code));
            own.write(FrameType::AGENT_DISCONNECT, &mut out, 256)
                .unwrap();
        }
    }
}
