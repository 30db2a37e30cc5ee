//! What `ipset save` prints: sets, and what is in them.
//!
//! ```text
//!  create bl hash:net family inet hashsize 1024 maxelem 65536 timeout 600
//!  add bl 203.0.113.0/24 timeout 300
//! ```
//!
//! A time-out becomes an expiry; 0 is none. Only sets of addresses or of prefixes say which addresses
//! are bad: those with ports, marks, interfaces or other sets in them are passed over, and named.

use core::net::IpAddr;
use std::collections::HashMap;

use super::Refused;
use super::item::{Expected, Item};
use super::options::Options;
use super::output::{Evidence, Output};
use super::report::excerpt;
use super::text::{LineFormat, Text};
use crate::Prefix;

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
    /// The name and the type of the first one that was asked for and is not read.
    unread: Option<(String, String)>,
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
            unread: None,
        }
    }

    /// Whether every set that was asked for was there, and any of them is read.
    pub(super) fn has_sets(&self) -> Result<(), Refused> {
        let mut asked = self.options.sets.iter();
        if let Some(missing) = asked.find(|name| !self.sets.contains_key(name.as_bytes())) {
            return Err(Refused::NoSuchSet(missing.clone()));
        }
        let is_read = |set: &Set| matches!(set, Set::Addresses { .. });
        match self.unread.clone() {
            Some((name, kind)) if !self.sets.values().any(is_read) => {
                Err(Refused::UnreadSet { name, kind })
            }
            _ => Ok(()),
        }
    }

    fn create(
        &mut self,
        line: u64,
        name: &[u8],
        mut words: Words<'_>,
        output: &mut Output<'_>,
    ) -> Result<(), Expected> {
        let kind = words.next().ok_or(COMMAND)?;
        let mut described = excerpt(kind);
        let mut set = match kind {
            b"hash:ip" | b"hash:net" => Set::Addresses { netmask: None },
            _ => Set::PassedOver,
        };
        while let Some(word) = words.next() {
            match (word, &mut set) {
                (b"netmask", Set::Addresses { netmask }) => {
                    *netmask = Some(words.number().ok_or(NETMASK)?);
                }
                (b"bitmask", Set::Addresses { .. }) => {
                    set = Set::PassedOver;
                    described.push_str(" with a bitmask");
                }
                _ => {}
            }
        }
        self.know(name, set)?;
        if matches!(set, Set::PassedOver) && self.is_asked(name) {
            let name = excerpt(name);
            output.report.note(format!(
                "line {line}: set {name} is of type {described}, which is not read"
            ));
            self.unread.get_or_insert((name, described));
        }
        Ok(())
    }

    fn is_asked(&self, name: &[u8]) -> bool {
        let mut asked = self.options.sets.iter();
        self.options.sets.is_empty() || asked.any(|asked| asked.as_bytes() == name)
    }

    fn know(&mut self, name: &[u8], set: Set) -> Result<(), Expected> {
        if self.sets.len() >= SETS_MAX && !self.sets.contains_key(name) {
            return Err(SETS);
        }
        let set = if self.is_asked(name) {
            set
        } else {
            Set::PassedOver
        };
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
                self.create(line.number, name, words, output)?;
                output.skip();
            }
            b"add" => {
                let item = words.next().ok_or(COMMAND)?;
                let Set::Addresses { netmask } = self.set(name)? else {
                    output.skip();
                    return Ok(());
                };
                let item = widened(Item::parse(item)?, netmask)?;
                output.give(line.number, item, self.evidence(words)?)?;
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
    use crate::formats::Format;
    use crate::formats::tests::{outcome, parts, refusal};

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
        let note = "line 6: set ports is of type hash:ip,port, which is not read";
        assert_eq!(report.notes, [note]);
    }

    #[test]
    fn sets_can_be_named() {
        let (entries, wrong) = parts(Format::IpsetSave, &options(&["hosts"]), SAVED);
        assert_eq!((entries, wrong), (vec!["2001:db8::1 1".to_owned()], vec![]));
        let missing = refusal(Format::IpsetSave, &options(&["bl", "other"]), SAVED);
        assert_eq!(missing, "there is no set \"other\" in it");
        let unread = refusal(Format::IpsetSave, &options(&["ports"]), SAVED);
        assert_eq!(
            unread,
            "set ports is of type hash:ip,port, which is not read"
        );
        let named = |sets: &[&str]| {
            let read = outcome(Format::IpsetSave, &options(sets), SAVED.as_bytes());
            read.unwrap().1.notes.len()
        };
        assert_eq!((named(&["hosts"]), named(&["hosts", "ports"])), (0, 1));
        let masked = "create m hash:ip family inet bitmask 255.0.255.0\nadd m 203.0.0.0\n";
        let unread = refusal(Format::IpsetSave, &options(&[]), masked);
        assert_eq!(
            unread,
            "set m is of type hash:ip with a bitmask, which is not read"
        );
        let many = "create x list:set size 8\n".repeat(1000) + SAVED;
        let (_, report) = outcome(Format::IpsetSave, &options(&[]), many.as_bytes()).unwrap();
        assert_eq!(report.notes.len(), 10);
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
