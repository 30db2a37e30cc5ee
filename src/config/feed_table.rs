//! `[[feed]]` as it is written, and what can be wrong with it.

use core::ops::Range;
use core::time::Duration;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::explain::nearest;
use super::presets::{self, Preset};
use super::specifics::{
    self, ColumnsTable, Given, HigherIsName, RuleTable, StripName, Texts, Wanted,
};
use super::typed::{Bytes, Name, Ratio, Time};
use super::values::MaybeDuration;
use super::{Feed, Header, Place, Problems, Secret};
use ip_reputation::formats::{Format, Keys, regex_reads};
use ip_reputation::{Confidence, Role};

/// What lists that are no feeds are called in answers.
const OWN_NAMES: [&str; 3] = ["allow", "deny", "private"];
/// As often as anybody asks for a list.
const INTERVAL: Duration = Duration::from_hours(1);
/// No list changes faster than this, and its owner would mind.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(30);
const SIZE_MAX: u64 = 512 << 20;
const SHRINK_MAX: f64 = 0.5;
const WRONG_MAX: f64 = 0.05;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct FeedTable {
    preset: Option<Spanned<String>>,
    name: Option<Spanned<Name>>,
    role: Option<RoleName>,
    group: Option<Name>,
    path: Option<Spanned<PathBuf>>,
    url: Option<Spanned<String>>,
    format: Option<Spanned<String>>,
    higher_is: Option<HigherIsName>,
    max_value: Option<Spanned<f64>>,
    columns: Option<Spanned<ColumnsTable>>,
    items: Option<Texts>,
    prefix: Option<Texts>,
    value: Option<String>,
    category: Option<String>,
    last_seen: Option<String>,
    expires: Option<String>,
    duration: Option<String>,
    r#where: Option<BTreeMap<String, Wanted>>,
    strip: Option<StripName>,
    strip_prefix: Option<String>,
    integers: Option<bool>,
    regex: Option<Spanned<String>>,
    min_prefix_v4: Option<Spanned<u8>>,
    min_prefix_v6: Option<Spanned<u8>>,
    sets: Option<Vec<String>>,
    weight: Option<Ratio>,
    default_confidence: Option<Ratio>,
    half_life: Option<Time>,
    default_category: Option<Name>,
    shadow: Option<bool>,
    refresh_interval: Option<Spanned<Time>>,
    fetch_timeout: Option<Time>,
    max_size: Option<Bytes>,
    max_shrink_ratio: Option<Ratio>,
    max_growth_ratio: Option<Spanned<f64>>,
    max_invalid_ratio: Option<Ratio>,
    stale_after: Option<MaybeDuration>,
    allow_empty: Option<bool>,
    headers: Option<Vec<Spanned<HeaderTable>>>,
    ca_file: Option<Spanned<PathBuf>>,
    categories: Option<PathBuf>,
    rules: Option<Vec<Spanned<RuleTable>>>,
}

/// What a feed takes from the rest of the configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    /// The directory of the configuration.
    pub(super) dir: &'a Path,
    /// The CAs of feeds that name none.
    pub(super) ca_file: Option<&'a Path>,
    /// The database of autonomous systems.
    pub(super) asn_db: Option<&'a Path>,
}

/// The names of roles.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RoleName {
    Feed,
    Allow,
    Deny,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Feed => Self::Feed,
            RoleName::Allow => Self::Allow,
            RoleName::Deny => Self::Deny,
        }
    }
}

/// Takes each of these fields from the first table, or else from the second.
macro_rules! first_of {
    ($own:ident, $preset:ident, { $($field:ident),* $(,)? }, { $($name:ident: $value:expr),* $(,)? }) => {
        FeedTable { $($field: $own.$field.or($preset.$field),)* $($name: $value,)* }
    };
}

impl FeedTable {
    /// Fills in what a preset has and this table has not. A place of one's own replaces the preset's.
    fn over(self, preset: Self) -> Self {
        let is_placed = self.path.is_some() || self.url.is_some();
        let url = if is_placed { self.url } else { preset.url };
        let path = self.path;
        let own_preset = self.preset;
        first_of!(self, preset, {
            name, role, group, format, higher_is, max_value, columns, items, prefix,
            value, category, last_seen, expires, duration, r#where, strip,
            strip_prefix, integers, regex, min_prefix_v4, min_prefix_v6, sets,
            weight, default_confidence, half_life, default_category, shadow,
            refresh_interval, fetch_timeout, max_size, max_shrink_ratio,
            max_growth_ratio,
            max_invalid_ratio, stale_after, allow_empty, headers, ca_file,
            categories, rules
        }, { preset: own_preset, path: path, url: url })
    }

