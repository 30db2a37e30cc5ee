//! Rules that are the bits of a word.

use proptest::collection::vec;
use proptest::sample::select;
use proptest::strategy::Strategy;
use proptest::test_runner::Config;
use proptest::{prop_assert_eq, prop_oneof, proptest};

use super::super::{Lane, PayloadRules, build, chains, word};
use super::{Alone, first, noise, regexes};

/// What begins, repeats, stays and ends in every way that a chain can have.
const CHAINS: [&str; 9] = [
    "a.*b",
    "(?s)c.*d",
    "e+f{2,3}.*g$",
    "h[i-k]?l.*(m|no)",
    "p[^q]*q",
    "(?i)r\\s+s.*\n",
    "(?:tu)*t.*v",
    "w.*w.*w",
    "x[^z]*y*z",
];

/// What no chain can be.
const OTHERS: [&str; 8] = [
    r"a.*\bb",
    "(?m)^a.*b",
    "(?m)a.*b$",
    "a(bc)*d.*e",
    "a*",
    "a*$",
    "(^a|b).*c",
    "a.{70}b",
];

fn chains_of(pattern: &str) -> Option<Vec<chains::Chain>> {
    chains::chains(&build::nfa(&[pattern]).unwrap())
}

fn words(rules: &PayloadRules) -> usize {
    let lanes = rules.lanes.iter();
    lanes.filter(|it| matches!(it, Lane::Word(_))).count()
}

#[test]
fn what_is_simple_is_chains_and_nothing_else_is() {
    for pattern in CHAINS {
        let chains = chains_of(pattern).expect(pattern);
        assert!(chains::is_mindful(&chains), "{pattern}");
        assert_eq!(words(&regexes(&[pattern]).unwrap()), 1, "{pattern}");
    }
    for pattern in OTHERS {
        assert!(chains_of(pattern).is_none(), "{pattern}");
    }
    let forgetful = chains_of("(?i)abc|d{1,4}").unwrap();
    assert!(!chains::is_mindful(&forgetful));
    assert_eq!(words(&regexes(&["abc|d{1,4}"]).unwrap()), 0);
}

#[test]
fn choices_are_a_chain_each() {
    let len_of = |chain: &chains::Chain| chain.links.len();
    let lens = |pattern| {
        let mut lens: Vec<_> = chains_of(pattern).unwrap().iter().map(len_of).collect();
        lens.sort_unstable();
        lens
    };
    assert_eq!(lens("ab.*c"), [3]);
    assert_eq!(lens("a(b|cd)?e"), [2, 3, 4]);
    // What has been found needs no more.
    assert_eq!(lens("ab*"), [1]);
    // It may begin anywhere, so what may stand before is of no interest.
    assert_eq!(lens("(ab|ba)*c"), [1]);
}

/// Twenty fill a word, with their fronts and ends; more need another, and keep their order.
#[test]
fn words_are_filled_and_no_more() {
    let letters: Vec<_> = (b'a'..=b'z').chain(b'A'..=b'Z').map(char::from).collect();
    let patterns: Vec<_> = letters.iter().map(|it| format!("{it}.*#")).collect();
    let patterns: Vec<_> = patterns.iter().map(|it| &it[..]).collect();
    for (count, expected) in [(1, 1), (20, 1), (21, 1), (22, 2), (42, 2), (43, 3)] {
        let rules = regexes(&patterns[..count]).unwrap();
        assert_eq!((words(&rules), rules.lanes.len()), (expected, expected));
        let alone = Alone::new(&patterns[..count]);
        for seed in 1..30 {
            let payload = noise(seed, 200, b"stuvwxyzSTUVWXYZ\n\n\n\n#");
            assert_eq!(first(&rules, &payload), alone.first(&payload), "{seed}");
        }
    }
}

