//! How much memory the process holds, counted where it is taken: exact, whatever the kernel and the
//! allocator keep.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static HELD: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

/// Memory taken by what was done since the start, in bytes.
pub(crate) struct Held {
    start: usize,
}

impl Held {
    pub(crate) fn start() -> Self {
        let start = HELD.load(Relaxed);
        Self { start }
    }

    /// What is held now.
    pub(crate) fn now(&self) -> usize {
        HELD.load(Relaxed).saturating_sub(self.start)
    }
}

fn took(bytes: usize) {
    HELD.fetch_add(bytes, Relaxed);
}

fn gave(bytes: usize) {
    HELD.fetch_sub(bytes, Relaxed);
}

// SAFETY: every call is passed on to the system's allocator as it is; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        gave(layout.size());
        // SAFETY: the pointer came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The system moves large blocks by their pages: the old and the new one are not held at once.
        gave(layout.size());
        took(size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
