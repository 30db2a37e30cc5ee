//! Which lists a configuration wants, its own among them, in the order in which they lead.

use core::time::Duration;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Config, Feed, OwnList, Place, Specifics};
use crate::host::log::Printable;
use ip_reputation::formats::{Columns, Options};
use ip_reputation::{Confidence, Role};

/// A list that is read from somewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct List {
    /// What it is to the table.
    pub role: Role,
    /// Where it comes from and how it is read.
    pub feed: Feed,
}

/// Which files are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Selection<'a> {
    /// All of them.
    All,
    /// Those that have changed since they were last tried.
    Changed,
    /// The same, but for those that are not worth reading yet.
    Settled(&'a HashSet<PathBuf>),
}

impl Selection<'_> {
    pub(super) const fn is_all(self) -> bool {
        matches!(self, Self::All)
    }

    /// Whether this file is not read, changed or not.
    pub(super) fn leaves_out(self, file: &Path) -> bool {
        matches!(self, Self::Settled(unsettled) if unsettled.contains(file))
    }
}

/// The largest file of one's own, in bytes.
const OWN_SIZE_MAX: u64 = 512 << 20;

/// The files of `[allow]`, those of `[deny]`, the feeds.
#[must_use]
pub fn lists(config: &Config) -> Vec<List> {
    let own = |role, list: &OwnList| {
        let name: Arc<str> = own_name(role).into();
        let files = list.files.iter();
        let own = files.map(move |path| List {
            role,
            feed: own_file(role, &name, path),
        });
        own.collect::<Vec<_>>()
    };
    let feeds = config.feeds.iter().map(|feed| List {
        role: feed.role,
        feed: feed.clone(),
    });
    let mut lists = own(Role::Allow, &config.allow);
    lists.extend(own(Role::Deny, &config.deny));
    lists.extend(feeds);
    lists
}

/// The name under which a list of one's own answers.
pub(super) const fn own_name(role: Role) -> &'static str {
    match role {
        Role::Allow => "allow",
        Role::Deny => "deny",
        Role::Guard => "private",
        Role::Feed => "feed",
    }
}

/// A file of `[allow]` or `[deny]`: it counts fully, may be empty, and may shrink.
fn own_file(role: Role, name: &Arc<str>, path: &Path) -> Feed {
    let options = Options::default();
    Feed {
        line: 0,
        name: Arc::clone(name),
        role,
        group: None,
        place: Place::Path(path.to_owned()),
        format: None,
        weight: 1.0,
        confidence: Confidence::FULL,
        half_life: None,
        category: None,
        shadow: false,
        interval: None,
        timeout: Duration::from_secs(30),
        max_size: OWN_SIZE_MAX,
        max_shrink_ratio: 1.0,
        max_growth_ratio: None,
        max_invalid_ratio: options.max_invalid_ratio,
        stale_after: None,
        allow_empty: true,
        ca_file: None,
        headers: Vec::new(),
        specifics: Specifics {
            higher_is: None,
            max_value: options.max_value,
            columns: Columns::default(),
            keys: options.keys,
            conditions: options.conditions,
            strip: options.strip,
            strip_prefix: options.strip_prefix,
            integers: options.integers,
            regex: options.regex,
            // An operator's own list may mean everybody; that is reported, and done.
            min_prefix_v4: 0,
            min_prefix_v6: 0,
            categories: None,
            sets: Vec::new(),
            rules: Vec::new(),
            asn_db: None,
        },
    }
}

impl List {
    /// What tells it apart from other lists: the role and name, and for files of one's own the path.
    #[must_use]
    pub fn key(&self) -> String {
        match &self.feed.place {
            Place::Path(path) if self.feed.is_own() => {
                format!("{} {}", self.feed.name, path.display())
            }
            _ => format!("feed {}", self.feed.name),
        }
    }

    /// How people call it: `feed "x"`, or the file.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.feed.place {
            Place::Path(path) if self.feed.is_own() => {
                let path = path.display().to_string();
                format!("{} list {}", self.feed.name, Printable(&path))
            }
            _ => format!("feed \"{}\"", Printable(&self.feed.name)),
        }
    }
}
