//! Measures live decisions: memory of a million, changes per second, and a lookup that finds nothing;
//! and two candidates that were not taken.
//!
//! ```text
//! cargo run --release [DECISIONS]
//! ```

mod candidates;
mod heap;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::mpsc;
use std::time::Instant;

use heap::Held;
use ip_reputation::Prefix;
use iprep_spoa::live::{Decision, Kind, Live, LiveOptions, Request};

/// Decisions that are made or changed at once.
const BATCH: usize = 10_000;
const LOOKUPS: u32 = 2_000_000;
const ROUNDS: u32 = 7;

/// A mixed set: single IPv4 addresses, /64 networks, and a few /24 and /48.
pub(crate) fn prefix(number: u32) -> Prefix {
    let spread = number.wrapping_mul(0x9e37_79b1);
    let v6 = Ipv6Addr::from_bits((0x2001_0db8 << 96) | (u128::from(spread) << 64));
    let (address, len): (IpAddr, u8) = match number % 100 {
        0 => (Ipv4Addr::from_bits(spread).into(), 24),
        1 => (v6.into(), 48),
        it if it < 70 => (Ipv4Addr::from_bits(spread).into(), 32),
        _ => (v6.into(), 64),
    };
    Prefix::new(address, len).unwrap_or_else(|| Prefix::host(address))
}

fn decision(number: u32, until: u32) -> Decision {
    Decision {
        kind: Kind::Ban,
        target: prefix(number).into(),
        origin: "api".into(),
        reason: "bench".into(),
        node: "here".into(),
        created: 0,
        until,
    }
}

fn apply(live: &Live, numbers: std::ops::Range<u32>, until: u32) {
    let (done, over) = mpsc::channel();
    let batch = numbers.map(|number| decision(number, until)).collect();
    let send = move |outcome: Result<_, _>| {
        let _ = done.send(outcome.is_ok());
    };
    live.apply(Request::Put(batch), Box::new(send));
    assert_eq!(over.recv(), Ok(true));
}

/// Nanoseconds of a lookup of addresses that nothing covers: the best of some rounds, as the machine may be
/// busy with something else.
pub(crate) fn miss(mut lookup: impl FnMut(IpAddr) -> bool) -> f64 {
    let rounds = (0..ROUNDS).map(|_| misses(&mut lookup));
    rounds.fold(f64::INFINITY, f64::min)
}

fn misses(lookup: &mut impl FnMut(IpAddr) -> bool) -> f64 {
    let begun = Instant::now();
    let mut found = 0_u32;
    for number in 0..LOOKUPS {
        // 240.0.0.0/4 and other IPv6 networks are in no set, but for the few IPv4 addresses counted.
        // The number and not the address: bytes that have just been written would have to reach memory first.
        let spread = black_box(number.wrapping_mul(0x85eb_ca6b));
        let address: IpAddr = if number % 2 == 0 {
            Ipv4Addr::from_bits(spread).into()
        } else {
            Ipv6Addr::from_bits((0x2001_0db9 << 96) | (u128::from(spread) << 64)).into()
        };
        found += u32::from(lookup(address));
    }
    black_box(found);
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(LOOKUPS)
}

fn main() {
    let count = std::env::args().nth(1).and_then(|it| it.parse().ok());
    let count: u32 = count.unwrap_or(1_000_000);
    let step = u32::try_from(BATCH).unwrap_or(u32::MAX);
    let held = Held::start();
    let live = Live::new();
    live.configure(Some(&LiveOptions {
        max_decisions: usize::MAX,
        ..LiveOptions::default()
    }));
    if live.start(|| {}).is_err() {
        return;
    }
    println!("slots changed in place: {count} decisions, batches of {BATCH}");
    let begun = Instant::now();
    for first in (0..count).step_by(BATCH) {
        apply(&live, first..count.min(first + step), u32::MAX - 1);
    }
    let rate = f64::from(count) / begun.elapsed().as_secs_f64();
    println!("  made: {rate:.0}/s");
    let begun = Instant::now();
    let changes = 20 * step;
    for round in 0..20 {
        let first = round * step % count.saturating_sub(step).max(1);
        apply(&live, first..first + step, u32::MAX);
    }
    let rate = f64::from(changes) / begun.elapsed().as_secs_f64();
    println!("  changed: {rate:.0}/s");
    let table = live.table();
    let mut reader = table.reader();
    let bytes = held.now() as f64 / f64::from(count);
    println!(
        "  {bytes:.1} bytes a decision, {:.1} of them the table",
        reader.load().bytes() as f64 / f64::from(count)
    );
    let ns = miss(|address| reader.load().lookup(address, || 0).is_some());
    println!("  a lookup: {ns:.1} ns");
    // What the loop itself takes.
    let ns = miss(|address| address.is_unspecified());
    println!("  an empty loop: {ns:.1} ns");
    drop((reader, table, live));

    candidates::rebuilt(count, step);
    candidates::layers(count, step);
}
