//! The data section of a MaxMind database: fields are looked up in it by name, in a number of steps
//! that is fixed beforehand.
//!
//! ```text
//!  control byte       more of the type, size or target     payload
//!  [ type | size ]    [ ... ]                              [ size bytes, or that many values ]
//! ```
//!
//! The records of a hostile database overlap or point to one that is huge: read one by one, they
//! would be read for hours.

use core::cell::Cell;

const POINTER: u8 = 1;
const TEXT: u8 = 2;
const UNSIGNED_16: u8 = 5;
const UNSIGNED_32: u8 = 6;
const MAP: u8 = 7;
const ARRAY: u8 = 11;
const BOOLEAN: u8 = 14;

/// Types from here on stand in a byte of their own.
const EXTENDED: u8 = 7;

/// The most pointers from a value to a value.
const POINTERS_MAX: usize = 8;

/// A value is not what it should be, or the steps are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::formats) struct Odd;

/// The values, and how many more may be looked at.
pub(in crate::formats) struct Values<'d> {
    data: &'d [u8],
    steps: Cell<u64>,
}

/// How a value begins.
#[derive(Debug, Clone, Copy)]
struct Header {
    kind: u8,
    /// Bytes or values of the payload; for a pointer, where it leads.
    size: usize,
    /// Where the payload begins.
    start: usize,
}

impl<'d> Values<'d> {
    pub(in crate::formats) fn new(data: &'d [u8], steps: u64) -> Self {
        let steps = Cell::new(steps);
        Self { data, steps }
    }

