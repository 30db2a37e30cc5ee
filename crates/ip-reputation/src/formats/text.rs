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
    let mut cleaned = Vec::new();
    while let Some(line) = lines.next()? {
        let whole = if line.text.is_ascii() {
            line.text
        } else {
            clean(line.text, &mut cleaned);
            &cleaned
        };
        let text = whole.trim_ascii();
        let Some(first) = text.first() else {
            continue;
        };
        if let Some(comment) = comment_of(format, text) {
            output.report.emptied |= comment == EMPTIED;
            format.comment(comment, output);
            continue;
        }
        output.report.lines += 1;
        if is_skipped(format, whole, *first) {
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

/// Takes out what web pages and word processors leave between words: a space of another kind becomes
/// one, and what has no width is dropped.
fn clean(line: &[u8], into: &mut Vec<u8>) {
    into.clear();
    let mut rest = line;
    while let Some((first, after)) = rest.split_first() {
        rest = match rest {
            // U+00A0; U+2007, U+202F; U+3000.
            [0xc2, 0xa0, after @ ..]
            | [0xe2, 0x80, 0x87 | 0xaf, after @ ..]
            | [0xe3, 0x80, 0x80, after @ ..] => {
                into.push(b' ');
                after
            }
            // U+200B to U+200F; U+2060; U+FEFF.
            [0xe2, 0x80, 0x8b..=0x8f, after @ ..]
            | [0xe2, 0x81, 0xa0, after @ ..]
            | [0xef, 0xbb, 0xbf, after @ ..] => after,
            _ => {
                into.push(*first);
                after
            }
        };
    }
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

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn spaces_of_other_kinds_are_spaces_and_those_without_width_are_gone() {
        let mut cleaned = Vec::new();
        let line = "\u{200b}203.0.113.9\u{feff}\u{a0}# caf\u{e9}\u{3000}\u{2060}";
        clean(line.as_bytes(), &mut cleaned);
        assert_eq!(str::from_utf8(&cleaned), Ok("203.0.113.9 # caf\u{e9} "));
        clean(&[0xe2, 0x80], &mut cleaned);
        assert_eq!(cleaned, [0xe2, 0x80]);
    }
}
