//! What people have to know of a list, before it is logged.

use tracing::{Level, info, warn};

/// One line, and the list that it is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Note {
    level: Level,
    /// The list, as the status names it.
    list: String,
    pub(super) text: String,
}

impl Note {
    /// Somebody should look at it.
    pub(super) fn warn(list: impl Into<String>, text: String) -> Self {
        Self {
            level: Level::WARN,
            list: list.into(),
            text,
        }
    }

    /// It is as it should be.
    pub(super) fn info(list: impl Into<String>, text: String) -> Self {
        Self {
            level: Level::INFO,
            list: list.into(),
            text,
        }
    }

    pub(super) fn log(&self) {
        let Self { level, list, text } = self;
        if *level == Level::WARN {
            warn!(feed = list, "{text}");
        } else {
            info!(feed = list, "{text}");
        }
    }
}
