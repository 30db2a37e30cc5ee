//! What was not taken: immutable tables that are published again for each batch.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use ip_reputation::Prefix;

use crate::{miss, prefix};

/// A layer below this is not merged.
const MIN_DELTA: usize = 1024;
/// Beyond that it may be this share of the base.
const DELTA_SHARE: usize = 128;

/// Standard maps by prefix length.
#[derive(Clone, Default)]
struct Maps(Vec<(u8, HashMap<Prefix, u32>)>);

impl Maps {
    fn insert(&mut self, prefix: Prefix, until: u32) {
        let at = self.0.iter().position(|it| it.0 == prefix.len());
        let at = at.unwrap_or_else(|| {
            self.0.push((prefix.len(), HashMap::new()));
            self.0.len() - 1
        });
        if let Some((_, map)) = self.0.get_mut(at) {
            map.insert(prefix, until);
        }
    }

    fn has(&self, address: std::net::IpAddr) -> bool {
        self.0.iter().any(|(len, map)| {
            Prefix::new(address, *len).is_some_and(|prefix| map.contains_key(&prefix))
        })
    }

    fn len(&self) -> usize {
        self.0.iter().map(|(_, map)| map.len()).sum()
    }
}

fn filled(count: u32) -> Maps {
    let mut maps = Maps::default();
    for number in 0..count {
        maps.insert(prefix(number), u32::MAX);
    }
    maps
}

/// One set of maps, built again for each batch.
pub(crate) fn rebuilt(count: u32, step: u32) {
    println!("maps by length, rebuilt for each batch");
    let begun = Instant::now();
    let maps = filled(count);
    let rate = f64::from(step) / begun.elapsed().as_secs_f64();
    println!("  changed: {rate:.0}/s");
    let ns = miss(|address| maps.has(address));
    println!("  a lookup: {ns:.1} ns");
}

/// A large base and a small delta in front of it, which is copied for each batch and merged when it is large.
pub(crate) fn layers(count: u32, step: u32) {
    println!("two layers of maps by length, the small one copied for each batch");
    let mut base = Arc::new(filled(count));
    let mut delta = Arc::new(Maps::default());
    let begun = Instant::now();
    let rounds = 10;
    for round in 0..rounds {
        let mut next = Maps::clone(&delta);
        let first = round * step % count.saturating_sub(step).max(1);
        for number in first..first + step {
            next.insert(prefix(number), u32::MAX - 1);
        }
        if next.len() > MIN_DELTA.max(base.len() / DELTA_SHARE) {
            let mut merged = Maps::clone(&base);
            for (prefix, until) in next.0.iter().flat_map(|(_, map)| map) {
                merged.insert(*prefix, *until);
            }
            (base, next) = (Arc::new(merged), Maps::default());
        }
        delta = Arc::new(next);
    }
    let rate = f64::from(rounds * step) / begun.elapsed().as_secs_f64();
    println!("  changed: {rate:.0}/s");
    let ns = miss(|address| delta.has(address) || base.has(address));
    println!("  a lookup: {ns:.1} ns");
}
