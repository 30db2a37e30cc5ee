//! What `ipset save` prints: sets, and what is in them.
//!
//! ```text
//!  create bl hash:net family inet hashsize 1024 maxelem 65536 timeout 600
//!  add bl 203.0.113.0/24 timeout 300
//! ```
//!
//! A time-out becomes an expiry; 0 is none. Only sets of addresses or of prefixes say which addresses
//! are bad: those with ports, marks, interfaces or other sets in them are passed over.

use core::net::IpAddr;
use std::collections::HashMap;

use super::Refused;
use super::item::{Expected, Item};
use super::options::Options;
use super::output::{Evidence, Output};
use super::text::{LineFormat, Text};
use crate::reputation::Prefix;

/// The most sets; the kernel has no more.
const SETS_MAX: usize = 65_536;

const COMMAND: Expected = "create or add, the name of a set and what it takes,";
const TIMEOUT: Expected = "a time-out in seconds";
const NOMATCH: Expected =
    "an entry without nomatch (an exception, which belongs on an allow list),";
const SETS: Expected = "one of at most 65536 sets";
const NETMASK: Expected = "a netmask that is a prefix length";

/// The reader of saved sets.
pub(super) struct IpsetSave<'a> {
    options: &'a Options,
    sets: HashMap<Vec<u8>, Set>,
}

/// What is known of a set.
#[derive(Debug, Clone, Copy)]
enum Set {
    /// Of addresses or prefixes. With a netmask, an address stands for its network.
    Addresses { netmask: Option<u8> },
    /// Of something else, or not asked for.
    PassedOver,
}

impl<'a> IpsetSave<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
        Self {
            options,
            sets: HashMap::new(),
        }
    }

    /// Whether every set that was asked for was there.
    pub(super) fn has_sets(&self) -> Result<(), Refused> {
        let mut asked = self.options.sets.iter();
        match asked.find(|name| !self.sets.contains_key(name.as_bytes())) {
            Some(missing) => Err(Refused::NoSuchSet(missing.clone())),
            None => Ok(()),
        }
    }

    fn create(&mut self, name: &[u8], mut words: Words<'_>) -> Result<(), Expected> {
        let kind = words.next().ok_or(COMMAND)?;
        let mut set = match kind {
            b"hash:ip" | b"hash:net" => Set::Addresses { netmask: None },
            _ => Set::PassedOver,
        };
        while let Some(word) = words.next() {
            match (word, &mut set) {
                (b"netmask", Set::Addresses { netmask }) => {
                    *netmask = Some(words.number().ok_or(NETMASK)?);
                }
                (b"bitmask", _) => set = Set::PassedOver,
                _ => {}
            }
        }
        self.know(name, set)
    }

    fn know(&mut self, name: &[u8], set: Set) -> Result<(), Expected> {
        if self.sets.len() >= SETS_MAX && !self.sets.contains_key(name) {
            return Err(SETS);
        }
        let mut asked = self.options.sets.iter();
        let is_asked = self.options.sets.is_empty() || asked.any(|asked| asked.as_bytes() == name);
        let set = if is_asked { set } else { Set::PassedOver };
        self.sets.insert(name.to_vec(), set);
        Ok(())
    }

    /// The set of an entry. One that was never created is taken for one of addresses.
    fn set(&mut self, name: &[u8]) -> Result<Set, Expected> {
        if !self.sets.contains_key(name) {
            self.know(name, Set::Addresses { netmask: None })?;
        }
        Ok(self.sets.get(name).copied().unwrap_or(Set::PassedOver))
    }

    fn evidence(&self, mut words: Words<'_>) -> Result<Evidence<'static>, Expected> {
        let mut evidence = Evidence::plain(self.options.confidence);
        while let Some(word) = words.next() {
            match word {
                b"timeout" => {
                    let seconds: u32 = words.number().ok_or(TIMEOUT)?;
                    let until = self.options.now.saturating_add(seconds);
                    evidence.expires = (seconds > 0).then_some(until);
                }
                b"nomatch" => return Err(NOMATCH),
                _ => {}
            }
        }
        Ok(evidence)
    }
}

