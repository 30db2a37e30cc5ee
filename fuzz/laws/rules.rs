//! Payload rules on one payload: the rule that is found is the first that matches by itself, found by
//! the crate `regex` or by comparing bytes.

use std::sync::LazyLock;

use ip_reputation::{Pattern, PayloadError, PayloadRule, PayloadRules, Score};
use regex::bytes::{Regex, RegexBuilder};

/// Rules that begin, end, repeat and look around in every way, for payloads of any bytes.
const FIXED: [&str; 12] = [
    "never.*always",
    r"^\x16\x03[\x00-\x04]",
    r"(?s)a.{3}b",
    r"\bword\b",
    "(?m)^line$",
    "(?i)union\\s+select",
    r"\xff+\x00",
    "[0-9]{4,8}#$",
    "^(GET|POST) ",
    r"\Bx\B",
    "\n\n$",
    "(ab|ba)*c",
];

/// How many bytes of a payload the rules see.
const BYTES_MAX: [usize; 4] = [0, 100, 300, 4096];

/// A list of rules, and each of them by itself.
struct Pair {
    rules: PayloadRules,
    alone: Vec<Alone>,
}

/// A rule by itself.
enum Alone {
    Prefix(Vec<u8>),
    Regex(Box<Regex>),
}

/// The fixed rules once for each limit.
static PAIRS: LazyLock<Vec<Pair>> = LazyLock::new(|| {
    let rules = FIXED.map(|pattern| Pattern::Regex(pattern.to_owned()));
    let pairs = BYTES_MAX.map(|bytes_max| Pair::new(&rules, bytes_max).unwrap());
    pairs.into_iter().collect()
});

/// Its first byte chooses the limit, and whether the rules are the fixed ones or come first, each up
/// to the end of a line: `=` and the bytes of a prefix, or else a regular expression.
pub(crate) fn rules(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    let limit = usize::from(choice % 4);
    if choice & 4 == 0 {
        return PAIRS[limit].agrees_on(rest);
    }
    let count = usize::from(choice >> 3) % 4 + 1;
    let mut parts = rest.splitn(count + 1, |byte| *byte == b'\n');
    let lines: Vec<_> = parts.by_ref().take(count).collect();
    let payload = parts.next().unwrap_or_default();
    let patterns = lines.into_iter().map(|line| match line.split_first() {
        Some((b'=', prefix)) => Some(Pattern::Prefix(prefix.to_vec())),
        _ => Some(Pattern::Regex(str::from_utf8(line).ok()?.to_owned())),
    });
    let Some(patterns) = patterns.collect::<Option<Vec<_>>>() else {
        return;
    };
    if let Some(pair) = Pair::new(&patterns, BYTES_MAX[limit]) {
        pair.agrees_on(payload);
    }
}

impl Pair {
    /// `None` if the list is refused, which has to name the rule.
    fn new(patterns: &[Pattern], bytes_max: usize) -> Option<Self> {
        let rules = patterns
            .iter()
            .enumerate()
            .map(|(place, pattern)| PayloadRule {
                name: place.to_string(),
                score: Score::WORST,
                pattern: pattern.clone(),
            });
        match PayloadRules::new(rules.collect(), bytes_max) {
            Ok(rules) => {
                let alone = patterns.iter().map(Alone::new).collect::<Option<_>>()?;
                Some(Self { rules, alone })
            }
            Err(PayloadError::TooMany { .. } | PayloadError::Nameless { .. }) => {
                panic!("few rules, all with names")
            }
            Err(error) => {
                assert!(error.to_string().starts_with("payload rule "), "{error}");
                None
            }
        }
    }

    fn agrees_on(&self, payload: &[u8]) {
        let seen = &payload[..payload.len().min(self.rules.bytes_max())];
        let expected = self.alone.iter().position(|rule| rule.matches(seen));
        let found = self.rules.first_match(payload);
        let found = found.map(|found| found.name.parse().unwrap());
        assert_eq!(found, expected, "{:?}", seen.escape_ascii().to_string());
    }
}

impl Alone {
    fn new(pattern: &Pattern) -> Option<Self> {
        match pattern {
            Pattern::Prefix(bytes) => Some(Self::Prefix(bytes.clone())),
            Pattern::Regex(pattern) => {
                let regex = RegexBuilder::new(pattern).unicode(false).build();
                Some(Self::Regex(Box::new(regex.ok()?)))
            }
        }
    }

    fn matches(&self, payload: &[u8]) -> bool {
        match self {
            Self::Prefix(bytes) => payload.starts_with(bytes),
            Self::Regex(regex) => regex.is_match(payload),
        }
    }
}
