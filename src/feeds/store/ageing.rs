//! Lists whose source has nothing new for longer than `stale-after`: said once, and once that it is over.

use core::time::Duration;

use super::super::note::{Event, Note};
use super::{FeedSlot, FeedStore};

impl FeedStore {
    /// What people have to know of lists that have become stale, or are not any more.
    pub(in super::super) fn stale_notes(&mut self, now: u32) -> Vec<Note> {
        let kept = self.kept.iter_mut();
        kept.filter_map(|kept| kept.stale_note(now)).collect()
    }

    /// The time until the next list is stale of which that is not said yet.
    pub(in super::super) fn until_stale(&self, now: u32) -> Option<Duration> {
        let good = self.kept.iter().filter(|kept| kept.good.is_some());
        let fresh = good.filter(|kept| !kept.is_known_stale);
        let next = fresh.filter_map(FeedSlot::stale_from).min()?;
        // A second later it is so without a doubt.
        Some(Duration::from_secs(u64::from(next.saturating_sub(now)) + 1))
    }
}

impl FeedSlot {
    fn stale_note(&mut self, now: u32) -> Option<Note> {
        // Of a list that was never good another line tells.
        self.good.as_ref()?;
        let from = self.stale_from();
        let is_stale = from.is_some_and(|from| from <= now);
        if core::mem::replace(&mut self.is_known_stale, is_stale) == is_stale {
            return None;
        }
        let after = self
            .list
            .feed
            .stale_after
            .map_or(0, |after| after.as_secs());
        let as_of = from.map(|from| from.saturating_sub(u32::try_from(after).unwrap_or(u32::MAX)));
        Some(if is_stale {
            let event = Event::Stale { last_change: as_of };
            Note::new(self.name(), event)
        } else {
            Note::new(self.name(), Event::Fresh)
        })
    }
}
