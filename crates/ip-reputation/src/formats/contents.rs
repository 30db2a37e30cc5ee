//! What bytes are, when they are no list.

use core::fmt;

/// The byte order mark that some editors put in front of UTF-8.
pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

/// What the first bytes of a file show it to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// Nothing, or nothing but white space.
    Nothing,
    /// HTML or XML: an error page that was saved as the list.
    Markup,
    /// Compressed with gzip.
    Gzip,
    /// An archive, or compressed in another way, and which.
    Packed(&'static str),
    /// Text in UTF-16.
    Utf16,
    /// Bytes that no text has.
    Binary,
    /// Text.
    Text,
}

impl Contents {
    /// What the first bytes show. A kilobyte of them is enough.
    ///
    /// ```
    /// use ip_reputation::formats::Contents;
    ///
    /// assert_eq!(Contents::sniff(b"\n<!DOCTYPE html>"), Contents::Markup);
    /// assert_eq!(Contents::sniff(b"\x1f\x8b\x08\0"), Contents::Gzip);
    /// assert_eq!(Contents::sniff(b"192.0.2.1\n"), Contents::Text);
    /// ```
    #[must_use]
    pub fn sniff(head: &[u8]) -> Self {
        let head = head.strip_prefix(BOM).unwrap_or(head);
        match head {
            [0x1f, 0x8b, ..] => return Self::Gzip,
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => return Self::Packed("zip"),
            [b'B', b'Z', b'h', ..] => return Self::Packed("bzip2"),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => return Self::Packed("xz"),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => return Self::Packed("zstd"),
            [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => return Self::Packed("7z"),
            [b'R', b'a', b'r', b'!', ..] => return Self::Packed("rar"),
            _ if head.get(257..262) == Some(b"ustar") => return Self::Packed("tar"),
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Self::Utf16,
            _ => {}
        }
        match head.trim_ascii_start() {
            [] => Self::Nothing,
            [b'<', ..] => Self::Markup,
            // A text may have a stray control character, which makes a line of it wrong.
            text if controls(text) * 10 > text.len() => Self::Binary,
            _ => Self::Text,
        }
    }
}

/// How many bytes are control characters that no text needs.
fn controls(text: &[u8]) -> usize {
    let is_control = |byte: &&u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    text.iter().filter(is_control).count()
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Packed(how) => {
                return write!(
                    f,
                    "packed with {how}; only gzip, and zip with one file, are unpacked"
                );
            }
            Self::Nothing => "an empty file",
            Self::Markup => "an HTML or XML page",
            Self::Gzip => "compressed with gzip",
            Self::Utf16 => "text in UTF-16 (it has to be UTF-8)",
            Self::Binary => "binary data",
            Self::Text => "text",
        })
    }
}
