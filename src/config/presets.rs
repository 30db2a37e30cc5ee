//! Presets: what a `[[feed]]` needs to read a well-known list, kept as data in `presets.toml`.

use core::fmt::Write as _;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::feed_table::FeedTable;

/// The data. Its first lines describe the keys.
const TEXT: &str = include_str!("presets.toml");

/// A well-known list.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Preset {
    /// Its name.
    #[serde(skip)]
    pub name: String,
    /// What it lists, in one line.
    pub about: String,
    /// Under which terms the publisher offers it, in one line.
    pub license: String,
    /// The publisher's page about it.
    pub page: String,
    /// When URL and shape were last compared with what the publisher documents, as `YYYY-MM`.
    pub checked: String,
    /// The header that carries the key without which the publisher sends nothing.
    pub key_header: Option<String>,
    /// The keys of `[[feed]]`.
    pub feed: toml::Table,
}

static ALL: LazyLock<BTreeMap<String, Preset>> = LazyLock::new(|| {
    let parsed: Result<BTreeMap<String, Preset>, _> = toml::from_str(TEXT);
    debug_assert!(parsed.is_ok(), "{parsed:?}");
    let mut all = parsed.unwrap_or_default();
    for (name, preset) in &mut all {
        preset.name.clone_from(name);
    }
    all
});

/// Every preset, by name.
#[must_use]
pub fn all() -> &'static BTreeMap<String, Preset> {
    &ALL
}

/// The preset of a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Preset> {
    ALL.get(name)
}

/// The preset whose name is nearest, if one is near.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    let names: Vec<_> = ALL.keys().map(String::as_str).collect();
    super::explain::nearest(name, &names)
}

impl Preset {
    /// The keys of its `[[feed]]`, as written, with the name.
    fn text(&self) -> String {
        let mut feed = self.feed.clone();
        feed.entry("name")
            .or_insert_with(|| self.name.clone().into());
        // A table that was read from text can be written.
        toml::to_string(&feed).unwrap_or_default()
    }

    /// The table of its `[[feed]]`.
    pub(super) fn table(&self) -> FeedTable {
        let table = toml::from_str(&self.text());
        debug_assert!(table.is_ok(), "{}: {table:?}", self.name);
        table.unwrap_or_default()
    }

    /// How often the list is fetched at most.
    #[must_use]
    pub fn interval(&self) -> Duration {
        let text = self.string("refresh-interval").unwrap_or("1h");
        super::values::duration(text).unwrap_or(Duration::from_hours(1))
    }

    /// A key of its `[[feed]]` that is a string.
    #[must_use]
    pub fn string(&self, key: &str) -> Option<&str> {
        self.feed.get(key).and_then(toml::Value::as_str)
    }

    /// A `[[feed]]` that needs no preset: every key written out.
    #[must_use]
    pub fn block(&self) -> String {
        let mut text = format!(
            "# {}\n# {}\n# License: {}\n",
            self.about, self.page, self.license
        );
        // Writing to a String cannot fail.
        let _ = writeln!(text, "[[feed]]\nname = {}", quoted(&self.name));
        for key in KEYS {
            if let Some(value) = self.feed.get(key) {
                let _ = writeln!(text, "{key} = {}", inline(value));
            }
        }
        if let Some(header) = &self.key_header {
            let (header, name) = (quoted(header), &self.name);
            let _ = writeln!(
                text,
                "headers = [{{ name = {header}, file = \"/etc/iprep-spoa/{name}.key\" }}]"
            );
        }
        text
    }
}

/// The order in which a block has its keys.
const KEYS: [&str; 22] = [
    "role",
    "url",
    "refresh-interval",
    "stale-after",
    "format",
    "items",
    "prefix",
    "columns",
    "where",
    "strip",
    "strip-prefix",
    "integers",
    "regex",
    "value",
    "max-value",
    "higher-is",
    "max-invalid-ratio",
    "min-prefix-v4",
    "group",
    "weight",
    "default-category",
    "default-confidence",
];

