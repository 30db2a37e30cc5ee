//! The frame: length, type, flags, ids (SPOE.txt 3.2).

use core::fmt;

use super::{DecodeError, Fault, Reader};

/// Bytes of the length that precedes every frame and does not count itself.
pub const LENGTH_PREFIX: usize = 4;

/// The least that a frame can measure, in bytes without the length: type, flags and two ids of one
/// byte.
pub const FRAME_LEN_LEAST: u32 = 7;

/// The type of a frame (SPOE.txt 3.2). An open set: unknown types are skipped, not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameType(pub u8);

impl FrameType {
    /// A further fragment of the frame before it.
    pub const UNSET: Self = Self(0);
    /// `HAProxy` opens a connection.
    pub const HAPROXY_HELLO: Self = Self(1);
    /// `HAProxy` closes a connection.
    pub const HAPROXY_DISCONNECT: Self = Self(2);
    /// `HAProxy` sends messages.
    pub const NOTIFY: Self = Self(3);
    /// The agent accepts a connection.
    pub const AGENT_HELLO: Self = Self(101);
    /// The agent closes a connection.
    pub const AGENT_DISCONNECT: Self = Self(102);
    /// The agent answers a NOTIFY.
    pub const ACK: Self = Self(103);
}

impl fmt::Display for FrameType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::UNSET => "UNSET",
            Self::HAPROXY_HELLO => "HAPROXY-HELLO",
            Self::HAPROXY_DISCONNECT => "HAPROXY-DISCONNECT",
            Self::NOTIFY => "NOTIFY",
            Self::AGENT_HELLO => "AGENT-HELLO",
            Self::AGENT_DISCONNECT => "AGENT-DISCONNECT",
            Self::ACK => "ACK",
            Self(other) => return write!(f, "type-{other}"),
        })
    }
}

/// The flags of a frame (SPOE.txt 3.2). Reserved bits are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    /// No flag: more fragments follow.
    pub const NONE: Self = Self(0);
    /// This is the final fragment, or the whole frame.
    pub const FIN: Self = Self(1);
    /// The frame whose last fragment this is, is given up.
    pub const ABORT: Self = Self(2);

    /// Whether this is the last fragment.
    #[must_use]
    #[inline]
    pub const fn is_fin(self) -> bool {
        self.0 & Self::FIN.0 != 0
    }

    /// Whether the fragmented frame is given up.
    #[must_use]
    #[inline]
    pub const fn is_abort(self) -> bool {
        self.0 & Self::ABORT.0 != 0
    }

    /// These flags and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One whole frame, borrowed from what was received. Its payload has not been looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The type.
    pub kind: FrameType,
    /// The flags, reserved bits included.
    pub flags: Flags,
    /// The stream-id: 64 bits, chosen by `HAProxy`.
    pub stream_id: u64,
    /// The frame-id: 64 bits, chosen by `HAProxy`.
    pub frame_id: u64,
    /// What follows the ids.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Splits the first frame off `input`, and gives what follows it. `None` while the frame is not
    /// complete. `max` is the max-frame-size in force, in bytes; the length prefix does not count.
    ///
    /// # Errors
    /// A length above `max` or below the least possible is an error as soon as the length is there;
    /// a wrong id when the frame is.
    #[inline]
    pub fn split_first(input: &'a [u8], max: u32) -> Result<Option<(Self, &'a [u8])>, DecodeError> {
        let Some((prefix, body)) = input.split_first_chunk::<LENGTH_PREFIX>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes(*prefix);
        if len > max {
            return Err(DecodeError::TooBig { len, max });
        }
        if len < FRAME_LEN_LEAST {
            return Err(DecodeError::field("frame", Fault::Truncated));
        }
        let Some((frame, rest)) = body.split_at_checked(len as usize) else {
            return Ok(None);
        };
        Ok(Some((Self::parse(frame)?, rest)))
    }

    /// Reads a frame without its length prefix.
    #[inline]
    fn parse(frame: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame);
        Ok(Self {
            kind: FrameType(reader.u8("frame type")?),
            flags: Flags(reader.u32_be("frame flags")?),
            stream_id: reader.varint("stream-id")?,
            frame_id: reader.varint("frame-id")?,
            payload: reader.rest(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTIFY: [u8; 13] = [0, 0, 0, 9, 3, 0, 0, 0, 1, 5, 0xf0, 0x00, 0xaa];

    #[test]
    fn splits_one_frame_and_leaves_the_rest() {
        let mut input = NOTIFY.to_vec();
        input.extend_from_slice(&[1, 2]);
        let (frame, rest) = Frame::split_first(&input, 256).unwrap().unwrap();
        assert_eq!(frame.kind, FrameType::NOTIFY);
        assert!(frame.flags.is_fin() && !frame.flags.is_abort());
        assert_eq!((frame.stream_id, frame.frame_id), (5, 240));
        assert_eq!(frame.payload, [0xaa]);
        assert_eq!(rest, [1, 2]);
    }

    #[test]
    fn is_incomplete_at_every_cut() {
        for cut in 0..NOTIFY.len() {
            assert_eq!(
                Frame::split_first(&NOTIFY[..cut], 256),
                Ok(None),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn length_is_checked_before_anything_waits_for_it() {
        let at = |len: u32| Frame::split_first(&len.to_be_bytes(), 256).map(|_| ());
        assert_eq!(at(256), Ok(()));
        assert_eq!(at(257), Err(DecodeError::TooBig { len: 257, max: 256 }));
        assert_eq!(
            at(u32::MAX),
            Err(DecodeError::TooBig {
                len: u32::MAX,
                max: 256
            })
        );
        assert_eq!(at(7), Ok(()));
        for short in 0..7 {
            assert_eq!(
                at(short),
                Err(DecodeError::field("frame", Fault::Truncated))
            );
        }
    }

    #[test]
    fn an_id_that_runs_past_the_frame_is_refused_though_bytes_follow() {
        let input = [0, 0, 0, 7, 3, 0, 0, 0, 1, 5, 0xf0, 0x00, 0x00];
        let fault = DecodeError::field("frame-id", Fault::Truncated);
        assert_eq!(Frame::split_first(&input, 256), Err(fault));
    }
}
