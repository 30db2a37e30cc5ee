//! What went wrong, by kind.

use std::fmt;

/// How an agent can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    ConnectTimeout,
    HelloClosed,
    HelloTimeout,
    HelloRefused,
    HelloTerms,
    Garbage,
    UnexpectedFrame,
    Closed,
    Reset,
    Disconnected,
    Lost,
    Unanswered,
    TooBig,
    AckFlags,
    AckUnknown,
    AckRepeated,
    AckVariable,
    AckScope,
    AckType,
    AckRange,
    DisconnectUnanswered,
}

impl Kind {
    pub(crate) const ALL: [Self; 22] = [
        Self::Connect,
        Self::ConnectTimeout,
        Self::HelloClosed,
        Self::HelloTimeout,
        Self::HelloRefused,
        Self::HelloTerms,
        Self::Garbage,
        Self::UnexpectedFrame,
        Self::Closed,
        Self::Reset,
        Self::Disconnected,
        Self::Lost,
        Self::Unanswered,
        Self::TooBig,
        Self::AckFlags,
        Self::AckUnknown,
        Self::AckRepeated,
        Self::AckVariable,
        Self::AckScope,
        Self::AckType,
        Self::AckRange,
        Self::DisconnectUnanswered,
    ];

    /// The name in JSON, and what it means.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Connect => ("connect", "connections that could not be made"),
            Self::ConnectTimeout => ("connect_timeout", "connects that timed out"),
            Self::HelloClosed => ("hello_closed", "connections closed in place of AGENT-HELLO"),
            Self::HelloTimeout => ("hello_timeout", "HELLOs without an answer in time"),
            Self::HelloRefused => ("hello_refused", "HELLOs answered with AGENT-DISCONNECT"),
            Self::HelloTerms => ("hello_terms", "AGENT-HELLOs with wrong terms"),
            Self::Garbage => ("garbage", "connections on which came what is not SPOP"),
            Self::UnexpectedFrame => ("unexpected_frame", "frames that do not belong there"),
            Self::Closed => (
                "closed",
                "connections closed by the agent, without DISCONNECT",
            ),
            Self::Reset => ("reset", "connections reset"),
            Self::Disconnected => ("disconnected", "connections ended by AGENT-DISCONNECT"),
            Self::Lost => ("lost", "NOTIFYs whose connection ended before their ACK"),
            Self::Unanswered => ("unanswered", "NOTIFYs without an ACK in time"),
            Self::TooBig => (
                "too_big",
                "connections whose max-frame-size is below the NOTIFY",
            ),
            Self::AckFlags => ("ack_flags", "ACKs without the FIN flag"),
            Self::AckUnknown => ("ack_unknown", "ACKs with ids that were never sent"),
            Self::AckRepeated => ("ack_repeated", "ACKs for a NOTIFY that was answered"),
            Self::AckVariable => ("ack_variable", "ACKs that do not set the variable"),
            Self::AckScope => ("ack_scope", "ACKs that set it in another scope"),
            Self::AckType => (
                "ack_type",
                "ACKs that set it to something other than an integer",
            ),
            Self::AckRange => ("ack_range", "ACKs that set it outside 0..=100"),
            Self::DisconnectUnanswered => (
                "disconnect_unanswered",
                "DISCONNECTs without AGENT-DISCONNECT",
            ),
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        self.words().0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words().1)
    }
}

/// Counts by kind, each with what was seen first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) count: u64,
    /// The first case, in words.
    pub(crate) first: String,
}

impl Tally {
    pub(crate) fn count(&mut self, kind: Kind, count: u64, first: impl FnOnce() -> String) {
        match self.entries.iter_mut().find(|entry| entry.kind == kind) {
            Some(entry) => entry.count += count,
            None if count > 0 => self.entries.push(Entry {
                kind,
                count,
                first: first(),
            }),
            None => {}
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for entry in other.entries {
            self.count(entry.kind, entry.count, || entry.first);
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.entries.iter().map(|entry| entry.count).sum()
    }

    /// Those that happened, in the order of [`Kind::ALL`].
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        Kind::ALL
            .iter()
            .filter_map(|&kind| self.entries.iter().find(|entry| entry.kind == kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_case_is_kept_and_counts_add_up() {
        let mut tally = Tally::default();
        tally.count(Kind::Lost, 0, || "none".to_owned());
        assert_eq!(tally.entries().count(), 0);
        tally.count(Kind::AckRange, 2, || "101".to_owned());
        let mut other = Tally::default();
        other.count(Kind::AckRange, 1, || "102".to_owned());
        other.count(Kind::Connect, 1, || "refused".to_owned());
        tally.merge(other);
        let seen: Vec<_> = tally
            .entries()
            .map(|entry| (entry.kind, entry.count, entry.first.as_str()))
            .collect();
        assert_eq!(
            seen,
            [(Kind::Connect, 1, "refused"), (Kind::AckRange, 3, "101")]
        );
        assert_eq!(tally.total(), 4);
    }

    #[test]
    fn every_kind_is_listed_once_and_has_a_name_of_its_own() {
        let names: std::collections::HashSet<_> =
            Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
    }
}
