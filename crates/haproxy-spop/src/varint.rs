//! Variable-length integers (SPOE.txt 3.1).
//!
//! ```text
//!  value < 240     value                                        1 byte
//!  otherwise       1111vvvv  1vvvvvvv ... 0vvvvvvv              2 to 10 bytes
//!                  low 4 bits, then groups of 7; after each byte what it
//!                  stands for is taken off, so every value has one encoding
//! ```

/// The most bytes that a 64-bit varint takes.
pub const VARINT_MAX: usize = 10;

/// From here on a first byte announces more bytes.
const MULTI: u64 = 240;
/// From here on a following byte announces more bytes.
const MORE: u64 = 128;

/// An encoded varint, on the stack.
#[derive(Debug, Clone, Copy)]
pub struct Varint {
    bytes: [u8; VARINT_MAX],
    len: u8,
}

impl Varint {
    /// Encodes a value.
    #[must_use]
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low byte is what is wanted"
    )]
    pub fn new(value: u64) -> Self {
        let mut bytes = [0; VARINT_MAX];
        if value < MULTI {
            bytes[0] = value as u8;
            return Self { bytes, len: 1 };
        }
        let mut len = 1;
        bytes[0] = (value | MULTI) as u8;
        let mut rest = (value - MULTI) >> 4;
        for byte in &mut bytes[1..] {
            len += 1;
            if rest < MORE {
                *byte = rest as u8;
                break;
            }
            *byte = (rest | MORE) as u8;
            rest = (rest - MORE) >> 7;
        }
        Self { bytes, len }
    }

    /// The encoding of a value that needs one byte only.
    #[must_use]
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the value is below 240")]
    pub const fn byte(value: u64) -> Option<u8> {
        if value < MULTI {
            Some(value as u8)
        } else {
            None
        }
    }

    /// The encoded bytes.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.len))
            .unwrap_or(&self.bytes)
    }

    /// How many bytes the encoding of `value` takes.
    #[must_use]
    #[inline]
    pub fn len_of(value: u64) -> usize {
        if value < MULTI {
            return 1;
        }
        let mut len = 2;
        let mut rest = (value - MULTI) >> 4;
        while rest >= MORE {
            rest = (rest - MORE) >> 7;
            len += 1;
        }
        len
    }
}

/// Adds the bytes that follow a first byte of 240 or more; `next` takes one off the input.
///
/// `None` from `next` is passed on as `Ok(None)`; more than 64 bits is `Err(())`.
#[inline]
pub(super) fn decode_rest(
    first: u8,
    mut next: impl FnMut() -> Option<u8>,
) -> Result<Option<u64>, Overflow> {
    let mut value = u64::from(first);
    let mut shift = 4;
    loop {
        let Some(byte) = next() else { return Ok(None) };
        let byte = u64::from(byte);
        if shift == 60 && byte > 15 {
            return Err(Overflow);
        }
        value = value.checked_add(byte << shift).ok_or(Overflow)?;
        if byte < MORE {
            return Ok(Some(value));
        }
        shift += 7;
    }
}

/// A varint of more than 64 bits.
#[derive(Debug)]
pub(super) struct Overflow;

#[cfg(test)]
mod tests {
    use super::Varint;
    use crate::{DecodeError, Fault, Reader};

    fn decode(bytes: &[u8]) -> Result<u64, DecodeError> {
        Reader::new(bytes).varint("test")
    }

    /// The first and the last value of every length.
    const BOUNDARIES: [(u64, usize); 20] = [
        (0, 1),
        (239, 1),
        (240, 2),
        (2287, 2),
        (2288, 3),
        (264_431, 3),
        (264_432, 4),
        (33_818_863, 4),
        (33_818_864, 5),
        (4_328_786_159, 5),
        (4_328_786_160, 6),
        (554_084_600_047, 6),
        (554_084_600_048, 7),
        (70_922_828_777_711, 7),
        (70_922_828_777_712, 8),
        (9_078_122_083_518_703, 8),
        (9_078_122_083_518_704, 9),
        (1_161_999_626_690_365_679, 9),
        (1_161_999_626_690_365_680, 10),
        (u64::MAX, 10),
    ];

    #[test]
    fn every_boundary_round_trips_at_its_length_and_no_prefix_is_accepted() {
        for (value, len) in BOUNDARIES {
            let encoded = Varint::new(value);
            let bytes = encoded.as_slice();
            assert_eq!(bytes.len(), len, "{value}");
            assert_eq!(Varint::len_of(value), len, "{value}");
            assert_eq!(decode(bytes), Ok(value));
            for cut in 0..len {
                let fault = DecodeError::field("test", Fault::Truncated);
                assert_eq!(decode(&bytes[..cut]), Err(fault), "{value} cut at {cut}");
            }
        }
    }

    #[test]
    fn known_encodings() {
        assert_eq!(Varint::new(240).as_slice(), [0xf0, 0x00]);
        assert_eq!(Varint::new(2287).as_slice(), [0xff, 0x7f]);
        assert_eq!(Varint::new(2288).as_slice(), [0xf0, 0x80, 0x00]);
        assert_eq!(Varint::new(16380).as_slice(), [0xfc, 0xf0, 0x06]);
    }

    #[test]
    fn one_above_64_bits_and_endless_ones_overflow() {
        let mut bytes = Varint::new(u64::MAX).as_slice().to_vec();
        let fault = DecodeError::field("test", Fault::Overflow);
        bytes[9] += 1;
        assert_eq!(decode(&bytes), Err(fault));
        assert_eq!(decode(&[0xff; 10]), Err(fault));
        assert_eq!(decode(&[0xff; 64]), Err(fault));
    }
}
