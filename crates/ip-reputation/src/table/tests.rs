use super::*;
use crate::{Entry, FeedDataBuilder, Prefix, Score};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

fn prefix(text: &str) -> Prefix {
    let (address, len) = text.split_once('/').unwrap();
    Prefix::new(address.parse().unwrap(), len.parse().unwrap()).unwrap()
}

fn table(feeds: &[(FeedTerms, &[&str])]) -> Table {
    let mut builder = TableBuilder::new(Combine::NoisyOr, Score::BEST);
    for (terms, prefixes) in feeds {
        let mut data = FeedDataBuilder::new();
        for text in *prefixes {
            data.add(Entry::bad(prefix(text))).unwrap();
        }
        builder.feed(terms.clone(), Arc::new(data.finish()));
    }
    builder.build(0).unwrap()
}

fn half(name: &str) -> FeedTerms {
    FeedTerms {
        weight: 0.5,
        ..FeedTerms::new(name, Role::Feed)
    }
}

fn score(table: &Table, address: &str) -> Option<u8> {
    let verdict = table.lookup(address.parse().unwrap())?;
    Some(verdict.score(0).value())
}

#[test]
fn feeds_combine_where_they_lie_over_each_other() {
    let table = table(&[
        (half("a"), &["192.0.2.0/24", "2001:db8::/32"]),
        (half("b"), &["192.0.2.64/26", "192.0.2.65/32"]),
    ]);
    for (address, expected) in [
        ("192.0.1.255", None),
        ("192.0.2.0", Some(50)),
        ("192.0.2.63", Some(50)),
        ("192.0.2.64", Some(25)),
        ("192.0.2.65", Some(25)),
        ("::ffff:192.0.2.66", Some(25)),
        ("192.0.2.127", Some(25)),
        ("192.0.2.128", Some(50)),
        ("192.0.2.255", Some(50)),
        ("192.0.3.0", None),
        ("2001:db8::", Some(50)),
        ("2001:db9::", None),
    ] {
        assert_eq!(score(&table, address), expected, "{address}");
    }
}

#[test]
fn the_first_role_decides_whatever_the_lengths() {
    let feed = |name, role| FeedTerms::new(name, role);
    let table = table(&[
        (feed("feed", Role::Feed), &["0.0.0.0/0", "::/0"]),
        (feed("guard", Role::Guard), &["10.0.0.0/8"]),
        (feed("deny", Role::Deny), &["10.1.0.0/16", "10.1.1.1/32"]),
        (feed("allow", Role::Allow), &["10.1.1.0/24"]),
    ]);
    for (address, expected, role, reason) in [
        ("192.0.2.1", 0, Role::Feed, "feed 0.0.0.0/0"),
        ("2001:db8::1", 0, Role::Feed, "feed ::/0"),
        ("255.255.255.255", 0, Role::Feed, "feed 0.0.0.0/0"),
        ("10.0.0.1", 100, Role::Guard, "guard 10.0.0.0/8"),
        ("10.1.0.1", 0, Role::Deny, "deny 10.1.0.0/16"),
        ("10.1.1.2", 100, Role::Allow, "allow 10.1.1.0/24"),
        ("10.1.1.1", 100, Role::Allow, "allow 10.1.1.0/24"),
    ] {
        let address = address.parse().unwrap();
        let verdict = table.lookup(address).unwrap();
        assert_eq!(verdict.score(0).value(), expected, "{address}");
        assert_eq!(verdict.ruled_by(0), Some(role), "{address}");
        assert_eq!(verdict.is_listed(0), role != Role::Guard);
        let (feed, prefix) = verdict.reason(0, address).unwrap();
        assert_eq!(format!("{feed} {prefix}"), reason);
    }
}

#[test]
fn an_entry_counts_until_it_expires_and_what_has_expired_is_not_taken() {
    let expiring = |text, expires| Entry {
        expires: Some(expires),
        ..Entry::bad(prefix(text))
    };
    let mut data = FeedDataBuilder::new();
    data.add(expiring("192.0.2.1/32", 100)).unwrap();
    data.add(expiring("192.0.2.2/32", 101)).unwrap();
    let mut builder = TableBuilder::new(Combine::Worst, Score::new(70).unwrap());
    builder.feed(half("a"), Arc::new(data.finish()));
    let table = builder.build(100).unwrap();
    assert_eq!((table.entries(), table.ranges()), (1, 1));
    assert!(table.lookup([192, 0, 2, 1].into()).is_none());
    let verdict = table.lookup([192, 0, 2, 2].into()).unwrap();
    assert_eq!(verdict.expires(), Some(101));
    assert_eq!(
        (verdict.score(100).value(), verdict.is_listed(100)),
        (50, true)
    );
    assert_eq!(
        (verdict.score(101).value(), verdict.is_listed(101)),
        (70, false)
    );
    assert_eq!(verdict.feed(101), None);
    let parts = |now| verdict.contributions(now).map(|entry| entry.part);
    assert!(parts(100).eq([ContributionStatus::Leads]));
    assert!(parts(101).eq([ContributionStatus::Expired]));
}

