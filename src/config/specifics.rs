//! The keys of `[[feed]]` that only some formats need.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::typed::{Name, Ratio};
use super::{Problems, Specifics};
use ip_reputation::Confidence;
use ip_reputation::formats::{Columns, HigherIs, MmdbMatch, MmdbRule, Options};

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
    prefix: usize,
    value: Option<usize>,
    category: Option<usize>,
    expires: Option<usize>,
    last_seen: Option<usize>,
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
pub(super) struct Given {
    pub(super) higher_is: Option<HigherIsName>,
    pub(super) max_value: Option<Spanned<f64>>,
    pub(super) columns: Option<Spanned<ColumnsTable>>,
    pub(super) categories: Option<PathBuf>,
    pub(super) sets: Vec<String>,
    pub(super) rules: Vec<Spanned<RuleTable>>,
}

pub(super) fn check(given: Given, problems: &mut Problems<'_>) -> Specifics {
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
        categories: given.categories,
        sets: given.sets,
        rules,
    }
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
            problems.add(span, "separator: expected one character, such as \";\"");
            Columns::default().separator
        }
    };
    Columns {
        separator,
        prefix: table.prefix,
        number: table.value,
        category: table.category,
        expires: table.expires,
        seen: table.last_seen,
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
