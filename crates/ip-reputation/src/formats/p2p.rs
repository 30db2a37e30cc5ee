//! Lists of file-sharing programs: `PeerGuardian`'s P2P and eMule's DAT.
//!
//! ```text
//!  p2p    name: of anything:192.0.2.1-192.0.2.9                      the last colon counts
//!  dat    192.000.002.001 - 192.000.002.009 , 100 , name             above 127 nothing is blocked
//! ```

use super::item::{Expected, Item, range};
use super::output::{Evidence, Output};
use super::text::{LineFormat, Text};
use crate::Confidence;

/// The highest level of access that is blocked.
const LEVEL_MAX: u32 = 127;

const P2P: Expected = "a name, a colon and a range of IPv4 addresses";
const DAT: Expected = "a range of IPv4 addresses, a comma and a level of access";

/// The reader of P2P.
pub(super) struct P2p {
    pub(super) confidence: Confidence,
}

impl LineFormat for P2p {
    fn line(&mut self, line: Text<'_>, output: &mut Output<'_>) -> Result<(), Expected> {
        let colon = memchr::memrchr(b':', line.text).ok_or(P2P)?;
        let addresses = line.text.get(colon + 1..).ok_or(P2P)?;
        let item = Item::parse(addresses.trim_ascii())?;
        output.give(line.number, item, Evidence::plain(self.confidence))
    }
}

/// The reader of DAT.
pub(super) struct Dat {
    pub(super) confidence: Confidence,
}

impl LineFormat for Dat {
    fn line(&mut self, line: Text<'_>, output: &mut Output<'_>) -> Result<(), Expected> {
        let text = str::from_utf8(line.text.split(|byte| *byte == b',').next().ok_or(DAT)?);
        let (first, last) = text.map_err(|_| DAT)?.split_once('-').ok_or(DAT)?;
        let level = line.text.split(|byte| *byte == b',').nth(1);
        if let Some(level) = level {
            let level = str::from_utf8(level.trim_ascii()).map_err(|_| DAT)?;
            let level: u32 = level.parse().map_err(|_| DAT)?;
            if level > LEVEL_MAX {
                output.skip();
                return Ok(());
            }
        }
        let item = range(
            padded(first).ok_or(DAT)?.into(),
            padded(last).ok_or(DAT)?.into(),
        )?;
        output.give(line.number, item, Evidence::plain(self.confidence))
    }
}

/// An IPv4 address whose leading zeros are decimal.
fn padded(text: &str) -> Option<core::net::Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.trim().split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        let is_decimal = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        *octet = part.parse().ok().filter(|_| is_decimal)?;
    }
    parts.next().is_none().then(|| octets.into())
}

#[cfg(test)]
mod tests {
    use crate::formats::tests::parts;
    use crate::formats::{Format, Options};

    #[test]
    fn the_last_colon_counts() {
        let feed = "# a list\nBad: \"one\":192.0.2.0-192.0.2.1\n:192.0.2.7-192.0.2.7\nno range\n";
        let (entries, wrong) = parts(Format::P2p, &Options::default(), feed);
        assert_eq!(entries, ["192.0.2.0/31 1", "192.0.2.7 1"]);
        assert_eq!(wrong.len(), 1);
    }

    #[test]
    fn zeros_are_decimal_and_levels_above_127_are_not_blocked() {
        let feed = "192.000.002.010 - 192.000.002.011 , 000 , one\n\
            192.000.002.020 - 192.000.002.020 , 127 , two, three\n\
            192.000.002.030 - 192.000.002.031 , 128 , four\n\
            192.0.2.40 - 192.0.2.41\n\
            192.0.2.300 - 192.0.2.41 , 000 , five\n";
        let (entries, wrong) = parts(Format::Dat, &Options::default(), feed);
        assert_eq!(
            entries,
            ["192.0.2.10/31 1", "192.0.2.20 1", "192.0.2.40/31 1"]
        );
        assert_eq!(wrong.len(), 1);
    }
}
