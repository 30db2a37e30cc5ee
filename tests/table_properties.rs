//! Law: a table says of every address what a reading of all entries, one by one, says: precedence,
//! how feeds combine, ageing, shadow and expiry; and the entries that cover an address are those that
//! the crate `prefix-trie` finds.

#![cfg(test)]

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ip_reputation::{
    Combine, Confidence, Entry, FeedData, FeedDataBuilder, FeedTerms, Prefix, Role, Score, Table,
    TableBuilder, Verdict,
};
use prefix_trie::PrefixMap;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof};
use proptest::{collection, option, proptest, sample};

/// When the tables are built, when some entries expire, and two moments after that.
const BUILT: u32 = 200;
const TIMES: [u32; 4] = [BUILT, 499, 500, 700];

/// Confidence, category, seen, expires.
type Saying = (f64, Option<&'static str>, Option<u32>, Option<u32>);

/// What entries say. No more than may stand at one prefix.
const SAYINGS: [Saying; 8] = [
    (1.0, None, None, None),
    (0.5, Some("scanner"), None, None),
    (0.5, None, Some(100), None),
    (0.9, Some("spam"), Some(0xffff_ffff), None),
    (1.0, None, None, Some(500)),
    (0.25, Some("scanner"), Some(150), Some(600)),
    (1.0, Some("gone"), None, Some(BUILT)),
    (0.0, None, None, None),
];

type Said = (Prefix, usize);
type Feed = (FeedTerms, Vec<Said>);

fn entry((prefix, saying): Said) -> Entry<'static> {
    let (confidence, category, seen, expires) = SAYINGS[saying];
    Entry {
        prefix,
        confidence: Confidence::ratio(confidence),
        category,
        seen,
        expires,
        range: None,
    }
}

/// Prefixes that lie within, beside and upon each other: few bits differ, and all lengths occur.
fn prefix() -> impl Strategy<Value = Prefix> {
    let v4 = prop_oneof![24_u8..=32, 0_u8..=32, Just(0)];
    let v4 = (any::<u8>(), v4)
        .prop_map(|(host, len)| Prefix::new(Ipv4Addr::new(192, 0, 2, host).into(), len).unwrap());
    let edge = (sample::select(vec![0_u32, u32::MAX]), 28_u8..=32)
        .prop_map(|(address, len)| Prefix::v4(address, len).unwrap());
    let mapped = (any::<u8>(), 118_u8..=128).prop_map(|(host, len)| {
        let address = Ipv4Addr::new(192, 0, 2, host).to_ipv6_mapped();
        Prefix::new(address.into(), len).unwrap()
    });
    let v6 = prop_oneof![124_u8..=128, 60_u8..=68, 0_u8..=128, Just(0)];
    let v6 = (0_u16..4, 0_u16..16, v6).prop_map(|(net, host, len)| {
        let address = Ipv6Addr::new(0x2001, 0xdb8, 0, net, 0, 0, 0, host);
        Prefix::new(address.into(), len).unwrap()
    });
    let end = (120_u8..=128)
        .prop_map(|len| Prefix::new(Ipv6Addr::from_bits(u128::MAX).into(), len).unwrap());
    prop_oneof![4 => v4, 1 => edge, 1 => mapped, 4 => v6, 1 => end]
}

fn said() -> impl Strategy<Value = Vec<Said>> {
    collection::vec((prefix(), 0..SAYINGS.len()), 0..12)
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![
        8 => Just(Role::Feed),
        1 => Just(Role::Allow),
        1 => Just(Role::Deny),
        1 => Just(Role::Guard),
    ]
}

fn feed() -> impl Strategy<Value = Feed> {
    let weight = sample::select(vec![0.0, 0.3, 0.5, 1.0]);
    let half_life = option::of(sample::select(vec![50_u64, 100]));
    let as_of = option::of(Just(120));
    let group = option::of(sample::select(vec!["one", "two"]));
    let terms = (role(), weight, half_life, any::<bool>(), as_of, group).prop_map(
        |(role, weight, half_life, shadow, as_of, group)| FeedTerms {
            weight,
            group: group.map(Into::into),
            half_life: half_life.map(Duration::from_secs),
            shadow,
            as_of,
            ..FeedTerms::new("", role)
        },
    );
    (terms, said())
}

