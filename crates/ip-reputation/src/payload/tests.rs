use proptest::collection::vec;
use proptest::sample::select;
use proptest::strategy::Strategy;
use proptest::test_runner::Config;
use proptest::{prop_assert_eq, prop_oneof, proptest};
use regex::bytes::{Regex, RegexBuilder};

use super::*;

fn rule(name: &str, score: u8, pattern: Pattern) -> PayloadRule {
    PayloadRule {
        name: name.to_owned(),
        score: Score::new(score).unwrap(),
        pattern,
    }
}

/// Rules that have their patterns as names.
fn regexes(patterns: &[&str]) -> Result<PayloadRules, PayloadError> {
    let rules = patterns
        .iter()
        .map(|&it| rule(it, 0, Pattern::Regex(it.to_owned())));
    PayloadRules::new(rules.collect(), PAYLOAD_BYTES_MAX)
}

fn first<'a>(rules: &'a PayloadRules, payload: &[u8]) -> Option<&'a str> {
    let found = rules.first_match(payload);
    found.map(|found| found.name)
}

/// Each pattern by itself, found by the crate `regex`.
struct Alone<'a>(Vec<(&'a str, Regex)>);

impl<'a> Alone<'a> {
    fn new(patterns: &[&'a str]) -> Self {
        let alone = patterns.iter().map(|&pattern| {
            let regex = RegexBuilder::new(pattern).unicode(false).build();
            (pattern, regex.unwrap())
        });
        Self(alone.collect())
    }

    /// The first that matches.
    fn first(&self, payload: &[u8]) -> Option<&'a str> {
        let matching = self.0.iter().find(|(_, regex)| regex.is_match(payload));
        matching.map(|(pattern, _)| *pattern)
    }
}

/// Bytes in no order, the same in every run.
fn noise(seed: u64, len: usize, from: &[u8]) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        from[usize::try_from(state >> 33).unwrap() % from.len()]
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn the_first_rule_of_the_list_wins_wherever_it_matches() {
    let rules = regexes(&["^late$", "b+", "a", "^c"]).unwrap();
    for (payload, name) in [
        (&b"cccaaaa"[..], Some("a")),
        (b"cccaaaab", Some("b+")),
        (b"ccc", Some("^c")),
        (b"late", Some("^late$")),
        (b"late ", Some("a")),
        (b"xyz", None),
        (b"", None),
    ] {
        assert_eq!(first(&rules, payload), name, "{payload:?}");
    }
}

#[test]
fn a_prefix_is_its_bytes_at_the_front_and_nowhere_else() {
    let bytes = [0x16, 0x03, b'.', b'*', 0xff, 0x00, b'\n'];
    let prefix = rule("tls", 70, Pattern::Prefix(bytes.to_vec()));
    let rules = PayloadRules::new(vec![prefix], PAYLOAD_BYTES_MAX).unwrap();
    let longer = [&bytes[..], b"more"].concat();
    let found = rules.first_match(&longer).unwrap();
    assert_eq!((found.name, found.score.value()), ("tls", 70));
    assert!(rules.first_match(&bytes).is_some());
    assert!(rules.first_match(&bytes[..6]).is_none());
    assert!(rules.first_match(&longer[1..]).is_none());
    assert!(rules.first_match(&[b"x", &bytes[..]].concat()).is_none());
}

/// One byte is one character, whatever it is.
#[test]
fn patterns_are_about_bytes() {
    let rules = regexes(&[r"^\xff.\x80$", r"\bword\b", "(?i)GRÜN", "(?m)^line$"]).unwrap();
    for (payload, name) in [
        (&b"\xff\xc3\x80"[..], Some(r"^\xff.\x80$")),
        (b"\xff\xc3\xb6\x80", None),
        (b"a word.", Some(r"\bword\b")),
        (b"swords", None),
        ("grÜn".as_bytes(), Some("(?i)GRÜN")),
        ("grün".as_bytes(), None),
        (b"one\nline\ntwo", Some("(?m)^line$")),
        (b"one line", None),
    ] {
        assert_eq!(first(&rules, payload), name, "{payload:?}");
    }
}

