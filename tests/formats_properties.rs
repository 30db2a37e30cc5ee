//! Law: what is printed in a format is read from it as the same, whatever stands between the entries
//! (comments, blank lines, ends of lines of either kind); every wrong line is counted and none of the
//! right ones is lost; garbage is a report or a refusal, with the laws of `fuzz/feed_laws.rs`.

#![cfg(test)]

#[path = "../fuzz/feed_laws.rs"]
mod laws;
#[path = "model/mmdb.rs"]
mod mmdb;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ip_reputation::formats::{Categories, Format, HigherIs, Keys, Options};
use ip_reputation::{Confidence, Prefix};
use mmdb::{Database, Value};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest,
};

/// An entry with all that any format can say of it.
#[derive(Debug, Clone)]
struct Model {
    prefix: Prefix,
    /// 0 to 100, 100 is the worst.
    number: u8,
    category: Option<&'static str>,
    expires: Option<u32>,
}

/// Those of Suricata, from 0.
const IPREP: [&str; 3] = ["Scanner", "Bots", "\u{c9}t\u{e9}"];

const CATEGORIES: [&str; 3] = ["scanner", "bots, \"loud\"", "\u{e9}t\u{e9}"];

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
        any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into()),
        any::<u16>().prop_map(|bits| Ipv6Addr::from_bits(u128::from(bits) << 40).into()),
        any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).to_ipv6_mapped().into()),
    ]
}

fn prefix() -> impl Strategy<Value = Prefix> {
    (address(), 0..=128_u8).prop_map(|(address, len)| {
        let bits = if address.to_canonical().is_ipv4() {
            32
        } else {
            128
        };
        Prefix::new(address.to_canonical(), len.min(bits)).unwrap()
    })
}

fn model() -> impl Strategy<Value = Model> {
    let category = option::of(prop_oneof![
        Just(CATEGORIES[0]),
        Just(CATEGORIES[1]),
        Just(CATEGORIES[2])
    ]);
    let expires = option::of(any::<u32>());
    (prefix(), 0..=100_u8, category, expires).prop_map(|(prefix, number, category, expires)| {
        Model {
            prefix,
            number,
            category,
            expires,
        }
    })
}

/// What stands between the entries of a list and says nothing.
fn filler() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just(""),
        Just("  \t"),
        Just("# 192.0.2.1"),
        Just("#"),
        Just("# spoa: empty"),
        Just("# Entries : many"),
    ]
}

/// Lines that are wrong in every format of lines.
fn wrong() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("404 page not found".to_owned()),
        Just("192.0.2.1 192.0.2.2".to_owned()),
        Just("192.0.2.1192.0.2.2,1,1".to_owned()),
        Just("192.0.2.01,7,7".to_owned()),
        Just("192.0.2.1:80 1".to_owned()),
        Just("192.0.2\0.1 1".to_owned()),
        Just("{\"cidr\":\"192.0.2.1/33\"}".to_owned()),
        Just("add bl 192.0.2.256".to_owned()),
        Just("x".repeat(5000)),
        "[a-z.,:/{}\" ]{0,40}".prop_map(|text| format!("?{text}")),
    ]
}

