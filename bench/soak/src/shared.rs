//! What all threads share: whether to go on, what was counted, what went wrong.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::admin;

/// Workers of the agent.
pub(crate) const WORKERS: f64 = 2.0;

/// After something went wrong a client is quiet for so long: an agent that is gone is counted, not flooded.
const AFTER_A_FAULT: Duration = Duration::from_secs(1);

/// Different words for what went wrong that are kept.
const WORDS_MAX: usize = 40;

#[derive(Debug, Default)]
pub(crate) struct Shared {
    over: AtomicBool,
    /// Right answers of all clients.
    pub(crate) answered: AtomicU64,
    /// Garbage that was refused as it should be.
    pub(crate) refused: AtomicU64,
    pub(crate) scrapes: AtomicU64,
    /// Of them, those in which a worker was missing.
    pub(crate) partial: AtomicU64,
    pub(crate) bad_lists: AtomicU64,
    pub(crate) good_lists: AtomicU64,
    pub(crate) errors: AtomicU64,
    words: Mutex<BTreeMap<String, u64>>,
    /// Latencies of the probe since the last sample, in nanoseconds.
    latencies: Mutex<Vec<u64>>,
    /// The latest /metrics.
    metrics: Mutex<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    pub(crate) fn end(&self) {
        self.over.store(true, Relaxed);
    }

    /// Waits for a time, or less if all is over.
    pub(crate) fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        while let left = until.saturating_duration_since(Instant::now())
            && !left.is_zero()
            && !self.is_over()
        {
            thread::park_timeout(left.min(Duration::from_millis(200)));
        }
    }

    /// Does the same again and again until all is over, with a pause after each time.
    pub(crate) fn again(
        &self,
        who: &str,
        pause: Duration,
        mut what: impl FnMut() -> Result<(), String>,
    ) {
        while !self.is_over() {
            match what() {
                Ok(()) => self.pause(pause),
                Err(error) => {
                    self.wrong(&format!("{who}: {error}"));
                    self.pause(AFTER_A_FAULT);
                }
            }
        }
    }

    pub(crate) fn wrong(&self, what: &str) {
        self.errors.fetch_add(1, Relaxed);
        let mut words = lock(&self.words);
        if words.len() < WORDS_MAX || words.contains_key(what) {
            *words.entry(what.to_owned()).or_default() += 1;
        }
    }

    pub(crate) fn words(&self) -> Vec<(String, u64)> {
        lock(&self.words)
            .iter()
            .map(|(words, count)| (words.clone(), *count))
            .collect()
    }

    pub(crate) fn took(&self, nanos: u64) {
        lock(&self.latencies).push(nanos);
    }

    pub(crate) fn take_latencies(&self) -> Vec<u64> {
        std::mem::take(&mut lock(&self.latencies))
    }

    /// A scrape in which a worker was too busy to tell its figures has sums that are too low.
    pub(crate) fn scraped(&self, text: String) {
        if admin::sum(&text, "spoa_worker_up") >= WORKERS {
            *lock(&self.metrics) = text;
        } else {
            self.partial.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn metrics(&self) -> String {
        lock(&self.metrics).clone()
    }
}
