use super::*;
use crate::reputation::{Entry, FeedDataBuilder, Prefix, Score};
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
