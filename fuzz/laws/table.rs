//! What holds for a table out of any entries of any feeds. It needs nothing of the other laws.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ip_reputation::{
    Combine, Confidence, Entry, FeedDataBuilder, FeedTerms, Prefix, Role, Score, Table,
    TableBuilder, Verdict,
};

const FEEDS: usize = 4;
const RECORD: usize = 7;
/// The law is quadratic.
const ENTRIES_MAX: usize = 24;
const BUILT: u32 = 1000;

const ROLES: [Role; 8] = [
    Role::Feed,
    Role::Feed,
    Role::Feed,
    Role::Feed,
    Role::Feed,
    Role::Allow,
    Role::Deny,
    Role::Guard,
];

/// Law: an address is found if and only if an entry covers it, with as many contributions as entries
/// cover it; once entries have expired, the answer is that of a table without them.
///
/// The first byte chooses how feeds combine, the next four are the terms of a feed each, then an
/// entry every seven bytes: feed and family, length, what it says, address.
pub(crate) fn law(data: &[u8]) {
    let Some((&[combine, terms @ ..], records)) = data.split_first_chunk::<{ 1 + FEEDS }>() else {
        return;
    };
    let entries: Vec<_> = records
        .chunks_exact(RECORD)
        .take(ENTRIES_MAX)
        .map(|record| record_entry(record.try_into().unwrap()))
        .collect();
    let whole = build(combine, terms, &entries, BUILT);
    for (_, entry) in &entries {
        for address in edges(entry.prefix) {
            is_lawful(&whole, &entries, address);
        }
    }
    for now in entries.iter().filter_map(|(_, entry)| entry.expires) {
        let later = build(combine, terms, &entries, now.max(BUILT));
        for address in entries.iter().flat_map(|(_, entry)| edges(entry.prefix)) {
            let answer = |table: &Table| answer(table.lookup(address), now.max(BUILT));
            let unknown = (unknown(combine), unknown(combine), None, false, None);
            assert_eq!(
                answer(&whole).unwrap_or(unknown),
                answer(&later).unwrap_or(unknown),
                "{address} at {now}"
            );
        }
    }
}

type Said = (usize, Entry<'static>);
type Answer = (Score, Score, Option<Role>, bool, Option<(usize, u8)>);

fn answer(verdict: Option<Verdict<'_>>, now: u32) -> Option<Answer> {
    verdict.map(|verdict| {
        let any = Ipv6Addr::UNSPECIFIED.into();
        let leading = verdict.reason(now, any);
        (
            verdict.score(now),
            verdict.shadow_score(now),
            verdict.ruled_by(now),
            verdict.is_listed(now),
            leading.map(|(feed, prefix)| (feed.parse().unwrap(), prefix.len())),
        )
    })
}

fn unknown(combine: u8) -> Score {
    Score::new(combine % 101).unwrap()
}

fn record_entry(record: [u8; RECORD]) -> Said {
    let [who, len, what, a, b, c, d] = record;
    let address = match who >> 2 & 3 {
        0 | 1 => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        2 => Ipv4Addr::new(a, b, c, d).to_ipv6_mapped().into(),
        _ => Ipv6Addr::from_bits(u128::from_be_bytes([
            a, b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, c, d,
        ]))
        .into(),
    };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let entry = Entry {
        confidence: Confidence::ratio(f64::from(what & 3) / 3.0),
        expires: (what & 4 != 0).then(|| 995 + u32::from(what >> 3)),
        ..Entry::bad(Prefix::new(address, len % (longest + 1)).unwrap())
    };
    (usize::from(who) % FEEDS, entry)
}

fn build(combine: u8, terms: [u8; FEEDS], entries: &[Said], now: u32) -> Table {
    let how = [Combine::NoisyOr, Combine::Worst][usize::from(combine >> 7)];
    let mut builder = TableBuilder::new(how, unknown(combine));
    for (feed, terms) in terms.into_iter().enumerate() {
        let mut data = FeedDataBuilder::new();
        for (_, entry) in entries.iter().filter(|(of, _)| *of == feed) {
            data.add(*entry).unwrap();
        }
        let terms = FeedTerms {
            weight: f64::from(terms >> 4) / 15.0,
            shadow: terms & 8 != 0,
            ..FeedTerms::new(feed.to_string(), ROLES[usize::from(terms & 7)])
        };
        builder.feed(terms, Arc::new(data.finish()));
    }
    builder.build(now).unwrap()
}

fn is_lawful(table: &Table, entries: &[Said], address: IpAddr) {
    let covering = entries.iter().filter(|(_, entry)| {
        entry.prefix.contains(address) && entry.expires.is_none_or(|end| BUILT < end)
    });
    let covering: BTreeSet<_> = covering
        .map(|(feed, entry)| (feed, entry.prefix, entry.confidence, entry.expires))
        .collect();
    let verdict = table.lookup(address);
    assert_eq!(verdict.is_some(), !covering.is_empty(), "{address}");
    let found = verdict.map_or(0, |verdict| verdict.contributions(BUILT).count());
    // Of one prefix and feed no more than a number is kept.
    let kept: BTreeSet<_> = covering
        .iter()
        .map(|(feed, prefix, ..)| (feed, prefix))
        .collect();
    assert!((kept.len()..=covering.len()).contains(&found), "{address}");
}

/// The first and the last address of a prefix, and their neighbours.
fn edges(prefix: Prefix) -> [IpAddr; 4] {
    match prefix {
        Prefix::V4 { network, len } => {
            let last = network | u32::MAX.unbounded_shr(len.into());
            [network, network.wrapping_sub(1), last, last.wrapping_add(1)]
                .map(|bits| Ipv4Addr::from_bits(bits).into())
        }
        Prefix::V6 { network, len } => {
            let last = network | u128::MAX.unbounded_shr(len.into());
            [network, network.wrapping_sub(1), last, last.wrapping_add(1)]
                .map(|bits| Ipv6Addr::from_bits(bits).into())
        }
    }
}
