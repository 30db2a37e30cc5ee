//! A map file of HAProxy, or whatever else has a number behind an address.
//!
//! ```text
//!  203.0.113.0/24 15
//!  2001:db8::/32  7
//! ```

use super::Refused;
use super::item::{Expected, Item};
use super::options::{Options, Polarity};
use super::output::{Evidence, Output};
use super::text::{LineFormat, Text};

const LINE: Expected = "addresses and a number with white space between them";
const NUMBER: Expected = "a number from 0 to number-max behind the addresses";

/// The reader of maps.
pub(super) struct HaproxyMap<'a> {
    options: &'a Options,
    polarity: Polarity,
}

impl<'a> HaproxyMap<'a> {
    /// Fails if the numbers may mean one thing or the opposite.
    pub(super) fn new(options: &'a Options) -> Result<Self, Refused> {
        let polarity = options.stated_polarity()?;
        Ok(Self { options, polarity })
    }
}

impl LineFormat for HaproxyMap<'_> {
    fn line(&mut self, line: Text<'_>, output: &mut Output<'_>) -> Result<(), Expected> {
        let end = line.text.iter().position(u8::is_ascii_whitespace);
        let (item, number) = line.text.split_at_checked(end.ok_or(LINE)?).ok_or(LINE)?;
        let item = Item::parse(item)?;
        let number = str::from_utf8(number.trim_ascii_start()).ok();
        let number = number.and_then(|text| text.parse().ok()).ok_or(NUMBER)?;
        let confidence = self.options.confidence_of(number, self.polarity);
        output.give(
            line.number,
            item,
            Evidence::plain(confidence.ok_or(NUMBER)?),
        );
        Ok(())
    }
}