#[test]
fn what_lies_behind_the_limit_is_not_there() {
    let patterns = ["needle", "hay$"].map(|it| rule(it, 0, Pattern::Regex(it.to_owned())));
    let rules = PayloadRules::new(patterns.to_vec(), 10).unwrap();
    assert_eq!(first(&rules, b"1234needle"), Some("needle"));
    assert_eq!(first(&rules, b"12345needle"), None);
    assert_eq!(first(&rules, b"1234567hay and more"), Some("hay$"));
    let none = PayloadRules::new(patterns.to_vec(), 0).unwrap();
    assert_eq!(first(&none, b"needle"), None);
}

#[test]
fn what_is_wrong_with_a_list_names_the_rule() {
    for (rules, words) in [
        (
            vec![rule("open", 0, Pattern::Regex("a(b".into()))],
            "open: not a regular expression over bytes: unclosed group",
        ),
        (
            vec![rule("huge", 0, Pattern::Regex("(x{1000}){1000}".into()))],
            "huge: the pattern is too large",
        ),
        (
            vec![rule("", 0, Pattern::Regex("a".into()))],
            "rule 1 has no name",
        ),
        (
            vec![rule("all", 0, Pattern::Prefix(Vec::new()))],
            "all: the prefix is empty",
        ),
        (
            vec![rule("r", 0, Pattern::Prefix(vec![0])); PAYLOAD_RULES_MAX + 1],
            "rules; at most",
        ),
    ] {
        let said = PayloadRules::new(rules, 100).unwrap_err().to_string();
        assert!(said.contains(words) && !said.contains('\n'), "{said}");
    }
}

/// Many `.*` multiply the states of an automaton.
#[test]
fn rules_that_remember_what_stood_before_match_as_each_by_itself() {
    let patterns: Vec<_> = (b'a'..=b'l')
        .map(|it| format!(r"{}.*\b#", char::from(it)))
        .collect();
    let patterns: Vec<_> = patterns.iter().map(|it| &it[..]).collect();
    let (rules, alone) = (regexes(&patterns).unwrap(), Alone::new(&patterns));
    for seed in 1..100 {
        let payload = noise(seed, 300, b"abcdefghijklmnop\n\n#");
        assert_eq!(first(&rules, &payload), alone.first(&payload), "{seed}");
    }
}

/// A pattern whose automaton would have 2^40 states is matched all the same, in linear time.
#[test]
fn a_pattern_that_fits_no_table_is_matched() {
    let rules = regexes(&["x.{40}!", "^y.{400}!"]).unwrap();
    let payload = |front: &[u8], len| [front, &vec![b'.'; len][..], b"!"].concat();
    assert_eq!(first(&rules, &payload(b"ab\nx", 40)), Some("x.{40}!"));
    assert_eq!(first(&rules, &payload(b"abx", 41)), None);
    assert_eq!(first(&rules, &payload(b"y", 400)), Some("^y.{400}!"));
    assert_eq!(first(&rules, &payload(b" y", 400)), None);
    let (rules, alone) = (
        regexes(&["x.{20}!", "a.*b.{9}c"]).unwrap(),
        Alone::new(&["x.{20}!", "a.*b.{9}c"]),
    );
    for seed in 1..200 {
        let payload = noise(seed, 2000, b"xxab!c\n");
        assert_eq!(first(&rules, &payload), alone.first(&payload), "{seed}");
    }
}

/// Any thread may search, and finds the same.
#[test]
fn threads_share_rules() {
    let rules = regexes(&["a.*b", "c"]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    assert_eq!(first(&rules, b"..a..b"), Some("a.*b"));
                    assert_eq!(first(&rules, b"..b..c"), Some("c"));
                }
            });
        }
    });
}