#[test]
fn contributions_say_what_became_of_each_entry() {
    let dry = FeedTerms {
        shadow: true,
        ..half("dry")
    };
    let strong = FeedTerms {
        weight: 0.8,
        category: Some("spam".into()),
        ..half("strong")
    };
    let table = table(&[
        (half("weak"), &["192.0.2.0/24", "192.0.2.0/28"]),
        (dry, &["192.0.2.0/26"]),
        (strong, &["192.0.2.0/25"]),
    ]);
    let verdict = table.lookup([192, 0, 2, 1].into()).unwrap();
    let all: Vec<_> = verdict.contributions(0).collect();
    let told: Vec<_> = all
        .iter()
        .map(|one| (one.feed, one.prefix_len, one.part))
        .collect();
    assert_eq!(
        told,
        [
            ("weak", 28, ContributionStatus::Counts),
            ("dry", 26, ContributionStatus::Shadow),
            ("strong", 25, ContributionStatus::Leads),
            ("weak", 24, ContributionStatus::Outdone),
        ]
    );
    assert_eq!(all[2].prefix([192, 0, 2, 1].into()), prefix("192.0.2.0/25"));
    assert_eq!(verdict.category(0), Some("spam"));
    assert_eq!(
        (verdict.score(0).value(), verdict.shadow_score(0).value()),
        (10, 5)
    );
}

#[test]
fn neighbours_with_the_same_verdict_are_one_range() {
    let alike = table(&[(
        half("a"),
        &["192.0.2.0/26", "192.0.2.64/26", "192.0.2.128/26"],
    )]);
    assert_eq!((alike.ranges(), alike.verdicts()), (1, 1));
    let apart = table(&[(half("a"), &["192.0.2.0/26", "192.0.2.128/26"])]);
    assert_eq!((apart.ranges(), apart.verdicts()), (2, 1));
    let unlike = table(&[(half("a"), &["192.0.2.0/26", "192.0.2.64/27"])]);
    assert_eq!((unlike.ranges(), unlike.verdicts()), (2, 2));
}

/// A range begins at every address, and far from these at one more, which reaches to the end of all.
#[test]
fn a_range_at_every_address_is_found() {
    let mut feeds = [FeedDataBuilder::new(), FeedDataBuilder::new()];
    let v4 = |host: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + host));
    let v6 = |host: u32| IpAddr::from(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(host)));
    for host in 0..1000 {
        let feed = &mut feeds[host as usize % 2];
        feed.add(Entry::bad(Prefix::host(v4(host)))).unwrap();
        feed.add(Entry::bad(Prefix::host(v6(host)))).unwrap();
    }
    feeds[1].add(Entry::bad(prefix("128.0.0.0/1"))).unwrap();
    feeds[1].add(Entry::bad(prefix("8000::/1"))).unwrap();
    let mut builder = TableBuilder::new(Combine::NoisyOr, Score::BEST);
    for (feed, weight) in feeds.into_iter().zip([0.25, 0.5]) {
        let terms = FeedTerms { weight, ..half("") };
        builder.feed(terms, Arc::new(feed.finish()));
    }
    let table = builder.build(0).unwrap();
    assert_eq!(table.ranges(), 2002);
    let score = |address| Some(table.lookup(address)?.score(0).value());
    for host in 0..1000 {
        let expected = Some([75, 50][host as usize % 2]);
        assert_eq!(score(v4(host)), expected, "{host}");
        assert_eq!(score(v6(host)), expected, "{host}");
    }
    for (address, expected) in [
        ("9.255.255.255", None),
        ("10.0.3.232", None),
        ("127.255.255.255", None),
        ("128.0.0.0", Some(50)),
        ("255.255.255.255", Some(50)),
        ("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", None),
        ("2001:db8::3e8", None),
        ("8000::", Some(50)),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some(50)),
    ] {
        assert_eq!(score(address.parse().unwrap()), expected, "{address}");
    }
}

#[test]
fn nothing_is_in_an_empty_table() {
    let table = table(&[]);
    assert!(table.lookup([192, 0, 2, 1].into()).is_none());
    assert_eq!((table.entries(), table.ranges()), (0, 0));
}

#[test]
fn there_is_an_end_to_feeds() {
    let nothing = Arc::new(FeedDataBuilder::new().finish());
    let mut builder = TableBuilder::new(Combine::NoisyOr, Score::BEST);
    for _ in 0..=u16::MAX {
        builder.feed(half("a"), Arc::clone(&nothing));
    }
    assert_eq!(builder.build(0).unwrap_err(), TableFull::Feeds);
}
