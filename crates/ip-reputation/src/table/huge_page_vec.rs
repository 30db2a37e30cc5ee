//! Records of one length, side by side, in memory of their own.
//!
//! Random questions meet random pages. With pages of 4 KiB a table of a million prefixes has thousands,
//! which the processor has to look up in memory too, in a virtual machine twice; with those of 2 MiB it
//! has a handful. So the memory is not the allocator's: it is mapped, begins with a large page, and the
//! kernel is asked for large pages as far as they are used. One that has none gives small ones.

use memmap2::{Advice, MmapMut, MmapOptions};

/// What a large page has on x86-64, and on aarch64 with pages of 4 KiB.
const LARGE_PAGE: usize = 2 << 20;

/// Of the last large page so much may be unused.
const UNUSED_MAX: usize = LARGE_PAGE / 4;

/// Memory for records, which are added one after the other.
#[derive(Debug)]
pub(super) struct HugePageVec {
    /// None if there is no room for a record.
    memory: Option<MmapMut>,
    /// Where in the memory the first record begins.
    begin: usize,
    /// And where the last one ends.
    end: usize,
    count: usize,
    /// What there is room for, in bytes.
    room: usize,
}

impl HugePageVec {
    /// Room for as many records of this length. None if the system has no memory for them.
    pub(super) fn with_capacity(count: usize, len: usize) -> Option<Self> {
        let mut records = Self {
            memory: None,
            begin: 0,
            end: 0,
            count: 0,
            room: count.checked_mul(len)?,
        };
        if records.room > 0 {
            // What is mapped and never touched takes no memory.
            let mapped = records.room.checked_add(2 * LARGE_PAGE)?;
            let memory = MmapOptions::new().len(mapped).map_anon().ok()?;
            records.begin = memory.as_ptr().align_offset(LARGE_PAGE) % LARGE_PAGE;
            records.end = records.begin;
            let large = records.large();
            if large > 0 {
                // If it does not know them, it takes others.
                let _ = memory.advise_range(Advice::HugePage, records.begin, large);
            }
            records.memory = Some(memory);
        }
        Some(records)
    }

    /// What is to be in large pages, in bytes.
    const fn large(&self) -> usize {
        let pages = (self.room + UNUSED_MAX) / LARGE_PAGE;
        pages * LARGE_PAGE
    }

    /// Adds a record behind the others. One for which there is no room is left out.
    pub(super) fn push<const LEN: usize>(&mut self, record: [u8; LEN]) {
        let end = self.end + LEN;
        if end - self.begin > self.room {
            return;
        }
        let memory = self.memory.as_mut();
        if let Some(room) = memory.and_then(|memory| memory.get_mut(self.end..end)) {
            room.copy_from_slice(&record);
            self.end = end;
            self.count += 1;
        }
    }

    /// The record in this place. All of one `HugePageVec` have the same length.
    #[inline]
    pub(super) fn get<const LEN: usize>(&self, place: usize) -> Option<[u8; LEN]> {
        // Behind the last one there is memory, too.
        if place >= self.count {
            return None;
        }
        let from = self.begin.wrapping_add(place.wrapping_mul(LEN));
        self.memory.as_ref()?.get(from..)?.first_chunk().copied()
    }

    /// How many records there are.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Memory that it takes when it is full, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.room.max(self.large())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_there_and_nothing_else() {
        // More than a large page, and not a multiple of it.
        let count = 3 * LARGE_PAGE / 8 / 2 + 5;
        let mut records = HugePageVec::with_capacity(count, 8).expect("memory");
        for number in 0..count {
            records.push(number.to_ne_bytes());
        }
        records.push([0xff; 8]);
        assert_eq!(records.count(), count);
        // Half of the last large page is too little to take it.
        assert_eq!(records.bytes(), 8 * count);
        for number in [0, 1, 262_143, 262_144, count - 1] {
            let record = records.get(number).map(usize::from_ne_bytes);
            assert_eq!(record, Some(number));
        }
        assert_eq!(records.get::<8>(count), None);
        assert_eq!(records.get::<8>(usize::MAX), None);
    }

    #[test]
    fn the_first_record_begins_a_large_page() {
        let records = HugePageVec::with_capacity(LARGE_PAGE - UNUSED_MAX, 1).expect("memory");
        let memory = records.memory.as_ref().expect("there is room");
        let first = memory[records.begin..].as_ptr().addr();
        assert_eq!(first % LARGE_PAGE, 0);
        assert!(memory.len() >= records.begin + LARGE_PAGE);
        assert_eq!(records.bytes(), LARGE_PAGE);
    }

    #[test]
    fn no_records_take_no_memory() {
        let mut records = HugePageVec::with_capacity(0, 20).expect("nothing");
        records.push([1; 20]);
        assert_eq!((records.count(), records.bytes()), (0, 0));
        assert_eq!(records.get::<20>(0), None);
    }

    #[test]
    fn more_than_there_can_be_is_refused() {
        assert!(HugePageVec::with_capacity(usize::MAX, 8).is_none());
        assert!(HugePageVec::with_capacity(1 << 57, 8).is_none());
    }
}
