//! Stands in for the database where the program was built without it.

use std::path::{Path, PathBuf};

use super::{Change, Decision};

#[derive(Debug)]
pub(super) enum Store {}

#[derive(Debug)]
pub(super) enum StoreError {
    NotOurs(String),
}

impl core::fmt::Display for StoreError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self::NotOurs(why) = self;
        f.write_str(why)
    }
}

pub(super) struct Opened {
    pub(super) store: Store,
    pub(super) decisions: Vec<Decision>,
    pub(super) set_aside: Option<PathBuf>,
}

impl Store {
    pub(super) fn open(_: &Path, _: u32) -> Result<Opened, StoreError> {
        let why = "this binary was built without the feature live-store";
        Err(StoreError::NotOurs(why.to_owned()))
    }

    pub(super) fn write(&mut self, _: &[Change]) -> Result<(), StoreError> {
        match *self {}
    }

    pub(super) fn replace(&mut self, _: &[Decision]) -> Result<(), StoreError> {
        match *self {}
    }

    pub(super) fn expire(&mut self, _: u32) -> Result<(), StoreError> {
        match *self {}
    }
}
