//! Events about a list that is used.

use super::super::load::LoadedFeed;
use super::super::note::{Event, Note};
use super::FeedSlot;

impl FeedSlot {
    /// Returns an event if the last entry of a file of `[allow]` or `[deny]` was removed.
    pub(super) fn emptied(&self, good: &LoadedFeed) -> Option<Note> {
        let had = self.good.as_ref().map_or(0, |good| good.data.len());
        let is_emptied = self.list.feed.is_own() && had > 0 && good.data.is_empty();
        is_emptied.then(|| Note::new(self.name(), Event::Emptied { before: had }))
    }

    /// Returns an event if more lines are invalid than before.
    pub(super) fn wrong_lines(&self, good: &LoadedFeed) -> Option<Note> {
        let before = self.good.as_ref().map_or(0, |good| good.report.wrong);
        let first = good.report.first_wrong.first()?;
        (good.report.wrong > before).then(|| {
            let event = Event::InvalidLines {
                invalid: good.report.wrong,
                lines: good.report.lines,
                first: first.to_string(),
            };
            Note::new(self.name(), event)
        })
    }

    /// Returns an event if the findings have changed.
    pub(super) fn remark(&self, good: &LoadedFeed) -> Option<Note> {
        let notes = &good.report.notes;
        let before = self.good.as_ref().map(|good| &good.report.notes);
        if notes.is_empty() || before == Some(notes) {
            return None;
        }
        let findings = notes.join("; ");
        Some(Note::new(self.name(), Event::Suspicious { findings }))
    }
}
