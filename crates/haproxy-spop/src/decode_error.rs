//! What can be wrong with bytes from a peer. One small value that names the field.

use core::fmt;

/// Bytes that are not a frame of SPOE.txt section 3.2, or not a payload of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The length prefix announces more bytes than the negotiated max-frame-size.
    TooBig {
        /// What the length prefix says, in bytes.
        len: u32,
        /// The max-frame-size in force, in bytes.
        max: u32,
    },
    /// A field of a frame is wrong.
    Field {
        /// The field as SPOE.txt names it.
        name: &'static str,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The frame ends inside the field.
    Truncated,
    /// A varint that does not fit 64 bits.
    Overflow,
    /// Typed data of a type that SPOE.txt does not define.
    UnknownType(u8),
    /// Typed data of a type that the field does not take.
    WrongType,
    /// An action, scope or argument count that SPOE.txt does not define.
    Unknown(u8),
    /// A value that has to be there is not.
    Missing,
}

impl DecodeError {
    /// A field that is wrong in this way.
    #[must_use]
    pub const fn field(name: &'static str, fault: Fault) -> Self {
        Self::Field { name, fault }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooBig { len, max } => match other_protocol(*len) {
                Some(name) => write!(f, "the peer speaks {name}, not SPOP"),
                None => write!(f, "frame of {len} bytes exceeds max-frame-size {max}"),
            },
            Self::Field { name, fault } => write!(f, "{name} {fault}"),
        }
    }
}

/// Returns the protocol that begins with these four bytes in place of a length.
fn other_protocol(len: u32) -> Option<&'static str> {
    match &len.to_be_bytes() {
        b"GET " | b"HEAD" | b"POST" | b"PUT " | b"OPTI" | b"DELE" | b"PRI " => Some("HTTP"),
        b"SSH-" => Some("SSH"),
        b"PROX" | b"\r\n\r\n" => Some("the PROXY protocol"),
        [0x16, 3, _, _] => Some("TLS"),
        _ => None,
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("is cut off by the end of the frame"),
            Self::Overflow => f.write_str("is a varint of more than 64 bits"),
            Self::UnknownType(kind) => write!(f, "has the undefined data type {kind}"),
            Self::WrongType => f.write_str("has the wrong data type"),
            Self::Unknown(value) => write!(f, "has the undefined value {value}"),
            Self::Missing => f.write_str("is missing"),
        }
    }
}

impl core::error::Error for DecodeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_protocol_is_named() {
        for (bytes, name) in [
            (*b"GET ", "the peer speaks HTTP, not SPOP"),
            ([0x16, 3, 1, 2], "the peer speaks TLS, not SPOP"),
            (
                [1, 0, 0, 0],
                "frame of 16777216 bytes exceeds max-frame-size 9",
            ),
        ] {
            let len = u32::from_be_bytes(bytes);
            assert_eq!(DecodeError::TooBig { len, max: 9 }.to_string(), name);
        }
    }
}
