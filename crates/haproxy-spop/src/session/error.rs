//! Every fault that ends a connection, and the one place that gives each its status code.

use core::fmt;

use crate::{DecodeError, FrameType, MAX_FRAME_SIZE_LEAST, Status};

/// Why a connection is refused. [`status`](Self::status) is what the peer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolError {
    /// The bytes are no valid frame.
    DecodeError(DecodeError),
    /// A HELLO whose stream-id or frame-id is not 0.
    HelloIds,
    /// A HELLO without `supported-versions`.
    NoVersion,
    /// A HELLO without `max-frame-size`.
    NoMaxFrameSize,
    /// A HELLO without `capabilities`.
    NoCapabilities,
    /// A HELLO that offers no version 2.
    BadVersion,
    /// A HELLO that offers fewer than 256 bytes a frame.
    BadMaxFrameSize(u32),
    /// NOTIFY, or a fragment of it, before the HELLO.
    BeforeHello(FrameType),
    /// HELLO on a connection that has had one.
    SecondHello,
    /// A frame without FIN where fragments are not agreed on, or not allowed.
    Fragmented,
    /// Another frame's fragment, or a NOTIFY, while a NOTIFY is incomplete.
    Interlaced,
    /// A fragment of a NOTIFY that was never begun.
    UnknownFrameId,
    /// A fragmented NOTIFY gathers more than the bound, in bytes.
    ReassemblyTooBig(usize),
    /// Our own HELLO does not fit the frame that the peer asked for.
    HelloFull,
}

impl ProtocolError {
    /// The status code (SPOE.txt 3.5).
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::BadMaxFrameSize(_) | Self::HelloFull => Status::BAD_MAX_FRAME_SIZE,
            Self::DecodeError(DecodeError::TooBig { .. }) | Self::ReassemblyTooBig(_) => {
                Status::TOO_BIG
            }
            Self::DecodeError(DecodeError::Field { .. })
            | Self::HelloIds
            | Self::BeforeHello(_)
            | Self::SecondHello => Status::INVALID,
            Self::NoVersion => Status::NO_VERSION,
            Self::NoMaxFrameSize => Status::NO_MAX_FRAME_SIZE,
            Self::NoCapabilities => Status::NO_CAPABILITIES,
            Self::BadVersion => Status::BAD_VERSION,
            Self::Fragmented => Status::NO_FRAGMENTATION,
            Self::Interlaced => Status::INTERLACED,
            Self::UnknownFrameId => Status::NO_FRAME_ID,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DecodeError(malformed) => malformed.fmt(f),
            Self::HelloIds => f.write_str("HELLO with a stream-id or frame-id that is not 0"),
            Self::NoVersion => f.write_str("HELLO without supported-versions"),
            Self::NoMaxFrameSize => f.write_str("HELLO without max-frame-size"),
            Self::NoCapabilities => f.write_str("HELLO without capabilities"),
            Self::BadVersion => f.write_str("HELLO offers no version 2"),
            Self::BadMaxFrameSize(size) => {
                write!(
                    f,
                    "HELLO offers max-frame-size {size}, below {MAX_FRAME_SIZE_LEAST}"
                )
            }
            Self::BeforeHello(kind) => write!(f, "{kind} before HELLO"),
            Self::SecondHello => f.write_str("second HELLO"),
            Self::Fragmented => f.write_str("fragment, though fragmentation is not agreed on"),
            Self::Interlaced => f.write_str("frame between the fragments of another"),
            Self::UnknownFrameId => f.write_str("fragment of a frame that was never begun"),
            Self::ReassemblyTooBig(max) => {
                write!(
                    f,
                    "fragments of one NOTIFY exceed the reassembly bound of {max} bytes"
                )
            }
            Self::HelloFull => f.write_str("max-frame-size too small for AGENT-HELLO"),
        }
    }
}

impl core::error::Error for ProtocolError {}

impl From<DecodeError> for ProtocolError {
    #[inline]
    fn from(malformed: DecodeError) -> Self {
        Self::DecodeError(malformed)
    }
}
