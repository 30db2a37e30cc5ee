//! Law: a sample of every format (`tests/feeds`) is recognised and says what it says; a MaxMind
//! database is judged by rules and answers for single addresses.

#![cfg(test)]

#[path = "model/mmdb.rs"]
mod mmdb;

use std::fs;
use std::io::Cursor;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use ip_reputation::formats::{
    Attributes, Categories, Column, Columns, Format, HigherIs, MmdbMatch, MmdbRule, Options,
    Refused, Report, detect, read,
};
use ip_reputation::{Confidence, Entry};
use mmdb::{Database, Value};

fn sample(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/feeds");
    fs::read(folder.join(name)).unwrap()
}

fn words(entry: &Entry<'_>) -> String {
    let mut words = format!("{} {}", entry.prefix, entry.confidence.as_ratio());
    let expires = entry.expires.map(|expires| format!("until {expires}"));
    let seen = entry.seen.map(|seen| format!("seen {seen}"));
    for word in [entry.category.map(str::to_owned), seen, expires] {
        words.extend(word.map(|word| format!(" {word}")));
    }
    words
}

fn entries(
    format: Format,
    bytes: &[u8],
    options: &Options,
) -> Result<(Vec<String>, Report), Refused> {
    let mut entries = Vec::new();
    let report = read(format, &mut Cursor::new(bytes), options, &mut |entry| {
        entries.push(words(&entry));
        ControlFlow::Continue(())
    })?;
    Ok((entries, report))
}

fn options() -> Options {
    let mut file = &sample("iprep-categories.txt")[..];
    Options {
        now: 1_796_083_200,
        higher_is: Some(HigherIs::Worse),
        categories: Categories::read(&mut file, &Options::default()).unwrap().0,
        max_invalid_ratio: 0.2,
        columns: Columns {
            number: Some(Column::Index(1)),
            category: Some(Column::Index(2)),
            expires: Some(Column::Index(3)),
            ..Columns::default()
        },
        ..Options::default()
    }
}

