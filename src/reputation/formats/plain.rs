//! Plain lists: an address, a prefix or a range a line, and a comment behind it.
//!
//! ```text
//!  203.0.113.9                  # a host
//!  203.0.113.0/24               ; a prefix
//!  203.0.113.1-203.0.113.9      // a range
//!  2001:db8::/32
//! ```

use super::header::Header;
use super::item::{Expected, Item};
use super::output::{Evidence, Output};
use super::text::{LineFormat, Text, comment};
use crate::reputation::Confidence;

/// The reader of plain lists.
pub(super) struct Plain {
    pub(super) confidence: Confidence,
    pub(super) header: Header,
}

impl LineFormat for Plain {
    #[inline]
    fn line(&mut self, line: Text<'_>, output: &mut Output<'_>) -> Result<(), Expected> {
        let item = listed(line.text)?;
        let evidence = Evidence {
            category: self.header.category(),
            ..Evidence::plain(self.confidence)
        };
        output.give(line.number, item, evidence);
        Ok(())
    }

    fn comment(&mut self, text: &[u8], output: &mut Output<'_>) {
        self.header.comment(text, output);
    }
}

/// What stands before the comment.
#[inline]
pub(super) fn listed(line: &[u8]) -> Result<Item, Expected> {
    if let Some((item, rest)) = Item::split_first(line) {
        let rest = rest.trim_ascii_start();
        if rest.is_empty() || comment(rest).is_some() {
            return Ok(item);
        }
    }
    Item::parse(without_comment(line))
}

/// A comment starts anywhere with `#` and `;`, and behind white space with `//`.
fn without_comment(line: &[u8]) -> &[u8] {
    let hash = line.iter().position(|byte| matches!(byte, b'#' | b';'));
    let mut pairs = line.windows(3);
    let slashes =
        pairs.position(|three| matches!(three, [space, b'/', b'/'] if space.is_ascii_whitespace()));
    let end = hash
        .unwrap_or(line.len())
        .min(slashes.unwrap_or(line.len()));
    line.get(..end).unwrap_or(line).trim_ascii_end()
}
