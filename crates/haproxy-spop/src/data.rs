//! Typed data (SPOE.txt 3.1): a type, four flag bits, a value.
//!
//! ```text
//!  7   4 3   0
//!  +-----+-----+------------------------------------------------+
//!  |flags| type| value: nothing, varint, 4 or 16 bytes, string  |
//!  +-----+-----+------------------------------------------------+
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::{BufMut as _, BytesMut};

use super::reader::Bytes;
use super::{DecodeError, Fault, Reader, Varint};

const NULL: u8 = 0;
const BOOL: u8 = 1;
const INT32: u8 = 2;
const UINT32: u8 = 3;
const INT64: u8 = 4;
const UINT64: u8 = 5;
const IPV4: u8 = 6;
const IPV6: u8 = 7;
const STRING: u8 = 8;
const BINARY: u8 = 9;
/// The flag bit of a boolean that is true.
const TRUE: u8 = 0x10;

/// A value of SPOE.txt 3.1, borrowed from the frame it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypedData<'a> {
    /// No value: a sample that was not available.
    Null,
    /// A boolean; it travels in the flag bits.
    Bool(bool),
    /// A signed 32-bit integer.
    Int32(i32),
    /// An unsigned 32-bit integer.
    Uint32(u32),
    /// A signed 64-bit integer: the type of every integer that `HAProxy` sends.
    Int64(i64),
    /// An unsigned 64-bit integer.
    Uint64(u64),
    /// An IPv4 address.
    Ipv4(Ipv4Addr),
    /// An IPv6 address.
    Ipv6(Ipv6Addr),
    /// Text; bytes, since nothing promises UTF-8.
    String(&'a [u8]),
    /// Bytes.
    Binary(&'a [u8]),
}

impl<'a> TypedData<'a> {
    /// Takes one value off a reader. `field` is what an error names.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "15 % of the instructions of a NOTIFY, by callgrind"
    )]
    pub fn read(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, DecodeError> {
        let head = reader.u8(field)?;
        Ok(match head & 0x0f {
            IPV4 => Self::Ipv4(Ipv4Addr::from(*reader.array(field)?)),
            IPV6 => Self::Ipv6(Ipv6Addr::from(*reader.array(field)?)),
            NULL => Self::Null,
            BOOL => Self::Bool(head & TRUE != 0),
            INT32 => Self::Int32(low_half(reader.varint(field)?).cast_signed()),
            UINT32 => Self::Uint32(low_half(reader.varint(field)?)),
            INT64 => Self::Int64(reader.varint(field)?.cast_signed()),
            UINT64 => Self::Uint64(reader.varint(field)?),
            STRING => Self::String(reader.string(field)?),
            BINARY => Self::Binary(reader.string(field)?),
            unknown => return Err(DecodeError::field(field, Fault::UnknownType(unknown))),
        })
    }

    /// How many bytes [`write`](Self::write) appends.
    #[must_use]
    #[inline]
    pub fn encoded_len(&self) -> usize {
        1 + match *self {
            Self::Null | Self::Bool(_) => 0,
            Self::Ipv4(_) => 4,
            Self::Ipv6(_) => 16,
            Self::String(bytes) | Self::Binary(bytes) => {
                Varint::len_of(bytes.len() as u64) + bytes.len()
            }
            Self::Int32(value) => Varint::len_of(i64::from(value).cast_unsigned()),
            Self::Int64(value) => Varint::len_of(value.cast_unsigned()),
            Self::Uint32(value) => Varint::len_of(u64::from(value)),
            Self::Uint64(value) => Varint::len_of(value),
        }
    }

    /// The whole encoding of a score, or of any small UINT32: two bytes.
    #[inline]
    pub(super) const fn short(&self) -> Option<[u8; 2]> {
        match *self {
            Self::Uint32(value) => match Varint::byte(value as u64) {
                Some(byte) => Some([UINT32, byte]),
                None => None,
            },
            _ => None,
        }
    }

    /// Appends the value.
    ///
    /// A negative INT32 is extended to 64 bits, which is how `HAProxy` reads it back.
    #[inline]
    pub fn write(&self, out: &mut BytesMut) {
        let mut integer = |kind: u8, value: u64| {
            if let Some(byte) = Varint::byte(value) {
                out.extend_from_slice(&[kind, byte]);
            } else {
                out.put_u8(kind);
                out.extend_from_slice(Varint::new(value).as_slice());
            }
        };
        match *self {
            Self::Uint32(value) => integer(UINT32, u64::from(value)),
            Self::Uint64(value) => integer(UINT64, value),
            Self::Int32(value) => integer(INT32, i64::from(value).cast_unsigned()),
            Self::Int64(value) => integer(INT64, value.cast_unsigned()),
            Self::Null => out.put_u8(NULL),
            Self::Bool(value) => out.put_u8(if value { BOOL | TRUE } else { BOOL }),
            Self::Ipv4(address) => {
                out.put_u8(IPV4);
                out.extend_from_slice(&address.octets());
            }
            Self::Ipv6(address) => {
                out.put_u8(IPV6);
                out.extend_from_slice(&address.octets());
            }
            Self::String(bytes) => {
                out.put_u8(STRING);
                write_string(bytes, out);
            }
            Self::Binary(bytes) => {
                out.put_u8(BINARY);
                write_string(bytes, out);
            }
        }
    }

    /// The address, if the value is one. An IPv4-mapped IPv6 address (`::ffff:a.b.c.d`) is the IPv4
    /// address.
    #[must_use]
    #[inline]
    pub const fn address(&self) -> Option<IpAddr> {
        match *self {
            Self::Ipv4(address) => Some(IpAddr::V4(address)),
            Self::Ipv6(address) => Some(address.to_canonical()),
            _ => None,
        }
    }

    /// The value as an unsigned 32-bit number, whichever integer type it has.
    #[must_use]
    pub fn as_u32(&self) -> Option<u32> {
        match *self {
            Self::Uint32(value) => Some(value),
            Self::Int32(value) => u32::try_from(value).ok(),
            Self::Int64(value) => u32::try_from(value).ok(),
            Self::Uint64(value) => u32::try_from(value).ok(),
            _ => None,
        }
    }
}

