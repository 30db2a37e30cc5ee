//! Law: those of `fuzz/laws.rs`, `fuzz/laws/` and `fuzz/feed_laws.rs`, for the committed seeds and a
//! hundred thousand mutations of them, on the stable toolchain and in seconds. `cargo fuzz run <target>`
//! goes on from there.
//!
//! `SPOA_FUZZ_SEED=n` mutates in another way. A failure prints the bytes that caused it.

#![cfg(test)]

#[path = "../fuzz/laws/config.rs"]
mod config;
#[path = "model/encode.rs"]
mod encode;
#[path = "../fuzz/feed_laws.rs"]
mod feed_laws;
#[path = "model/feed_seeds.rs"]
mod feed_seeds;
#[path = "../fuzz/laws.rs"]
mod laws;
#[path = "model/mmdb.rs"]
mod mmdb;
#[path = "../fuzz/laws/rules.rs"]
mod rules;
#[path = "model/seeded.rs"]
mod seeded;
#[path = "model/seeds.rs"]
mod seeds;
#[path = "../fuzz/laws/table.rs"]
mod table;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use ip_reputation::formats::Format;
use seeded::Seeded;

/// One fuzz target: its name, its law and how often the smoke run tries it.
struct Target {
    name: &'static str,
    law: fn(&[u8]),
    seeds: fn() -> Vec<(&'static str, Vec<u8>)>,
    rounds: usize,
}

const FRAME: Target = Target {
    name: "frame",
    law: laws::frame,
    seeds: seeds::frame,
    rounds: 50_000,
};
const SESSION: Target = Target {
    name: "session",
    law: laws::session,
    seeds: seeds::session,
    rounds: 30_000,
};
const REASSEMBLY: Target = Target {
    name: "reassembly",
    law: laws::reassembly,
    seeds: seeds::reassembly,
    rounds: 20_000,
};
const CONFIG: Target = Target {
    name: "config",
    law: config::config,
    seeds: seeds::config,
    rounds: 1_000,
};
const RULES: Target = Target {
    name: "rules",
    law: rules::rules,
    seeds: seeds::rules,
    rounds: 5_000,
};
const TABLE: Target = Target {
    name: "table",
    law: table::law,
    seeds: seeds::table,
    rounds: 3_000,
};

/// The feeds: one target a format.
const FEEDS: [Target; 15] = [
    feed(
        "feed_plain",
        |data| feed_laws::holds(Format::Plain, data),
        feed_seeds::plain,
    ),
    feed(
        "feed_netset",
        |data| feed_laws::holds(Format::Netset, data),
        feed_seeds::netset,
    ),
    feed(
        "feed_drop_text",
        |data| feed_laws::holds(Format::DropText, data),
        feed_seeds::drop_text,
    ),
    feed(
        "feed_drop_json",
        |data| feed_laws::holds(Format::DropJson, data),
        feed_seeds::drop_json,
    ),
    feed(
        "feed_csv",
        |data| feed_laws::holds(Format::Csv, data),
        feed_seeds::csv,
    ),
    feed(
        "feed_suricata",
        |data| feed_laws::holds(Format::SuricataIprep, data),
        feed_seeds::suricata,
    ),
    feed(
        "feed_abuseipdb",
        |data| feed_laws::holds(Format::AbuseIpdb, data),
        feed_seeds::abuseipdb,
    ),
    feed(
        "feed_ipset_save",
        |data| feed_laws::holds(Format::IpsetSave, data),
        feed_seeds::ipset_save,
    ),
    feed(
        "feed_haproxy_map",
        |data| feed_laws::holds(Format::HaproxyMap, data),
        feed_seeds::haproxy_map,
    ),
    feed(
        "feed_mmdb",
        |data| feed_laws::holds(Format::Mmdb, data),
        feed_seeds::mmdb,
    ),
    feed(
        "feed_json",
        |data| feed_laws::holds(Format::Json, data),
        feed_seeds::json,
    ),
    feed(
        "feed_lines",
        |data| feed_laws::holds(Format::Lines, data),
        feed_seeds::lines,
    ),
    feed(
        "feed_p2p",
        |data| feed_laws::holds(Format::P2p, data),
        feed_seeds::p2p,
    ),
    feed(
        "feed_dat",
        |data| feed_laws::holds(Format::Dat, data),
        feed_seeds::dat,
    ),
    feed(
        "feed_asn",
        |data| feed_laws::holds(Format::Asn, data),
        feed_seeds::asn,
    ),
];

const fn feed(
    name: &'static str,
    law: fn(&[u8]),
    seeds: fn() -> Vec<(&'static str, Vec<u8>)>,
) -> Target {
    Target {
        name,
        law,
        seeds,
        rounds: 2_000,
    }
}

#[test]
fn laws_of_feeds_hold() {
    FEEDS.iter().for_each(Target::smoke);
}

#[test]
fn laws_of_frame_hold() {
    FRAME.smoke();
}

#[test]
fn laws_of_session_hold() {
    SESSION.smoke();
}

#[test]
fn laws_of_reassembly_hold() {
    REASSEMBLY.smoke();
}

#[test]
fn laws_of_config_hold() {
    CONFIG.smoke();
}

#[test]
fn laws_of_rules_hold() {
    RULES.smoke();
}

#[test]
fn laws_of_table_hold() {
    TABLE.smoke();
}

#[test]
fn committed_seeds_are_those_of_the_generator() {
    for target in all() {
        let mut generated = (target.seeds)();
        generated.sort();
        let committed = target.committed();
        let names = |seeds: &[(String, Vec<u8>)]| {
            seeds
                .iter()
                .map(|(name, _)| name.clone())
                .collect::<Vec<_>>()
        };
        let generated: Vec<_> = generated
            .into_iter()
            .map(|(name, bytes)| (name.to_owned(), bytes))
            .collect();
        assert_eq!(names(&committed), names(&generated), "{}", target.name);
        assert!(committed == generated, "{}: write them anew", target.name);
    }
}

#[test]
#[ignore = "writes fuzz/seeds; run it when the generator has changed"]
fn write_the_seeds() {
    for target in all() {
        let folder = target.folder();
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in (target.seeds)() {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
}

fn all() -> impl Iterator<Item = Target> {
    [FRAME, SESSION, REASSEMBLY, CONFIG, RULES, TABLE]
        .into_iter()
        .chain(FEEDS)
}

impl Target {
    fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/seeds")
            .join(self.name)
    }

    /// Name and bytes of every committed seed, in order of name.
    fn committed(&self) -> Vec<(String, Vec<u8>)> {
        let files = fs::read_dir(self.folder())
            .unwrap()
            .map(|file| file.unwrap().path());
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut seeds: Vec<_> = files
            .map(|path| (name(&path), fs::read(path).unwrap()))
            .collect();
        seeds.sort();
        seeds
    }

    fn smoke(&self) {
        let seeds: Vec<_> = self
            .committed()
            .into_iter()
            .map(|(_, bytes)| bytes)
            .collect();
        for seed in &seeds {
            self.check(seed);
        }
        let start = env::var("SPOA_FUZZ_SEED").map_or(1, |text| text.parse().unwrap());
        let mut seeded = Seeded::new(start);
        for _ in 0..self.rounds {
            let mut bytes = seeds[seeded.below(seeds.len())].clone();
            mutate(&mut bytes, &seeds, &mut seeded);
            while !seeded.one_in(3) {
                mutate(&mut bytes, &seeds, &mut seeded);
            }
            self.check(&bytes);
        }
    }

    fn check(&self, bytes: &[u8]) {
        let culprit = Culprit {
            target: self.name,
            bytes,
        };
        (self.law)(bytes);
        drop(culprit);
    }
}

/// Shows the bytes that broke the law.
struct Culprit<'a> {
    target: &'static str,
    bytes: &'a [u8],
}

impl Drop for Culprit<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("\nlaws::{}(&{:?})\n", self.target, self.bytes);
        }
    }
}

/// Bytes at which varints, types and flags turn into something else.
const TELLING: [u8; 12] = [0, 1, 2, 3, 7, 0x0f, 0x10, 0x7f, 0x80, 0xef, 0xf0, 0xff];

fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], seeded: &mut Seeded) {
    if bytes.is_empty() {
        return bytes.push(seeded.byte());
    }
    let at = seeded.below(bytes.len());
    let to = at + seeded.below(bytes.len() - at + 1);
    match seeded.below(8) {
        0 => bytes[at] ^= 1 << seeded.below(8),
        1 => bytes[at] = seeded.pick(&TELLING),
        2 => bytes[at] = bytes[at].wrapping_add(seeded.pick(&[1, 0xff])),
        3 => bytes.insert(at, seeded.pick(&TELLING)),
        4 => drop(bytes.drain(at..to.min(at + 8))),
        5 => bytes.truncate(at),
        6 => bytes.extend_from_within(at..to),
        _ => {
            let other = &seeds[seeded.below(seeds.len())];
            let from = seeded.below(other.len());
            bytes.splice(at.., other[from..].iter().copied());
        }
    }
    bytes.truncate(4096);
}
