//! Why a list of payload rules is invalid.

use core::fmt;

use super::PAYLOAD_RULES_MAX;

/// Why rules cannot be used. It names the rule by its index, counted from 0, and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayloadError {
    /// More than [`PAYLOAD_RULES_MAX`].
    TooMany {
        /// How many there are.
        rules: usize,
    },
    /// A rule without a name.
    Nameless {
        /// Its index.
        index: usize,
    },
    /// A prefix of no bytes, which every payload has.
    EmptyPrefix {
        /// Its index.
        index: usize,
        /// Its name.
        name: String,
    },
    /// A pattern that is no regular expression over bytes.
    Syntax {
        /// Its index.
        index: usize,
        /// Its name.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// A pattern whose program would be too large, such as a repetition of a repetition.
    TooLarge {
        /// Its index.
        index: usize,
        /// Its name.
        name: String,
    },
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { rules } => {
                write!(
                    f,
                    "{rules} payload rules; at most {PAYLOAD_RULES_MAX} can be used"
                )
            }
            Self::Nameless { index } => {
                write!(f, "payload rule {} has no name; give it one", index + 1)
            }
            Self::EmptyPrefix { name, .. } => write!(
                f,
                "payload rule {name}: the prefix is empty, so that every payload has it; \
                 give at least one byte"
            ),
            Self::Syntax { name, what, .. } => {
                write!(
                    f,
                    "payload rule {name}: not a regular expression over bytes: {what}"
                )
            }
            Self::TooLarge { name, .. } => write!(
                f,
                "payload rule {name}: the pattern is too large; make its repetitions shorter"
            ),
        }
    }
}

impl core::error::Error for PayloadError {}
