//! What comes of reading a list, for the engine and for people.

use super::note::Note;

/// What came of a look at a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Whether there is something new to make a table of.
    pub(super) is_new: bool,
    /// Whether there was something that is not used.
    pub(super) is_refused: bool,
    /// What people have to know, if they do not know it yet.
    pub(super) note: Option<Note>,
    /// What is in it and may not be meant.
    pub(super) remark: Option<Note>,
    /// The same of its copy on disk.
    pub(super) of_copy: Option<Note>,
}

impl Outcome {
    /// Something new.
    pub(super) const fn new(note: Option<Note>) -> Self {
        Self {
            is_new: true,
            is_refused: false,
            note,
            remark: None,
            of_copy: None,
        }
    }

    /// Nothing that can be used.
    pub(super) const fn refused(note: Option<Note>) -> Self {
        Self {
            is_new: false,
            is_refused: true,
            note,
            remark: None,
            of_copy: None,
        }
    }
}
