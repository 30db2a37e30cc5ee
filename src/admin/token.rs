//! What a command over TCP has to bring: a secret that stands in a file.

use core::fmt;
use std::path::Path;

use super::AdminError;
use crate::host::file::read_small_text;

/// The shortest token, in bytes.
const LEN_MIN: usize = 16;
/// The longest, so that a wrong file is noticed.
const LEN_MAX: usize = 1024;
/// The longest file, in bytes: a larger one is not a token by mistake.
const FILE_LEN_MAX: u64 = 64 * 1024;

/// A token. It is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// Reads the first line of a file.
    ///
    /// # Errors
    /// If there is none that can be a token.
    pub fn read(path: &Path) -> Result<Self, AdminError> {
        let unreadable = |error| AdminError::TokenFile(path.to_owned(), error);
        let text = read_small_text(path, FILE_LEN_MAX).map_err(unreadable)?;
        let line = text.lines().next().unwrap_or_default().trim();
        let wrong = |why| Err(AdminError::Token(path.to_owned(), why));
        match line.len() {
            _ if !line.bytes().all(|byte| byte.is_ascii_graphic()) => {
                wrong("has to hold one line of letters, digits and signs without spaces")
            }
            len if len < LEN_MIN => wrong("holds fewer than 16 characters, which can be guessed"),
            len if len > LEN_MAX => wrong("holds more than 1024 characters in its first line"),
            _ => Ok(Self(line.to_owned())),
        }
    }

    /// As it goes over the wire.
    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Whether a header brings it. How long this takes tells nothing of where they differ.
    pub(super) fn is_in(&self, header: &[u8]) -> bool {
        let Some(brought) = header.strip_prefix(b"Bearer ") else {
            return false;
        };
        let own = self.0.as_bytes();
        let pairs = own.iter().zip(brought);
        let difference = pairs.fold(0, |all, (own, brought)| all | (own ^ brought));
        own.len() == brought.len() && core::hint::black_box(difference) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_token_is_the_token() {
        let token = Token("0123456789abcdef".to_owned());
        assert!(token.is_in(token.header().as_bytes()));
        for wrong in [
            "",
            "Bearer ",
            "Bearer 0123456789abcdeg",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "0123456789abcdef",
            "bearer 0123456789abcdef",
        ] {
            assert!(!token.is_in(wrong.as_bytes()), "{wrong}");
        }
        assert_eq!(format!("{token:?}"), "Token(..)");
    }
}