    /// Where a field of a map within maps is, if there is one of this name.
    pub(in crate::formats) fn find<'k>(
        &self,
        record: usize,
        path: impl IntoIterator<Item = &'k str>,
    ) -> Result<Option<usize>, Odd> {
        let mut at = record;
        for name in path {
            match self.field(at, name.as_bytes())? {
                Some(value) => at = value,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    pub(in crate::formats) fn text(&self, at: usize) -> Result<&'d [u8], Odd> {
        let Header { kind, size, start } = self.resolved(at)?;
        let text = self.data.get(start..start.saturating_add(size));
        text.filter(|_| kind == TEXT).ok_or(Odd)
    }

    pub(in crate::formats) fn number(&self, at: usize) -> Result<u32, Odd> {
        let Header { kind, size, start } = self.resolved(at)?;
        if !matches!(kind, UNSIGNED_16 | UNSIGNED_32) || size > 4 {
            return Err(Odd);
        }
        self.big_endian(start, size)?.try_into().map_err(|_| Odd)
    }

    pub(in crate::formats) fn flag(&self, at: usize) -> Result<bool, Odd> {
        match self.resolved(at)? {
            Header {
                kind: BOOLEAN,
                size: size @ (0 | 1),
                ..
            } => Ok(size == 1),
            _ => Err(Odd),
        }
    }

    fn field(&self, map: usize, name: &[u8]) -> Result<Option<usize>, Odd> {
        let Header { kind, size, start } = self.resolved(map)?;
        if kind != MAP {
            return Err(Odd);
        }
        let mut key = start;
        for _ in 0..size {
            let value = self.after(key)?;
            if self.text(key)? == name {
                return Ok(Some(value));
            }
            key = self.after(value)?;
        }
        Ok(None)
    }

    /// Where the value behind this one begins.
    fn after(&self, at: usize) -> Result<usize, Odd> {
        let (mut at, mut values) = (at, 1_usize);
        while let Some(rest) = values.checked_sub(1) {
            let Header { kind, size, start } = self.header(at)?;
            let (inside, bytes) = match kind {
                MAP => (size.saturating_mul(2), 0),
                ARRAY => (size, 0),
                POINTER | BOOLEAN => (0, 0),
                _ => (0, size),
            };
            values = rest.saturating_add(inside);
            at = start.saturating_add(bytes);
        }
        Ok(at)
    }

    /// The header of the value that a pointer leads to, or of the value itself.
    fn resolved(&self, at: usize) -> Result<Header, Odd> {
        let mut at = at;
        for _ in 0..POINTERS_MAX {
            match self.header(at)? {
                Header {
                    kind: POINTER,
                    size: target,
                    ..
                } => at = target,
                header => return Ok(header),
            }
        }
        Err(Odd)
    }

    fn header(&self, at: usize) -> Result<Header, Odd> {
        self.steps.set(self.steps.get().checked_sub(1).ok_or(Odd)?);
        let control = *self.data.get(at).ok_or(Odd)?;
        let mut next = at + 1;
        let mut kind = control >> 5;
        if kind == POINTER {
            return self.pointer(control, next);
        }
        if kind == 0 {
            kind = EXTENDED.saturating_add(*self.data.get(next).ok_or(Odd)?);
            next += 1;
        }
        let (base, width) = match control & 0x1f {
            29 => (29, 1),
            30 => (285, 2),
            31 => (65_821, 3),
            size => (size.into(), 0),
        };
        Ok(Header {
            kind,
            size: base + self.big_endian(next, width)?,
            start: next + width,
        })
    }

    /// A target is counted from where those of the shorter widths end.
    fn pointer(&self, control: u8, next: usize) -> Result<Header, Odd> {
        let width = usize::from(control >> 3 & 3) + 1;
        let (high, low) = (usize::from(control & 7), self.big_endian(next, width)?);
        let target = match width {
            1 => high << 8 | low,
            2 => (high << 16 | low) + 2048,
            3 => (high << 24 | low) + 526_336,
            _ => low,
        };
        Ok(Header {
            kind: POINTER,
            size: target,
            start: next + width,
        })
    }

    fn big_endian(&self, at: usize, width: usize) -> Result<usize, Odd> {
        let bytes = self.data.get(at..at.saturating_add(width)).ok_or(Odd)?;
        Ok(bytes
            .iter()
            .fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(data: &[u8]) -> Values<'_> {
        Values::new(data, 1000)
    }

    #[test]
    fn fields_are_found_behind_values_of_every_type() {
        // {"a": {"b": 7}, "c": [2.0, true], "d": pointer to "a"'s value, "e": false}
        let mut data = vec![
            0xe4, 0x41, b'a', 0xe1, 0x41, b'b', 0xc1, 7, 0x41, b'c', 2, 4,
        ];
        data.extend([0x68, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 7]);
        data.extend([0x41, b'd', 0x20, 3, 0x41, b'e', 0, 7]);
        let values = values(&data);
        let find = |path: &[&'static str]| values.find(0, path.iter().copied());
        assert_eq!(values.number(find(&["a", "b"]).unwrap().unwrap()), Ok(7));
        assert_eq!(values.number(find(&["d", "b"]).unwrap().unwrap()), Ok(7));
        assert_eq!(values.flag(find(&["e"]).unwrap().unwrap()), Ok(false));
        assert_eq!(find(&["f"]), Ok(None));
        assert_eq!(find(&["a", "f"]), Ok(None));
        assert_eq!(find(&["c", "f"]), Err(Odd));
        assert_eq!(values.text(1), Ok(&b"a"[..]));
        assert_eq!((values.text(0), values.flag(1)), (Err(Odd), Err(Odd)));
        assert_eq!(values.number(1), Err(Odd));
    }

    #[test]
    fn sizes_and_targets_have_every_width() {
        for len in [0, 28, 29, 284, 285, 65_820, 65_821, 70_000] {
            let size = |base: usize| (len - base).to_be_bytes();
            let mut data = match len {
                0..29 => vec![0x40 | size(0)[7]],
                29..285 => vec![0x5d, size(29)[7]],
                285..65_821 => [&[0x5e], &size(285)[6..]].concat(),
                _ => [&[0x5f], &size(65_821)[5..]].concat(),
            };
            data.resize(data.len() + len, b'x');
            assert_eq!(values(&data).text(0).map(<[u8]>::len), Ok(len));
            data.pop();
            assert_eq!(values(&data).text(0), Err(Odd), "{len}");
        }
        for (target, pointer) in [
            (2047, &[0x27, 0xff][..]),
            (2048, &[0x28, 0, 0]),
            (526_336, &[0x30, 0, 0, 0]),
            (600_000, &[0x38, 0, 9, 0x27, 0xc0]),
        ] {
            let mut data = pointer.to_vec();
            data.resize(target, 0);
            data.extend([0x41, b'x']);
            assert_eq!(values(&data).text(0), Ok(&b"x"[..]), "{target}");
        }
    }

    #[test]
    fn hostile_values_are_odd() {
        for data in [
            &b""[..],
            &[0x20, 0],
            &[0],
            &[0xff, 0xff, 0xff, 0xff],
            &[0xe2, 0x41, b'a', 0xc1],
            &[0xe1, 0x20, 0, 0],
            &[0x3f, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(values(data).find(0, ["x"]), Err(Odd), "{data:x?}");
        }
        let nested = vec![0xe1; 100_000];
        let values = values(&nested);
        assert_eq!(values.find(0, ["x"]), Err(Odd));
        assert_eq!(values.steps.get(), 0);
    }
}
