//! Suricata's IP reputation: a list of addresses, and a file of the categories that it speaks of.
//!
//! ```text
//!  1,BadHosts,Hosts that attack                 categories: number, short name, description
//!  203.0.113.0/24,1,88                          list: addresses, category, 1 to 127
//! ```
//!
//! A line that starts with white space is passed over, as Suricata does. An address may repeat, once
//! for each of its categories.

use super::item::{Expected, Item};
use super::options::Categories;
use super::output::{Evidence, Output};
use super::text::{LineFormat, Text};
use super::word;
use crate::Confidence;

/// The number that stands for certainty.
const SCORE_MAX: u8 = 127;

const LINE: Expected = "addresses, the number of a category and a score, with commas between them,";
const CATEGORY: Expected = "the number of a category that the categories file has";
const SCORE: Expected = "a score from 0 to 127";
const NAME: Expected = "the number and the name of a category, with a comma between them,";

/// The reader of lists.
pub(super) struct Suricata<'a> {
    pub(super) categories: &'a Categories,
}

impl LineFormat for Suricata<'_> {
    const SKIPS_INDENTED: bool = true;

    fn line(&mut self, line: Text<'_>, output: &mut Output<'_>) -> Result<(), Expected> {
        let mut fields = line
            .text
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii);
        let (Some(item), Some(category), Some(score), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(LINE);
        };
        let item = Item::parse(item)?;
        let category = number(category).ok_or(CATEGORY)?;
        let name = self.categories.name(category);
        if name.is_none() && !self.categories.is_empty() {
            return Err(CATEGORY);
        }
        let score = number(score)
            .filter(|score| *score <= SCORE_MAX)
            .ok_or(SCORE)?;
        if score == 0 {
            // The address has no reputation in this category.
            output.skip();
            return Ok(());
        }
        let ratio = f64::from(score) / f64::from(SCORE_MAX);
        let evidence = Evidence {
            category: name,
            ..Evidence::plain(Confidence::ratio(ratio))
        };
        output.give(line.number, item, evidence)
    }
}

/// The reader of categories. Its entries are names.
#[derive(Default)]
pub(super) struct CategoryNames(pub(super) Categories);

impl LineFormat for CategoryNames {
    const SKIPS_INDENTED: bool = true;

    fn line(&mut self, line: Text<'_>, output: &mut Output<'_>) -> Result<(), Expected> {
        let mut fields = line
            .text
            .splitn(3, |byte| *byte == b',')
            .map(<[u8]>::trim_ascii);
        let number = fields.next().and_then(number).ok_or(NAME)?;
        let name = fields.next().and_then(word).ok_or(NAME)?;
        self.0.0.insert(number, name.to_owned());
        output.report.entries += 1;
        Ok(())
    }
}

fn number(text: &[u8]) -> Option<u8> {
    let is_number = text.first().is_some_and(u8::is_ascii_digit);
    let text = str::from_utf8(text).ok().filter(|_| is_number)?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::tests::parts;
    use crate::formats::{Format, Options};

    fn categories(file: &str) -> Categories {
        let options = Options {
            max_invalid_ratio: 1.0,
            ..Options::default()
        };
        Categories::read(&mut file.as_bytes(), &options).unwrap().0
    }

    #[test]
    fn numbers_are_confidence_in_a_category() {
        let options = Options {
            categories: categories("1,BadHosts,Hosts that attack, often\n 2,No,\n3,Scan,x\n"),
            ..Options::default()
        };
        let feed = "203.0.113.0/24,1,127\n203.0.113.0/24,3,64\n 203.0.113.1,1,1\n#203.0.113.2,1,1\n\
            203.0.113.7,3,0\n2001:db8::/32,3,1\n";
        let (entries, wrong) = parts(Format::SuricataIprep, &options, feed);
        assert_eq!(
            entries,
            [
                "203.0.113.0/24 1 BadHosts",
                "203.0.113.0/24 0.5039 Scan",
                "2001:db8::/32 0.0079 Scan",
            ]
        );
        assert_eq!(wrong, [""; 0]);
        let (entries, wrong) = parts(Format::SuricataIprep, &Options::default(), feed);
        assert_eq!(entries[0], "203.0.113.0/24 1");
        assert_eq!(wrong, [""; 0]);
    }

    #[test]
    fn wrong_lines_are_named() {
        let options = Options {
            categories: categories("1,BadHosts,text\n"),
            ..Options::default()
        };
        let feed = "203.0.113.1,1\n203.0.113.1,1,1,1\n203.0.113.1,2,1\n203.0.113.1,x,1\n\
            203.0.113.1,1,129\n203.0.113.1,1,128\n203.0.113.1,1,+7\n203.0.113,1,1\n";
        let (entries, wrong) = parts(Format::SuricataIprep, &options, feed);
        assert_eq!(entries, [""; 0]);
        let expected = [LINE, LINE, CATEGORY, CATEGORY, SCORE, SCORE, SCORE];
        for (wrong, expected) in wrong.iter().zip(expected) {
            assert!(wrong.ends_with(expected), "{wrong}");
        }
        assert_eq!(wrong.len(), 8);
    }

    #[test]
    fn categories_have_a_number_and_a_name() {
        let names = categories("1,BadHosts,text\nx,y,z\n256,y,z\n2\n3,,z\n4,Short\n");
        assert_eq!((names.len(), names.is_empty()), (2, false));
        assert_eq!(
            (names.name(1), names.name(4)),
            (Some("BadHosts"), Some("Short"))
        );
        assert_eq!(names.name(2), None);
        assert!(Categories::read(&mut &b"<html>"[..], &Options::default()).is_err());
        assert!(Categories::read(&mut &b""[..], &Options::default()).is_err());
    }
}
