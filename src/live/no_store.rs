//! Stands in for the database where the program was built without it.

use std::path::{Path, PathBuf};

use super::rows::{Contents, Written};
use super::{Change, Decision, Imported, Offender, Target};
use ip_reputation::Prefix;

#[derive(Debug)]
pub(super) enum Store {}

#[derive(Debug)]
pub(super) enum StoreError {
    NotOurs(String),
}

impl StoreError {
    pub(super) const fn is_not_ours(&self) -> bool {
        matches!(self, Self::NotOurs(_))
    }

    pub(super) const fn is_corrupt(&self) -> bool {
        !self.is_not_ours()
    }
}

impl core::fmt::Display for StoreError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self::NotOurs(why) = self;
        f.write_str(why)
    }
}

pub(super) struct Opened {
    pub(super) store: Store,
    pub(super) contents: Contents,
    pub(super) set_aside: Option<PathBuf>,
}

fn without() -> StoreError {
    StoreError::NotOurs("this binary was built without the feature live-store".to_owned())
}

pub(super) fn read_only(_: &Path, _: u32) -> Result<Contents, StoreError> {
    Err(without())
}

impl Store {
    pub(super) fn open(_: &Path, _: u32) -> Result<Opened, StoreError> {
        Err(without())
    }

    pub(super) fn is_replaced(&self, _: &Path) -> bool {
        match *self {}
    }

    pub(super) fn write(&mut self, _: &[Change], _: u32) -> Result<(), StoreError> {
        match *self {}
    }

    pub(super) fn follow(&mut self, _: u32) -> Result<Option<Written>, StoreError> {
        match *self {}
    }

    pub(super) fn bring_up_to_date<'a>(
        &mut self,
        _: impl Iterator<Item = &'a Target>,
        _: &[Decision],
        _: &[Imported],
        _: u32,
    ) -> Result<(), StoreError> {
        match *self {}
    }

    pub(super) fn save_points(
        &mut self,
        _: &[Prefix],
        _: &[Offender],
        _: u32,
    ) -> Result<(), StoreError> {
        match *self {}
    }

    pub(super) fn set_mark(&mut self, _: &str) -> Result<(), StoreError> {
        match *self {}
    }

    pub(super) fn expire(&mut self, _: u32) -> Result<(), StoreError> {
        match *self {}
    }
}
