//! What a MaxMind database says about one address: its autonomous system and its country.

use core::fmt;
use core::net::IpAddr;
use std::sync::Arc;

use maxminddb::Reader;

use super::mmdb::values::{Odd, Values};
use super::{Refused, mmdb};
use crate::Prefix;

/// The most values of a record that are looked at for an answer.
const STEPS_MAX: u64 = 1000;

/// A database that is asked for addresses one by one. It is held in memory, never mapped: a file
/// that is cut short in place would end the process.
pub struct Attributes {
    file: Arc<[u8]>,
    reader: Reader<Arc<[u8]>>,
}

/// The bytes are no MaxMind database.
#[derive(Debug)]
pub struct NoDatabase(String);

impl fmt::Display for NoDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a MaxMind database: {}", self.0)
    }
}

impl core::error::Error for NoDatabase {}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = &self.reader.metadata().database_type;
        f.debug_struct("Attributes")
            .field("kind", kind)
            .finish_non_exhaustive()
    }
}

/// Databases are equal if their bytes are.
impl PartialEq for Attributes {
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file
    }
}

impl Attributes {
    /// The whole of a database file.
    ///
    /// # Errors
    /// If it is none.
    pub fn new(bytes: Vec<u8>) -> Result<Self, NoDatabase> {
        let file: Arc<[u8]> = bytes.into();
        let reader = Reader::from_source(Arc::clone(&file));
        let reader = reader.map_err(|error| NoDatabase(error.to_string()))?;
        Ok(Self { file, reader })
    }

    /// When the database was made, in seconds since 1970.
    #[must_use]
    pub fn as_of(&self) -> Option<u32> {
        u32::try_from(self.reader.metadata().build_epoch).ok()
    }

    /// The number of the autonomous system that announces an address (`autonomous_system_number`).
    #[must_use]
    pub fn asn(&self, address: IpAddr) -> Option<u32> {
        self.of_record(address, mmdb::asn)
    }

    /// Hands over every network that an autonomous system announces, and the number of that system.
    ///
    /// # Errors
    /// If the tree of the database is not well-formed.
    pub(super) fn systems(&self, each: impl FnMut(Prefix, u32)) -> Result<(), Refused> {
        let data = mmdb::data(&self.file, self.reader.metadata());
        mmdb::systems(&self.reader, data, each)
    }

    /// The ISO 3166-1 code of an address's country (`country.iso_code`), two upper-case letters.
    #[must_use]
    pub fn country(&self, address: IpAddr) -> Option<[u8; 2]> {
        self.of_record(address, mmdb::country)
    }

    /// What the record of an address says. What cannot be read says nothing.
    fn of_record<T>(
        &self,
        address: IpAddr,
        say: impl FnOnce(&Values<'_>, usize) -> Result<Option<T>, Odd>,
    ) -> Option<T> {
        let found = self.reader.lookup(address.to_canonical()).ok()?;
        let data = mmdb::data(&self.file, self.reader.metadata());
        let said = say(&Values::new(data, STEPS_MAX), found.offset()?);
        said.ok().flatten()
    }
}