#[test]
fn every_sample_is_recognised_and_read() {
    for (name, format, expected) in [
        (
            "plain.txt",
            Format::Plain,
            &[
                "203.0.113.9 1",
                "203.0.113.128/25 1",
                "198.51.100.0/24 1",
                "192.0.2.1 1",
                "192.0.2.2/31 1",
                "2001:db8::1 1",
                "2001:db8:1::/48 1",
                "192.0.2.200 1",
            ][..],
        ),
        (
            "example.netset",
            Format::Netset,
            &[
                "192.0.2.0/24 1 attacks",
                "198.51.100.0/24 1 attacks",
                "203.0.113.4/31 1 attacks",
            ],
        ),
        (
            "drop.txt",
            Format::DropText,
            &["192.0.2.0/24 1", "198.51.100.0/24 1"],
        ),
        (
            "drop.json",
            Format::DropJson,
            &[
                "192.0.2.0/24 1",
                "198.51.100.0/24 1",
                "2001:db8::/32 1",
                "192.0.2.0/24 1",
            ],
        ),
        (
            "own.csv",
            Format::Csv,
            &[
                "203.0.113.0/24 0.15 scanner until 1796083200",
                "203.0.113.9 1 bruteforce",
                "2001:db8::/32 0.07 bots, loud until 1796083200",
                "198.51.100.1 0.5",
                "198.51.100.2 0.5",
            ],
        ),
        (
            "iprep.list",
            Format::SuricataIprep,
            &[
                "203.0.113.0/24 1 BadHosts",
                "203.0.113.9 0.5039 Scanners",
                "203.0.113.9 0.0079 BadHosts",
                "2001:db8::/32 0.7874 Scanners",
            ],
        ),
        (
            "abuseipdb.json",
            Format::AbuseIpdb,
            &[
                "203.0.113.5 0.97 seen 1796079600",
                "2001:db8::5 1 seen 1796083199",
            ],
        ),
        (
            "saved.ipset",
            Format::IpsetSave,
            &[
                "203.0.113.0/24 1 until 1796083500",
                "198.51.100.0/24 1",
                "2001:db8::1 1",
            ],
        ),
        (
            "haproxy.map",
            Format::HaproxyMap,
            &[
                "203.0.113.0/24 0.15",
                "203.0.113.9 1",
                "2001:db8::/32 0.075",
            ],
        ),
    ] {
        let bytes = sample(name);
        assert_eq!(detect(&bytes, name), Ok(format), "{name}");
        let (found, report) = entries(format, &bytes, &options()).unwrap();
        assert_eq!(found, expected, "{name}");
        assert_eq!(report.wrong, u64::from(name == "plain.txt"), "{name}");
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn country(code: &str) -> Value {
    let names = Value::Map(vec![("en", text(&"Nowhere".repeat(5)))]);
    let country = Value::Map(vec![("names", names), ("iso_code", text(code))]);
    Value::Map(vec![("country", country)])
}

fn flags(names: &[&'static str]) -> Value {
    Value::Map(
        names
            .iter()
            .map(|name| (*name, Value::Flag(true)))
            .collect(),
    )
}

fn asn(number: u32) -> Value {
    Value::Map(vec![
        ("autonomous_system_number", Value::Number(number)),
        ("autonomous_system_organization", text("Example")),
    ])
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn rule(on: MmdbMatch, ratio: f64, category: &str) -> MmdbRule {
    MmdbRule {
        on,
        confidence: Confidence::ratio(ratio),
        category: Some(category.to_owned()).filter(|category| !category.is_empty()),
    }
}

/// Records of every size, and a database for IPv4 alone.
fn shapes(networks: &[(IpAddr, u8, Value)]) -> Vec<Vec<u8>> {
    let shape = |(ip_version, record_size)| {
        let networks = networks
            .iter()
            .filter(|(address, ..)| ip_version == 6 || address.is_ipv4());
        Database {
            ip_version,
            record_size,
            ..Database::new(networks.cloned().collect())
        }
    };
    let shapes = [(6, 24), (6, 28), (6, 32), (4, 24), (4, 28), (4, 32)].map(shape);
    shapes.iter().map(Database::bytes).collect()
}

#[test]
fn the_strongest_rule_judges_a_network() {
    let flag = |name: &str| MmdbMatch::Flag(name.to_owned());
    let options = Options {
        rules: vec![
            rule(flag("is_anonymous"), 0.3, "anonymous"),
            rule(flag("is_tor_exit_node"), 0.9, "tor"),
            rule(MmdbMatch::Asn(64_496), 0.5, "hosting"),
            rule(MmdbMatch::Country(*b"ZZ"), 0.2, ""),
            rule(flag("traits.is_anycast"), 0.1, "anycast"),
        ],
        ..Options::default()
    };
    let anycast = Value::Map(vec![("traits", flags(&["is_anycast"]))]);
    let networks = [
        (address("192.0.2.0"), 24, flags(&["is_anonymous"])),
        (
            address("192.0.2.128"),
            25,
            flags(&["is_anonymous", "is_tor_exit_node"]),
        ),
        (address("198.51.100.0"), 24, asn(64_496)),
        (address("198.51.101.0"), 24, asn(64_497)),
        (address("203.0.113.0"), 24, country("ZZ")),
        (address("203.0.113.7"), 32, country("YY")),
        (address("2001:db8::"), 32, flags(&["is_tor_exit_node"])),
        (address("2001:db8:1::"), 48, anycast),
    ];
    for bytes in shapes(&networks) {
        let (found, report) = entries(Format::Mmdb, &bytes, &options).unwrap();
        let has = |line: &str| found.iter().any(|entry| entry == line);
        assert!(has("192.0.2.0/25 0.3 anonymous"), "{found:?}");
        assert!(has("192.0.2.128/25 0.9 tor"));
        assert!(has("198.51.100.0/24 0.5 hosting"));
        assert!(has("203.0.113.128/25 0.2") && has("203.0.113.6 0.2"));
        assert!(!found.iter().any(|entry| entry.starts_with("198.51.101")));
        assert!(!has("203.0.113.7 0.2"));
        // 203.0.113.0/24 without one address is eight networks.
        let v6 = found
            .iter()
            .filter(|entry| entry.contains("2001:db8"))
            .count();
        assert_eq!(found.len() - v6, 3 + 8);
        assert_eq!(v6 > 0, has("2001:db8:1::/48 0.1 anycast"));
        assert_eq!((report.wrong, report.skipped), (0, 2));
        assert_eq!(report.as_of, Some(1_796_083_200));
    }
}

#[test]
fn single_addresses_have_a_number_and_a_country() {
    let systems = [
        (address("192.0.2.0"), 24, asn(64_496)),
        (address("2001:db8::"), 32, asn(64_497)),
    ];
    let countries = [
        (address("192.0.2.0"), 24, country("ZZ")),
        (address("198.51.100.0"), 24, country("nowhere")),
        (address("2001:db8::"), 32, country("YY")),
    ];
    for bytes in shapes(&systems) {
        let systems = Attributes::new(bytes).unwrap();
        assert_eq!(systems.as_of(), Some(1_796_083_200));
        assert_eq!(systems.asn(address("192.0.2.77")), Some(64_496));
        assert_eq!(systems.asn(address("::ffff:192.0.2.77")), Some(64_496));
        assert_eq!(systems.asn(address("203.0.113.1")), None);
        assert_eq!(systems.asn(address("2001:db9::")), None);
        assert_eq!(systems.country(address("192.0.2.77")), None);
    }
    let countries = Attributes::new(Database::new(countries.to_vec()).bytes()).unwrap();
    assert_eq!(countries.country(address("192.0.2.77")), Some(*b"ZZ"));
    assert_eq!(countries.country(address("198.51.100.1")), None);
    assert_eq!(countries.country(address("2001:db8::1")), Some(*b"YY"));
    assert_eq!(countries.asn(address("192.0.2.77")), None);
    let error = Attributes::new(b"<html>".to_vec()).unwrap_err().to_string();
    assert!(error.starts_with("not a MaxMind database: "), "{error}");
}

#[test]
fn numbers_of_systems_become_their_networks() {
    let networks = [
        (address("192.0.2.0"), 24, asn(64_496)),
        (address("198.51.100.0"), 25, asn(64_496)),
        (address("203.0.113.0"), 24, asn(64_497)),
        (address("2001:db8::"), 32, asn(64_497)),
    ];
    for bytes in shapes(&networks) {
        let has_v6 = Attributes::new(bytes.clone())
            .unwrap()
            .asn(address("2001:db8::1"))
            .is_some();
        let options = Options {
            asn_db: Some(Arc::new(Attributes::new(bytes).unwrap())),
            max_invalid_ratio: 0.5,
            ..Options::default()
        };
        for list in [
            "# ours\nAS64496\n",
            "64496\r\n64499\n",
            "asn,name\n64496,Example\n64496,Again\n",
            "{\"asn\":64496,\"domain\":\"example.org\"}\n\
             {\"type\":\"metadata\",\"timestamp\":1796083200,\"records\":1}\n",
        ] {
            let (found, _) = entries(Format::Asn, list.as_bytes(), &options).unwrap();
            assert_eq!(found, ["192.0.2.0/24 1", "198.51.100.0/25 1"], "{list}");
        }
        let (found, report) = entries(Format::Asn, b"AS64497\n", &options).unwrap();
        assert_eq!(found.len(), if has_v6 { 2 } else { 1 });
        assert_eq!((report.lines, report.wrong), (1, 0));
        for (list, why) in [
            ("AS64499\n", "asn-db has no network of its 1 AS numbers"),
            ("404 page not found\n", "an AS number such as AS64496"),
            ("{\"asn\":64496,\"domain\":\"example.org\"}\n", "cut short"),
            (
                "{\"asn\":64496}\n{\"type\":\"metadata\",\"records\":2}\n",
                "1 entries of the 2 that it declares",
            ),
        ] {
            let error = entries(Format::Asn, list.as_bytes(), &options).unwrap_err();
            assert!(error.to_string().contains(why), "{list}: {error}");
        }
    }
    let error = entries(Format::Asn, b"AS64496\n", &Options::default()).unwrap_err();
    assert!(
        error.to_string().contains("asn-db in [reputation]"),
        "{error}"
    );
}

fn tor() -> Options {
    let tor = MmdbMatch::Flag("is_tor_exit_node".to_owned());
    Options {
        rules: vec![rule(tor, 1.0, "")],
        ..Options::default()
    }
}

#[test]
fn what_is_no_database_is_refused() {
    let networks = vec![(address("192.0.2.0"), 24, flags(&["is_tor_exit_node"]))];
    let whole = Database::new(networks).bytes();
    assert!(entries(Format::Mmdb, &whole, &tor()).is_ok());
    for end in 0..whole.len() {
        let cut = entries(Format::Mmdb, &whole[..end], &tor());
        assert!(cut.is_err(), "cut after {end} of {}", whole.len());
    }
    for (bytes, why) in [
        (&b""[..], "there is no entry"),
        (b"<html>", "HTML or XML page"),
        (b"\x1f\x8b\x08\0\0\0\0", "compressed with gzip"),
        (b"192.0.2.0/24\n", "not well-formed"),
        (&[0; 100], "not well-formed"),
    ] {
        let refused = entries(Format::Mmdb, bytes, &tor()).unwrap_err();
        assert!(refused.to_string().contains(why), "{refused}");
    }
    let unstated = entries(Format::Mmdb, &whole, &Options::default()).unwrap_err();
    assert!(unstated.to_string().contains("rules"), "{unstated}");
    let none = Database::new(vec![(address("192.0.2.0"), 24, flags(&[]))]).bytes();
    let refused = entries(Format::Mmdb, &none, &tor()).unwrap_err();
    let why =
        "none of its networks is bad by the rules: no network has the flag \"is_tor_exit_node\"";
    assert_eq!(refused.to_string(), why);
    let lenient = Options {
        allow_empty: true,
        ..tor()
    };
    assert!(entries(Format::Mmdb, &none, &lenient).is_ok());
}

#[test]
fn a_field_of_another_type_is_a_wrong_record() {
    let odd = Value::Map(vec![("is_tor_exit_node", Value::Number(1))]);
    let mut networks = vec![(address("192.0.2.0"), 24, odd)];
    let right = flags(&["is_tor_exit_node"]);
    networks.extend((0..40).map(|third| ([198, 51, third, 0].into(), 24, right.clone())));
    let (found, report) = entries(Format::Mmdb, &Database::new(networks).bytes(), &tor()).unwrap();
    assert_eq!((found.len(), report.lines, report.wrong), (40, 41, 1));
    assert_eq!(report.first_wrong[0].what, "192.0.2.0/24");
}

/// A tree in which every node has the next one twice has a path for every number there is.
#[test]
fn a_tree_with_more_paths_than_nodes_ends() {
    for ip_version in [4, 6] {
        let shape = Database {
            ip_version,
            record_size: 24,
            ..Database::new(vec![([0, 0, 0, 0].into(), 32, flags(&[]))])
        };
        let mut bytes = shape.bytes();
        let nodes = if ip_version == 4 { 32 } else { 128 };
        for (node, next) in (1..nodes).enumerate() {
            let next = &u32::to_be_bytes(next)[1..];
            bytes[6 * node..][..6].copy_from_slice(&[next, next].concat());
        }
        let refused = entries(Format::Mmdb, &bytes, &tor())
            .unwrap_err()
            .to_string();
        assert!(refused.contains("not well-formed"), "{refused}");
    }
}

/// Where a record covers all of IPv4, or more, there is no tree for IPv4.
#[test]
fn a_network_around_all_of_ipv4_is_one_of_ipv4() {
    let right = flags(&["is_tor_exit_node"]);
    for (network, len) in [("0.0.0.0", 0), ("::", 96), ("::", 64), ("::", 1)] {
        let networks = vec![(address(network), len, right.clone())];
        let (found, _) = entries(Format::Mmdb, &Database::new(networks).bytes(), &tor()).unwrap();
        assert!(
            found.contains(&"0.0.0.0/0 1".to_owned()),
            "{network}/{len}: {found:?}"
        );
    }
}

/// Records that lie within each other would be read for as long as they are many, squared.
#[test]
fn records_that_overlap_are_not_read_for_ever() {
    let (nodes, data) = (1 << 16, 1 << 16);
    let shape = Database {
        ip_version: 4,
        record_size: 24,
        ..Database::new(vec![([0, 0, 0, 0].into(), 17, flags(&[]))])
    };
    let metadata = {
        let bytes = shape.bytes();
        let marker = bytes
            .windows(3)
            .rposition(|three| three == b"\xab\xcd\xef")
            .unwrap();
        let mut metadata = bytes[marker..].to_vec();
        let count = metadata
            .windows(4)
            .position(|four| four == [0, 0, 0, 17])
            .unwrap();
        metadata[count..][..4].copy_from_slice(&u32::to_be_bytes(nodes));
        metadata
    };
    let mut bytes = Vec::new();
    for node in 0..nodes {
        // A heap: the children of a node are twice its number; the leaves are data.
        for child in [2 * node + 1, 2 * node + 2] {
            let record = if child < nodes {
                child
            } else {
                nodes + 16 + (child - nodes) % data
            };
            bytes.extend(&record.to_be_bytes()[1..]);
        }
    }
    bytes.extend([0; 16]);
    // A map of a map of a map: each byte begins one.
    bytes.extend(vec![0xe1; data as usize]);
    bytes.extend(metadata);
    let refused = entries(Format::Mmdb, &bytes, &tor())
        .unwrap_err()
        .to_string();
    assert!(refused.contains("records are wrong"), "{refused}");
}

#[test]
fn a_rule_that_no_network_meets_is_named() {
    let flag = |name: &str| MmdbMatch::Flag(name.to_owned());
    let options = Options {
        rules: vec![
            rule(flag("is_anonymous"), 1.0, ""),
            rule(flag("is_tor_exit"), 0.9, ""),
            rule(flag("is_public_proxy"), 0.9, ""),
            rule(flag("is_tor_exit_node"), 0.5, ""),
            rule(MmdbMatch::Asn(64_496), 0.5, ""),
            rule(MmdbMatch::Country(*b"ZZ"), 0.5, ""),
        ],
        ..Options::default()
    };
    let unset = Value::Map(vec![("is_public_proxy", Value::Flag(false))]);
    let networks = vec![
        // A rule that is never the strongest is met all the same.
        (
            address("192.0.2.0"),
            24,
            flags(&["is_anonymous", "is_tor_exit_node"]),
        ),
        (address("198.51.100.0"), 24, unset.clone()),
        (address("203.0.113.0"), 24, country("YY")),
    ];
    let bytes = Database::new(networks).bytes();
    let (_, report) = entries(Format::Mmdb, &bytes, &options).unwrap();
    assert_eq!(
        report.notes,
        [
            "no network has the flag \"is_tor_exit\"",
            "no network is of the autonomous system 64496",
            "no network is in the country ZZ",
        ]
    );
    assert!(report.has_records);
    let bytes = Database::new(vec![(address("192.0.2.0"), 24, unset)]).bytes();
    let unset = Options {
        rules: vec![rule(flag("is_public_proxy"), 1.0, "")],
        ..Options::default()
    };
    let refused = entries(Format::Mmdb, &bytes, &unset).unwrap_err();
    assert!(matches!(refused, Refused::NoMatch(_)), "{refused}");
    assert!(!refused.to_string().contains("empty"), "{refused}");
}
