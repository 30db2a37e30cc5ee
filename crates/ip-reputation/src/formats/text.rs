//! What the formats made of lines have in common: which lines count, and who is asked about them.

use super::Refused;
use super::contents::Contents;
use super::item::Expected;
use super::lines::{LINE_MAX, Lines};
use super::output::Output;

/// How much of a text shows what it is.
const HEAD: usize = 1024;

/// The comment by which a list says that it is empty on purpose.
pub(super) const EMPTIED: &[u8] = b"spoa: empty";

const SHORT: Expected = "a line of at most 4096 bytes";
const _: () = assert!(LINE_MAX == 4096, "SHORT says so");

/// A format made of lines.
pub(super) trait LineFormat {
    /// Whether a line that starts with white space is none of the list.
    const SKIPS_INDENTED: bool = false;

    /// Whether `#` alone starts a comment: `;` may be a separator.
    const HASH_ONLY: bool = false;

    /// A line that is neither blank nor a comment, without white space at its ends.
    fn line(&mut self, line: Text<'_>, output: &mut Output<'_>) -> Result<(), Expected>;

    /// A comment, without its mark and white space.
    fn comment(&mut self, _text: &[u8], _output: &mut Output<'_>) {}
}

/// A line and its number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) number: u64,
    pub(super) text: &'a [u8],
}

/// Hands every line of a text to its format.
pub(super) fn read(
    lines: &mut Lines<'_>,
    format: &mut impl LineFormat,
    output: &mut Output<'_>,
) -> Result<(), Refused> {
    sniff(lines)?;
    while let Some(line) = lines.next()? {
        let text = line.text.trim_ascii();
        let Some(first) = text.first() else {
            continue;
        };
        if let Some(comment) = comment_of(format, text) {
            output.report.emptied |= comment == EMPTIED;
            format.comment(comment, output);
            continue;
        }
        output.report.lines += 1;
        if is_skipped(format, line.text, *first) {
            output.skip();
            continue;
        }
        let number = line.number;
        let read = if line.is_cut {
            Err(SHORT)
        } else {
            format.line(Text { number, text }, output)
        };
        if let Err(expected) = read {
            output.report.wrong(number, text, expected);
        }
        output.goes_on()?;
    }
    Ok(())
}

#[inline]
fn comment_of<'t, F: LineFormat>(_format: &F, text: &'t [u8]) -> Option<&'t [u8]> {
    comment(text).filter(|_| !F::HASH_ONLY || text.starts_with(b"#"))
}

#[inline]
fn is_skipped<F: LineFormat>(_format: &F, line: &[u8], first: u8) -> bool {
    F::SKIPS_INDENTED && line.first() != Some(&first)
}

/// A text that is none is refused before its lines are looked at.
pub(super) fn sniff(lines: &mut Lines<'_>) -> Result<(), Refused> {
    match Contents::sniff(lines.head(HEAD)?) {
        Contents::Text | Contents::Nothing => Ok(()),
        other => Err(Refused::Unfit(other)),
    }
}

/// What a comment says, if the line is one.
#[inline]
pub(super) fn comment(text: &[u8]) -> Option<&[u8]> {
    let ([b'#' | b';', comment @ ..] | [b'/', b'/', comment @ ..]) = text else {
        return None;
    };
    Some(comment.trim_ascii())
}
