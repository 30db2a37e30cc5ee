//! The keys of `[[feed]]` that only some formats need.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::typed::{Name, Ratio};
use super::{Problems, Specifics};
use ip_reputation::Confidence;
use ip_reputation::formats::{
    Column, Columns, HigherIs, Keys, MmdbMatch, MmdbRule, Options, Strip, check_regex,
};

/// A feed that lists more than this at once is a mistake.
const MIN_PREFIX_V4: u8 = 8;
const MIN_PREFIX_V6: u8 = 16;

/// What a high number in a feed means.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum HigherIsName {
    Worse,
    Better,
}

/// What stands where in a line of CSV. The first column is 0.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ColumnsTable {
    separator: Option<String>,
    prefix: Option<ColumnName>,
    first: Option<ColumnName>,
    last: Option<ColumnName>,
    length: Option<ColumnName>,
    netmask: Option<ColumnName>,
    count: Option<ColumnName>,
    pub(super) value: Option<ColumnName>,
    category: Option<ColumnName>,
    expires: Option<ColumnName>,
    last_seen: Option<ColumnName>,
    duration: Option<ColumnName>,
}

/// A column, by its number or its name.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a column: its number from 0, or its name in the header"
)]
pub(super) enum ColumnName {
    Index(usize),
    Name(String),
}

impl From<ColumnName> for Column {
    fn from(name: ColumnName) -> Self {
        match name {
            ColumnName::Index(index) => Self::Index(index),
            ColumnName::Name(name) => Self::Name(name),
        }
    }
}

/// One text or several.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub(super) enum Texts {
    One(String),
    Several(Vec<String>),
}

impl From<Texts> for Vec<String> {
    fn from(texts: Texts) -> Self {
        match texts {
            Texts::One(text) => vec![text],
            Texts::Several(texts) => texts,
        }
    }
}

/// What a record must say, compared as text.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text, an integer or a boolean")]
pub(super) enum Wanted {
    Text(String),
    Integer(i64),
    Boolean(bool),
}

impl Wanted {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Integer(number) => number.to_string(),
            Self::Boolean(is) => is.to_string(),
        }
    }
}

/// What surrounds an address.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum StripName {
    Port,
    Url,
}

/// What makes a network of a MMDB file bad.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RuleTable {
    flag: Option<Name>,
    asn: Option<u32>,
    country: Option<String>,
    confidence: Option<Ratio>,
    category: Option<Name>,
}

/// The keys as they are written.
pub(super) struct Given<'a> {
    pub(super) higher_is: Option<HigherIsName>,
    pub(super) max_value: Option<Spanned<f64>>,
    pub(super) columns: Option<Spanned<ColumnsTable>>,
    pub(super) keys: Keys,
    pub(super) conditions: BTreeMap<String, Wanted>,
    pub(super) strip: Option<StripName>,
    pub(super) strip_prefix: Option<String>,
    pub(super) integers: bool,
    pub(super) regex: Option<Spanned<String>>,
    pub(super) min_prefix_v4: Option<Spanned<u8>>,
    pub(super) min_prefix_v6: Option<Spanned<u8>>,
    pub(super) categories: Option<PathBuf>,
    pub(super) sets: Vec<String>,
    pub(super) rules: Vec<Spanned<RuleTable>>,
    pub(super) asn_db: Option<&'a Path>,
}

pub(super) fn check(given: Given<'_>, problems: &mut Problems<'_>) -> Specifics {
    let rules = given.rules.into_iter();
    let rules = rules.filter_map(|rule| rule_of(rule, problems)).collect();
    Specifics {
        higher_is: given.higher_is.map(|higher_is| match higher_is {
            HigherIsName::Worse => HigherIs::Worse,
            HigherIsName::Better => HigherIs::Better,
        }),
        max_value: max_value(given.max_value, problems),
        columns: given
            .columns
            .map_or_else(Columns::default, |columns| columns_of(columns, problems)),
        keys: given.keys,
        conditions: given
            .conditions
            .into_iter()
            .map(|(key, wanted)| (key, wanted.text()))
            .collect(),
        strip: given.strip.map(|strip| match strip {
            StripName::Port => Strip::Port,
            StripName::Url => Strip::Url,
        }),
        strip_prefix: given.strip_prefix,
        integers: given.integers,
        regex: regex(given.regex, problems),
        min_prefix_v4: min_prefix(
            "min-prefix-v4",
            given.min_prefix_v4,
            (MIN_PREFIX_V4, 32),
            problems,
        ),
        min_prefix_v6: min_prefix(
            "min-prefix-v6",
            given.min_prefix_v6,
            (MIN_PREFIX_V6, 128),
            problems,
        ),
        categories: given.categories,
        sets: given.sets,
        rules,
        asn_db: given.asn_db.map(Path::to_owned),
    }
}

