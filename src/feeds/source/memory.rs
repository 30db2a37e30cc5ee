//! A bound on the bytes that all fetches hold at the same time: many servers together cannot take more
//! memory than one may.

#![cfg_attr(
    all(not(feature = "http"), not(test)),
    expect(dead_code, reason = "without the feature nothing is fetched")
)]

use core::ops::Deref;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

/// Bytes by which a body grows at most, at once.
const STEP_MAX: usize = 16 << 20;
/// And at least.
const STEP_MIN: usize = 64 << 10;

/// What all fetches of this process share.
static SHARED: FetchMemory = FetchMemory::new(u64::MAX);

/// How many bytes there may be, and how many there are.
#[derive(Debug)]
pub struct FetchMemory {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug)]
struct State {
    max: u64,
    used: u64,
}

/// Why a body does not get more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoMemory {
    /// It alone is larger than the bound.
    TooBig(u64),
    /// Others held it for too long.
    InUse(u64),
    /// The system has none.
    System,
}

impl core::fmt::Display for NoMemory {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooBig(max) => write!(
                f,
                "more than max-fetch-memory = {max} bytes; raise it if the list is so long"
            ),
            Self::InUse(max) => write!(
                f,
                "other fetches held all of max-fetch-memory = {max} bytes until the timeout"
            ),
            Self::System => f.write_str("there is no memory left for it"),
        }
    }
}

/// Sets the bound for all fetches of this process.
pub fn set_max(max: u64) {
    SHARED.set_max(max);
}

impl FetchMemory {
    const fn new(max: u64) -> Self {
        Self {
            state: Mutex::new(State { max, used: 0 }),
            freed: Condvar::new(),
        }
    }

    fn set_max(&self, max: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.max = max;
        drop(state);
        self.freed.notify_all();
    }

    /// Takes more, of which a body `holds` some already; waits until others have released it.
    fn take(&self, bytes: u64, holds: u64, deadline: Option<Instant>) -> Result<(), NoMemory> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if holds.saturating_add(bytes) > state.max {
                return Err(NoMemory::TooBig(state.max));
            }
            if state.used.saturating_add(bytes) <= state.max {
                state.used += bytes;
                return Ok(());
            }
            let Some(deadline) = deadline else {
                return Err(NoMemory::InUse(state.max));
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(NoMemory::InUse(state.max));
            }
            let waited = self.freed.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn release(&self, bytes: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.used = state.used.saturating_sub(bytes);
        drop(state);
        self.freed.notify_all();
    }
}

/// The bytes of one answer. They count until they are dropped.
#[derive(Debug)]
pub struct Body {
    bytes: Vec<u8>,
    counted: u64,
    memory: &'static FetchMemory,
}

impl Body {
    /// No byte yet, and room for `expected` ones.
    pub(super) fn new(expected: usize, deadline: Option<Instant>) -> Result<Self, NoMemory> {
        let mut body = Self {
            bytes: Vec::new(),
            counted: 0,
            memory: &SHARED,
        };
        body.grow(expected.clamp(STEP_MIN, STEP_MAX), deadline)?;
        Ok(body)
    }

    /// Adds bytes.
    pub(super) fn extend(
        &mut self,
        bytes: &[u8],
        deadline: Option<Instant>,
    ) -> Result<(), NoMemory> {
        while self.bytes.capacity() - self.bytes.len() < bytes.len() {
            let step = self.bytes.capacity().clamp(STEP_MIN, STEP_MAX);
            self.grow(step.max(bytes.len()), deadline)?;
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn grow(&mut self, step: usize, deadline: Option<Instant>) -> Result<(), NoMemory> {
        self.memory.take(step as u64, self.counted, deadline)?;
        self.counted += step as u64;
        let room = self.bytes.capacity() - self.bytes.len() + step;
        let reserved = self.bytes.try_reserve_exact(room);
        reserved.map_err(|_| NoMemory::System)
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.memory.release(self.counted);
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::thread;

    use super::*;

    #[test]
    fn who_wants_more_waits_for_others_until_the_deadline() {
        let memory: &'static FetchMemory = Box::leak(Box::new(FetchMemory::new(100)));
        let soon = || Some(Instant::now() + Duration::from_millis(20));
        let late = Some(Instant::now() + Duration::from_mins(1));
        assert_eq!(memory.take(101, 0, late), Err(NoMemory::TooBig(100)));
        assert_eq!(memory.take(60, 0, late), Ok(()));
        assert_eq!(memory.take(41, 60, late), Err(NoMemory::TooBig(100)));
        assert_eq!(memory.take(60, 0, soon()), Err(NoMemory::InUse(100)));
        assert_eq!(memory.take(60, 0, None), Err(NoMemory::InUse(100)));
        let waiting = thread::spawn(move || memory.take(60, 0, late));
        memory.release(60);
        assert_eq!(waiting.join().unwrap(), Ok(()));
        memory.set_max(130);
        assert_eq!(memory.take(60, 0, late), Ok(()));
    }

    #[test]
    fn a_body_counts_what_it_has_room_for() {
        let mut body = Body::new(0, None).unwrap();
        for _ in 0..100 {
            body.extend(&[b'x'; 10_000], None).unwrap();
        }
        assert_eq!(body.len(), 1_000_000);
        assert!(body.bytes.capacity() as u64 <= body.counted);
    }
}