/// A line of a feed, as it is printed.
#[derive(Debug, Clone)]
enum Line {
    Entry(Model),
    Wrong(String),
    Filler(&'static str),
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let line = prop_oneof![
        4 => model().prop_map(Line::Entry),
        1 => wrong().prop_map(Line::Wrong),
        1 => filler().prop_map(Line::Filler),
    ];
    vec(line, 1..60)
}

/// One entry in a format of lines.
fn printed(format: Format, model: &Model) -> String {
    let Model {
        prefix,
        number,
        category,
        expires,
    } = model;
    match format {
        Format::DropText => format!("{prefix} ; SBL{number}"),
        Format::DropJson => format!("{{\"sblid\":\"SBL1\",\"cidr\":\"{prefix}\"}}"),
        Format::Csv => {
            let category = category.map(|text| format!("\"{}\"", text.replace('"', "\"\"")));
            let mut line = format!("{prefix},{number},{},", category.unwrap_or_default());
            if let Some(expires) = expires {
                write!(line, "{expires}").unwrap();
            }
            line
        }
        Format::SuricataIprep => format!("{prefix},{},{}", number % 3, number % 127 + 1),
        Format::IpsetSave => {
            let timeout = expires.map_or(0, |expires| expires.max(1));
            format!("add bl {prefix} timeout {timeout} comment \"timeout 7\"")
        }
        Format::HaproxyMap => format!("{prefix}\t{number}"),

        _ if number % 2 == 0 => prefix.to_string(),
        _ => format!("{prefix} # {number}"),
    }
}

/// What is expected of it: what the format can say.
fn expected(format: Format, model: &Model) -> (Prefix, Confidence, Option<String>, Option<u32>) {
    let Model {
        prefix,
        number,
        category,
        expires,
    } = model.clone();
    let of = |number: u8, max: u8| Confidence::ratio(f64::from(number) / f64::from(max));
    match format {
        Format::Csv => (
            prefix,
            of(number, 100),
            category.map(str::to_owned),
            expires,
        ),
        Format::SuricataIprep => {
            let category = IPREP[usize::from(number % 3)].to_owned();
            (prefix, of(number % 127 + 1, 127), Some(category), None)
        }
        Format::HaproxyMap | Format::AbuseIpdb => (prefix, of(number, 100), None, None),
        Format::IpsetSave => {
            let expires = expires.map(|expires| expires.max(1));
            (prefix, Confidence::FULL, None, expires)
        }
        _ => (prefix, Confidence::FULL, None, None),
    }
}

fn options() -> Options {
    let [first, second, third] = IPREP;
    let file = format!("0,{first}\n1,{second}\n2,{third}\n");
    Options {
        now: 0,
        higher_is: Some(HigherIs::Worse),
        categories: Categories::read(&mut file.as_bytes(), &Options::default())
            .unwrap()
            .0,
        ..laws::lenient()
    }
}

const OF_LINES: [Format; 8] = [
    Format::Plain,
    Format::Netset,
    Format::DropText,
    Format::DropJson,
    Format::Csv,
    Format::SuricataIprep,
    Format::IpsetSave,
    Format::HaproxyMap,
];

fn feed(format: Format, lines: &[Line], end: &str, has_bom: bool) -> String {
    let mut feed = String::from(if has_bom { "\u{feff}" } else { "" });
    for line in lines {
        let line = match line {
            Line::Entry(model) => printed(format, model),
            Line::Wrong(text) => text.clone(),
            Line::Filler(text) => (*text).to_owned(),
        };
        feed.push_str(&line);
        feed.push_str(end);
    }
    if format == Format::DropJson {
        feed.push_str("{\"type\":\"metadata\",\"records\":0}");
    }
    feed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lists_are_read_as_they_are_printed(
        lines in lines(),
        end in prop_oneof![Just("\n"), Just("\r\n"), Just(" \n")],
        has_bom in any::<bool>(),
        piece in 1..5000_usize,
    ) {
        let models = || lines.iter().filter_map(|line| match line {
            Line::Entry(model) => Some(model),
            _ => None,
        });
        let wrong = lines.iter().filter(|line| matches!(line, Line::Wrong(_))).count();
        for format in OF_LINES {
            let feed = feed(format, &lines, end, has_bom);
            let (entries, report) = laws::outcome(format, &options(), feed.as_bytes(), piece).unwrap();
            let entries: Vec<_> = entries
                .into_iter()
                .map(|(prefix, confidence, category, _, expires)| (prefix, confidence, category, expires))
                .collect();
            let expected: Vec<_> = models().map(|model| expected(format, model)).collect();
            prop_assert_eq!(&entries, &expected, "{}", format);
            prop_assert_eq!(report.wrong, wrong as u64, "{}: {:?}", format, report.first_wrong);
            prop_assert_eq!(report.lines, (wrong + expected.len()) as u64, "{}", format);
        }
    }

    #[test]
    fn json_and_matched_lines_are_read_as_they_are_printed(
        models in vec(model(), 1..60),
        is_lines in any::<bool>(),
        piece in 1..5000_usize,
    ) {
        let item = |model: &Model| format!(
            "{{\"net\":\"{}\",\"other\":[{{}}],\"n\":{}}}",
            model.prefix, model.number,
        );
        let items: Vec<_> = models.iter().map(item).collect();
        let (path, feed) = if is_lines {
            (vec![], items.join("\n"))
        } else {
            (vec!["a.*.b[]".to_owned()], format!("{{\"x\":[7],\"a\":{{\"k\":{{\"b\":[{}]}}}}}}", items.join(" , ")))
        };
        let keys = Keys {
            items: path,
            prefix: vec!["net".to_owned()],
            value: Some("n".to_owned()),
            ..Keys::default()
        };
        let by_key = Options { keys, ..options() };
        let confidence = |model: &Model| Confidence::ratio(f64::from(model.number) / 100.0);
        let (entries, _) = laws::outcome(Format::Json, &by_key, feed.as_bytes(), piece).unwrap();
        let entries: Vec<_> = entries.into_iter().map(|(prefix, confidence, ..)| (prefix, confidence)).collect();
        let expected: Vec<_> = models.iter().map(|model| (model.prefix, confidence(model))).collect();
        prop_assert_eq!(entries, expected);

        let rules: Vec<_> = models
            .iter()
            .map(|model| format!("x {};\ndeny {};\n", model.number, model.prefix))
            .collect();
        let rules = rules.concat();
        let matched = Options { regex: Some("^deny (?<prefix>[^;]+);$".to_owned()), ..options() };
        let (entries, report) = laws::outcome(Format::Lines, &matched, rules.as_bytes(), piece).unwrap();
        let entries: Vec<_> = entries.into_iter().map(|(prefix, ..)| prefix).collect();
        let expected: Vec<_> = models.iter().map(|model| model.prefix).collect();
        prop_assert_eq!(entries, expected);
        prop_assert_eq!((report.skipped, report.wrong), (models.len() as u64, 0));
    }

    #[test]
    fn documents_are_read_as_they_are_printed(models in vec(model(), 0..60), piece in 1..5000_usize) {
        let object = |model: &Model| format!(
            "{{\"ipAddress\":\"{}\",\"abuseConfidenceScore\":{},\"countryCode\":null}}",
            model.prefix, model.number,
        );
        let objects: Vec<_> = models.iter().map(object).collect();
        let feed = format!("{{\"data\":[{}]}}", objects.join(","));
        let (entries, _) = laws::outcome(Format::AbuseIpdb, &options(), feed.as_bytes(), piece).unwrap();
        let entries: Vec<_> = entries.into_iter().map(|(prefix, confidence, ..)| (prefix, confidence)).collect();
        let expected = models.iter().map(|model| expected(Format::AbuseIpdb, model));
        let expected: Vec<_> = expected.map(|(prefix, confidence, ..)| (prefix, confidence)).collect();
        prop_assert_eq!(entries, expected);
    }

    #[test]
    fn databases_are_read_as_they_are_written(
        prefixes in vec(prefix(), 0..40),
        record_size in prop_oneof![Just(24_u16), Just(28), Just(32)],
        asked in vec(address(), 20),
    ) {
        let tor = Value::Map(vec![("is_tor_exit_node", Value::Flag(true))]);
        let networks = prefixes.iter().filter(|prefix| is_of_a_database(**prefix));
        let networks: Vec<_> = networks.map(|prefix| (prefix.network(), prefix.len(), tor.clone())).collect();
        let database = Database { record_size, ..Database::new(networks.clone()) };
        let (entries, report) = laws::outcome(Format::Mmdb, &laws::lenient(), &database.bytes(), 4096).unwrap();
        prop_assert_eq!(report.wrong, 0);
        let ends = networks.iter().map(|(address, ..)| *address);
        for address in ends.chain(asked) {
            let covers = |prefix: Prefix| prefix.contains(address);
            let is_listed = networks.iter().any(|(network, len, _)| covers(Prefix::new(*network, *len).unwrap()));
            let found = entries.iter().filter(|(prefix, ..)| covers(*prefix)).count();
            prop_assert_eq!(found, usize::from(is_listed), "{}", address);
        }
    }

    #[test]
    fn garbage_is_a_report_or_a_refusal(garbage in vec(any::<u8>(), 0..600)) {
        for format in Format::ALL {
            laws::holds(format, &garbage);
        }
    }

    #[test]
    fn garbage_in_a_list_is_a_report_or_a_refusal(
        lines in lines(),
        garbage in vec((any::<u16>(), any::<u8>()), 1..8),
    ) {
        for format in OF_LINES {
            let mut feed = feed(format, &lines, "\n", false).into_bytes();
            for (at, byte) in &garbage {
                let at = usize::from(*at) % feed.len();
                feed[at] = *byte;
            }
            laws::holds(format, &feed);
        }
    }
}

/// The low addresses of IPv6 are where a database for both families has IPv4, and the mapped ones lead
/// there: prefixes that cover those, or lie among them, are not what they are elsewhere.
fn is_of_a_database(prefix: Prefix) -> bool {
    match prefix {
        Prefix::V4 { .. } => true,
        Prefix::V6 { network, .. } => network >> 96 != 0,
    }
}
