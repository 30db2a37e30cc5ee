//! Addresses that no feed can know: they mean another host in every network.

use super::{Entry, FeedData, FeedDataBuilder, Prefix};

/// Addresses from which a connection can come that are not one host's on the Internet: private
/// networks (RFC 1918), unique local ones (RFC 4193), those behind a carrier's NAT (RFC 6598),
/// link-local, loopback and unspecified. Multicast and reserved addresses are none: no connection
/// comes from them, and a feed that lists them does no harm.
const PRIVATE: [(u128, u8); 11] = [
    (mapped(0, 0, 0, 0), 96 + 8),
    (mapped(10, 0, 0, 0), 96 + 8),
    (mapped(100, 64, 0, 0), 96 + 10),
    (mapped(127, 0, 0, 0), 96 + 8),
    (mapped(169, 254, 0, 0), 96 + 16),
    (mapped(172, 16, 0, 0), 96 + 12),
    (mapped(192, 168, 0, 0), 96 + 16),
    (0, 128),
    (1, 128),
    (0xfc00 << 112, 7),
    (0xfe80 << 112, 10),
];

const fn mapped(a: u8, b: u8, c: u8, d: u8) -> u128 {
    core::net::Ipv4Addr::new(a, b, c, d)
        .to_ipv6_mapped()
        .to_bits()
}

/// Private space, for a table's guard. FireHOL's level 1, for one, lists it.
#[must_use]
pub fn private_space() -> FeedData {
    let mut data = FeedDataBuilder::new();
    let prefixes = PRIVATE.iter().filter_map(|(network, len)| {
        Prefix::new(core::net::Ipv6Addr::from_bits(*network).into(), *len)
    });
    for prefix in prefixes {
        // All entries have the same evidence: there is room for it.
        let _ = data.add(Entry::bad(prefix));
    }
    data.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_space_is_what_a_client_may_have_that_the_internet_does_not() {
        let data = private_space();
        let covers = |address: &str| {
            let address = address.parse().unwrap();
            data.entries().any(|entry| entry.prefix.contains(address))
        };
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.1.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "::",
            "::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
        ] {
            assert!(covers(address), "{address}");
        }
        for address in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "128.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "::2",
            "2001:db8::1",
            "fec0::1",
        ] {
            assert!(!covers(address), "{address}");
        }
    }
}
