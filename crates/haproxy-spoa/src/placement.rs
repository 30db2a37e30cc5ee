//! Which worker gets a new connection: the one with the fewest.
//!
//! `HAProxy` keeps few, long-lived connections, so the kernel's `SO_REUSEPORT` hash alone would leave
//! workers idle beside overloaded ones. A count per worker, an atomic each:
//!
//! ```text
//!  counts   3  2  3  2      accept: find a least count c, make it c + 1 if it still is c,
//!                ^          else look again
//! ```
//!
//! While connections only open, counts never differ by more than one: whoever raises a count from
//! `c` has seen all others at `c` or more, and they have not fallen since.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The open connections of every worker, shared by all of them.
#[derive(Debug)]
pub(super) struct Placement {
    counts: Vec<Count>,
    total: AtomicUsize,
    cap: usize,
    /// Set by a shutdown: whoever accepts then, keeps.
    draining: AtomicBool,
}

/// On a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Count(AtomicUsize);

impl Placement {
    pub(super) fn new(workers: usize, cap: usize) -> Self {
        let counts = core::iter::repeat_with(Count::default)
            .take(workers)
            .collect();
        Self {
            counts,
            total: AtomicUsize::new(0),
            cap,
            draining: AtomicBool::new(false),
        }
    }

    /// Claims a place for a connection that worker `own` accepted. `None` when the cap is reached.
    pub(super) fn claim(&self, own: usize) -> Option<usize> {
        let below_cap = |total: usize| (total < self.cap).then_some(total + 1);
        self.total
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, below_cap)
            .ok()?;
        if self.is_draining() {
            self.add(own);
            return Some(own);
        }
        loop {
            let (worker, least) = self.least(own);
            let count = self.counts.get(worker)?;
            let claimed =
                count
                    .0
                    .compare_exchange(least, least + 1, Ordering::AcqRel, Ordering::Relaxed);
            if claimed.is_ok() {
                return Some(worker);
            }
        }
    }

    /// The worker with the fewest connections; of several the first from `own` on, so that a
    /// connection stays where it was accepted if it can.
    fn least(&self, own: usize) -> (usize, usize) {
        let workers = self.counts.len();
        let from_own = (0..workers).map(|step| (own + step) % workers.max(1));
        let counted = from_own.map(|worker| (worker, self.open(worker)));
        counted.min_by_key(|&(_, count)| count).unwrap_or((own, 0))
    }

    fn add(&self, worker: usize) {
        if let Some(count) = self.counts.get(worker) {
            count.0.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Gives back the place of a connection that has closed.
    pub(super) fn release(&self, worker: usize) {
        if let Some(count) = self.counts.get(worker) {
            count.0.fetch_sub(1, Ordering::AcqRel);
        }
        self.total.fetch_sub(1, Ordering::Relaxed);
    }

    /// Moves a claim from a worker that has stopped to another.
    pub(super) fn hand_back(&self, from: usize, to: usize) {
        if let Some(count) = self.counts.get(from) {
            count.0.fetch_sub(1, Ordering::AcqRel);
        }
        self.add(to);
    }

    /// The open connections of a worker.
    pub(super) fn open(&self, worker: usize) -> usize {
        self.counts
            .get(worker)
            .map_or(0, |count| count.0.load(Ordering::Acquire))
    }

    /// Whether a shutdown has begun.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// From now on connections stay with the worker that accepts them. Whether they already did.
    pub(super) fn drain(&self) -> bool {
        self.draining.swap(true, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(placement: &Placement, workers: usize) -> usize {
        let counts: Vec<_> = (0..workers).map(|worker| placement.open(worker)).collect();
        counts.iter().max().unwrap() - counts.iter().min().unwrap()
    }

    #[test]
    fn whoever_accepts_counts_differ_by_max_score_one() {
        let placement = Placement::new(4, usize::MAX);
        for accepted in 0..1000 {
            placement.claim(accepted * accepted % 3).unwrap();
            assert!(spread(&placement, 4) <= 1);
        }
    }

    #[test]
    fn many_threads_at_once_still_differ_by_max_score_one() {
        let placement = Placement::new(5, usize::MAX);
        std::thread::scope(|scope| {
            for own in 0..5 {
                let placement = &placement;
                scope.spawn(move || (0..997).for_each(|_| assert!(placement.claim(own).is_some())));
            }
        });
        assert!(spread(&placement, 5) <= 1);
        assert_eq!(
            (0..5).map(|worker| placement.open(worker)).sum::<usize>(),
            5 * 997
        );
    }

    #[test]
    fn the_cap_is_exact_and_a_close_makes_room() {
        let placement = Placement::new(2, 3);
        let first = placement.claim(0).unwrap();
        placement.claim(0).unwrap();
        placement.claim(0).unwrap();
        assert_eq!(placement.claim(0), None);
        placement.release(first);
        assert!(placement.claim(1).is_some());
        assert_eq!(placement.claim(1), None);
    }

    #[test]
    fn a_tie_stays_where_it_was_accepted_and_a_shutdown_keeps_all_there() {
        let placement = Placement::new(4, usize::MAX);
        assert_eq!(placement.claim(2), Some(2));
        assert_eq!(placement.claim(2), Some(3));
        assert!(!placement.drain() && placement.drain());
        assert_eq!(placement.claim(2), Some(2));
        assert_eq!(placement.claim(2), Some(2));
    }
}
