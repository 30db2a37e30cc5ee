//! A table with something of everything.

use std::sync::Arc;

use ip_reputation::{
    Combine, Confidence, Entry, FeedDataBuilder, FeedTerms, Prefix, Role, Score, TableBuilder,
    private_space,
};
use iprep_spoa::policy::Source;

/// The score of an address that nobody knows.
pub(crate) const UNKNOWN: u8 = 90;
/// When the entry of 203.0.113.128/25 stops to count.
pub(crate) const EXPIRES: u32 = 2_000;

/// Text to prefix: `192.0.2.0/24`.
pub(crate) fn prefix(text: &str) -> Prefix {
    let (address, len) = text.split_once('/').unwrap();
    Prefix::new(address.parse().unwrap(), len.parse().unwrap()).unwrap()
}

/// | range | what |
/// |---|---|
/// | 203.0.113.0/24, 2001:db8::/32 | feed `scanners`, confidence 0.8, category `scanner` |
/// | 203.0.113.128/25 | feed `abuse`, confidence 1, expires; category of the feed: `abuse` |
/// | 192.0.2.0/24 | feed `plain`, weight 0.5, without a category |
/// | 198.51.100.0/24 | feed `tried`, in shadow |
/// | 203.0.113.200/32, 192.0.2.0/28 | allowed |
/// | 192.0.2.0/26 | denied |
/// | 10.0.0.0/8 and so on | guarded; `scanners` has 10.0.0.0/24 |
pub(crate) fn source() -> Source {
    let unknown = Score::new(UNKNOWN).unwrap();
    let mut table = TableBuilder::new(Combine::NoisyOr, unknown);
    let mut feed = |terms: FeedTerms, entries: &[Entry<'_>]| {
        let mut data = FeedDataBuilder::new();
        for entry in entries {
            data.add(*entry).unwrap();
        }
        table.feed(terms, Arc::new(data.finish()));
    };
    let bad = |text: &str| Entry::bad(prefix(text));
    let scanner = |text: &str| Entry {
        confidence: Confidence::ratio(0.8),
        category: Some("scanner"),
        ..bad(text)
    };
    feed(
        FeedTerms::new("scanners", Role::Feed),
        &[
            scanner("203.0.113.0/24"),
            scanner("2001:db8::/32"),
            scanner("10.0.0.0/24"),
        ],
    );
    feed(
        FeedTerms {
            category: Some("abuse".into()),
            ..FeedTerms::new("abuse", Role::Feed)
        },
        &[Entry {
            expires: Some(EXPIRES),
            ..bad("203.0.113.128/25")
        }],
    );
    feed(
        FeedTerms {
            weight: 0.5,
            ..FeedTerms::new("plain", Role::Feed)
        },
        &[bad("192.0.2.0/24")],
    );
    feed(
        FeedTerms {
            shadow: true,
            ..FeedTerms::new("tried", Role::Feed)
        },
        &[bad("198.51.100.0/24")],
    );
    feed(
        FeedTerms::new("allow", Role::Allow),
        &[bad("203.0.113.200/32"), bad("192.0.2.0/28")],
    );
    feed(FeedTerms::new("deny", Role::Deny), &[bad("192.0.2.0/26")]);
    table.feed(
        FeedTerms::new("private", Role::Guard),
        Arc::new(private_space()),
    );
    Source::Table {
        table: Arc::new(table.build(0).unwrap()),
        unknown,
    }
}
