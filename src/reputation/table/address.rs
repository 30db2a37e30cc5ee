//! The two families of addresses as numbers.

/// An address as a number.
pub(super) trait Address: Copy + Ord {
    /// The last address of the network of this length that starts here.
    fn last(self, len: u8) -> Self;
    /// The address after this one; none after the last.
    fn next(self) -> Option<Self>;
    /// The address before this one. Not asked of the first.
    fn before(self) -> Self;
    /// The first address of all.
    const FIRST: Self;
}

impl Address for u32 {
    const FIRST: Self = 0;

    fn last(self, len: u8) -> Self {
        self | Self::MAX.unbounded_shr(len.into())
    }

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn before(self) -> Self {
        self.saturating_sub(1)
    }
}

impl Address for u128 {
    const FIRST: Self = 0;

    fn last(self, len: u8) -> Self {
        self | Self::MAX.unbounded_shr(len.into())
    }

    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn before(self) -> Self {
        self.saturating_sub(1)
    }
}
