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
use super::options::Options;
use super::output::{Evidence, Output};
use super::text::{LineFormat, Text, comment};
use crate::Confidence;

/// The reader of plain lists.
pub(super) struct Plain<'a> {
    pub(super) confidence: Confidence,
    pub(super) header: Header,
    /// The options, if they say what surrounds the addresses.
    pub(super) stripping: Option<&'a Options>,
}

impl LineFormat for Plain<'_> {
    #[inline]
    fn line(&mut self, line: Text<'_>, output: &mut Output<'_>) -> Result<(), Expected> {
        let item = match self.stripping {
            None => match listed(line.text) {
                Ok(item) => item,
                Err(expected) => return self.several(line, expected, output),
            },
            Some(options) => {
                let Some(item) = options.addresses(without_comment(line.text))? else {
                    output.skip();
                    return Ok(());
                };
                item
            }
        };
        output.give(line.number, item, self.evidence())
    }

    fn comment(&mut self, text: &[u8], output: &mut Output<'_>) {
        self.header.comment(text, output);
    }
}

impl Plain<'_> {
    fn evidence(&self) -> Evidence<'_> {
        Evidence {
            category: self.header.category(),
            ..Evidence::plain(self.confidence)
        }
    }

    /// A line with several entries between commas; `expected` is what it is not otherwise.
    #[cold]
    fn several(
        &self,
        line: Text<'_>,
        expected: Expected,
        output: &mut Output<'_>,
    ) -> Result<(), Expected> {
        let entries = in_commas(line.text).ok_or(expected)?;
        let items = entries.map(Item::parse).collect::<Result<Vec<_>, _>>();
        for item in items.map_err(|_| expected)? {
            output.give(line.number, item, self.evidence())?;
        }
        Ok(())
    }
}

/// The texts between commas before a comment; `None` without a comma.
pub(super) fn in_commas(line: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let line = without_comment(line);
    memchr::memchr(b',', line)?;
    let texts = line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    Some(texts.filter(|text| !text.is_empty()))
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
    let mark = memchr::memchr2(b'#', b';', line);
    let line = mark.and_then(|end| line.get(..end)).unwrap_or(line);
    let is_mark = |slash: &usize| {
        let around = slash.checked_sub(1).and_then(|before| line.get(before..));
        matches!(around, Some([space, b'/', b'/', ..]) if space.is_ascii_whitespace())
    };
    let slashes = memchr::memchr_iter(b'/', line).find(is_mark);
    let line = slashes.and_then(|end| line.get(..end)).unwrap_or(line);
    line.trim_ascii_end()
}

#[cfg(test)]
mod tests {
    use crate::formats::tests::{outcome, parts};
    use crate::formats::{Format, Options};

    fn read(feed: &str) -> (Vec<String>, Vec<String>) {
        parts(Format::Plain, &Options::default(), feed)
    }

    #[test]
    fn every_way_to_write_a_line_is_read() {
        let (entries, wrong) = read(
            "\u{feff}203.0.113.9  # note\r\n\
             203.0.113.10# note\r\n\
             \t203.0.113.0/24 ; note\n\
             203.0.113.11 // note 203.0.113.99\n\
             \n\
             ; 203.0.113.12\n\
             // 203.0.113.13\n\
             2001:db8::1\n\
             2001:DB8::/32 # note\n\
             ::ffff:203.0.113.14\n\
             203.0.113.1-203.0.113.3 # range\n\
             203.0.113.16 - 203.0.113.31\n\
             2001:db8::-2001:db8::1\n\
             198.51.100.77/24",
        );
        assert_eq!(wrong, [""; 0]);
        assert_eq!(
            entries.join(" ").replace(" 1 ", " "),
            "203.0.113.9 203.0.113.10 203.0.113.0/24 203.0.113.11 2001:db8::1 2001:db8::/32 \
             203.0.113.14 203.0.113.1 203.0.113.2/31 203.0.113.16/28 2001:db8::/127 \
             198.51.100.0/24 1"
        );
    }