fn regex(given: Option<Spanned<String>>, problems: &mut Problems<'_>) -> Option<String> {
    let regex = given?;
    if let Err(why) = check_regex(regex.get_ref()) {
        problems.add(regex.span(), format!("regex: {why}"));
    }
    Some(regex.into_inner())
}

fn min_prefix(
    key: &str,
    given: Option<Spanned<u8>>,
    (default, max): (u8, u8),
    problems: &mut Problems<'_>,
) -> u8 {
    let Some(len) = given else {
        return default;
    };
    if *len.get_ref() > max {
        let what = format!("{key}: expected the length of a prefix, 0 to {max}");
        problems.add(len.span(), what);
    }
    len.into_inner()
}

fn max_value(given: Option<Spanned<f64>>, problems: &mut Problems<'_>) -> f64 {
    let Some(number) = given else {
        return Options::default().max_value;
    };
    if !(number.get_ref().is_finite() && *number.get_ref() > 0.0) {
        problems.add(
            number.span(),
            "max-value: expected a number above 0, such as 100.0",
        );
    }
    number.into_inner()
}

fn columns_of(given: Spanned<ColumnsTable>, problems: &mut Problems<'_>) -> Columns {
    let span = given.span();
    let table = given.into_inner();
    let separator = match table.separator.as_deref().map(str::as_bytes) {
        None => Columns::default().separator,
        Some(&[separator]) if separator.is_ascii() => separator,
        Some(_) => {
            problems.add(
                span.clone(),
                "separator: expected one character, such as \";\"",
            );
            Columns::default().separator
        }
    };
    let ends = [&table.last, &table.length, &table.netmask, &table.count];
    match (&table.first, ends.into_iter().flatten().count()) {
        (None, 0) | (Some(_), 1) => {}
        (None, _) => problems.add(
            span,
            "columns: last, length, netmask and count belong to a range, which has first too",
        ),
        (Some(_), _) => problems.add(
            span,
            "columns: a range has first and one of last, length, netmask and count",
        ),
    }
    Columns {
        separator,
        prefix: table.prefix.map_or(Column::Index(0), Column::from),
        first: table.first.map(Column::from),
        last: table.last.map(Column::from),
        length: table.length.map(Column::from),
        netmask: table.netmask.map(Column::from),
        count: table.count.map(Column::from),
        number: table.value.map(Column::from),
        category: table.category.map(Column::from),
        expires: table.expires.map(Column::from),
        seen: table.last_seen.map(Column::from),
        duration: table.duration.map(Column::from),
    }
}

fn rule_of(given: Spanned<RuleTable>, problems: &mut Problems<'_>) -> Option<MmdbRule> {
    let span = given.span();
    let table = given.into_inner();
    let on = match (
        table.flag,
        table.asn,
        table.country.as_deref().map(str::as_bytes),
    ) {
        (Some(flag), None, None) => MmdbMatch::Flag(flag.0),
        (None, Some(asn), None) => MmdbMatch::Asn(asn),
        (None, None, Some(&[one, two])) if [one, two].iter().all(u8::is_ascii_uppercase) => {
            MmdbMatch::Country([one, two])
        }
        (None, None, Some(code)) => {
            let code = code.escape_ascii();
            let what =
                format!("country = \"{code}\": expected two capital letters, such as \"ZZ\"");
            problems.add(span, what);
            return None;
        }
        _ => {
            let what = "a rule is for one of flag = \"is_tor_exit_node\", asn = 64496 and country = \"ZZ\"";
            problems.add(span, what);
            return None;
        }
    };
    Some(MmdbRule {
        on,
        confidence: Confidence::ratio(table.confidence.map_or(1.0, |ratio| ratio.0)),
        category: table.category.map(|name| name.0),
    })
}
