//! The MMDB files that tell of autonomous systems and countries. Held in memory, never mapped.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::background::BackgroundExecutor;
use super::lists::Selection;
use super::note::{Event, Note};
use super::outcome::Outcome;
use super::probe;
use super::source::{SourceError, Stamp, TRIES_MAX};
use ip_reputation::formats::Attributes;

/// The largest database, in bytes.
const SIZE_MAX: u64 = 1 << 30;

/// Both databases.
#[derive(Debug, Default)]
pub(super) struct Databases {
    pub(super) asn: Database,
    pub(super) country: Database,
}

/// One of them.
#[derive(Debug, Default)]
pub(super) struct Database {
    path: Option<PathBuf>,
    tried: Option<Stamp>,
    error: Option<String>,
    pub(super) data: Option<Arc<Attributes>>,
}

impl Databases {
    /// Takes the paths of a configuration.
    pub(super) fn adopt(&mut self, asn: Option<&PathBuf>, country: Option<&PathBuf>) {
        self.asn.adopt(asn);
        self.country.adopt(country);
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.asn.path.iter().chain(&self.country.path)
    }

    /// Why a file is not used as it is.
    pub(super) fn unused(&self) -> impl Iterator<Item = String> {
        let errors = [&self.asn.error, &self.country.error].into_iter();
        errors.flatten().cloned()
    }

    /// Reads the selected ones.
    pub(super) fn read(
        &mut self,
        selection: Selection<'_>,
        background: &BackgroundExecutor,
    ) -> Vec<Outcome> {
        let both = [&mut self.asn, &mut self.country].into_iter();
        both.filter_map(|database| database.read(selection, background))
            .collect()
    }
}

impl Database {
    fn adopt(&mut self, path: Option<&PathBuf>) {
        if self.path.as_ref() != path {
            *self = Self {
                path: path.cloned(),
                ..Self::default()
            };
        }
    }

    fn read(
        &mut self,
        selection: Selection<'_>,
        background: &BackgroundExecutor,
    ) -> Option<Outcome> {
        let path = self.path.clone()?;
        if selection.leaves_out(&path) {
            return None;
        }
        let stamp = Stamp::at(&path);
        if !selection.is_all() && self.tried.is_some() && self.tried == stamp {
            return None;
        }
        self.tried = stamp;
        let file = path.clone();
        match background.run(move || read(&file)) {
            Ok(data) => {
                self.data = Some(Arc::new(data));
                let was_wrong = self.error.take().is_some();
                let note = was_wrong.then(|| Note::database(&path, Event::DatabaseRecovered));
                Some(Outcome::new(note))
            }
            Err(error) => {
                let is_listed = self.error.as_ref() == Some(&error);
                let event = Event::DatabaseNotUsed {
                    error: error.clone(),
                    has_previous: self.data.is_some(),
                };
                let note = Note::database(&path, event);
                self.error = Some(error);
                Some(Outcome::refused((!is_listed).then_some(note)))
            }
        }
    }
}

/// Reads a database.
pub(super) fn read(path: &Path) -> Result<Attributes, String> {
    for _ in 0..TRIES_MAX {
        let file = probe::open(path, SIZE_MAX).map_err(|error| error.to_string())?;
        let mut bytes = Vec::new();
        let mut input = file.input(SIZE_MAX).map_err(|error| error.to_string())?;
        let read = input.reader().read_to_end(&mut bytes);
        if file.is_unchanged() {
            read.map_err(|error| format!("{}: {error}", path.display()))?;
            return Attributes::new(bytes).map_err(|error| format!("{}: {error}", path.display()));
        }
    }
    let path = path.to_owned();
    Err(SourceError::Changing { path }.to_string())
}
