//! What verdicts are counted under: names, each with a number.

use std::collections::HashMap;
use std::sync::Arc;

use super::terms::Role;

/// A name that a verdict is counted under, as the table numbers them: [`Table::labels`] has the names.
///
/// [`Table::labels`]: super::Table::labels
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Label(u16);

impl Label {
    /// Nobody decided: all that covers the address has expired or is in shadow.
    pub(super) const NONE: Self = Self(0);

    /// Where its name stands among [`Table::labels`](super::Table::labels).
    #[must_use]
    #[inline]
    pub const fn place(self) -> usize {
        self.0 as usize
    }
}

/// What is counted under `none`, see [`Label::NONE`].
const NONE: &str = "none";
/// What the last number that there is stands for.
const REST: &str = "other";
/// Names that are told apart: a worker goes through all of them when it reports.
const LABELS_MAX: usize = 1024;

/// Numbers names while a table is built.
#[derive(Debug)]
pub(super) struct Labels {
    names: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, Label>,
    /// How many there may be.
    room: usize,
}

impl Labels {
    pub(super) fn new() -> Self {
        Self::with_room(LABELS_MAX)
    }

    fn with_room(room: usize) -> Self {
        let mut labels = Self {
            names: Vec::new(),
            ids: HashMap::new(),
            room,
        };
        labels.label(&Arc::from(NONE));
        labels
    }

    /// The number of a name. Names for which there is none share the last number.
    pub(super) fn label(&mut self, name: &Arc<str>) -> Label {
        if let Some(label) = self.ids.get(name) {
            return *label;
        }
        let is_last = self.names.len() + 1 >= self.room;
        let name = if is_last {
            Arc::from(REST)
        } else {
            Arc::clone(name)
        };
        let place = self.names.len().min(self.room - 1);
        // There is room for no more than `u16` can number.
        let label = Label(u16::try_from(place).unwrap_or(u16::MAX));
        if place == self.names.len() {
            self.names.push(Arc::clone(&name));
            self.ids.insert(name, label);
        }
        label
    }

    pub(super) fn finish(self) -> Arc<[Arc<str>]> {
        self.names.into()
    }
}

/// Returns what a verdict is counted under: what decided, and for a feed's entry its category behind a
/// colon. Private space that feeds do not affect is decided by nothing.
pub(super) fn name(role: Role, category: Option<&str>) -> Arc<str> {
    match (role, category) {
        (Role::Allow, _) => "allow".into(),
        (Role::Deny, _) => "deny".into(),
        (Role::Guard, _) => NONE.into(),
        (Role::Feed, None) => "feed".into(),
        (Role::Feed, Some(category)) => format!("feed:{category}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_one_number_until_there_are_no_more() {
        let mut labels = Labels::with_room(4);
        let places = ["none", "a", "b", "a", "c", "d", "b", "none"];
        let places = places.map(|name| labels.label(&Arc::from(name)).place());
        assert_eq!(places, [0, 1, 2, 1, 3, 3, 2, 0]);
        let names = labels.finish();
        assert_eq!(*names, ["none", "a", "b", "other"].map(Arc::from));
    }
}
