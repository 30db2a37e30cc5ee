use core::ops::ControlFlow;
use std::io::{self, BufReader, Read};

use super::*;

/// What a feed was read as: its entries in words, and the report.
pub(super) type Outcome = Result<(Vec<String>, Report), Refused>;

/// Reads a feed. An entry is `203.0.113.0/24 0.15 scanner seen 7 until 9`.
pub(super) fn outcome(format: Format, options: &Options, feed: &[u8]) -> Outcome {
    let mut entries = Vec::new();
    let report = read(format, &mut &*feed, options, &mut |entry| {
        entries.push(in_words(&entry));
        ControlFlow::Continue(())
    })?;
    assert_eq!(report.entries, entries.len() as u64);
    assert!(report.wrong <= report.lines);
    assert_eq!(
        report.first_wrong.len() as u64,
        report.wrong.min(NAMED_MAX as u64)
    );
    Ok((entries, report))
}

/// The entries of a feed, and its wrong lines: `7 203.0.113.256: an address`.
pub(super) fn parts(format: Format, options: &Options, feed: &str) -> (Vec<String>, Vec<String>) {
    let options = Options {
        max_invalid_ratio: 1.0,
        allow_empty: true,
        ..options.clone()
    };
    let (entries, report) = outcome(format, &options, feed.as_bytes()).unwrap();
    let wrong = report.first_wrong.iter();
    let wrong = wrong.map(|wrong| format!("{} {}: {}", wrong.line, wrong.what, wrong.expected));
    (entries, wrong.collect())
}

pub(super) fn refusal(format: Format, options: &Options, feed: &str) -> String {
    outcome(format, options, feed.as_bytes())
        .unwrap_err()
        .to_string()
}

fn in_words(entry: &Entry<'_>) -> String {
    let mut words = format!("{} {}", entry.prefix, entry.confidence.as_ratio());
    for word in [
        entry.category.map(str::to_owned),
        entry.seen.map(|seen| format!("seen {seen}")),
        entry.expires.map(|expires| format!("until {expires}")),
    ] {
        words.extend(word.map(|word| format!(" {word}")));
    }
    words
}

/// The formats of lines.
fn texts() -> impl Iterator<Item = Format> {
    let all = Format::ALL.into_iter();
    all.filter(|format| !matches!(format, Format::Mmdb | Format::Json))
}

fn stated() -> Options {
    Options {
        higher_is: Some(HigherIs::Worse),
        regex: Some(r"^(?<prefix>.*)$".to_owned()),
        columns: Columns {
            number: Some(Column::Index(1)),
            ..Columns::default()
        },
        ..Options::default()
    }
}

#[test]
fn what_is_no_list_is_refused_in_every_format() {
    for format in texts() {
        for (feed, why) in [
            (
                &b"<!DOCTYPE html>\n<html><body>203.0.113.9</body></html>"[..],
                "HTML or XML page",
            ),
            (
                b"\xef\xbb\xbf\n  <?xml version=\"1.0\"?>",
                "HTML or XML page",
            ),
            (b"\x1f\x8b\x08\0\0\0\0\0", "compressed with gzip"),
            (b"\xff\xfe1\x009\x00", "UTF-16"),
            (&[0; 5000], "binary data"),
            (&[1, 2, 3, 200, 210, 0, 0, 7].repeat(100), "binary data"),
            (b"", "there is no entry"),
            (b"\n\r\n \n", "there is no entry"),
            (b"# 203.0.113.9\n", "there is no entry"),
        ] {
            let refused = outcome(format, &stated(), feed).unwrap_err().to_string();
            assert!(refused.contains(why), "{format}: {refused}");
        }
    }
}

