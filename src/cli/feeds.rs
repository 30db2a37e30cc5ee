//! `spoa feeds`: the presets, and how a list is to be read.

use core::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Subcommand;
use iprep_spoa::config::presets;
use iprep_spoa::feeds::guess;
use iprep_spoa::host::log::Printable;
use iprep_spoa::host::now;

use super::failure::Failure;

/// What `spoa feeds` does.
#[derive(Debug, Subcommand)]
pub(crate) enum Feeds {
    /// List the presets: well-known lists that a [[feed]] names with preset = "NAME"
    List {
        /// One JSON array
        #[arg(long)]
        json: bool,
    },
    /// Print a preset as a [[feed]] block with every key written out
    Show {
        /// The preset
        name: String,
    },
    /// Find out how a list is to be read: prints a [[feed]] block, the first entries and the columns
    Guess {
        /// A file, or a URL, which is fetched once
        #[arg(value_name = "FILE|URL")]
        place: String,
    },
}

pub(crate) fn feeds(command: &Feeds) -> Result<ExitCode, Failure> {
    let text = match command {
        Feeds::List { json: true } => list_json(),
        Feeds::List { json: false } => list(),
        Feeds::Show { name } => show(name)?,
        Feeds::Guess { place } => {
            let found = guess::guess(place, now());
            found.map_err(|why| Failure::feeds(&why))?.text
        }
    };
    // A reader that has closed its end has seen enough.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

fn list() -> String {
    let names = presets::all().keys().map(String::len);
    let width = names.max().unwrap_or(0);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:width$}  {:5}  {:10}  {:8}  {:6}  about",
        "preset", "role", "category", "interval", "weight"
    );
    for (name, preset) in presets::all() {
        let role = preset.string("role").unwrap_or("feed");
        let category = preset.string("default-category").unwrap_or("-");
        let interval = preset.string("refresh-interval").unwrap_or("1h");
        let weight = preset.feed.get("weight").and_then(toml::Value::as_float);
        let weight = weight.map_or_else(|| "-".to_owned(), |weight| weight.to_string());
        let _ = writeln!(
            text,
            "{name:width$}  {role:5}  {category:10}  {interval:8}  {weight:6}  {}",
            preset.about
        );
    }
    text
}

fn list_json() -> String {
    let presets = presets::all().iter().map(|(name, preset)| {
        serde_json::json!({
            "name": name,
            "about": preset.about,
            "role": preset.string("role").unwrap_or("feed"),
            "url": preset.string("url"),
            "format": preset.string("format"),
            "category": preset.string("default-category"),
            "refresh_interval": preset.string("refresh-interval"),
            "weight": preset.feed.get("weight").and_then(toml::Value::as_float),
            "license": preset.license,
            "page": preset.page,
            "checked": preset.checked,
            "key_header": preset.key_header,
        })
    });
    let presets: serde_json::Value = presets.collect();
    format!("{presets}\n")
}

fn show(name: &str) -> Result<String, Failure> {
    if let Some(preset) = presets::find(name) {
        return Ok(preset.block());
    }
    let near = presets::nearest(name);
    let near = near.map_or_else(
        || "spoa feeds list shows them all".to_owned(),
        |near| format!("did you mean {near}?"),
    );
    let name = Printable(name);
    Err(Failure::bad(
        "feeds show",
        format!("no preset is called \"{name}\"; {near}"),
    ))
}