/// Words and tables together, each with rules of its own.
#[test]
fn a_word_stands_beside_a_table() {
    let patterns = [
        "a.*#", r"\bone\b", "b.*#", "c.*#", "two", "d.*#", "e.*#", "^f.*g", "six$",
    ];
    let (rules, alone) = (regexes(&patterns).unwrap(), Alone::new(&patterns));
    assert_eq!((words(&rules), rules.lanes.len()), (1, 3), "{rules:?}");
    let pieces = ["a", "b", "e", "#", "\n", " ", "one", "two", "f", "g", "six"];
    for seed in 1..400_u64 {
        let choices: Vec<_> = (0..11).collect();
        let choices = noise(seed, usize::try_from(seed).unwrap() % 120, &choices);
        let payload: String = choices
            .into_iter()
            .map(|it| pieces[usize::from(it)])
            .collect();
        let expected = alone.first(payload.as_bytes());
        assert_eq!(first(&rules, payload.as_bytes()), expected, "{payload:?}");
    }
}

/// A piece of a pattern that a chain may have, and some that it may not.
fn piece() -> impl Strategy<Value = String> {
    let class = select(vec!["a", "b", "c", ".", "[^a]", "[ab]", r"\n", "(?s:.)"]);
    let often = select(vec!["", "", "", "*", "+", "?", "{2}", "{1,2}", "{2,}"]);
    let single = (class, often).prop_map(|(class, often)| format!("{class}{often}"));
    let choice = select(vec!["(?:a|bc)", "(?:ab)*", "(?:a.*|b)", r"\b", "$"]);
    let keeps = select(vec![".*", "(?s:.)*", "[^a]*"]);
    prop_oneof![8 => single, 1 => choice.prop_map(str::to_owned), 2 => keeps.prop_map(str::to_owned)]
}

fn pattern() -> impl Strategy<Value = String> {
    vec(piece(), 1..6).prop_map(|pieces| pieces.concat())
}

/// Few different bytes, so that patterns match, and lengths on both sides of what is cut.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let byte = select(&b"aaabbbccc\nd\xff"[..]);
    let tail = vec(byte.clone(), 0..40);
    let long = (0_usize..1100, byte, tail.clone())
        .prop_map(|(len, byte, tail)| [vec![byte; len], tail].concat());
    // What is kept in mind crosses every cut, since nothing else would bring it about.
    let little = || vec(select(&b"abc"[..]), 0..3);
    let far = (little(), 0_usize..1100, little())
        .prop_map(|(front, len, back)| [front, vec![b'd'; len], back].concat());
    prop_oneof![
        far,
        tail.clone(),
        vec(tail, 0..8).prop_map(|parts| parts.concat()),
        long
    ]
}

proptest! {
    #![proptest_config(Config::with_cases(200))]

    /// Whatever the lanes are, the rule that is found is the first that matches by itself.
    #[test]
    fn lanes_agree_with_each_rule_by_itself(
        patterns in vec(pattern(), 1..5),
        payloads in vec(payload(), 1..8),
    ) {
        let patterns: Vec<_> = patterns.iter().map(|it| &it[..]).collect();
        let (Ok(rules), alone) = (regexes(&patterns), Alone::new(&patterns)) else {
            return Ok(());
        };
        for payload in payloads {
            let shown = payload.escape_ascii();
            prop_assert_eq!(first(&rules, &payload), alone.first(&payload), "{}", shown);
        }
    }

    /// As chains in a word, wherever they would go in a list.
    #[test]
    fn a_word_agrees_with_its_rule(
        pattern in pattern(),
        payloads in vec(payload(), 1..8),
    ) {
        let Some(chains) = chains_of(&pattern) else { return Ok(()) };
        let word = word::Word::new(&[(3, &chains)]).unwrap();
        let alone = Alone::new(&[&pattern]);
        for payload in payloads {
            let expected = alone.first(&payload).map_or(7, |_| 3);
            let shown = payload.escape_ascii();
            prop_assert_eq!(word.lowest(&payload, 7), expected, "{} {}", pattern, shown);
            prop_assert_eq!(word.lowest(&payload, 2), 2);
        }
    }
}
