//! Turns what the deserializer reports into sentences without type names of Rust, with the nearest key.

use toml::Table;
use toml::de::DeValue;

use super::recover::Removed;

/// Keys and values of earlier drafts and of other programs, with what they are called here.
const RENAMED: [(&str, &str); 29] = [
    ("listen", "bind"),
    ("address", "bind"),
    ("unknown-score", "default-score"),
    ("combine", "aggregation"),
    ("worst", "max"),
    ("guard-private", "ignore-private"),
    ("at-most", "max-score"),
    ("shrink-max", "max-shrink-ratio"),
    ("wrong-max", "max-invalid-ratio"),
    ("size-max", "max-size"),
    ("dry-run", "shadow"),
    ("processing-budget", "slow-threshold"),
    ("number", "value"),
    ("number-max", "max-value"),
    ("seen", "last-seen"),
    ("interval", "refresh-interval"),
    ("timeout", "fetch-timeout"),
    ("polarity", "higher-is"),
    ("high-is-bad", "worse"),
    ("high-is-good", "better"),
    ("confidence", "default-confidence"),
    ("category", "default-category"),
    ("asn", "asn-db"),
    ("country", "country-db"),
    ("cache", "cache-dir"),
    ("argument", "ip-arg"),
    ("set", "vars"),
    ("variable", "name"),
    ("known", "listed"),
];
/// The same of `[[payload]]`, where the first words are keys of `[[feed]]` too.
const RENAMED_PAYLOAD: [(&str, &str); 2] = [("prefix", "starts-with"), ("pattern", "regex")];
/// Every key, with its section.
const EVERY_KEY: &str = include_str!("every_key.toml");
/// The sections that are repeated.
const REPEATED: [&str; 3] = ["feed", "message", "payload"];

/// What the deserializer reported.
pub(super) struct Mistake<'a> {
    pub(super) message: &'a str,
    /// The keys that lead to it.
    pub(super) path: &'a [String],
    pub(super) removed: Option<&'a Removed<'a>>,
}

/// Returns what is wrong, and what was expected.
pub(super) fn sentence(mistake: &Mistake<'_>) -> String {
    let message = mistake.message.replace('\n', " ");
    let key = mistake.path.last().map_or("", String::as_str);
    if let Some(unknown) = unknown(&message, mistake.path) {
        return unknown;
    }
    if let Some(field) = quoted(&message).filter(|_| message.starts_with("missing field")) {
        return format!("\"{field}\" is missing in {}", section(mistake.path));
    }
    if let Some(wrong_type) = wrong_type(&message, mistake) {
        return wrong_type;
    }
    if key.is_empty() {
        return message;
    }
    format!("{key}: {message}")
}

fn quoted(message: &str) -> Option<&str> {
    message.split('`').nth(1)
}

/// Returns how a section is written.
fn section(path: &[String]) -> String {
    match path.split_first() {
        Some((first, [])) if REPEATED.contains(&&**first) => format!("[[{first}]]"),
        Some((first, [])) => format!("[{first}]"),
        Some((first, rest)) if REPEATED.contains(&&**first) => {
            format!("{} of [[{first}]]", rest.join("."))
        }
        Some((first, rest)) => format!("{} of [{first}]", rest.join(".")),
        None => "the file".to_owned(),
    }
}

/// A key or a word that does not exist.
fn unknown(message: &str, path: &[String]) -> Option<String> {
    let is_key = message.starts_with("unknown field");
    if !is_key && !message.starts_with("unknown variant") {
        return None;
    }
    let mut words = message.split('`').skip(1).step_by(2);
    let word = words.next()?;
    let known: Vec<_> = words.collect();
    let (start, place) = match path.split_last() {
        Some((_, parents)) if is_key && !parents.is_empty() => {
            let place = format!(" in {}", section(parents));
            (format!("unknown key \"{word}\""), place)
        }
        _ if is_key => (format!("unknown key \"{word}\""), String::new()),
        Some((key, _)) => (format!("{key}: unknown value \"{word}\""), String::new()),
        None => (format!("unknown value \"{word}\""), String::new()),
    };
    let payload = path.first().is_some_and(|first| first == "payload");
    let advice = if payload
        && let Some((_, new)) = RENAMED_PAYLOAD.iter().find(|(old, _)| *old == word)
        && known.contains(new)
    {
        format!("did you mean \"{new}\"?")
    } else if let Some(near) = nearest(word, &known) {
        format!("did you mean \"{near}\"?")
    } else if let Some(elsewhere) = is_key.then(|| elsewhere(word)).flatten() {
        format!("it belongs to {elsewhere}")
    } else {
        format!("known are {}", known.join(", "))
    };
    Some(format!("{start}{place}; {advice}"))
}

