//! The fleet: whether it is connected, and what was read and written.

use crate::admin::exposition::{Exposition, Kind};
use crate::admin::figures::Figures;

pub(super) fn fleet(text: &mut Exposition, figures: &Figures) {
    let engine = figures.subject.engine.as_ref();
    let Some(status) = engine.and_then(|(remote, _)| remote.fleet().status()) else {
        return;
    };
    let help = "Whether the log of the fleet is read and written.";
    let connected = u8::from(status.is_connected);
    text.one("spoa_fleet_connected", Kind::Gauge, help, connected);
    if let Some(lag) = status.lag() {
        let help = "Time since the log was last read to its end.";
        text.one(
            "spoa_fleet_lag_seconds",
            Kind::Gauge,
            help,
            lag.as_secs_f64(),
        );
    }
    let help = "Changes of this node that wait to be written.";
    text.one("spoa_fleet_queue", Kind::Gauge, help, status.queue);
    let help = "Nodes that the fleet has seen within seven days.";
    text.one("spoa_fleet_nodes", Kind::Gauge, help, status.nodes.len());
    for (name, help, count) in [
        (
            "spoa_fleet_connects_total",
            "Connections made to the store.",
            status.connects,
        ),
        (
            "spoa_fleet_read_total",
            "Entries read from the log.",
            status.read,
        ),
        (
            "spoa_fleet_written_total",
            "Changes written to the log or the state.",
            status.written,
        ),
        (
            "spoa_fleet_dropped_total",
            "Changes that did not fit into the queue; decisions among them are written later.",
            status.dropped,
        ),
        (
            "spoa_fleet_garbage_total",
            "Entries of the log that make no sense, skipped.",
            status.garbage,
        ),
        (
            "spoa_fleet_gaps_total",
            "Times that the log did not reach back, and the state was read again.",
            status.gaps,
        ),
        (
            "spoa_fleet_losses_total",
            "Times that the store had lost data, and decisions were written again.",
            status.losses,
        ),
        (
            "spoa_fleet_differences_total",
            "Differences between this node and the state, mended.",
            status.differences,
        ),
    ] {
        text.one(name, Kind::Counter, help, count);
    }
}
