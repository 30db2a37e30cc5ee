//! The lines of an input, one at a time, in memory that does not grow.
//!
//! ```text
//!             start            end
//!  [ used up ][ not yet used   ][ free  ]        one buffer; the rest of a line moves to its front
//! ```

use std::io::{self, BufRead, Read};

use super::contents::BOM;

/// The most bytes in a line. Longer lines are cut and their rest is passed over.
pub(super) const LINE_MAX: usize = 4096;

/// A line with more bytes is too long; the last of these may be `\r`.
const LONG: usize = LINE_MAX + 1;

/// How much is asked of the input at once.
const BUFFER: usize = 64 * 1024;

/// Takes lines off an input.
#[expect(clippy::struct_excessive_bools, reason = "each says one thing")]
pub(super) struct Lines<'a> {
    input: &'a mut dyn BufRead,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    is_at_end: bool,
    /// Whether `\r` alone ends a line, as on old Macs.
    ends_with_cr: bool,
    /// Whether a line that is too long is cut into several at a comma or white space.
    splits_long: bool,
    /// Whether the last one was a piece of such a line, and not its last.
    is_within: bool,
    number: u64,
    /// Where the start of a line goes whose rest is passed over.
    cut: Vec<u8>,
}

/// One line, without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: u64,
    /// At most [`LINE_MAX`] bytes.
    pub(super) text: &'a [u8],
    /// Whether the line was longer.
    pub(super) is_cut: bool,
}

impl<'a> Lines<'a> {
    /// The lines of an input. Nothing is read yet.
    pub(super) fn new(input: &'a mut dyn BufRead) -> Self {
        Self {
            input,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            is_at_end: false,
            ends_with_cr: false,
            splits_long: false,
            is_within: false,
            number: 0,
            cut: Vec::new(),
        }
    }

    /// What the input begins with: at least `min` bytes unless it is shorter. Without a byte order
    /// mark. To be called before the first line is taken.
    pub(super) fn head(&mut self, min: usize) -> io::Result<&[u8]> {
        while self.held().len() < min && !self.is_at_end {
            self.fill()?;
        }
        if self.held().starts_with(BOM) {
            self.start += BOM.len();
        }
        Ok(self.held())
    }

    /// Has lines that are too long cut at a comma or white space: a whole list may be one line. A line
    /// with a comment in it is not.
    pub(super) const fn split_long_lines(&mut self) {
        self.splits_long = true;
    }