/// Any length, any offset.
#[test]
fn a_set_finds_what_each_rule_finds() {
    let patterns = [
        "one.*two",
        r"\bthree\b",
        "(?m)^four$",
        "five{3,9}",
        "six$",
        "^seven.*8",
        "(?s)n.{6}ine",
        "tentententen",
    ];
    let (rules, alone) = (regexes(&patterns).unwrap(), Alone::new(&patterns));
    let words = [
        "one", "two", "three", "four", "five", "eeee", "six", "seven", "8", "n", "ine", "ten", " ",
        "\n", "........",
    ];
    for seed in 1..600_u64 {
        let mut payload = Vec::new();
        for choice in noise(
            seed,
            60,
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
        ) {
            payload.extend_from_slice(words[usize::from(choice)].as_bytes());
        }
        payload.truncate(usize::try_from(seed).unwrap() * 7 % 260);
        let expected = alone.first(&payload);
        assert_eq!(
            first(&rules, &payload),
            expected,
            "{}",
            payload.escape_ascii()
        );
    }
}

/// A rule that comes later in the payload, and lower in the list, is not hidden by those before it.
#[test]
fn a_set_finds_the_lowest_of_many_that_match() {
    let patterns: Vec<_> = (0..30).map(|it| format!("<{it}>")).collect();
    let patterns: Vec<_> = patterns.iter().map(|it| &it[..]).collect();
    let (rules, alone) = (regexes(&patterns).unwrap(), Alone::new(&patterns));
    for seed in 1..200_u64 {
        let numbers: Vec<_> = (5..30).collect();
        let mut payload: Vec<_> = noise(seed, 300, &numbers)
            .into_iter()
            .flat_map(|number| format!("<{number}>").into_bytes())
            .collect();
        if seed % 3 == 0 {
            payload.extend(b"<3>");
        }
        payload.truncate(usize::try_from(seed * 11).unwrap() % payload.len());
        assert_eq!(first(&rules, &payload), alone.first(&payload), "{seed}");
    }
}

#[test]
fn no_rules_match_nothing() {
    let rules = PayloadRules::new(Vec::new(), PAYLOAD_BYTES_MAX).unwrap();
    assert!(rules.is_empty());
    assert_eq!(first(&rules, b"anything"), None);
}

/// A piece of a pattern.
fn piece() -> impl Strategy<Value = String> {
    let class = select(vec!["a", "b", "c", ".", "[^a]", "[ab]", r"\n", "(?s:.)"]);
    let often = select(vec!["", "", "", "*", "+", "?", "{2}", "{1,2}", "{2,}"]);
    let single = (class, often).prop_map(|(class, often)| format!("{class}{often}"));
    let choice = select(vec!["(?:a|bc)", "(?:ab)*", "(?:a.*|b)", r"\b", "$"]);
    let keeps = select(vec![".*", "(?s:.)*", "[^a]*"]);
    prop_oneof![8 => single, 1 => choice.prop_map(str::to_owned), 2 => keeps.prop_map(str::to_owned)]
}

fn patterns() -> impl Strategy<Value = Vec<String>> {
    vec(vec(piece(), 1..6).prop_map(|pieces| pieces.concat()), 1..5)
}

/// Few different bytes, so that patterns match.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let byte = select(&b"aaabbbccc\nd\xff"[..]);
    let tail = vec(byte.clone(), 0..40);
    let long = (0_usize..1100, byte, tail.clone())
        .prop_map(|(len, byte, tail)| [vec![byte; len], tail].concat());
    prop_oneof![tail, long]
}

proptest! {
    #![proptest_config(Config::with_cases(200))]

    #[test]
    fn a_set_agrees_with_each_rule_by_itself(
        patterns in patterns(),
        payloads in vec(payload(), 1..8),
    ) {
        let patterns: Vec<_> = patterns.iter().map(|pattern| &pattern[..]).collect();
        let (rules, alone) = (regexes(&patterns).unwrap(), Alone::new(&patterns));
        for payload in payloads {
            let shown = payload.escape_ascii();
            prop_assert_eq!(first(&rules, &payload), alone.first(&payload), "{}", shown);
        }
    }
}
