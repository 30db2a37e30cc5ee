//! When a list is asked for again.

use core::time::Duration;
use std::time::Instant;

use rand::rngs::{SmallRng, SysRng};
use rand::{RngExt as _, SeedableRng as _, TryRng as _};

/// The first wait after a failure; it doubles with each further one, up to the interval.
const RETRY_FIRST: Duration = Duration::from_secs(30);
/// The shortest time between the starts of two fetches of one URL, however often reloads want it.
const MIN_RELOAD_INTERVAL: Duration = Duration::from_secs(1);
/// How much earlier or later than the interval, so that a fleet does not ask all at once.
const JITTER: f64 = 0.1;
/// The longest interval that the clock is asked to tell.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// One list's next time.
#[derive(Debug, Clone, Copy)]
pub(super) struct FetchTimer {
    /// When it is to be asked for.
    pub(super) at: Instant,
    /// Before this the server does not want to be asked.
    not_before: Option<Instant>,
    /// Whether it is being asked for.
    pub(super) is_asked: bool,
    /// When the last fetch started.
    last_start: Option<Instant>,
    /// Whether somebody wanted it while it was being asked for: what comes may be older than the wish.
    is_wanted: bool,
    failures: u32,
}

/// Chance, for the jitter.
#[derive(Debug)]
pub(super) struct Jitter(SmallRng);

impl Jitter {
    pub(super) fn new() -> Self {
        // Without randomness there is jitter all the same, only the same one after each start.
        let seed = SysRng.try_next_u64().unwrap_or_default();
        Self(SmallRng::seed_from_u64(seed))
    }

    /// A time near the given one.
    pub(super) fn near(&mut self, time: Duration) -> Duration {
        let factor = self.0.random_range(1.0 - JITTER..1.0 + JITTER);
        time.min(LONGEST).mul_f64(factor)
    }
}

impl FetchTimer {
    /// For the first time at this moment.
    pub(super) const fn first(at: Instant) -> Self {
        Self {
            at,
            not_before: None,
            is_asked: false,
            last_start: None,
            is_wanted: false,
            failures: 0,
        }
    }

    /// A fetch starts.
    pub(super) const fn started(&mut self, now: Instant) {
        self.is_asked = true;
        self.last_start = Some(now);
    }

    /// It went well.
    pub(super) fn succeeded(&mut self, interval: Duration, now: Instant) {
        let at = if self.is_wanted {
            self.earliest_reload(now)
        } else {
            now + interval
        };
        *self = Self {
            last_start: self.last_start,
            ..Self::first(at)
        };
    }

    /// It failed.
    pub(super) fn failed(&mut self, interval: Duration, wish: Option<Duration>, now: Instant) {
        let wait = RETRY_FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(interval);
        let at = if self.is_wanted {
            self.earliest_reload(now)
        } else {
            now + wait
        };
        *self = Self {
            at: at.max(now + wish.unwrap_or_default()),
            not_before: wish.map(|wish| now + wish),
            is_asked: false,
            last_start: self.last_start,
            is_wanted: false,
            failures: self.failures.saturating_add(1),
        };
    }

    /// Somebody wants it now.
    pub(super) fn expedite(&mut self, now: Instant) {
        self.is_wanted = self.is_asked;
        let earliest = self.earliest_reload(now);
        self.at = self.not_before.map_or(earliest, |at| at.max(earliest));
    }

    /// When a fetch that a reload wants may start.
    fn earliest_reload(&self, now: Instant) -> Instant {
        self.last_start
            .map_or(now, |last| now.max(last + MIN_RELOAD_INTERVAL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_fails_is_asked_less_and_less() {
        let (start, hour) = (Instant::now(), Duration::from_hours(1));
        let mut due = FetchTimer::first(start);
        let mut waits = Vec::new();
        for _ in 0..9 {
            due.failed(hour, None, start);
            waits.push((due.at - start).as_secs());
        }
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        due.failed(hour, Some(hour * 2), start);
        assert_eq!(due.at, start + hour * 2);
        due.expedite(start);
        assert_eq!(due.at, start + hour * 2, "it does not want to be asked");
        due.succeeded(hour, start);
        due.expedite(start);
        assert_eq!(due.at, start);
        due.is_asked = true;
        due.expedite(start);
        due.succeeded(hour, start);
        assert_eq!((due.at, due.is_asked), (start, false), "once more");
        due.succeeded(hour, start);
        assert_eq!(due.at, start + hour);
    }

    #[test]
    fn reloads_in_a_row_keep_an_interval_between_fetches() {
        let (start, hour) = (Instant::now(), Duration::from_hours(1));
        let mut due = FetchTimer::first(start);
        due.started(start);
        due.expedite(start);
        due.succeeded(hour, start);
        assert_eq!(due.at, start + MIN_RELOAD_INTERVAL, "wanted meanwhile");
        due.started(start + MIN_RELOAD_INTERVAL);
        due.failed(hour, None, start + MIN_RELOAD_INTERVAL);
        due.expedite(start + MIN_RELOAD_INTERVAL);
        assert_eq!(due.at, start + MIN_RELOAD_INTERVAL * 2);
        due.expedite(start + hour);
        assert_eq!(due.at, start + hour);
    }

    #[test]
    fn chance_stays_near() {
        let mut dice = Jitter::new();
        for _ in 0..1000 {
            let time = dice.near(Duration::from_secs(100));
            assert!((90..=110).contains(&time.as_secs()), "{time:?}");
        }
    }
}