#[test]
fn a_list_may_be_empty_on_purpose() {
    for format in texts() {
        let (_, report) = outcome(format, &stated(), b"# spoa: empty\r\n").unwrap();
        assert!(report.emptied, "{format}");
        let lenient = Options {
            allow_empty: true,
            ..stated()
        };
        let (_, report) = outcome(format, &lenient, b"").unwrap();
        assert!(!report.emptied, "{format}");
    }
    assert!(outcome(Format::Plain, &stated(), b"x # spoa: empty\n").is_err());
    assert!(outcome(Format::Plain, &stated(), b"# spoa: empty\nx\n").is_err());
    for (format, feed) in [
        (Format::Plain, "# spoa: empty\n203.0.113.9\n"),
        (Format::Csv, "203.0.113.9,1\n# spoa: empty\n"),
    ] {
        let (entries, report) = outcome(format, &stated(), feed.as_bytes()).unwrap();
        assert_eq!((entries.len(), report.emptied), (1, false), "{feed}");
    }
}

#[test]
fn more_wrong_lines_than_allowed_refuse_a_feed() {
    let feed = |wrong: usize, right: usize| {
        ["nonsense\n".repeat(wrong), "203.0.113.9\n".repeat(right)].concat()
    };
    let (entries, report) = outcome(Format::Plain, &stated(), feed(5, 95).as_bytes()).unwrap();
    assert_eq!((entries.len(), report.lines, report.wrong), (95, 100, 5));
    let refused = refusal(Format::Plain, &stated(), &feed(6, 94));
    assert_eq!(
        refused,
        "6 of 100 lines are wrong, more than max-invalid-ratio allows; line 1: \"nonsense\" where an \
         address, a prefix or a range was expected"
    );
    let none = strict();
    assert!(outcome(Format::Plain, &none, feed(1, 99).as_bytes()).is_err());
    assert!(outcome(Format::Plain, &none, feed(0, 1).as_bytes()).is_ok());
    for format in texts() {
        let refused = outcome(format, &stated(), b"404 page not found\n").unwrap_err();
        assert!(
            matches!(refused, Refused::TooManyWrong(_)),
            "{format}: {refused}"
        );
    }
}

fn strict() -> Options {
    Options {
        max_invalid_ratio: 0.0,
        ..stated()
    }
}

#[test]
fn a_slip_in_a_short_list_costs_its_line_alone() {
    let read = |options: &Options, text: &str| {
        let read = outcome(Format::Plain, options, text.as_bytes());
        read.map(|(entries, report)| (entries.len(), report.wrong))
            .ok()
    };
    let right = |lines: usize| "203.0.113.9\n".repeat(lines);
    let own = right(4) + "203.0.113.300\n";
    assert_eq!(read(&stated(), &own), Some((4, 1)));
    assert_eq!(read(&strict(), &own), None, "nothing may be wrong");
    assert_eq!(read(&stated(), &(right(4) + "x\nx\nx\n")), Some((4, 3)));
    assert_eq!(read(&stated(), &(right(9) + "x\nx\nx\nx\n")), None, "four");
    // As many wrong ones as right ones: who knows what that is.
    for text in [
        "203.0.113.9\nx\n",
        "x\n203.0.113.9\n203.0.113.9\nx\n",
        "x\n",
    ] {
        assert_eq!(read(&stated(), text), None, "{text}");
    }
}

#[test]
fn a_few_lines_that_are_no_list_are_refused_in_every_format() {
    for format in texts() {
        for text in [
            "404 page not found\n",
            "Access denied\nYour address is\n203.0.113.9\n",
            "Your address is:\n203.0.113.9\n",
            "{\"error\":\"rate limit\",\"status\":429}\n",
            "{\n  \"error\": \"rate limit\",\n  \"client\": \"203.0.113.9\"\n}\n",
            "error code: 1015\n",
            "upstream connect error or disconnect/reset before headers\n",
            "<html>\n203.0.113.1\n203.0.113.2\n203.0.113.3\n203.0.113.4\n</html>\n",
            "\n\n  <!DOCTYPE html>\n203.0.113.1\n203.0.113.2\n203.0.113.3\n203.0.113.4\n",
        ] {
            assert!(
                outcome(format, &stated(), text.as_bytes()).is_err(),
                "{format}: {text}"
            );
        }
    }
}

