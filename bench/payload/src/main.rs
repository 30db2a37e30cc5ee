//! Nanoseconds to find the rule of a payload, with 20 rules and payloads of 1 KB: the agent's payload
//! rules beside `regex::bytes::RegexSet` with the same patterns.
//!
//! A figure is the median of rounds; a round looks at one payload again and again, so the rules and
//! the payload are in the processor's caches.
//!
//! ```sh
//! cargo run --release --manifest-path bench/payload/Cargo.toml --target-dir target/bench
//! ```

#![forbid(unsafe_code)]

mod cases;

use std::fs;
use std::hint::black_box;
use std::time::Instant;

use regex::bytes::{RegexSet, RegexSetBuilder};
use ip_reputation::{PAYLOAD_BYTES_MAX, Pattern, PayloadRule, PayloadRules, Score};

use cases::cases;

/// Looks in a round, and rounds.
const LOOKS: u32 = 2_000;
const ROUNDS: usize = 41;

fn main() {
    println!("{}", machine());
    println!(
        "{:<44} {:>10} {:>12} {:>12}",
        "rules and payload", "rule", "spoa", "RegexSet"
    );
    for case in cases() {
        let (rules, set) = (rules(&case.patterns), set(&case.patterns));
        let ours = rules
            .first_match(&case.payload)
            .map(|found| found.name.to_owned());
        let theirs = set
            .matches(&case.payload)
            .iter()
            .next()
            .map(|rule| case.patterns[rule].clone());
        assert_eq!(ours, theirs, "{}", case.name);
        let place = ours.map_or(-1, |name| {
            case.patterns
                .iter()
                .position(|it| *it == name)
                .map_or(-1, |it| it as i32)
        });
        let spoa = median(|| rules.first_match(black_box(&case.payload)).is_some());
        let regex_set = median(|| set.matches(black_box(&case.payload)).matched_any());
        println!(
            "{:<44} {place:>10} {spoa:>9.0} ns {regex_set:>9.0} ns",
            case.name
        );
    }
}

fn rules(patterns: &[String]) -> PayloadRules {
    let rules = patterns.iter().map(|pattern| PayloadRule {
        name: pattern.clone(),
        score: Score::WORST,
        pattern: Pattern::Regex(pattern.clone()),
    });
    PayloadRules::new(rules.collect(), PAYLOAD_BYTES_MAX).expect("good rules")
}

fn set(patterns: &[String]) -> RegexSet {
    RegexSetBuilder::new(patterns)
        .unicode(false)
        .build()
        .expect("good patterns")
}

/// The median time of a look, in nanoseconds.
fn median<T>(mut look: impl FnMut() -> T) -> f64 {
    let mut round = || {
        let from = Instant::now();
        for _ in 0..LOOKS {
            black_box(look());
        }
        from.elapsed().as_nanos() as f64 / f64::from(LOOKS)
    };
    let mut rounds: Vec<_> = (0..ROUNDS).map(|_| round()).collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

/// The processor and the kernel.
fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let name = name.map_or("an unknown processor", |(_, name)| name);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{name}, Linux {}", kernel.trim())
}