/// Returns the sections that have this key.
fn elsewhere(word: &str) -> Option<String> {
    let every: Table = toml::from_str(EVERY_KEY).ok()?;
    let has = |value: &toml::Value| match value {
        toml::Value::Table(table) => table.contains_key(word),
        toml::Value::Array(tables) => tables
            .iter()
            .filter_map(toml::Value::as_table)
            .any(|table| table.contains_key(word)),
        _ => false,
    };
    let found = every.iter().filter(|(_, value)| has(value));
    let names: Vec<_> = found
        .map(|(name, _)| section(std::slice::from_ref(name)))
        .collect();
    (!names.is_empty()).then(|| names.join(" or "))
}

/// A value of another type, or out of its range.
fn wrong_type(message: &str, mistake: &Mistake<'_>) -> Option<String> {
    let is_value = message.starts_with("invalid value: ");
    let rest = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))?;
    let (got, wanted) = rest.rsplit_once(", expected ")?;
    let key = mistake.path.last().map_or("", String::as_str);
    let wants_list = wanted == "a sequence";
    if let [first] = mistake.path
        && (wants_list || got == "sequence")
    {
        return Some(if REPEATED.contains(&&**first) {
            format!("[{first}] can be given several times; write [[{first}]]")
        } else {
            format!("[{first}] is given once; write [{first}] with single brackets")
        });
    }
    let example = match mistake.removed {
        Some(Removed::Value(DeValue::String(text))) if wants_list => {
            Some(format!("{key} = [{:?}]", text.as_ref()))
        }
        _ => None,
    };
    let got = plain_value(got);
    let wanted = plain_type(wanted);
    Some(match example {
        Some(example) => format!("{key}: {got}: expected a list; write {example}"),
        None if is_value || !got.starts_with("a ") => format!("{key}: {got}: expected {wanted}"),
        None => format!("{key}: expected {wanted}, not {got}"),
    })
}

/// Returns what was found, without its type in Rust.
fn plain_value(got: &str) -> String {
    match got {
        "map" => "a table".to_owned(),
        "sequence" => "a list".to_owned(),
        "datetime" => "a date".to_owned(),
        _ => match got.split_once(" `") {
            Some((_, value)) => value.trim_end_matches('`').to_owned(),
            None => got.strip_prefix("string ").unwrap_or(got).to_owned(),
        },
    }
}

/// Returns what was expected, without its type in Rust.
fn plain_type(wanted: &str) -> &str {
    match wanted {
        "a sequence" => "a list",
        "a map" => "a table",
        "a string" | "path string" | "a borrowed string" | "string or map" => "a text in quotes",
        "a boolean" => "true or false",
        "u8" | "u16" | "u32" | "u64" | "usize" | "i64" | "i32" | "isize" => "a whole number",
        "f64" | "f32" => "a number",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

/// Returns the word that is meant: the new name of an old one, or the nearest of few changes.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let fold = |word: &str| word.to_ascii_lowercase().replace('_', "-");
    let word = fold(word);
    let renamed = RENAMED.iter().find(|(old, _)| *old == word);
    if let Some(new) = renamed.and_then(|(_, new)| known.iter().find(|known| *known == new)) {
        return Some(new);
    }
    let few = 1 + word.chars().count() / 3;
    let changes = |other: &str| strsim::osa_distance(&word, &fold(other));
    let distances = known.iter().map(|other| (changes(other), *other));
    let (changes, other) = distances.min_by_key(|(changes, _)| *changes)?;
    (changes <= few).then_some(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_a_renamed_one_or_one_of_few_changes() {
        let known = ["weight", "half-life", "url", "path", "bind"];
        for (word, near) in [
            ("wieght", Some("weight")),
            ("half_life", Some("half-life")),
            ("halflife", Some("half-life")),
            ("ulr", Some("url")),
            ("Path", Some("path")),
            ("listen", Some("bind")),
            ("combine", None),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, &known), near, "{word}");
        }
    }
}
