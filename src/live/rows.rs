//! What the database holds besides decisions as they are: what is read from it and written to it.

use super::{Decision, Imported, Kind, Target};
use ip_reputation::Prefix;

/// Points of an address as they were saved.
#[derive(Debug)]
pub(super) struct SavedPoints {
    pub(super) prefix: Prefix,
    pub(super) points: f64,
    pub(super) updated: u32,
    pub(super) reason: String,
}

/// What another process has written: what it removed, then what it made.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) removals: Vec<Removal>,
    pub(super) decisions: Vec<Decision>,
}

/// What is in a database.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) decisions: Vec<Decision>,
    pub(super) points: Vec<SavedPoints>,
    pub(super) mark: Option<String>,
    pub(super) imports: Vec<Imported>,
}

/// The identity of a decision that another process has removed.
#[derive(Debug)]
pub(super) struct Removal {
    pub(super) kind: Kind,
    pub(super) target: Target,
    pub(super) origin: String,
}
