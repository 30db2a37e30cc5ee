//! Stands in for the fleet where the program was built without it: the configuration refuses `[fleet]`.

use std::io;

use super::FleetOptions;
use crate::live::Live;

/// No fleet.
#[derive(Debug, Clone)]
pub struct Fleet;

impl Fleet {
    /// No fleet.
    #[must_use]
    pub fn new(_: Live) -> Self {
        Self
    }

    /// Does nothing.
    pub const fn configure(&self, _: Option<&FleetOptions>) {}

    /// Does nothing.
    ///
    /// # Errors
    /// None.
    pub const fn start(&self) -> io::Result<()> {
        Ok(())
    }

    /// None.
    #[must_use]
    pub const fn status(&self) -> Option<super::FleetStatus> {
        None
    }
}
