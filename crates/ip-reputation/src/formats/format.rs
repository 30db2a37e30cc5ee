//! The names of the formats.

use core::fmt;
use core::str::FromStr;

/// A way to write down which addresses are bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// An address, a prefix or a range a line.
    Plain,
    /// FireHOL's `.netset` and `.ipset`: a plain list whose comments say what it is.
    Netset,
    /// Spamhaus DROP as text: `192.0.2.0/24 ; SBL000001`.
    DropText,
    /// Spamhaus DROP as JSON, an object a line.
    DropJson,
    /// Columns.
    Csv,
    /// Suricata's reputation list: `203.0.113.0/24,1,88`.
    SuricataIprep,
    /// The blacklist of AbuseIPDB, as JSON or as text.
    AbuseIpdb,
    /// What `ipset save` prints.
    IpsetSave,
    /// A map file of HAProxy: `203.0.113.0/24 15`.
    HaproxyMap,
    /// A MaxMind database.
    Mmdb,
    /// JSON of any shape.
    Json,
    /// Lines that a regular expression reads.
    Lines,
    /// `PeerGuardian`'s lists: `name:192.0.2.1-192.0.2.9`.
    P2p,
    /// eMule's lists: `192.000.002.001 - 192.000.002.009 , 100 , name`.
    Dat,
    /// AS numbers, which a database of autonomous systems turns into networks: `AS64496`.
    Asn,
}

impl Format {
    /// Every format, in the order of the documentation.
    pub const ALL: [Self; 15] = [
        Self::Plain,
        Self::Netset,
        Self::DropText,
        Self::DropJson,
        Self::Csv,
        Self::SuricataIprep,
        Self::AbuseIpdb,
        Self::IpsetSave,
        Self::HaproxyMap,
        Self::Mmdb,
        Self::Json,
        Self::Lines,
        Self::P2p,
        Self::Dat,
        Self::Asn,
    ];

    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Netset => "netset",
            Self::DropText => "drop-text",
            Self::DropJson => "drop-json",
            Self::Csv => "csv",
            Self::SuricataIprep => "suricata-iprep",
            Self::AbuseIpdb => "abuseipdb",
            Self::IpsetSave => "ipset-save",
            Self::HaproxyMap => "haproxy-map",
            Self::Mmdb => "mmdb",
            Self::Json => "json",
            Self::Lines => "lines",
            Self::P2p => "p2p",
            Self::Dat => "dat",
            Self::Asn => "asn",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The names of all formats.
pub(super) struct Names;

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, format) in Format::ALL.iter().enumerate() {
            let mark = if place == 0 { "" } else { ", " };
            write!(f, "{mark}{format}")?;
        }
        Ok(())
    }
}

/// The text names no format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownFormat;

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no such format; there are {Names}")
    }
}

impl core::error::Error for UnknownFormat {}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let mut all = Self::ALL.into_iter();
        all.find(|format| format.name() == text)
            .ok_or(UnknownFormat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert_eq!("Plain".parse::<Format>(), Err(UnknownFormat));
        assert!(UnknownFormat.to_string().ends_with("p2p, dat, asn"));
    }
}
