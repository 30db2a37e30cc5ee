//! What a worker counts. Plain numbers, owned by the worker; a report copies them.

/// Declares the counters once: field, name in a report, documentation.
macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $field:ident,)+) => {
        /// Counts since the worker started.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $field: u64,)+
        }

        impl Counters {
            /// Every counter with its name, in a fixed order.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field),)+].into_iter()
            }

            /// Adds another worker's counts.
            pub fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)+
            }
        }
    };
}

counters! {
    /// NOTIFY frames answered, each with one ACK.
    notifies,
    /// Actions left out of an ACK because they did not fit the negotiated max-frame-size.
    actions_dropped,
    /// NOTIFYs whose answer was deferred.
    deferred,
    /// NOTIFYs answered at once, without an action, because a limit of deferred answers was reached.
    deferred_refused,
    /// Deferred answers given up at the timeout: the ACK had no action.
    expired,
    /// Deferred answers that came after they had been given up.
    late,
    /// Deferred answers whose connection had gone.
    dropped,
    /// Connections taken from a listener by this worker.
    accepted,
    /// Connections that this worker served or serves.
    adopted,
    /// Connections closed.
    closed,
    /// Connections refused because the cap was reached.
    over_cap,
    /// Connections refused because their source had as many as one source may have.
    over_source_limit,
    /// Connections closed at once: their address is none of `allow-from`. Not among those accepted.
    not_allowed,
    /// TLS handshakes completed.
    tls_handshakes,
    /// Connections refused for their certificate, or for having none.
    tls_refused,
    /// Connections that broke TLS, or did not speak it.
    tls_faults,
    /// `accept` failed for want of descriptors or memory; the listener rested.
    accept_starved,
    /// `accept` failed because of the connection it would have returned, or for another reason; after
    /// some in a row the listener rested.
    accept_aborted,
    /// Connections closed because the kernel did not register them for events.
    register_failed,
    /// Health checks answered.
    health_checks,
    /// DISCONNECTs answered.
    disconnects,
    /// Connections ended by the peer without a DISCONNECT.
    eof,
    /// Connections that failed: reset, broken pipe and the like.
    reset,
    /// Connections refused for a fault of the peer.
    refused,
    /// Connections whose HELLO did not come in time.
    hello_timeouts,
    /// Connections that were silent for longer than the idle timeout.
    idle_timeouts,
    /// Connections reset because the peer did not read its answers in time.
    write_timeouts,
    /// Frames of an unknown type, skipped.
    unknown_frames,
    /// NOTIFYs put together from fragments.
    reassembled,
    /// Fragmented NOTIFYs that the peer gave up.
    aborted,
    /// Times a connection was not read because its peer did not fetch its answers.
    paused,
    /// Bytes read.
    bytes_in,
    /// Bytes written.
    bytes_out,
}

#[cfg(test)]
mod tests {
    use super::Counters;

    #[test]
    fn counts_add_up_by_name() {
        let mut all = Counters {
            notifies: 2,
            ..Counters::default()
        };
        all.add(&Counters {
            notifies: 3,
            refused: 1,
            ..Counters::default()
        });
        let named: Vec<_> = all.iter().filter(|&(_, count)| count > 0).collect();
        assert_eq!(named, [("notifies", 5), ("refused", 1)]);
    }
}