/// Many prefixes, in clusters of any width within each other: what an index has to find its way in.
fn clusters() -> impl Strategy<Value = Vec<Said>> {
    let numbers = collection::vec(any::<u128>(), 1..100);
    let cluster = (any::<u128>(), 0_u32..128, any::<bool>(), numbers);
    let prefixes = cluster.prop_map(|(base, width, hosts, numbers)| {
        let prefixes = numbers.into_iter().flat_map(|number| {
            let short = if hosts {
                0
            } else {
                u8::try_from(number % 33).unwrap()
            };
            let number = base ^ number.unbounded_shr(width);
            let v4 = Ipv4Addr::from_bits(u32::try_from(number >> 96).unwrap());
            [
                (Prefix::new(v4.into(), 32 - short).unwrap(), 0),
                (
                    Prefix::new(Ipv6Addr::from_bits(number).into(), 128 - short).unwrap(),
                    0,
                ),
            ]
        });
        prefixes.collect::<Vec<_>>()
    });
    collection::vec(prefixes, 1..6).prop_map(|all| all.concat())
}

/// Feeds whose names are their places.
fn feeds() -> impl Strategy<Value = Vec<Feed>> {
    collection::vec(feed(), 1..5).prop_map(|mut feeds| {
        for (place, (terms, _)) in feeds.iter_mut().enumerate() {
            terms.name = place.to_string().into();
        }
        feeds
    })
}

fn data(said: &[Said]) -> FeedData {
    let mut data = FeedDataBuilder::new();
    for said in said {
        data.add(entry(*said)).unwrap();
    }
    data.finish()
}

fn table(feeds: &[Feed], combine: Combine, unknown: Score) -> Table {
    let mut builder = TableBuilder::new(combine, unknown);
    for (terms, said) in feeds {
        builder.feed(terms.clone(), Arc::new(data(said)));
    }
    builder.build(BUILT).unwrap()
}

/// The addresses at which anything can change, and those beside them.
fn edges(prefix: Prefix) -> Vec<IpAddr> {
    let len = prefix.len();
    match prefix {
        Prefix::V4 { network, .. } => {
            let last = network | u32::MAX.unbounded_shr(len.into());
            let all = [network, network.wrapping_sub(1), last, last.wrapping_add(1)];
            let mapped = Ipv4Addr::from_bits(network).to_ipv6_mapped();
            let all = all.map(|bits| Ipv4Addr::from_bits(bits).into());
            all.into_iter().chain([mapped.into()]).collect()
        }
        Prefix::V6 { network, .. } => {
            let last = network | u128::MAX.unbounded_shr(len.into());
            let all = [network, network.wrapping_sub(1), last, last.wrapping_add(1)];
            all.map(|bits| Ipv6Addr::from_bits(bits).into()).to_vec()
        }
    }
}

fn all_edges(feeds: &[Feed]) -> Vec<IpAddr> {
    let prefixes = feeds.iter().flat_map(|(_, said)| said);
    prefixes.flat_map(|(prefix, _)| edges(*prefix)).collect()
}

/// Reads all entries, one by one.
struct Oracle<'a> {
    feeds: &'a [Feed],
    combine: Combine,
    unknown: Score,
    address: IpAddr,
}

/// A feed that covers the address: its terms, and its entries that do.
type Covering<'a> = (&'a FeedTerms, Vec<Said>);