    /// The next line, if there is one. `\r\n` ends a line as `\n` does, and `\r` alone in a text that
    /// has it where there is no other end.
    #[inline]
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut searched = 0;
        loop {
            let fresh = self.held().get(searched..).unwrap_or_default();
            let end = if self.ends_with_cr {
                memchr::memchr2(b'\n', b'\r', fresh)
            } else {
                memchr::memchr(b'\n', fresh)
            };
            let len = end.map(|at| searched + at);
            searched = self.held().len();
            if len.unwrap_or(searched) > LONG || (len.is_none() && self.is_at_end) {
                if self.has_other_end(len) {
                    self.ends_with_cr = true;
                    searched = 0;
                    continue;
                }
                if let Some(at) = self.split_at(len.unwrap_or(searched)) {
                    return Ok(Some(self.take(at, at + 1, false)));
                }
            }
            if let Some(len) = len {
                return Ok(Some(self.take(len, len + 1, true)));
            }
            if self.is_at_end {
                return Ok((searched > 0).then(|| self.take(searched, searched, true)));
            }
            if searched > LONG {
                return self.pass_over().map(Some);
            }
            self.fill()?;
        }
    }

    /// Whether a line that is too long, or the last one, has `\r` in its middle.
    #[cold]
    fn has_other_end(&self, len: Option<usize>) -> bool {
        if self.ends_with_cr {
            return false;
        }
        let held = self.held();
        let held = len.map_or(held, |len| held.get(..len).unwrap_or_default());
        let start = match held.get(..LONG) {
            Some(start) => start,
            None => held.strip_suffix(b"\r").unwrap_or(held),
        };
        memchr::memchr(b'\r', start).is_some()
    }

    /// Where a line of this length is cut, if it is too long and may be.
    #[cold]
    fn split_at(&self, len: usize) -> Option<usize> {
        let start = self.held().get(..LINE_MAX)?;
        let has_comment = memchr::memchr2(b'#', b';', start).is_some()
            || start.trim_ascii_start().starts_with(b"//");
        if !self.splits_long || len <= LONG || has_comment {
            return None;
        }
        let is_separator = |byte: &u8| *byte == b',' || byte.is_ascii_whitespace();
        start.iter().rposition(is_separator)
    }

    /// The line of this length, which uses up so many bytes.
    #[inline]
    fn take(&mut self, len: usize, used: usize, is_end: bool) -> Line<'_> {
        let text = self.start..self.start + len;
        self.start += used;
        self.number += u64::from(!self.is_within);
        self.is_within = !is_end;
        let text = self.buffer.get(text).unwrap_or_default();
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        Line {
            number: self.number,
            text: text.get(..LINE_MAX).unwrap_or(text),
            is_cut: text.len() > LINE_MAX,
        }
    }

    /// Keeps the start of a line that is too long and drops its rest.
    fn pass_over(&mut self) -> io::Result<Line<'_>> {
        self.cut.clear();
        let kept = self.buffer.get(self.start..self.start + LINE_MAX);
        self.cut.extend_from_slice(kept.unwrap_or_default());
        loop {
            let end = if self.ends_with_cr {
                memchr::memchr2(b'\n', b'\r', self.held())
            } else {
                memchr::memchr(b'\n', self.held())
            };
            match end {
                Some(at) => {
                    self.start += at + 1;
                    break;
                }
                None if self.is_at_end => {
                    self.start = self.end;
                    break;
                }
                None => {
                    self.start = self.end;
                    self.fill()?;
                }
            }
        }
        self.number += u64::from(!self.is_within);
        self.is_within = false;
        Ok(Line {
            number: self.number,
            text: &self.cut,
            is_cut: true,
        })
    }

    fn held(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Reads once. What is held is at most [`LINE_MAX`] bytes or the head, so that there is room.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        loop {
            match self.input.read(room) {
                Ok(0) => {
                    self.is_at_end = true;
                    return Ok(());
                }
                Ok(read) => {
                    self.end += read;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// What is left of the input, for a document that is not made of lines.
impl Read for Lines<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end {
            return self.input.read(into);
        }
        let read = self.held().read(into)?;
        self.start += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn all(input: &mut dyn BufRead) -> Vec<(u64, Vec<u8>, bool)> {
        let mut lines = Lines::new(input);
        lines.head(4).unwrap();
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push((line.number, line.text.to_vec(), line.is_cut));
        }
        all
    }

    /// Gives no more than so many bytes at a time.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let len = into.len().min(self.1);
            self.0.read(&mut into[..len])
        }
    }

    /// Gives a byte at a time.
    struct Drops<'a>(&'a [u8]);

    impl Read for Drops<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let len = into.len().min(1);
            self.0.read(&mut into[..len])
        }
    }

    #[test]
    fn lines_end_with_either_end_and_the_last_needs_none() {
        let text = b"\xef\xbb\xbfa\r\n\nb\r\rc\r\n\r\nlast";
        let expected: Vec<_> = [&b"a"[..], b"", b"b\r\rc", b"", b"last"]
            .iter()
            .zip(1..)
            .map(|(line, number)| (number, line.to_vec(), false))
            .collect();
        assert_eq!(all(&mut &text[..]), expected);
        assert_eq!(all(&mut BufReader::with_capacity(1, Drops(text))), expected);
        assert_eq!(all(&mut &b""[..]), []);
        assert_eq!(all(&mut &b"\n"[..]), [(1, vec![], false)]);
    }

    #[test]
    fn a_carriage_return_alone_ends_lines_where_nothing_else_does() {
        let short = b"a\rb\r\rc";
        let long = b"192.0.2.1\r".repeat(1000);
        for piece in [1, 7, 100_000] {
            let lines = |text: &[u8]| {
                all(&mut BufReader::with_capacity(piece, Pieces(text, piece)))
                    .into_iter()
                    .map(|(number, text, _)| (number, String::from_utf8(text).unwrap()))
                    .collect::<Vec<_>>()
            };
            let expected = [(1, "a"), (2, "b"), (3, ""), (4, "c")];
            assert_eq!(lines(short), expected.map(|(n, t)| (n, t.to_owned())));
            let long = lines(&long);
            assert_eq!(long.len(), 1000);
            assert!(long.iter().all(|(_, text)| text == "192.0.2.1"));
        }
    }

    #[test]
    fn a_list_in_one_line_is_cut_between_its_entries() {
        let text = [&b"192.0.2.1, ".repeat(1000)[..], b"192.0.2.2\nnext\n"].concat();
        for piece in [1, 77, 100_000] {
            let mut input = BufReader::with_capacity(piece, Pieces(&text, piece));
            let mut lines = Lines::new(&mut input);
            lines.split_long_lines();
            let (mut joined, mut numbers) = (Vec::new(), Vec::new());
            while let Some(line) = lines.next().unwrap() {
                assert!(!line.is_cut);
                joined.extend_from_slice(line.text);
                joined.push(b',');
                numbers.push(line.number);
            }
            let joined = String::from_utf8(joined).unwrap();
            let entries: Vec<_> = joined
                .split([',', ' '])
                .filter(|it| !it.is_empty())
                .collect();
            assert_eq!(entries.len(), 1002);
            assert!(entries[..1000].iter().all(|entry| *entry == "192.0.2.1"));
            assert_eq!(numbers.last(), Some(&2));
        }
    }

    #[test]
    fn a_long_line_is_cut_and_those_after_it_are_whole() {
        for len in [LINE_MAX - 1, LINE_MAX, LINE_MAX + 1, BUFFER, 3 * BUFFER + 7] {
            let text = [&vec![b'x'; len][..], b"\nnext\n"].concat();
            let long = (1, vec![b'x'; len.min(LINE_MAX)], len > LINE_MAX);
            assert_eq!(
                all(&mut &text[..]),
                [long, (2, b"next".to_vec(), false)],
                "{len}"
            );
        }
    }

    #[test]
    fn the_buffer_does_not_grow_with_the_line() {
        let mut endless = BufReader::new(io::repeat(0).take(10_000_000));
        let mut lines = Lines::new(&mut endless);
        assert!(lines.next().unwrap().unwrap().is_cut);
        assert_eq!(lines.next().unwrap(), None);
        assert_eq!(lines.buffer.len(), BUFFER);
        assert!(lines.cut.capacity() <= LINE_MAX * 2);
    }
}