/// Passes over a value of which nothing but its length can be wrong.
#[inline]
pub(super) fn skip(bytes: &mut Bytes<'_>) -> Option<()> {
    match bytes.u8()? & 0x0f {
        IPV4 => bytes.array::<4>().map(drop),
        IPV6 => bytes.array::<16>().map(drop),
        NULL | BOOL => Some(()),
        INT32 | UINT32 | INT64 | UINT64 => bytes.varint().map(drop),
        STRING | BINARY => bytes.string().map(drop),
        _ => None,
    }
}

/// Appends a string: its length, then its bytes.
#[inline]
pub(super) fn write_string(bytes: &[u8], out: &mut BytesMut) {
    out.extend_from_slice(Varint::new(bytes.len() as u64).as_slice());
    out.extend_from_slice(bytes);
}

/// Returns the low 32 bits of a varint.
///
/// `HAProxy` reads a 64-bit varint whatever the integer type is, and truncates it. A negative INT32
/// arrives extended to 64 bits or as its 32-bit pattern; both have the same low half.
#[expect(clippy::cast_possible_truncation, reason = "truncates as HAProxy does")]
const fn low_half(value: u64) -> u32 {
    value as u32
}

impl From<u32> for TypedData<'_> {
    fn from(value: u32) -> Self {
        Self::Uint32(value)
    }
}

impl From<i32> for TypedData<'_> {
    fn from(value: i32) -> Self {
        Self::Int32(value)
    }
}

impl From<i64> for TypedData<'_> {
    fn from(value: i64) -> Self {
        Self::Int64(value)
    }
}

impl From<u64> for TypedData<'_> {
    fn from(value: u64) -> Self {
        Self::Uint64(value)
    }
}

impl From<bool> for TypedData<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<IpAddr> for TypedData<'_> {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::Ipv4(address),
            IpAddr::V6(address) => Self::Ipv6(address),
        }
    }
}

