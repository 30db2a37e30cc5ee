//! What a feed says about one prefix.

use core::net::IpAddr;

use super::Prefix;

/// How sure a feed is that an address is bad, in ten-thousandths: 0..=10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Confidence(u16);

impl Confidence {
    /// Certainly bad.
    pub const FULL: Self = Self(10_000);
    /// Nothing against it.
    pub const NONE: Self = Self(0);

    /// A confidence from a ratio; above 1 and below 0 (and not a number) are the nearest.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 0..=10,000 first, and NaN casts to 0"
    )]
    pub fn ratio(ratio: f64) -> Self {
        Self((ratio.clamp(0.0, 1.0) * f64::from(Self::FULL.0)).round() as u16)
    }

    /// The confidence, 0 to 1.
    #[must_use]
    pub fn as_ratio(self) -> f64 {
        f64::from(self.0) / f64::from(Self::FULL.0)
    }
}

/// One line, object or record of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The addresses it speaks of.
    pub prefix: Prefix,
    /// How sure the feed is.
    pub confidence: Confidence,
    /// What kind of badness, if the entry itself says so.
    pub category: Option<&'a str>,
    /// When the evidence was last seen, in seconds since 1970, if the entry itself says so.
    pub seen: Option<u32>,
    /// From when on the entry no longer counts, in seconds since 1970.
    pub expires: Option<u32>,
    /// The first and the last address, if it is part of a range that is no prefix.
    pub range: Option<&'a (IpAddr, IpAddr)>,
}

impl Entry<'_> {
    /// An entry that says no more than "bad".
    #[must_use]
    pub const fn bad(prefix: Prefix) -> Self {
        Self {
            prefix,
            confidence: Confidence::FULL,
            category: None,
            seen: None,
            expires: None,
            range: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Confidence;

    #[test]
    fn a_confidence_is_0_to_1_whatever_it_is_made_from() {
        for (ratio, expected) in [
            (0.0, 0.0),
            (0.97, 0.97),
            (1.0, 1.0),
            (7.0, 1.0),
            (-1.0, 0.0),
        ] {
            assert!((Confidence::ratio(ratio).as_ratio() - expected).abs() < 1e-9);
        }
        assert_eq!(Confidence::ratio(f64::NAN), Confidence::NONE);
        assert_eq!(Confidence::ratio(1.0), Confidence::FULL);
    }
}
