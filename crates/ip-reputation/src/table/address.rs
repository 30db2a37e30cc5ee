//! The two families of addresses as numbers.

use core::fmt::Debug;
use core::hash::Hash;

use super::huge_page_vec::HugePageVec;

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

    /// What a range takes as a record: its first address, and the number of its shape. Packed: what the
    /// alignment of `u128` would cost is more than half of it.
    const RANGE_LEN: usize = size_of::<Self>() + size_of::<u32>();

    /// The range in a place: its first address, and its shape.
    fn range(records: &HugePageVec, place: usize) -> Option<(Self, u32)>;

    /// Adds the range of a shape that begins here.
    fn push_range(self, shape: u32, records: &mut HugePageVec);
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

            #[inline]
            fn range(records: &HugePageVec, place: usize) -> Option<(Self, u32)> {
                let record: [u8; Self::RANGE_LEN] = records.get(place)?;
                let (first, shape) = record.split_first_chunk()?;
                let shape = shape.first_chunk()?;
                Some((Self::from_ne_bytes(*first), u32::from_ne_bytes(*shape)))
            }

            fn push_range(self, shape: u32, records: &mut HugePageVec) {
                let mut record = [0; Self::RANGE_LEN];
                let (first, rest) = record.split_at_mut(size_of::<Self>());
                first.copy_from_slice(&self.to_ne_bytes());
                rest.copy_from_slice(&shape.to_ne_bytes());
                records.push(record);
            }
        }
    };
}

address!(u32);
address!(u128);
