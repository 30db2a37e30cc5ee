//! The source that needs no data: every question gets a uniform random score.

use core::net::IpAddr;

use rand::rngs::{SmallRng, SysRng};
use rand::{RngExt as _, SeedableRng as _, TryRng as _};

use super::{Reputation, Score};

/// A uniform random integer 0..=100 for every question, whatever the address.
#[derive(Debug)]
pub struct Random {
    rng: SmallRng,
}

impl Random {
    /// The sequence of one worker. With the same seed every worker has the same sequence in every
    /// process, and no two workers share one.
    #[must_use]
    pub fn seeded(seed: u64, worker: usize) -> Self {
        let mut seeds = SmallRng::seed_from_u64(seed);
        let own = (0..=worker).fold(0, |_, _| seeds.random());
        Self {
            rng: SmallRng::seed_from_u64(own),
        }
    }

    /// A seed from the operating system, for a process that was given none.
    ///
    /// # Errors
    /// If the operating system has no randomness to give.
    pub fn entropy() -> Result<u64, rand::rngs::SysError> {
        SysRng.try_next_u64()
    }
}

impl Reputation for Random {
    #[inline]
    fn score(&mut self, _address: IpAddr) -> Score {
        Score(self.rng.random_range(Score::WORST.0..=Score::BEST.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(seed: u64, worker: usize) -> Vec<u8> {
        let mut random = Random::seeded(seed, worker);
        (0..64)
            .map(|_| random.score([127, 0, 0, 1].into()).value())
            .collect()
    }

    #[test]
    fn the_same_seed_and_worker_is_the_same_sequence_and_nothing_else_is() {
        assert_eq!(sequence(1, 0), sequence(1, 0));
        let mut all: Vec<_> = (0..8)
            .flat_map(|seed| (0..8).map(move |worker| sequence(seed, worker)))
            .collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 64);
    }

    #[test]
    fn scores_cover_0_to_100_evenly() {
        let mut random = Random::seeded(7, 0);
        let mut seen = [0_u32; 101];
        for _ in 0..101_000 {
            seen[usize::from(random.score([192, 0, 2, 1].into()).value())] += 1;
        }
        // 1,000 expected of each; six standard deviations are 190.
        assert!(
            seen.iter().all(|count| (810..1190).contains(count)),
            "{seen:?}"
        );
    }
}
