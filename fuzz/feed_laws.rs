//! What holds for any bytes that are read as a feed, one law a format. libFuzzer looks for bytes that
//! break it (`fuzz/targets/feed_*`), `tests/fuzz_smoke.rs` tries seeds and mutations of them on the
//! stable toolchain, and `tests/formats_properties.rs` garbage and lists with garbage in them.
//!
//! Law: a feed is read as the same whatever pieces it comes in; every entry is a prefix with what it
//! may say; the report adds up and can be shown; what is read with strict terms is read with lenient
//! ones as the same.

use std::io::{BufReader, Cursor};
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use ip_reputation::formats::{
    Attributes, Categories, Column, Columns, Format, HigherIs, MmdbMatch, MmdbRule, NAMED_MAX,
    Options, Report, detect, read,
};
use ip_reputation::{Confidence, Entry, Prefix};

/// Stops a feed of ranges from filling the memory of the test.
const ENTRIES_MAX: usize = 100_000;

/// An entry that is kept.
type Kept = (Prefix, Confidence, Option<String>, Option<u32>, Option<u32>);

/// What reading comes to. A refusal is its words.
pub(crate) type Outcome = Result<(Vec<Kept>, Report), String>;

/// The law for one format.
pub(crate) fn holds(format: Format, data: &[u8]) {
    match format {
        Format::SuricataIprep => names_are_names(data),
        Format::Mmdb => attributes_are_answers(data),
        _ => {}
    }
    let whole = outcome(format, &lenient(), data, data.len().max(1));
    let piece = 1 + data.first().map_or(0, |byte| usize::from(*byte) % 40);
    assert_eq!(whole, outcome(format, &lenient(), data, piece));
    match &whole {
        Ok((entries, report)) => {
            entries.iter().for_each(is_valid);
            adds_up(format, entries.len(), report, data);
        }
        Err(refused) => is_shown(refused),
    }
    if let Ok(strict) = outcome(format, &strict(), data, data.len().max(1)) {
        assert_eq!(Ok(strict), whole);
    }
    let recognised = detect(data, "feed");
    assert_eq!(recognised, detect(data, "feed"));
    if let Err(error) = recognised {
        is_shown(&error.to_string());
    }
}

/// What a categories file has.
fn names_are_names(data: &[u8]) {
    if let Ok((categories, report)) = Categories::read(&mut &*data, &lenient()) {
        assert!(categories.len() as u64 <= report.entries);
    }
}

/// What a database says about single addresses.
fn attributes_are_answers(data: &[u8]) {
    let Ok(attributes) = Attributes::new(data.to_vec()) else {
        return;
    };
    for address in ["192.0.2.1", "::ffff:198.51.100.1", "2001:db8::1", "::"] {
        let address = address.parse().unwrap();
        let country = attributes.country(address);
        assert!(country.is_none_or(|code| code.iter().all(u8::is_ascii_uppercase)));
        let _ = attributes.asn(address);
    }
    let _ = (attributes.as_of(), format!("{attributes:?}"));
}

/// Limits that refuse little.
pub(crate) fn lenient() -> Options {
    let rule = |on| MmdbRule {
        on,
        confidence: Confidence::FULL,
        category: Some("rule".to_owned()),
    };
    Options {
        now: 1_796_083_200,
        higher_is: Some(HigherIs::Worse),
        columns: Columns {
            number: Some(Column::Index(1)),
            category: Some(Column::Index(2)),
            expires: Some(Column::Index(3)),
            ..Columns::default()
        },
        regex: Some(r"(?<prefix>[0-9a-fA-F:./-]{7,}) ?(?<category>\w*)".to_owned()),
        rules: vec![
            rule(MmdbMatch::Flag("is_tor_exit_node".to_owned())),
            rule(MmdbMatch::Asn(64_496)),
            rule(MmdbMatch::Country(*b"ZZ")),
        ],
        asn_db: Some(systems()),
        max_invalid_ratio: 1.0,
        allow_empty: true,
        ..Options::default()
    }
}

/// A database with a network of AS64496.
fn systems() -> Arc<Attributes> {
    static SYSTEMS: OnceLock<Arc<Attributes>> = OnceLock::new();
    let read = || {
        let bytes = include_bytes!("seeds/feed_mmdb/v4_24").to_vec();
        Arc::new(Attributes::new(bytes).unwrap())
    };
    Arc::clone(SYSTEMS.get_or_init(read))
}

fn strict() -> Options {
    Options {
        max_invalid_ratio: 0.05,
        allow_empty: false,
        ..lenient()
    }
}

/// Reads a feed that comes in pieces of a size.
pub(crate) fn outcome(format: Format, options: &Options, data: &[u8], piece: usize) -> Outcome {
    let mut input = BufReader::with_capacity(piece, Pieces(Cursor::new(data), piece));
    let mut entries = Vec::new();
    let mut sink = |entry: Entry<'_>| {
        let category = entry.category.map(str::to_owned);
        let Entry {
            prefix,
            confidence,
            seen,
            expires,
            ..
        } = entry;
        entries.push((prefix, confidence, category, seen, expires));
        if entries.len() < ENTRIES_MAX {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    };
    match read(format, &mut input, options, &mut sink) {
        Ok(report) => Ok((entries, report)),
        Err(refused) => Err(refused.to_string()),
    }
}

/// Gives no more than a piece at a time.
struct Pieces<'a>(Cursor<&'a [u8]>, usize);

impl std::io::Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let len = into.len().min(self.1);
        self.0.read(&mut into[..len])
    }
}

fn is_valid(entry: &Kept) {
    let (prefix, confidence, category, ..) = entry;
    assert_eq!(Prefix::new(prefix.network(), prefix.len()), Some(*prefix));
    assert!((0.0..=1.0).contains(&confidence.as_ratio()));
    if let Some(category) = category {
        assert!((1..=64).contains(&category.len()), "{category:?}");
        assert!(!category.chars().any(char::is_control), "{category:?}");
    }
}

fn adds_up(format: Format, entries: usize, report: &Report, data: &[u8]) {
    assert_eq!(report.entries, entries as u64);
    assert!(report.wrong <= report.lines);
    assert_eq!(
        report.first_wrong.len() as u64,
        report.wrong.min(NAMED_MAX as u64)
    );
    for wrong in &report.first_wrong {
        assert!(wrong.line > 0);
        is_shown(&wrong.to_string());
    }
    // One record of these may have several addresses, and a wrong one among them.
    let has_several = matches!(
        format,
        Format::Json | Format::Lines | Format::Plain | Format::Netset | Format::Asn
    );
    assert!(has_several || report.host_bits <= report.lines - report.wrong);
    assert!(report.host_bits <= report.entries);
    let right = report.lines - report.wrong;
    let is_expanded = format == Format::Asn;
    assert!(
        is_expanded || right <= report.entries,
        "a right line is an entry at least"
    );
    if ![Format::AbuseIpdb, Format::Mmdb, Format::Json].contains(&format) {
        let lines = data.split(|byte| matches!(byte, b'\n' | b'\r'));
        let lines = lines.count() as u64;
        // A line that is too long may be read in pieces.
        let pieces = (data.len() / 2048) as u64;
        assert!(report.lines + report.skipped <= lines + pieces);
    }
}

/// Whether a terminal and a log can take it.
fn is_shown(text: &str) {
    assert!(!text.is_empty() && text.len() < 1000, "{text:?}");
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