/// A value in one line.
fn inline(value: &toml::Value) -> String {
    match value {
        toml::Value::Table(table) => {
            let pairs = table.iter().map(|(key, value)| {
                let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                let key = if key.chars().all(is_bare) {
                    key.clone()
                } else {
                    quoted(key)
                };
                format!("{key} = {}", inline(value))
            });
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        toml::Value::Array(values) => {
            let values: Vec<_> = values.iter().map(inline).collect();
            format!("[{}]", values.join(", "))
        }
        toml::Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

/// A string as TOML writes it.
#[must_use]
pub fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
#[cfg(feature = "http")]
mod tests {
    use std::path::Path;

    use super::{BTreeMap, Duration, KEYS, Preset, TEXT, all};
    use crate::config::Config;

    fn read(text: &str) -> Config {
        let text = format!("{text}[reputation]\nasn-db = \"asn.mmdb\"\n");
        Config::parse(Path::new("/spoa.toml"), &text)
            .unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[test]
    fn every_preset_is_complete_and_is_what_its_block_says() {
        let presets: BTreeMap<String, Preset> = toml::from_str(TEXT).unwrap();
        assert!(presets.len() >= 25, "{}", presets.len());
        for (name, preset) in all() {
            for text in [&preset.about, &preset.license] {
                assert!(!text.is_empty() && text.len() <= 100, "{name}: {text}");
            }
            assert!(preset.page.starts_with("https://"), "{name}");
            assert!(preset.interval() >= Duration::from_mins(5), "{name}");
            for key in preset.feed.keys() {
                assert!(KEYS.contains(&&**key), "{name}: block() leaves out {key}");
            }
            let headers = preset.key_header.as_ref().map_or(String::new(), |header| {
                format!(
                    "headers = [{{ name = \"{header}\", file = \"/etc/iprep-spoa/{name}.key\" }}]"
                )
            });
            let by_name = read(&format!("[[feed]]\npreset = \"{name}\"\n{headers}\n"));
            let mut block = read(&preset.block());
            block.feeds[0].line = by_name.feeds[0].line;
            assert_eq!(by_name.feeds, block.feeds, "{name}");
            assert_eq!(*by_name.feeds[0].name, **name);
        }
    }

    #[test]
    fn keys_of_ones_own_go_before_those_of_a_preset() {
        let feed = |text: &str| {
            let text = format!("[[feed]]\npreset = \"tor-exits\"\n{text}");
            read(&text).feeds.remove(0)
        };
        let preset = feed("");
        assert_eq!(&*preset.name, "tor-exits");
        let own = feed("name = \"tor\"\nweight = 0.25\ndefault-category = \"x\"\nshadow = true\n");
        assert_eq!((&*own.name, own.weight, own.shadow), ("tor", 0.25, true));
        assert_eq!(own.place, preset.place);
        let path = feed("path = \"exits.txt\"\n");
        assert_eq!(path.place, crate::config::Place::Path("/exits.txt".into()));
        let mirror = feed("url = \"http://127.0.0.1/x\"\nrefresh-interval = \"1s\"\n");
        assert_eq!(
            mirror.place,
            crate::config::Place::Url("http://127.0.0.1/x".into())
        );
    }

    #[test]
    fn what_a_publisher_does_not_want_is_refused() {
        let problem = |text: &str| {
            let error = Config::parse(Path::new("spoa.toml"), text).unwrap_err();
            error.to_string()
        };
        let said = problem("[[feed]]\npreset = \"tor-exits\"\nrefresh-interval = \"10s\"\n");
        assert!(
            said.contains("spoa.toml:3: refresh-interval: the publisher"),
            "{said}"
        );
        let said = problem("[[feed]]\npreset = \"abuseipdb\"\n");
        assert!(
            said.contains("spoa.toml:2: preset \"abuseipdb\" needs a key"),
            "{said}"
        );
        let said = problem("[[feed]]\npreset = \"tor-exit\"\n");
        assert!(said.contains("did you mean \"tor-exits\"?"), "{said}");
        let said = problem("[deny]\n[[feed]]\npath = \"x\"\n");
        assert!(
            said.contains("spoa.toml:2: a [[feed]] has no name"),
            "{said}"
        );
    }
}
