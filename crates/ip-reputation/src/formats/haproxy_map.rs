//! A map file of HAProxy: an address and a value behind it.
//!
//! ```text
//!  203.0.113.0/24 15          a number, whose direction is stated
//!  2001:db8::/32  scanner     a word: the category
//! ```

use super::Refused;
use super::item::{Expected, Item};
use super::options::Options;
use super::output::{Evidence, Output};
use super::text::{LineFormat, Text};
use super::word;

const LINE: Expected = "addresses and a value with white space between them";
const VALUE: Expected = "a number of 0 or more or a category behind the addresses";

/// The reader of maps.
pub(super) struct HaproxyMap<'a> {
    options: &'a Options,
    /// Whether there was a number, whose direction is not stated.
    lacks_direction: bool,
}

impl<'a> HaproxyMap<'a> {
    pub(super) const fn new(options: &'a Options) -> Self {
        Self {
            options,
            lacks_direction: false,
        }
    }

    /// Fails if the numbers may mean one thing or the opposite.
    pub(super) fn has_direction(&self) -> Result<(), Refused> {
        if self.lacks_direction {
            self.options.stated_direction()?;
        }
        Ok(())
    }

    fn evidence<'t>(
        &mut self,
        value: &'t [u8],
        output: &mut Output<'_>,
    ) -> Result<Evidence<'t>, Expected> {
        let Some(number) = number(value)? else {
            // Two addresses are no address and its category.
            let category = word(value).filter(|_| Item::parse(value).is_err());
            let category = category.ok_or(VALUE)?;
            return Ok(Evidence {
                category: Some(category),
                ..Evidence::plain(self.options.confidence)
            });
        };
        let Some(higher_is) = self.options.higher_is else {
            self.lacks_direction = true;
            return Err(VALUE);
        };
        let confidence = self.options.confidence_of(number, higher_is);
        let evidence = Evidence::plain(confidence.ok_or(VALUE)?);
        output.report.clamped += u64::from(number > self.options.max_value);
        Ok(evidence)
    }
}

/// The number that a value is; `None`: it is a word. A number with something behind it is neither.
fn number(value: &[u8]) -> Result<Option<f64>, Expected> {
    let parse = |text: &str| {
        let is_number = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
        text.parse::<f64>().ok().filter(|_| is_number)
    };
    let text = str::from_utf8(value).map_err(|_| VALUE)?;
    let first = text.split_ascii_whitespace().next().unwrap_or_default();
    match (parse(text), parse(first)) {
        (None, Some(_)) => Err(VALUE),
        (number, _) => Ok(number),
    }
}

impl LineFormat for HaproxyMap<'_> {
    fn line(&mut self, line: Text<'_>, output: &mut Output<'_>) -> Result<(), Expected> {
        let end = line.text.iter().position(u8::is_ascii_whitespace);
        let (item, value) = line.text.split_at_checked(end.ok_or(LINE)?).ok_or(LINE)?;
        let item = Item::parse(item)?;
        let evidence = self.evidence(value.trim_ascii(), output)?;
        output.give(line.number, item, evidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::tests::{parts, refusal};
    use crate::formats::{Format, HigherIs};

    #[test]
    fn a_value_stands_behind_the_addresses() {
        let feed = "# of ours\n203.0.113.0/24 15\n203.0.113.9\t\t100  \n2001:db8::/32   7.5\n\
            203.0.113.0/255.255.255.128 0\n203.0.113.1\n203.0.113.2 -1\n203.0.113.3 1 2\n\
            203.0.113.4 101\n203.0.113.5 bad bots\n203.0.113 1\n203.0.113.6 3xx\n";
        let options = Options {
            higher_is: Some(HigherIs::Better),
            ..Options::default()
        };
        let (entries, wrong) = parts(Format::HaproxyMap, &options, feed);
        assert_eq!(
            entries,
            [
                "203.0.113.0/24 0.85",
                "203.0.113.9 0",
                "2001:db8::/32 0.925",
                "203.0.113.0/25 1",
                "203.0.113.4 0",
                "203.0.113.5 1 bad bots",
                "203.0.113.6 1 3xx",
            ]
        );
        assert!(wrong[0].ends_with(LINE), "{wrong:?}");
        assert!(
            wrong[1..3].iter().all(|wrong| wrong.ends_with(VALUE)),
            "{wrong:?}"
        );
        assert_eq!(wrong.len(), 4);
        let unstated = refusal(Format::HaproxyMap, &Options::default(), feed);
        assert!(unstated.contains("higher-is"));
    }

    #[test]
    fn words_need_no_direction() {
        let feed = "203.0.113.0/24 scanner\n2001:db8::/32 tor\n";
        let (entries, wrong) = parts(Format::HaproxyMap, &Options::default(), feed);
        assert_eq!(entries, ["203.0.113.0/24 1 scanner", "2001:db8::/32 1 tor"]);
        assert_eq!(wrong, [""; 0]);
    }
}