impl Oracle<'_> {
    /// The entries that cover the address and have not expired, each once.
    fn covering(&self, now: u32) -> Vec<Covering<'_>> {
        let feeds = self.feeds.iter().map(|(terms, said)| {
            let covers = |(prefix, _): &&Said| prefix.contains(self.address);
            let lasts = |said: &&Said| entry(**said).expires.is_none_or(|end| now < end);
            let once: BTreeSet<_> = said.iter().filter(covers).filter(lasts).copied().collect();
            (terms, once.into_iter().collect())
        });
        feeds
            .filter(|(_, said): &Covering<'_>| !said.is_empty())
            .collect()
    }

    fn role(&self, now: u32, shadow: bool) -> Option<Role> {
        let feeds = self.covering(now);
        let counting = feeds.iter().filter(|(terms, _)| shadow || !terms.shadow);
        counting.map(|(terms, _)| terms.role).min()
    }

    fn badness(terms: &FeedTerms, said: Said) -> f64 {
        let entry = entry(said);
        let age = entry
            .seen
            .or(terms.as_of)
            .map_or(0, |seen| BUILT.saturating_sub(seen));
        let halvings = terms
            .half_life
            .map_or(0.0, |half| f64::from(age) / half.as_secs_f64());
        terms.weight * entry.confidence.as_ratio() * 0.5_f64.powf(halvings)
    }

    /// 100 times what is left of good, not rounded.
    fn score(&self, now: u32, shadow: bool) -> f64 {
        match self.role(now, shadow) {
            Some(Role::Allow) => return 100.0,
            Some(Role::Deny) => return 0.0,
            None | Some(Role::Guard) => return f64::from(self.unknown.value()),
            Some(Role::Feed) => {}
        }
        let feeds = self.covering(now);
        let counting = feeds.iter().filter(|(terms, _)| shadow || !terms.shadow);
        // The worst of a group counts for all of it; a feed without a group is one of its own.
        let mut groups: BTreeMap<String, f64> = BTreeMap::new();
        for (terms, said) in counting {
            let badness = said.iter().map(|said| Self::badness(terms, *said));
            let good = 1.0 - badness.fold(0.0, f64::max);
            let group = terms.group.as_ref();
            let group = group.map_or_else(|| format!("feed {}", terms.name), ToString::to_string);
            let least = groups.entry(group).or_insert(1.0);
            *least = least.min(good);
        }
        let good = groups.into_values();
        100.0
            * match self.combine {
                Combine::NoisyOr => good.product::<f64>(),
                Combine::Worst => good.fold(1.0, f64::min),
            }
    }

    fn seen(&self, now: u32) -> BTreeSet<u32> {
        let feeds = self.covering(now).into_iter();
        let live = feeds.filter(|(terms, _)| !terms.shadow);
        live.flat_map(|(terms, said)| {
            said.into_iter()
                .filter_map(|said| entry(said).seen.or(terms.as_of))
        })
        .collect()
    }

    fn agrees(&self, found: Option<Verdict<'_>>) {
        let covering = self.covering(BUILT);
        let Some(verdict) = found else {
            assert!(covering.is_empty(), "{} is not found", self.address);
            return;
        };
        let entries: usize = covering.iter().map(|(_, said)| said.len()).sum();
        assert_eq!(
            verdict.contributions(BUILT).count(),
            entries,
            "{}",
            self.address
        );
        let expiries = covering.iter().flat_map(|(_, said)| said);
        let next = expiries.filter_map(|said| entry(*said).expires).min();
        assert_eq!(verdict.expires(), next);
        for now in TIMES {
            self.agrees_at(now, verdict);
        }
    }

    fn agrees_at(&self, now: u32, verdict: Verdict<'_>) {
        let address = self.address;
        let near = |score: Score, exact: f64| (f64::from(score.value()) - exact).abs() <= 0.500_001;
        let (score, exact) = (verdict.score(now), self.score(now, false));
        assert!(near(score, exact), "{address} at {now}: {score:?} {exact}");
        let (score, exact) = (verdict.shadow_score(now), self.score(now, true));
        assert!(
            near(score, exact),
            "{address} at {now}: shadow {score:?} {exact}"
        );
        let role = self.role(now, false);
        assert_eq!(verdict.ruled_by(now), role, "{address} at {now}");
        let known = matches!(role, Some(Role::Allow | Role::Deny | Role::Feed));
        assert_eq!(verdict.is_listed(now), known);
        let seen = self.seen(now);
        assert_eq!(verdict.freshest(now), seen.last().copied());
        assert_eq!(verdict.oldest(now), seen.first().copied());
        self.leads(now, verdict, role);
    }

    /// The entry that counted most is one of the feed that it is said to be of, counts itself, and
    /// none that counts is worse.
    fn leads(&self, now: u32, verdict: Verdict<'_>, role: Option<Role>) {
        let reason = verdict.reason(now, self.address);
        assert_eq!(reason.map(|(feed, _)| feed), verdict.feed(now));
        assert_eq!(reason.is_some(), role.is_some());
        let Some((feed, prefix)) = reason else { return };
        let (terms, said) = &self.feeds[feed.parse::<usize>().unwrap()];
        assert_eq!((Some(terms.role), terms.shadow), (role, false));
        let own = said.iter().filter(|(own, _)| *own == prefix);
        let live = own.filter(|said| entry(**said).expires.is_none_or(|end| now < end));
        let of_prefix: Vec<_> = live.map(|said| Self::badness(terms, *said)).collect();
        assert!(!of_prefix.is_empty(), "{prefix} is no entry of {feed}");
        assert!(prefix.contains(self.address));
        if role == Some(Role::Feed) {
            let most = of_prefix.into_iter().fold(0.0, f64::max);
            for (terms, said) in self.covering(now) {
                for said in said
                    .iter()
                    .filter(|_| terms.role == Role::Feed && !terms.shadow)
                {
                    assert!(Self::badness(terms, *said) <= most + 1e-9, "{said:?}");
                }
            }
        }
    }
}

