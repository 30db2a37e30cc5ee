//! What a MaxMind database says about one address: its autonomous system and its country.

use core::fmt;
use core::net::IpAddr;

use maxminddb::Reader;

use super::mmdb;

/// A database that is asked for addresses one by one. It is held in memory, never mapped: a file
/// that is cut short in place would end the process.
pub struct Attributes {
    reader: Reader<Vec<u8>>,
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
        f.debug_struct("Attributes").field("kind", kind).finish()
    }
}

impl Attributes {
    /// The whole of a database file.
    ///
    /// # Errors
    /// If it is none.
    pub fn new(bytes: Vec<u8>) -> Result<Self, NoDatabase> {
        let reader = Reader::from_source(bytes).map_err(|error| NoDatabase(error.to_string()))?;
        Ok(Self { reader })
    }

    /// When the database was made, in seconds since 1970.
    #[must_use]
    pub fn as_of(&self) -> Option<u32> {
        u32::try_from(self.reader.metadata().build_epoch).ok()
    }

    /// The number of the autonomous system that announces an address (`autonomous_system_number`).
    #[must_use]
    pub fn asn(&self, address: IpAddr) -> Option<u32> {
        let found = self.reader.lookup(address.to_canonical()).ok()?;
        mmdb::asn(&found).ok().flatten()
    }

    /// The ISO 3166-1 code of an address's country (`country.iso_code`), two upper-case letters.
    #[must_use]
    pub fn country(&self, address: IpAddr) -> Option<[u8; 2]> {
        let found = self.reader.lookup(address.to_canonical()).ok()?;
        mmdb::country(&found).ok().flatten()
    }
}
