//! The two families of addresses as numbers.

use core::fmt::Debug;
use core::hash::Hash;

/// An address, or how far apart two are, as a number.
pub(super) trait Address: Copy + Ord + Hash + Debug {
    /// The first address of all.
    const FIRST: Self;

    /// The last address of the network of this length that starts here.
    fn last(self, len: u8) -> Self;

    /// The address after this one; none after the last.
    fn next(self) -> Option<Self>;

    /// The address before this one. Not asked of the first.
    fn before(self) -> Self;

    /// How far this one lies behind another. Not asked of one in front of it.
    fn distance(self, from: Self) -> Self;

    /// The address this far behind. Not asked beyond the last.
    fn after(self, distance: Self) -> Self;

    /// How many bits the number needs.
    fn bits(self) -> u32;

    /// How many low bits have all in which the two differ.
    fn differing(self, other: Self) -> u32;

    /// The number without its low bits, or `max` if that is less.
    fn shifted(self, low: u32, max: u32) -> u32;
}

macro_rules! address {
    ($number:ty) => {
        impl Address for $number {
            const FIRST: Self = 0;

            #[inline]
            fn last(self, len: u8) -> Self {
                self | Self::MAX.unbounded_shr(len.into())
            }

            #[inline]
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }

            #[inline]
            fn before(self) -> Self {
                self.saturating_sub(1)
            }

            #[inline]
            fn distance(self, from: Self) -> Self {
                self.wrapping_sub(from)
            }

            #[inline]
            fn after(self, distance: Self) -> Self {
                self.wrapping_add(distance)
            }

            #[inline]
            fn bits(self) -> u32 {
                Self::BITS - self.leading_zeros()
            }

            #[inline]
            fn differing(self, other: Self) -> u32 {
                (self ^ other).bits()
            }

            #[inline]
            fn shifted(self, low: u32, max: u32) -> u32 {
                u32::try_from(self.unbounded_shr(low)).map_or(max, |high| high.min(max))
            }
        }
    };
}

address!(u32);
address!(u128);