fn finds_what_the_trie_finds(said: Vec<Said>) {
    let said: Vec<_> = said.into_iter().map(|(prefix, _)| (prefix, 0)).collect();
    let (mut v4, mut v6) = (PrefixMap::new(), PrefixMap::new());
    for (prefix, _) in &said {
        match *prefix {
            Prefix::V4 { network, len } => drop(v4.insert((network, len), ())),
            Prefix::V6 { network, len } => drop(v6.insert((network, len), ())),
        }
    }
    let feeds = [(FeedTerms::new("0", Role::Feed), said)];
    let table = table(&feeds, Combine::NoisyOr, Score::BEST);
    assert_eq!(table.entries(), v4.len() + v6.len());
    assert!(table.ranges() <= 2 * table.entries());
    for address in all_edges(&feeds) {
        let mut covering: Vec<u8> = match address.to_canonical() {
            IpAddr::V4(address) => {
                let cover = v4.cover_keys(&(address.to_bits(), 32));
                cover.map(|(_, len)| len).collect()
            }
            IpAddr::V6(address) => {
                let cover = v6.cover_keys(&(address.to_bits(), 128));
                cover.map(|(_, len)| len).collect()
            }
        };
        covering.reverse();
        let found = table.lookup(address).into_iter();
        let found = found.flat_map(|verdict| verdict.contributions(0));
        let found: Vec<_> = found.map(|contribution| contribution.prefix_len).collect();
        assert_eq!(found, covering, "{address}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_table_says_what_all_entries_say(
        feeds in feeds(),
        worst in any::<bool>(),
        unknown in sample::select(vec![Score::BEST, Score::new(60).unwrap()]),
        others in collection::vec(any::<u32>(), 8),
    ) {
        let combine = if worst { Combine::Worst } else { Combine::NoisyOr };
        let table = table(&feeds, combine, unknown);
        let others = others.into_iter().map(|bits| Ipv4Addr::from_bits(bits).into());
        for address in all_edges(&feeds).into_iter().chain(others) {
            let oracle = Oracle { feeds: &feeds, combine, unknown, address };
            oracle.agrees(table.lookup(address));
        }
    }

    #[test]
    fn the_entries_that_cover_an_address_are_those_of_the_trie(said in said()) {
        finds_what_the_trie_finds(said);
    }

    #[test]
    fn many_entries_are_found_wherever_they_lie(said in clusters()) {
        finds_what_the_trie_finds(said);
    }

    #[test]
    fn data_has_every_entry_once_and_in_order(said in said()) {
        let kept = data(&said);
        let mut expected: Vec<_> = said.iter().map(|said| entry(*said)).collect();
        let order = |entry: &Entry<'static>| (entry.prefix, format!("{entry:?}"));
        expected.sort_by_key(order);
        expected.dedup();
        assert_eq!(kept.len(), expected.len());
        assert!(kept.entries().is_sorted_by_key(|entry| entry.prefix));
        for entry in kept.entries() {
            assert!(expected.contains(&entry), "{entry:?}");
        }
        let seen = || expected.iter().filter_map(|entry| entry.seen);
        assert_eq!(kept.freshest(), seen().max());
        assert_eq!(kept.oldest(), seen().min());
    }
}