#[test]
fn a_line_too_long_is_wrong_and_those_after_it_are_read() {
    for (len, wrong) in [(4096, 0), (4097, 1), (1_000_000, 1)] {
        let feed = format!("203.0.113.9 #{}\n203.0.113.10\n", "x".repeat(len - 13));
        let (entries, named) = parts(Format::Plain, &stated(), &feed);
        assert_eq!((entries.len(), named.len()), (2 - wrong, wrong), "{len}");
        assert!(
            named
                .iter()
                .all(|named| named.ends_with("at most 4096 bytes"))
        );
    }
}

#[test]
fn the_sink_can_stop_every_format() {
    for (format, feed) in [
        (Format::Plain, "0.0.0.1-255.255.255.254\n203.0.113.9\n"),
        (Format::DropJson, "{\"cidr\":\"203.0.113.9\"}\n"),
        (
            Format::AbuseIpdb,
            "{\"data\":[{\"ipAddress\":\"203.0.113.9\",\"abuseConfidenceScore\":1}]}",
        ),
        (Format::Csv, "203.0.113.9,1\n"),
    ] {
        let mut taken = 0;
        let stopped = read(format, &mut feed.as_bytes(), &stated(), &mut |_| {
            taken += 1;
            ControlFlow::Break(())
        });
        assert!(matches!(stopped, Err(Refused::Stopped)), "{format}");
        assert_eq!(taken, 1, "{format}");
    }
}

/// Gives some bytes, then fails.
struct Breaks<'a>(&'a [u8]);

impl Read for Breaks<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into)? {
            0 => Err(io::ErrorKind::ConnectionReset.into()),
            read => Ok(read),
        }
    }
}

#[test]
fn an_input_that_breaks_off_is_never_a_feed() {
    for format in Format::ALL {
        let options = Options {
            max_invalid_ratio: 1.0,
            rules: vec![MmdbRule {
                on: MmdbMatch::Asn(64_496),
                confidence: crate::Confidence::FULL,
                category: None,
            }],
            ..stated()
        };
        let mut input = BufReader::new(Breaks(b"{\n203.0.113.9\n"));
        let refused = read(format, &mut input, &options, &mut |_| {
            ControlFlow::Continue(())
        });
        match refused {
            Err(Refused::Io(error)) => {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{format}");
            }
            // A document may be wrong before it breaks off.
            Err(Refused::DecodeError(_)) if matches!(format, Format::AbuseIpdb | Format::Json) => {}
            other => panic!("{format}: {other:?}"),
        }
    }
}

#[test]
fn a_prefix_too_wide_is_an_invalid_line_unless_it_is_reserved() {
    let options = Options {
        min_prefix_v4: 8,
        min_prefix_v6: 16,
        max_invalid_ratio: 1.0,
        ..stated()
    };
    let feed = b"0.0.0.0/0\n::/0\n10.0.0.0/7\n192.0.0.0/8\n2001::/16\n2000::/15\n224.0.0.0/3\n\
        ::ffff:0.0.0.0/96\n0.0.0.0-255.255.255.255\nfc00::/7\n192.0.2.1\n";
    let (entries, report) = outcome(Format::Plain, &options, feed).unwrap();
    assert_eq!(
        entries,
        [
            "192.0.0.0/8 1",
            "2001::/16 1",
            "224.0.0.0/3 1",
            "fc00::/7 1",
            "192.0.2.1 1"
        ]
    );
    assert_eq!((report.wrong, report.everything), (6, None));
    assert!(report.first_wrong[0].to_string().contains("min-prefix-v4"));
}

#[test]
fn everything_is_taken_and_told() {
    let feed = b"203.0.113.9\n0.0.0.0/0\n::/0\n203.0.113.9/24\n";
    let (entries, report) = outcome(Format::Plain, &stated(), feed).unwrap();
    assert_eq!(entries.len(), 4);
    assert_eq!((report.everything, report.host_bits), (Some(2), 1));
}

#[test]
fn a_category_is_short_and_printable() {
    assert_eq!(word(b"scanner"), Some("scanner"));
    assert_eq!(word("\u{e9}t\u{e9}".as_bytes()), Some("\u{e9}t\u{e9}"));
    for text in [&b""[..], b"a\x1b[2J", b"\xff", &[b'a'; 65]] {
        assert_eq!(word(text), None);
    }
}
