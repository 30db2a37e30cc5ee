//! What people have to know of a list that is taken as it is.

use super::super::load::LoadedFeed;
use super::super::note::Note;
use super::FeedSlot;

impl FeedSlot {
    /// Says that nothing is left in a list of one's own, which may be so.
    pub(super) fn emptied(&self, good: &LoadedFeed) -> Option<Note> {
        let had = self.good.as_ref().map_or(0, |good| good.data.len());
        let is_emptied = self.list.feed.is_own() && had > 0 && good.data.is_empty();
        is_emptied.then(|| {
            let text = format!("{}: no entry is left of {had}", self.list.title());
            Note::warn(self.name(), text)
        })
    }

    /// Says that lines are wrong, if they were not before.
    pub(super) fn wrong_lines(&self, good: &LoadedFeed) -> Option<Note> {
        let before = self.good.as_ref().map_or(0, |good| good.report.wrong);
        let first = good.report.first_wrong.first()?;
        (good.report.wrong > before).then(|| {
            let (title, wrong, lines) = (self.list.title(), good.report.wrong, good.report.lines);
            let unit = good.report.unit();
            let text = format!(
                "{title}: {wrong} of {lines} {unit}s are wrong and left out, the first: {first}"
            );
            Note::warn(self.name(), text)
        })
    }

    /// Says what is in it and may not be meant, if it was not before.
    pub(super) fn remark(&self, good: &LoadedFeed) -> Option<Note> {
        let notes = &good.report.notes;
        let before = self.good.as_ref().map(|good| &good.report.notes);
        if notes.is_empty() || before == Some(notes) {
            return None;
        }
        let (title, notes) = (self.list.title(), notes.join("; "));
        let text = format!("{title}: in use, but is this meant: {notes}");
        Some(Note::warn(self.name(), text))
    }
}