impl LineFormat for IpsetSave<'_> {
    fn line(&mut self, line: Text<'_>, output: &mut Output<'_>) -> Result<(), Expected> {
        let mut words = Words(line.text);
        let (command, name) = words.next().zip(words.next()).ok_or(COMMAND)?;
        match command {
            b"create" => {
                self.create(name, words)?;
                output.skip();
            }
            b"add" => {
                let item = words.next().ok_or(COMMAND)?;
                let Set::Addresses { netmask } = self.set(name)? else {
                    output.skip();
                    return Ok(());
                };
                let item = widened(Item::parse(item)?, netmask)?;
                output.give(line.number, item, self.evidence(words)?);
            }
            _ => return Err(COMMAND),
        }
        Ok(())
    }
}

/// An address of a set with a netmask is a network.
fn widened(item: Item, netmask: Option<u8>) -> Result<Item, Expected> {
    let (Item::One { prefix, is_masked }, Some(netmask)) = (item, netmask) else {
        return Ok(item);
    };
    let network: IpAddr = prefix.network();
    let prefix = Prefix::new(network, prefix.len().min(netmask)).ok_or(NETMASK)?;
    Ok(Item::One { prefix, is_masked })
}

/// The words of a line; what stands between quotes is one.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0.trim_ascii_start();
        let (word, rest) = match rest.strip_prefix(b"\"") {
            Some(quoted) => split_at(quoted, |byte| *byte == b'"'),
            None => split_at(rest, u8::is_ascii_whitespace),
        };
        let is_none = rest.is_empty() && word.is_empty();
        self.0 = rest.split_first().map_or(rest, |(_, rest)| rest);
        (!is_none).then_some(word)
    }

    fn number<N: core::str::FromStr>(&mut self) -> Option<N> {
        str::from_utf8(self.next()?).ok()?.parse().ok()
    }
}

fn split_at(text: &[u8], end: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(end).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reputation::formats::Format;
    use crate::reputation::formats::tests::{outcome, parts, refusal};

    const SAVED: &str = "create bl hash:net family inet hashsize 1024 maxelem 65536 timeout 600\n\
        add bl 203.0.113.0/24 timeout 300\n\
        add bl 198.51.100.0/24 timeout 0\n\
        create hosts hash:ip family inet6 comment\n\
        add hosts 2001:db8::1 comment \"timeout 5 nomatch\"\n\
        create ports hash:ip,port family inet\n\
        add ports 203.0.113.9,tcp:80\n\
        create wide hash:ip family inet netmask 28\n\
        add wide 203.0.113.16\n";

    fn options(sets: &[&str]) -> Options {
        Options {
            now: 1000,
            sets: sets.iter().map(|name| (*name).to_owned()).collect(),
            ..Options::default()
        }
    }

    #[test]
    fn sets_of_addresses_and_prefixes_are_read() {
        let (entries, report) =
            outcome(Format::IpsetSave, &options(&[]), SAVED.as_bytes()).unwrap();
        assert_eq!(
            entries,
            [
                "203.0.113.0/24 1 until 1300",
                "198.51.100.0/24 1",
                "2001:db8::1 1",
                "203.0.113.16/28 1",
            ]
        );
        assert_eq!((report.lines, report.skipped), (4, 5));
    }

    #[test]
    fn sets_can_be_named() {
        let (entries, wrong) = parts(Format::IpsetSave, &options(&["hosts"]), SAVED);
        assert_eq!((entries, wrong), (vec!["2001:db8::1 1".to_owned()], vec![]));
        let missing = refusal(Format::IpsetSave, &options(&["bl", "other"]), SAVED);
        assert_eq!(missing, "there is no set \"other\" in it");
        assert!(refusal(Format::IpsetSave, &options(&["ports"]), SAVED).contains("no entry"));
    }

    #[test]
    fn wrong_lines_are_named() {
        let feed = "add bl 203.0.113.9 timeout 4294967295\n\
            add bl\nadd bl 203.0.113.9 timeout soon\nadd bl 203.0.113.9 nomatch\n\
            drop bl 203.0.113.9\nadd bl 203.0.113.9,80\ncreate bl\n\
            create n hash:ip netmask x\n";
        let (entries, wrong) = parts(Format::IpsetSave, &options(&[]), feed);
        assert_eq!(entries, ["203.0.113.9 1 until 4294967295"]);
        let expected = [
            COMMAND,
            TIMEOUT,
            NOMATCH,
            COMMAND,
            "an address, a prefix or a range",
            COMMAND,
            NETMASK,
        ];
        assert_eq!(wrong.len(), expected.len());
        for (wrong, expected) in wrong.iter().zip(expected) {
            assert!(wrong.ends_with(expected), "{wrong}");
        }
    }
}
