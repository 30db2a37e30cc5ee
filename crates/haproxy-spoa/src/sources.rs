//! A limit of open connections for each source, so that one host cannot take them all.
//!
//! A source is an IPv4 address, the /64 of an IPv6 address, or the user at the other end of a UNIX
//! socket. Workers share the counts: each accepted and each closed connection takes a lock for one
//! lookup. Without a limit for a source there is neither.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::limits::CONNECTIONS_PER_SOURCE;

/// Who opened a connection: what a limit for each source counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Ip(IpAddr),
    /// The user of a process of this machine.
    Unix(u32),
}

/// The open connections of each source.
#[derive(Debug)]
pub(super) struct Sources {
    /// What was configured. Zero: no limit. `None`: the default for remote addresses alone.
    max: Option<usize>,
    open: Mutex<HashMap<Source, usize>>,
}

/// What a limit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    Ip(IpAddr),
    User(u32),
}

/// A connection that is counted. Dropped, it is not counted any more.
#[derive(Debug)]
pub(super) struct Permit(Box<(Arc<Sources>, Source)>);

/// Whether a connection may be opened.
#[derive(Debug)]
pub(super) enum Admission {
    /// There is no limit for its source.
    Unlimited,
    Permitted(Permit),
    Refused,
}

impl Sources {
    pub(super) fn new(max: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            max,
            open: Mutex::default(),
        })
    }

    /// Whether no source has a limit, so that none needs to be looked up.
    pub(super) fn is_off(&self) -> bool {
        self.max == Some(0)
    }

    /// Counts one more connection of a source, if it may have one more.
    pub(super) fn admit(self: &Arc<Self>, origin: Origin) -> Admission {
        let source = Source::from(origin);
        let max = match (self.max, source) {
            (Some(0), _) | (None, Source::User(_)) => return Admission::Unlimited,
            (None, Source::Ip(address)) if address.is_loopback() => return Admission::Unlimited,
            (max, _) => max.unwrap_or(CONNECTIONS_PER_SOURCE),
        };
        // A panic while the lock is held leaves a count that is still a count.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(source).or_insert(0);
        if *count >= max {
            return Admission::Refused;
        }
        *count += 1;
        Admission::Permitted(Permit(Box::new((Arc::clone(self), source))))
    }
}

impl From<Origin> for Source {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Unix(user) => Self::User(user),
            Origin::Ip(address) => Self::Ip(match address.to_canonical() {
                // A host of an IPv6 network has the whole /64.
                IpAddr::V6(address) if !address.is_loopback() => {
                    Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
                }
                address => address,
            }),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let (sources, source) = &*self.0;
        let mut open = sources.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get_mut(source);
        debug_assert!(count.is_some(), "each permit was counted");
        let Some(count) = count else { return };
        *count -= 1;
        if *count == 0 {
            // No peer can make the map grow: it has an entry for each source with open connections.
            open.remove(source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Origin {
        Origin::Ip(text.parse().unwrap())
    }

    fn permit(sources: &Arc<Sources>, origin: Origin) -> Permit {
        match sources.admit(origin) {
            Admission::Permitted(permit) => permit,
            other => panic!("{other:?}"),
        }
    }

    fn is_refused(sources: &Arc<Sources>, origin: Origin) -> bool {
        matches!(sources.admit(origin), Admission::Refused)
    }

    #[test]
    fn a_source_has_so_many_and_a_close_makes_room() {
        let sources = Sources::new(Some(2));
        let first = permit(&sources, ip("192.0.2.1"));
        let _second = permit(&sources, ip("::ffff:192.0.2.1"));
        assert!(is_refused(&sources, ip("192.0.2.1")));
        let _other = permit(&sources, ip("192.0.2.2"));
        drop(first);
        let _third = permit(&sources, ip("192.0.2.1"));
        assert!(is_refused(&sources, ip("192.0.2.1")));
    }

    #[test]
    fn the_64_of_an_ipv6_address_is_one_source() {
        let sources = Sources::new(Some(1));
        let _one = permit(&sources, ip("2001:db8::1"));
        assert!(is_refused(&sources, ip("2001:db8::ffff:0:0:1")));
        let _other = permit(&sources, ip("2001:db8:0:1::1"));
    }

    #[test]
    fn loopback_and_unix_have_a_limit_only_if_there_is_one_set() {
        let local = [
            ip("127.0.0.9"),
            ip("::1"),
            ip("::ffff:127.0.0.1"),
            Origin::Unix(7),
        ];
        let default = Sources::new(None);
        let set = Sources::new(Some(1));
        let off = Sources::new(Some(0));
        for origin in local {
            assert!(matches!(default.admit(origin), Admission::Unlimited));
            let _permit = permit(&set, origin);
            assert!(matches!(off.admit(origin), Admission::Unlimited));
        }
        let remote = ip("192.0.2.1");
        let all: Vec<_> = (0..CONNECTIONS_PER_SOURCE)
            .map(|_| permit(&default, remote))
            .collect();
        assert!(is_refused(&default, remote));
        assert!(matches!(off.admit(remote), Admission::Unlimited));
        drop(all);
        assert!(default.open.lock().unwrap().is_empty());
    }
}
