//! Lines of any other shape, read by a regular expression with named groups.
//!
//! ```text
//!  ExitAddress 203.0.113.9 2026-12-01 00:00:00       ^ExitAddress (?<prefix>\S+) (?<last_seen>.+)$
//!  deny 203.0.113.0/24;                              ^deny (?<prefix>[^;]+);
//! ```
//!
//! The expression is applied repeatedly to a line, and every match is an entry. A line that does not
//! match is no fault.

use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;

use super::Refused;
use super::item::Expected;
use super::options::Options;
use super::output::Output;
use super::record::Fields;
use super::text::{LineFormat, Text};

/// The names that groups may have.
pub(super) const GROUPS: [&str; 6] = [
    "prefix",
    "value",
    "category",
    "last_seen",
    "expires",
    "duration",
];

/// The most bytes that a compiled expression may take.
const SIZE_MAX: usize = 10 << 20;

/// Checks an expression of the configuration.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check_regex(regex: &str) -> Result<(), String> {
    compile(regex).map(|_| ())
}

/// Whether an expression has this named group.
#[must_use]
pub fn regex_reads(regex: &str, group: &str) -> bool {
    compile(regex).is_ok_and(|regex| names(&regex).any(|name| name == group))
}

fn names(regex: &Regex) -> impl Iterator<Item = &str> {
    let all = regex.group_info().all_names();
    all.filter_map(|(_, _, name)| name)
}

fn compile(text: &str) -> Result<Regex, String> {
    let regex = Regex::builder()
        .configure(
            Regex::config()
                .utf8_empty(false)
                .nfa_size_limit(Some(SIZE_MAX)),
        )
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .build(text)
        .map_err(|error| match error.syntax_error() {
            Some(error) => error.to_string().replace('\n', " "),
            None => error.to_string(),
        })?;
    if let Some(other) = names(&regex).find(|name| !GROUPS.contains(name)) {
        return Err(format!(
            "there is no group {other:?}; the groups are {}",
            GROUPS.join(", ")
        ));
    }
    let has_prefix = names(&regex).any(|name| name == "prefix");
    if has_prefix {
        Ok(regex)
    } else {
        Err("it has no group (?<prefix>...), which is the address".to_owned())
    }
}

/// The reader of such lines.
pub(super) struct Pattern<'a> {
    options: &'a Options,
    regex: Regex,
    captures: Captures,
    has_value: bool,
}

impl<'a> Pattern<'a> {
    /// Fails without an expression, and if values may mean one thing or the opposite.
    pub(super) fn new(options: &'a Options) -> Result<Self, Refused> {
        let regex = options.regex.as_deref();
        let regex = regex.ok_or(Refused::Unstated("regex, which finds the addresses"))?;
        let regex = compile(regex).map_err(Refused::Regex)?;
        let has_value = names(&regex).any(|name| name == "value");
        if has_value {
            options.stated_direction()?;
        }
        Ok(Self {
            options,
            captures: regex.create_captures(),
            regex,
            has_value,
        })
    }
}

impl LineFormat for Pattern<'_> {
    fn line(&mut self, line: Text<'_>, output: &mut Output<'_>) -> Result<(), Expected> {
        let mut input = regex_automata::Input::new(line.text);
        let mut has_entry = false;
        while input.start() <= input.end() {
            self.regex.search_captures(&input, &mut self.captures);
            let Some(whole) = self.captures.get_match() else {
                break;
            };
            input.set_start(whole.end() + usize::from(whole.is_empty()));
            let group = |name| {
                let span = self.captures.get_group_by_name(name)?;
                let text = line.text.get(span.range())?.trim_ascii();
                Some(text).filter(|text| !text.is_empty())
            };
            let Some(prefix) = group("prefix") else {
                continue;
            };
            let value = self.has_value.then(|| group("value").unwrap_or_default());
            let fields = Fields {
                value,
                category: group("category"),
                last_seen: group("last_seen"),
                expires: group("expires"),
                duration: group("duration"),
            };
            if let Some(item) = self.options.addresses(prefix)? {
                let evidence = self.options.evidence(fields, &mut output.report)?;
                output.give(line.number, item, evidence)?;
                has_entry = true;
            }
        }
        if !has_entry {
            output.skip();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::tests::{parts, refusal};
    use crate::formats::{Format, HigherIs};

    fn options(regex: &str) -> Options {
        Options {
            regex: Some(regex.to_owned()),
            ..Options::default()
        }
    }

    fn read(regex: &str, feed: &str) -> (Vec<String>, usize) {
        let (entries, wrong) = parts(Format::Lines, &options(regex), feed);
        (entries, wrong.len())
    }

    #[test]
    fn named_groups_are_read_and_other_lines_are_none_of_the_list() {
        let tor = "ExitNode 0123\nPublished 2026-12-01 00:00:00\n\
            ExitAddress 203.0.113.9 1970-01-01 00:00:07\nExitAddress 203.0.113.300 x\n";
        let (entries, wrong) = read(r"^ExitAddress (?<prefix>\S+) (?<last_seen>.+)$", tor);
        assert_eq!(
            (entries, wrong),
            (vec!["203.0.113.9 1 seen 7".to_owned()], 1)
        );
        let rule = "alert ip [192.0.2.1,192.0.2.2] any\n-A INPUT -s 192.0.2.3/32 -j DROP\n";
        let (entries, _) = read(r"(?<prefix>\d+\.\d+\.\d+\.\d+(/\d+)?)", rule);
        assert_eq!(entries, ["192.0.2.1 1", "192.0.2.2 1", "192.0.2.3 1"]);
    }

    #[test]
    fn a_value_needs_its_direction() {
        let regex = r"(?<prefix>\S+) (?<value>\S+) (?<category>\S+)";
        let feed = "192.0.2.1 50 bots\n";
        assert!(refusal(Format::Lines, &options(regex), feed).contains("worst"));
        let stated = Options {
            higher_is: Some(HigherIs::Worse),
            ..options(regex)
        };
        assert_eq!(
            parts(Format::Lines, &stated, feed).0,
            ["192.0.2.1 0.5 bots"]
        );
    }

    #[test]
    fn an_expression_that_cannot_be_used_says_why() {
        for (regex, why) in [
            ("(", "unclosed"),
            (r"\S+", "no group"),
            (r"(?<prefix>\S+) (?<score>\d+)", "\"score\""),
        ] {
            let error = check_regex(regex).unwrap_err();
            assert!(error.contains(why), "{regex}: {error}");
        }
        assert!(check_regex("(?<prefix>a*)").is_ok());
        assert!(regex_reads("(?<prefix>.)(?<value>.)", "value"));
        // An empty match does not hold the reader up.
        assert_eq!(read("(?<prefix>x*)", "yyy\n").0.len(), 0);
    }
}
