//! Lists of AS numbers that came from a URL: read again when the database of their networks changes.

use std::sync::Arc;

use super::super::background::BackgroundExecutor;
use super::super::lists::Selection;
use super::super::load;
use super::super::outcome::Outcome;
use super::super::source::Stamp;
use super::FeedSlot;

impl FeedSlot {
    /// What its dependencies look like now.
    pub(super) fn stamps(&self) -> Vec<Option<Stamp>> {
        self.dependencies().map(|file| Stamp::at(file)).collect()
    }

    /// Reads the bytes that were fetched again, if another file that they depend on has changed.
    pub(super) fn expand_again(
        &mut self,
        selection: Selection<'_>,
        now: u32,
        background: &BackgroundExecutor,
    ) -> Option<Outcome> {
        let good = self.good.as_ref()?;
        let bytes = good.raw.clone()?;
        if self.dependencies().any(|file| selection.leaves_out(file)) {
            return None;
        }
        let stamps = self.stamps();
        if !selection.is_all() && self.tried_with == stamps {
            return None;
        }
        self.tried_with = stamps;
        let (feed, as_of) = (self.list.feed.clone(), good.as_of.unwrap_or(now));
        let read = background.run(move || {
            let read = load::read_bytes(&feed, &bytes, as_of, now);
            read.map(|good| load::LoadedFeed {
                raw: Some(Arc::clone(&bytes)),
                ..good
            })
        });
        let (last_success, from_cache) = (self.last_success, self.from_cache);
        let outcome = self.take(read, now, background);
        // The source was not asked.
        (self.last_success, self.from_cache) = (last_success, from_cache);
        Some(outcome)
    }
}
