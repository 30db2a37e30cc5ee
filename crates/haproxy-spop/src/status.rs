//! The status codes of a DISCONNECT (SPOE.txt 3.5).

use core::fmt;

/// A status code. An open set: a code that SPOE.txt does not list is kept as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(pub u32);

impl Status {
    /// 0: all went well.
    pub const NORMAL: Self = Self(0);
    /// 1: I/O error.
    pub const IO: Self = Self(1);
    /// 2: a timeout occurred.
    pub const TIMEOUT: Self = Self(2);
    /// 3: frame is too big.
    pub const TOO_BIG: Self = Self(3);
    /// 4: invalid frame received.
    pub const INVALID: Self = Self(4);
    /// 5: version value not found.
    pub const NO_VERSION: Self = Self(5);
    /// 6: max-frame-size value not found.
    pub const NO_MAX_FRAME_SIZE: Self = Self(6);
    /// 7: capabilities value not found.
    pub const NO_CAPABILITIES: Self = Self(7);
    /// 8: unsupported version.
    pub const BAD_VERSION: Self = Self(8);
    /// 9: max-frame-size too big or too small.
    pub const BAD_MAX_FRAME_SIZE: Self = Self(9);
    /// 10: payload fragmentation is not supported.
    pub const NO_FRAGMENTATION: Self = Self(10);
    /// 11: invalid interlaced frames.
    pub const INTERLACED: Self = Self(11);
    /// 12: frame-id not found.
    pub const NO_FRAME_ID: Self = Self(12);
    /// 13: resource allocation error.
    pub const RESOURCES: Self = Self(13);
    /// 99: an unknown error occurred.
    pub const UNKNOWN: Self = Self(99);

    /// What the code means, in the words that go into the `message` of a DISCONNECT.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self.0 {
            0 => "normal",
            1 => "I/O error",
            2 => "a timeout occurred",
            3 => "frame is too big",
            4 => "invalid frame received",
            5 => "version value not found",
            6 => "max-frame-size value not found",
            7 => "capabilities value not found",
            8 => "unsupported version",
            9 => "max-frame-size too big or too small",
            10 => "payload fragmentation is not supported",
            11 => "invalid interlaced frames",
            12 => "frame-id not found",
            13 => "resource allocation error",
            _ => "an unknown error occurred",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, self.message())
    }
}
