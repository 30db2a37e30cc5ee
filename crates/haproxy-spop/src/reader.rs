//! The only code that takes bytes off a slice that came from a peer.

use super::varint::{self, Overflow};
use super::{DecodeError, Fault};

/// A cursor over bytes from a peer. Every method names the field it reads, for the error.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: Bytes<'a>,
}

impl<'a> Reader<'a> {
    /// Reads from the first byte of `bytes`.
    #[must_use]
    #[inline]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes: Bytes(bytes),
        }
    }

    /// What has not been read.
    #[must_use]
    #[inline]
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes.0
    }

    /// Whether all has been read.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.bytes.0.is_empty()
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.bytes.u8().ok_or_else(|| truncated(field))
    }

    /// A fixed number of bytes.
    #[inline]
    pub fn array<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<&'a [u8; N], DecodeError> {
        self.bytes.array().ok_or_else(|| truncated(field))
    }

    /// A 32-bit number in network order.
    #[inline]
    pub fn u32_be(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// The next `len` bytes.
    #[inline]
    pub fn bytes(&mut self, len: u64, field: &'static str) -> Result<&'a [u8], DecodeError> {
        self.bytes.take(len).ok_or_else(|| truncated(field))
    }

    /// A variable-length integer of up to 64 bits (SPOE.txt 3.1).
    #[inline]
    pub fn varint(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let first = self.u8(field)?;
        if first < 240 {
            return Ok(u64::from(first));
        }
        match varint::decode_rest(first, || self.bytes.u8()) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(truncated(field)),
            Err(Overflow) => Err(DecodeError::field(field, Fault::Overflow)),
        }
    }

    /// A string: its length as a varint, then its bytes (SPOE.txt 3.1). `HAProxy` does not promise
    /// UTF-8, so none is asked for.
    #[inline]
    pub fn string(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let len = self.varint(field)?;
        self.bytes(len, field)
    }
}

const fn truncated(field: &'static str) -> DecodeError {
    DecodeError::field(field, Fault::Truncated)
}

/// The same without names, for those who only want to know whether all is well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    #[inline]
    pub(super) fn u8(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(array)
    }

    #[inline]
    pub(super) fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Option<u64> {
        let first = self.u8()?;
        if first < 240 {
            return Some(u64::from(first));
        }
        varint::decode_rest(first, || self.u8()).ok()?
    }

    #[inline]
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let len = self.varint()?;
        self.take(len)
    }
}

#[cfg(test)]
mod tests {
    use super::{DecodeError, Fault, Reader};

    #[test]
    fn takes_what_it_is_asked_for_and_keeps_the_rest() {
        let mut reader = Reader::new(&[7, 0, 0, 1, 2, 3, b'a', b'b', b'c', 9]);
        assert_eq!(reader.u8("u8"), Ok(7));
        assert_eq!(reader.u32_be("u32"), Ok(258));
        assert_eq!(reader.string("string"), Ok(&b"abc"[..]));
        assert_eq!(reader.rest(), [9]);
        assert!(!reader.is_empty());
    }

    #[test]
    fn a_string_that_claims_more_than_there_is_names_its_field() {
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0x00, b'x'];
        let fault = DecodeError::field("message name", Fault::Truncated);
        assert_eq!(Reader::new(&huge).string("message name"), Err(fault));
        assert_eq!(Reader::new(&[]).u8("message name"), Err(fault));
        assert_eq!(Reader::new(&[1, 2, 3]).u32_be("message name"), Err(fault));
    }
}