    /// The table with what its preset has, and the preset.
    fn expanded(self, problems: &mut Problems<'_>) -> (Self, Option<&'static Preset>) {
        let Some(name) = self.preset.as_ref().map(Spanned::get_ref) else {
            return (self, None);
        };
        if let Some(preset) = presets::find(name) {
            let mut table = preset.table();
            // A problem with it is one of the line that names the preset.
            let span = self.preset.as_ref().map_or(0..0, Spanned::span);
            let format = table.format.map(Spanned::into_inner);
            table.format = format.map(|format| Spanned::new(span, format));
            return (self.over(table), Some(preset));
        }
        let what = match presets::nearest(name) {
            Some(near) => format!("unknown preset \"{name}\"; did you mean \"{near}\"?"),
            None => format!("unknown preset \"{name}\"; spoa feeds list shows them all"),
        };
        let span = self.preset.as_ref().map_or(0..0, Spanned::span);
        problems.add(span, what);
        (self, None)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct HeaderTable {
    name: Name,
    value: Option<String>,
    file: Option<PathBuf>,
    env: Option<Name>,
}

impl FeedTable {
    pub(super) fn check(
        self,
        span: Range<usize>,
        context: Context<'_>,
        problems: &mut Problems<'_>,
    ) -> Option<Feed> {
        // What a preset has stands in another file: problems with it are those of the line that names it.
        let own_name = self.name.as_ref().map(Spanned::span);
        let named = own_name.or_else(|| self.preset.as_ref().map(Spanned::span));
        let span = named.unwrap_or(span);
        let has_own_place = self.path.is_some() || self.url.is_some();
        let (table, preset) = self.expanded(problems);
        let line = problems.line(span.clone());
        let Some(name) = table
            .name
            .as_ref()
            .map(|name| Arc::from(&*name.get_ref().0))
        else {
            if table.preset.is_none() {
                problems.add(span, "a [[feed]] has no name; give it one, or a preset");
            }
            return None;
        };
        if let Some(preset) = preset.filter(|_| !has_own_place) {
            table.check_manners(preset, &span, problems);
        }
        table.check_named(&name, line, &span, context, problems)
    }

    /// A publisher's own terms: how often its list is fetched at most, and its key.
    fn check_manners(&self, preset: &Preset, span: &Range<usize>, problems: &mut Problems<'_>) {
        let least = preset.interval();
        let interval = self.refresh_interval.as_ref();
        if let Some(interval) = interval.filter(|interval| interval.get_ref().0 < least) {
            let what = format!(
                "refresh-interval: the publisher of preset \"{}\" allows a fetch every {} s at most; \
                 raise it, or give the url of a mirror of your own",
                preset.name,
                least.as_secs()
            );
            problems.add(interval.span(), what);
        }
        let Some(key) = &preset.key_header else {
            return;
        };
        let mut headers = self.headers.iter().flatten();
        if !headers.any(|header| header.get_ref().name.0.eq_ignore_ascii_case(key)) {
            let what = format!(
                "preset \"{}\" needs a key of its publisher; add headers = [{{ name = \"{key}\", file = \
                 \"/etc/iprep-spoa/{}.key\" }}]",
                preset.name, preset.name
            );
            problems.add(span.clone(), what);
        }
    }

    fn check_named(
        self,
        name: &Arc<str>,
        line: usize,
        span: &Range<usize>,
        context: Context<'_>,
        problems: &mut Problems<'_>,
    ) -> Option<Feed> {
        let (folder, ca_file) = (context.dir, context.ca_file);
        if OWN_NAMES.contains(&&**name) {
            let what = format!(
                "a feed cannot be called \"{name}\": your own lists and private space answer under {}",
                OWN_NAMES.join(", ")
            );
            problems.add(span.clone(), what);
        }
        let place = self.place(name, span, folder, problems);
        let format = self.format(context.asn_db, problems);
        if let Some(interval) = self
            .refresh_interval
            .as_ref()
            .filter(|it| it.get_ref().0 < INTERVAL_MIN)
        {
            problems.add(interval.span(), "refresh-interval: expected 1s or more");
        }
        let headers = self.headers.iter().flatten();
        let headers = headers
            .filter_map(|header| check_header(header, folder, problems))
            .collect();
        let own_ca_file = self.ca_file(folder, problems);
        let specifics = specifics::check(
            Given {
                higher_is: self.higher_is,
                max_value: self.max_value,
                columns: self.columns,
                keys: Keys {
                    items: self.items.map_or_else(Vec::new, Vec::from),
                    prefix: self.prefix.map_or_else(Vec::new, Vec::from),
                    value: self.value,
                    category: self.category,
                    last_seen: self.last_seen,
                    expires: self.expires,
                    duration: self.duration,
                },
                conditions: self.r#where.unwrap_or_default(),
                strip: self.strip,
                strip_prefix: self.strip_prefix,
                integers: self.integers.unwrap_or(false),
                regex: self.regex,
                min_prefix_v4: self.min_prefix_v4,
                min_prefix_v6: self.min_prefix_v6,
                categories: self.categories.map(|path| folder.join(path)),
                sets: self.sets.unwrap_or_default(),
                rules: self.rules.unwrap_or_default(),
                asn_db: context
                    .asn_db
                    .filter(|_| matches!(format, None | Some(Format::Asn))),
            },
            problems,
        );
        let growth = self.max_growth_ratio.as_ref();
        if let Some(growth) =
            growth.filter(|ratio| ratio.get_ref().is_nan() || *ratio.get_ref() < 1.0)
        {
            let what = "max-growth-ratio: expected a number of 1 or more";
            problems.add(growth.span(), what);
        }
        let place = place?;
        let from_url = matches!(place, Place::Url(_));
        let interval = self.refresh_interval.map(|time| time.into_inner().0);
        Some(Feed {
            line,
            name: Arc::clone(name),
            role: self.role.map_or(Role::Feed, Role::from),
            group: self.group.map(|name| name.0.into()),
            place,
            format,
            weight: self.weight.map_or(1.0, |ratio| ratio.0),
            confidence: Confidence::ratio(self.default_confidence.map_or(1.0, |ratio| ratio.0)),
            half_life: self.half_life.map(|time| time.0),
            category: self.default_category.map(|name| name.0.into()),
            shadow: self.shadow.unwrap_or(false),
            interval: interval.or_else(|| from_url.then_some(INTERVAL)),
            timeout: self.fetch_timeout.map_or(TIMEOUT, |time| time.0),
            max_size: self.max_size.map_or(SIZE_MAX, |size| size.0),
            max_shrink_ratio: self.max_shrink_ratio.map_or(SHRINK_MAX, |ratio| ratio.0),
            max_growth_ratio: self.max_growth_ratio.map(Spanned::into_inner),
            max_invalid_ratio: self.max_invalid_ratio.map_or(WRONG_MAX, |ratio| ratio.0),
            stale_after: self.stale_after.and_then(|time| time.0),
            allow_empty: self.allow_empty.unwrap_or(false),
            headers,
            ca_file: own_ca_file.or_else(|| ca_file.filter(|_| from_url).map(Path::to_owned)),
            specifics,
        })
    }

    /// Its own: of no use to a feed that is not asked for over TLS, whose owner may believe it is.
    fn ca_file(&self, folder: &Path, problems: &mut Problems<'_>) -> Option<PathBuf> {
        let given = self.ca_file.as_ref()?;
        let url = self.url.as_ref().map(Spanned::get_ref);
        if !url.is_some_and(|url| url.starts_with("https://")) {
            let what = "ca-file: it counts for a url that begins with https:// alone";
            problems.add(given.span(), what);
            return None;
        }
        Some(check_ca_file(given, folder, problems))
    }

    fn place(
        &self,
        name: &str,
        span: &Range<usize>,
        folder: &Path,
        problems: &mut Problems<'_>,
    ) -> Option<Place> {
        match (&self.path, &self.url) {
            (Some(path), None) if path.get_ref().as_os_str().is_empty() => {
                problems.add(path.span(), "path: expected a path");
                None
            }
            (Some(path), None) => Some(Place::Path(folder.join(path.get_ref()))),
            (None, Some(url)) => match check_url(url.get_ref()) {
                Ok(()) => Some(Place::Url(url.get_ref().clone())),
                Err(why) => {
                    problems.add(url.span(), format!("url: {why}"));
                    None
                }
            },
            (Some(_), Some(url)) => {
                let what = "path and url: a feed comes from one place; give one of them";
                problems.add(url.span(), what);
                None
            }
            (None, None) => {
                let what = format!("feed \"{name}\" has neither a path nor a url");
                problems.add(span.clone(), what);
                None
            }
        }
    }

    fn format(&self, asn_db: Option<&Path>, problems: &mut Problems<'_>) -> Option<Format> {
        let Some(format) = self.format.as_ref() else {
            // What is around an address hides what the list is.
            let strips = self.strip.is_some() || self.strip_prefix.is_some();
            return strips.then_some(Format::Plain);
        };
        let name = format.get_ref().as_str();
        let Ok(known) = name.parse() else {
            let names = Format::ALL.map(Format::name);
            let what = match nearest(name, &names) {
                Some(near) => format!("unknown format \"{name}\"; did you mean \"{near}\"?"),
                None => format!("unknown format \"{name}\"; known are {}", names.join(", ")),
            };
            problems.add(format.span(), what);
            return None;
        };
        if self.reads_value(known) && self.higher_is.is_none() {
            let what = format!(
                "format \"{known}\" needs higher-is = \"worse\" or \"better\": its \
                 numbers do not say which they are"
            );
            problems.add(format.span(), what);
        }
        if known == Format::Mmdb && self.rules.as_ref().is_none_or(Vec::is_empty) {
            let what = "format \"mmdb\" needs rules that say which networks are bad";
            problems.add(format.span(), what);
        }
        if known == Format::Asn && asn_db.is_none() {
            let what = "format \"asn\" needs asn-db in [reputation]: the database that knows the \
                        networks of AS numbers";
            problems.add(format.span(), what);
        }
        if known == Format::Lines && self.regex.is_none() {
            let what = "format \"lines\" needs a regex with the group prefix, such as \
                        '^deny (?<prefix>[^;]+);'";
            problems.add(format.span(), what);
        }
        Some(known)
    }

    /// Whether its entries have numbers, which mean nothing without a direction.
    fn reads_value(&self, format: Format) -> bool {
        match format {
            Format::Csv => {
                let columns = self.columns.as_ref().map(Spanned::get_ref);
                columns.is_some_and(|columns| columns.value.is_some())
            }
            Format::Json => self.value.is_some(),
            Format::Lines => {
                let regex = self.regex.as_ref().map(Spanned::get_ref);
                regex.is_some_and(|regex| regex_reads(regex, "value"))
            }
            _ => false,
        }
    }
}

/// Where it is; and what is wrong with it, if files are looked at.
pub(super) fn check_ca_file(
    given: &Spanned<PathBuf>,
    folder: &Path,
    problems: &mut Problems<'_>,
) -> PathBuf {
    let path = folder.join(given.get_ref());
    #[cfg(feature = "http")]
    if problems.looks_at_files
        && let Err(why) = crate::feeds::source::tls::authorities(&path)
    {
        problems.add(given.span(), format!("ca-file: {why}"));
    }
    #[cfg(not(feature = "http"))]
    let _ = problems.looks_at_files;
    path
}

fn check_header(
    header: &Spanned<HeaderTable>,
    folder: &Path,
    problems: &mut Problems<'_>,
) -> Option<Header> {
    let table = header.get_ref();
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if !table.name.0.chars().all(is_token) {
        problems.add(
            header.span(),
            format!("\"{}\" is not the name of a header", table.name.0),
        );
        return None;
    }
    let value = match (&table.value, &table.file, &table.env) {
        (Some(value), None, None) => {
            let is_valid = |c: char| c == '\t' || !c.is_control();
            if value.trim().is_empty() || !value.chars().all(is_valid) {
                let what = format!(
                    "header {}: its value is empty or not printable",
                    table.name.0
                );
                problems.add(header.span(), what);
                return None;
            }
            Secret::Literal(value.trim().to_owned())
        }
        (None, Some(file), None) => Secret::File(folder.join(file)),
        (None, None, Some(variable)) => Secret::Env(variable.0.clone()),
        _ => {
            let what = "a header has its value in value, in a file or in env; give one of them";
            problems.add(header.span(), what);
            return None;
        }
    };
    Some(Header {
        name: table.name.0.clone(),
        value,
    })
}

fn check_url(url: &str) -> Result<(), &'static str> {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    if host.is_none_or(str::is_empty) || url.contains(|c: char| c.is_whitespace() || c.is_control())
    {
        return Err("expected http://HOST… or https://HOST…");
    }
    if host.is_some_and(|host| host.contains('@')) {
        return Err("no names and passwords here; use headers, whose values nobody sees");
    }
    if !cfg!(feature = "http") {
        return Err("this binary was built without the feature http; use a path");
    }
    Ok(())
}