impl<'a> From<&'a str> for TypedData<'a> {
    fn from(text: &'a str) -> Self {
        Self::String(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<TypedData<'_>, DecodeError> {
        TypedData::read(&mut Reader::new(bytes), "value")
    }

    fn samples() -> Vec<TypedData<'static>> {
        vec![
            TypedData::Null,
            TypedData::Bool(false),
            TypedData::Bool(true),
            TypedData::Int32(0),
            TypedData::Int32(-1),
            TypedData::Int32(i32::MIN),
            TypedData::Int32(i32::MAX),
            TypedData::Uint32(239),
            TypedData::Uint32(u32::MAX),
            TypedData::Int64(-1),
            TypedData::Int64(i64::MIN),
            TypedData::Int64(i64::MAX),
            TypedData::Uint64(u64::MAX),
            TypedData::Ipv4(Ipv4Addr::new(192, 0, 2, 1)),
            TypedData::Ipv6(Ipv6Addr::LOCALHOST),
            TypedData::String(b""),
            TypedData::String(b"abc"),
            TypedData::Binary(&[0; 300]),
        ]
    }

    #[test]
    fn every_type_round_trips_at_its_announced_length_and_no_prefix_is_accepted() {
        for value in samples() {
            let mut out = BytesMut::new();
            value.write(&mut out);
            assert_eq!(out.len(), value.encoded_len(), "{value:?}");
            assert_eq!(read(&out), Ok(value));
            for cut in 0..out.len() {
                let fault = DecodeError::field("value", Fault::Truncated);
                assert_eq!(read(&out[..cut]), Err(fault), "{value:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn known_encodings() {
        for (value, bytes) in [
            (TypedData::Null, &[0x00][..]),
            (TypedData::Bool(true), &[0x11]),
            (TypedData::Bool(false), &[0x01]),
            (TypedData::Uint32(42), &[0x03, 42]),
            (TypedData::Ipv4(Ipv4Addr::LOCALHOST), &[0x06, 127, 0, 0, 1]),
            (TypedData::String(b"2.0"), &[0x08, 3, b'2', b'.', b'0']),
        ] {
            let mut out = BytesMut::new();
            value.write(&mut out);
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn flag_bits_matter_to_booleans_only() {
        assert_eq!(read(&[0xe1]), Ok(TypedData::Bool(false)));
        assert_eq!(read(&[0xf1]), Ok(TypedData::Bool(true)));
        assert_eq!(read(&[0xf0]), Ok(TypedData::Null));
        assert_eq!(read(&[0xf3, 9]), Ok(TypedData::Uint32(9)));
    }

    #[test]
    fn undefined_types_are_refused() {
        for kind in 10..16 {
            assert_eq!(
                read(&[kind, 0]),
                Err(DecodeError::field("value", Fault::UnknownType(kind)))
            );
        }
    }

    #[test]
    fn a_32_bit_number_is_the_low_half_of_its_varint() {
        for (wide, low) in [
            (u64::from(u32::MAX) + 1, 0),
            (u64::from(u32::MAX) + 8, 7),
            (u64::MAX, u32::MAX),
        ] {
            let mut out = BytesMut::new();
            TypedData::Uint64(wide).write(&mut out);
            out[0] = UINT32;
            assert_eq!(read(&out), Ok(TypedData::Uint32(low)));
            out[0] = INT32;
            assert_eq!(read(&out), Ok(TypedData::Int32(low.cast_signed())));
        }
    }

    #[test]
    fn a_negative_int32_is_understood_in_both_widths() {
        let mut out = BytesMut::new();
        TypedData::Uint32((-5i32).cast_unsigned()).write(&mut out);
        out[0] = INT32;
        assert_eq!(read(&out), Ok(TypedData::Int32(-5)));
    }

    #[test]
    fn addresses_are_canonical_and_other_types_have_none() {
        let mapped = "::ffff:192.0.2.7".parse::<Ipv6Addr>().unwrap();
        assert_eq!(
            TypedData::Ipv6(mapped).address(),
            Some("192.0.2.7".parse().unwrap())
        );
        assert_eq!(TypedData::String(b"192.0.2.7").address(), None);
        assert_eq!(TypedData::Null.address(), None);
    }
}
