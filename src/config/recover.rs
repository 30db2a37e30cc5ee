//! Deserializes a document and collects all of its mistakes: a value that is wrong is reported, removed,
//! and the rest is read again.

use core::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

use super::error::{Problem, line_at};
use super::explain::{self, Mistake};

/// The number of mistakes after which the rest is not looked for.
const PROBLEMS_MAX: usize = 100;

/// What a document holds, as far as it is right.
pub(super) struct Recovered<T> {
    /// Missing if the text is not TOML or has too many mistakes.
    pub(super) document: Option<T>,
    pub(super) problems: Vec<Problem>,
    /// Keys with the lines that they are in.
    pub(super) lines: Vec<(String, usize)>,
}

/// Reads a document.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Recovered<T> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let line = |span: &Range<usize>| line_at(text, span);
    let mut problems: Vec<Problem> = errors
        .iter()
        .map(|error| Problem {
            line: error.span().as_ref().map(line),
            what: error.message().replace('\n', " "),
        })
        .collect();
    if !problems.is_empty() {
        return Recovered {
            document: None,
            problems,
            lines: Vec::new(),
        };
    }
    let lines = key_lines(text, table.get_ref());
    let span = table.span();
    let mut table = table.into_inner();
    let mut document = None;
    while problems.len() < PROBLEMS_MAX {
        let deserializer = Deserializer::from(Spanned::new(span.clone(), table.clone()));
        let error = match T::deserialize(deserializer) {
            Ok(read) => {
                document = Some(read);
                break;
            }
            Err(error) => error,
        };
        let mut path = Vec::new();
        let removed = error
            .span()
            .and_then(|span| remove(&mut table, &span, &mut path));
        let mistake = Mistake {
            message: error.message(),
            path: &path,
            removed: removed.as_ref(),
        };
        problems.push(Problem {
            line: error.span().as_ref().map(line),
            what: explain::sentence(&mistake),
        });
        if removed.is_none() {
            break;
        }
    }
    Recovered {
        document,
        problems,
        lines,
    }
}

/// A part of a document that was removed.
pub(super) enum Removed<'i> {
    /// Its key is wrong.
    Key,
    /// Its value is wrong.
    Value(DeValue<'i>),
}

/// Removes what has this span, and returns it. `path` gets the keys that lead to it.
fn remove<'i>(
    table: &mut DeTable<'i>,
    span: &Range<usize>,
    path: &mut Vec<String>,
) -> Option<Removed<'i>> {
    let found = table
        .iter()
        .find(|(key, value)| key.span() == *span || value.span() == *span);
    if let Some((key, _)) = found {
        let key = key.clone();
        path.push(key.get_ref().to_string());
        let value = table.remove(&key)?;
        let is_key = key.span() == *span && value.span() != *span;
        return Some(if is_key {
            Removed::Key
        } else {
            Removed::Value(value.into_inner())
        });
    }
    for (key, value) in table.iter_mut() {
        path.push(key.get_ref().to_string());
        let removed = match value.get_mut() {
            DeValue::Table(table) => remove(table, span, path),
            DeValue::Array(array) => remove_element(array, span, path),
            _ => None,
        };
        if removed.is_some() {
            return removed;
        }
        path.pop();
    }
    None
}

fn remove_element<'i>(
    array: &mut DeArray<'i>,
    span: &Range<usize>,
    path: &mut Vec<String>,
) -> Option<Removed<'i>> {
    if let Some(index) = array.iter().position(|element| element.span() == *span) {
        let mut removed = None;
        let mut kept = DeArray::new();
        let elements = core::mem::replace(array, DeArray::new());
        for (number, element) in elements.into_iter().enumerate() {
            if number == index {
                removed = Some(Removed::Value(element.into_inner()));
            } else {
                kept.push(element);
            }
        }
        *array = kept;
        return removed;
    }
    array
        .iter_mut()
        .find_map(|element| match element.get_mut() {
            DeValue::Table(table) => remove(table, span, path),
            DeValue::Array(array) => remove_element(array, span, path),
            _ => None,
        })
}

/// Returns the lines of the keys of `[agent]` and `[admin]`, as `agent.bind`.
fn key_lines(text: &str, table: &DeTable<'_>) -> Vec<(String, usize)> {
    let sections = table
        .iter()
        .filter(|(name, _)| matches!(&**name.get_ref(), "agent" | "admin"));
    let keys = sections.filter_map(|(name, value)| {
        let keys = value.get_ref().as_table()?.iter();
        Some(keys.map(|(key, _)| {
            let path = format!("{}.{}", name.get_ref(), key.get_ref());
            (path, line_at(text, &key.span()))
        }))
    });
    keys.flatten().collect()
}
