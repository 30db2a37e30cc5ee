//! A map file of HAProxy, or whatever else has a number behind an address.
//!
//! ```text
//!  203.0.113.0/24 15
//!  2001:db8::/32  7
//! ```

use super::Refused;
use super::item::{Expected, Item};
use super::options::{HigherIs, Options};
use super::output::{Evidence, Output};
use super::text::{LineFormat, Text};

const LINE: Expected = "addresses and a number with white space between them";
const NUMBER: Expected = "a number from 0 to max-value behind the addresses";

/// The reader of maps.
pub(super) struct HaproxyMap<'a> {
    options: &'a Options,
    higher_is: HigherIs,
}

impl<'a> HaproxyMap<'a> {
    /// Fails if the numbers may mean one thing or the opposite.
    pub(super) fn new(options: &'a Options) -> Result<Self, Refused> {
        let higher_is = options.stated_direction()?;
        Ok(Self { options, higher_is })
    }
}

impl LineFormat for HaproxyMap<'_> {
    fn line(&mut self, line: Text<'_>, output: &mut Output<'_>) -> Result<(), Expected> {
        let end = line.text.iter().position(u8::is_ascii_whitespace);
        let (item, number) = line.text.split_at_checked(end.ok_or(LINE)?).ok_or(LINE)?;
        let item = Item::parse(item)?;
        let number = str::from_utf8(number.trim_ascii_start()).ok();
        let number = number.and_then(|text| text.parse().ok()).ok_or(NUMBER)?;
        let confidence = self.options.confidence_of(number, self.higher_is);
        let evidence = Evidence::plain(confidence.ok_or(NUMBER)?);
        output.report.clamped += u64::from(number > self.options.max_value);
        output.give(line.number, item, evidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::Format;
    use crate::formats::tests::{parts, refusal};

    #[test]
    fn a_number_stands_behind_the_addresses() {
        let feed = "# of ours\n203.0.113.0/24 15\n203.0.113.9\t\t100  \n2001:db8::/32   7.5\n\
            203.0.113.0/255.255.255.128 0\n203.0.113.1\n203.0.113.2 deny\n203.0.113.3 1 2\n\
            203.0.113.4 101\n203.0.113.5 inf\n203.0.113 1\n";
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
                "203.0.113.5 0",
            ]
        );
        assert!(wrong[0].ends_with(LINE), "{wrong:?}");
        assert!(
            wrong[1..3].iter().all(|wrong| wrong.ends_with(NUMBER)),
            "{wrong:?}"
        );
        assert_eq!(wrong.len(), 4);
        let unstated = refusal(Format::HaproxyMap, &Options::default(), feed);
        assert!(unstated.contains("higher-is"));
    }
}