    #[test]
    fn a_list_may_stand_on_one_line() {
        let (entries, wrong) = read("203.0.113.9, 203.0.113.0/25,2001:db8::1, # note, more\n");
        assert_eq!(
            entries,
            ["203.0.113.9 1", "203.0.113.0/25 1", "2001:db8::1 1"]
        );
        assert_eq!(wrong, [""; 0]);
        let many = (0..=255).map(|low| format!("198.51.100.{low}"));
        let many: Vec<_> = many.cycle().take(5000).collect();
        let (entries, wrong) = read(&many.join(", "));
        assert_eq!((entries.len(), wrong), (5000, vec![]));
        let (entries, wrong) = read(&many.join("\r"));
        assert_eq!((entries.len(), wrong), (5000, vec![]));
        let (entries, _) = read("203.0.113.9,scanner,203.0.113.10\n");
        assert_eq!(entries, [""; 0]);
    }

    #[test]
    fn spaces_of_other_kinds_are_no_part_of_an_address() {
        let (entries, wrong) =
            read("\u{200b}203.0.113.9\u{a0}# a\n203.0.113.10\u{200b}\u{feff}\n\u{a0}\n");
        assert_eq!(entries, ["203.0.113.9 1", "203.0.113.10 1"]);
        assert_eq!(wrong, [""; 0]);
    }

    #[test]
    fn wrong_lines_are_named_and_the_others_used() {
        let (entries, wrong) = read(
            "203.0.113.9\n\
             203.0.113.10 203.0.113.11\n\
             203.0.113.12203.0.113.13\n\
             203.0.113.14:80\n\
             203.0.113.015\n\
             203.0.113.0//24\n\
             203.0.113.16,bad\n\
             203.0.113\0.18\n\
             example.com\n\
             203.0.113.19/33 # note\n\
             203.0.113.20\n",
        );
        assert_eq!(entries, ["203.0.113.9 1", "203.0.113.20 1"]);
        let item = "an address, a prefix or a range";
        let expected = [
            ("2 203.0.113.10 203.0.113.11", item),
            ("3 203.0.113.12203.0.113.13", item),
            ("4 203.0.113.14:80", "an address without a port"),
            (
                "5 203.0.113.015",
                "an address without leading zeros, which may mean octal,",
            ),
            ("6 203.0.113.0//24", "a prefix length of this family"),
            ("7 203.0.113.16,bad", item),
            ("8 203.0.113\\x00.18", item),
            ("9 example.com", item),
            (
                "10 203.0.113.19/33 # note",
                "a prefix length of this family",
            ),
        ];
        let expected = expected.map(|(what, expected)| format!("{what}: {expected}"));
        assert_eq!(wrong, expected);
    }

    #[test]
    fn a_netset_says_what_it_is() {
        let feed = b"#\n# example_level1\n#\n\
            # Source File Date: Tue Dec  1 00:00:00 UTC 2026\n#\n\
            # Category        : attacks\n\
            # This File Date  : Tue Dec  1 00:05:00 UTC 2026\n\
            # Entries         : 2 subnets, 257 unique IPs\n#\n\
            203.0.113.0/24\n198.51.100.7\n";
        let (entries, report) = outcome(Format::Netset, &Options::default(), feed).unwrap();
        assert_eq!(
            entries,
            ["203.0.113.0/24 1 attacks", "198.51.100.7 1 attacks"]
        );
        assert_eq!(report.as_of, Some(1_796_083_200));
        assert_eq!(report.declared, Some(2));
        let (entries, _) = outcome(Format::Plain, &Options::default(), feed).unwrap();
        assert_eq!(entries, ["203.0.113.0/24 1", "198.51.100.7 1"]);
    }

    #[test]
    fn drop_as_text_says_when_there_is_a_newer_one() {
        let feed = b"; Spamhaus DROP List 2026/12/01\n\
            ; Last-Modified: Tue, 01 Dec 2026 00:00:00 GMT\n\
            ; Expires: Tue, 01 Dec 2026 01:00:00 GMT\n\
            192.0.2.0/24 ; SBL000001\n198.51.100.0/24 ; SBL000002\n";
        let (entries, report) = outcome(Format::DropText, &Options::default(), feed).unwrap();
        assert_eq!(entries, ["192.0.2.0/24 1", "198.51.100.0/24 1"]);
        assert_eq!(report.as_of, Some(1_796_083_200));
        assert_eq!(report.expires, Some(1_796_086_800));
    }
}
