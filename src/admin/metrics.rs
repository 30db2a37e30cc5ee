//! `/metrics`: the figures as Prometheus reads them. Names and labels are an interface: docs/metrics.md
//! lists them, and a test compares.

mod crowdsec;
mod feeds;
mod fleet;
mod live;

use core::time::Duration;

use super::exposition::{Exposition, Kind, Label};
use super::figures::Figures;
use haproxy_spoa::WorkerReport;

/// A counter that each worker has.
type OfWorker = (&'static str, &'static str, fn(&WorkerReport) -> u64);

const OF_WORKERS: [OfWorker; 23] = [
    (
        "spoa_notifies_total",
        "NOTIFY frames answered, whole or put together from fragments.",
        |it| it.counters.notifies,
    ),
    (
        "spoa_acks_total",
        "ACK frames that were handed to the kernel.",
        |it| it.latency.count(),
    ),
    (
        "spoa_received_bytes_total",
        "Bytes read from HAProxy.",
        |it| it.counters.bytes_in,
    ),
    ("spoa_sent_bytes_total", "Bytes written to HAProxy.", |it| {
        it.counters.bytes_out
    }),
    (
        "spoa_reassembled_notifies_total",
        "NOTIFYs put together from fragments.",
        |it| it.counters.reassembled,
    ),
    (
        "spoa_aborted_notifies_total",
        "Fragmented NOTIFYs that HAProxy gave up.",
        |it| it.counters.aborted,
    ),
    (
        "spoa_unknown_frames_total",
        "Frames of an unknown type, skipped.",
        |it| it.counters.unknown_frames,
    ),
    (
        "spoa_actions_dropped_total",
        "Actions left out of an ACK because they exceed max-frame-size.",
        |it| it.counters.actions_dropped,
    ),
    (
        "spoa_deferred_total",
        "NOTIFYs whose answer was deferred.",
        |it| it.counters.deferred,
    ),
    (
        "spoa_deferred_refused_total",
        "NOTIFYs answered without an action at a limit of deferred answers.",
        |it| it.counters.deferred_refused,
    ),
    (
        "spoa_deferred_expired_total",
        "Deferred answers given up at their timeout.",
        |it| it.counters.expired,
    ),
    (
        "spoa_deferred_late_total",
        "Deferred answers that came after they had been given up.",
        |it| it.counters.late,
    ),
    (
        "spoa_deferred_dropped_total",
        "Deferred answers whose connection had gone.",
        |it| it.counters.dropped,
    ),
    (
        "spoa_backpressure_pauses_total",
        "Times a connection was not read because HAProxy did not fetch its answers.",
        |it| it.counters.paused,
    ),
    (
        "spoa_answers_over_budget_total",
        "Answers that took longer than the processing budget.",
        |it| it.latency.over_budget(),
    ),
    (
        "spoa_connections_accepted_total",
        "Connections taken from a listener by this worker.",
        |it| it.counters.accepted,
    ),
    (
        "spoa_connections_served_total",
        "Connections that this worker served or serves.",
        |it| it.counters.adopted,
    ),
    (
        "spoa_connections_over_cap_total",
        "Connections turned away because the most are open.",
        |it| it.counters.over_cap,
    ),
    (
        "spoa_connections_over_source_limit_total",
        "Connections turned away because their source has as many as one source may have.",
        |it| it.counters.over_source_limit,
    ),
    (
        "spoa_connections_not_allowed_total",
        "Connections closed at once: their address is none of allow-from.",
        |it| it.counters.not_allowed,
    ),
    (
        "spoa_tls_handshakes_total",
        "TLS handshakes completed.",
        |it| it.counters.tls_handshakes,
    ),
    (
        "spoa_tls_refused_total",
        "Connections refused for their certificate, or for having none.",
        |it| it.counters.tls_refused,
    ),
    (
        "spoa_tls_faults_total",
        "Connections that broke TLS, or did not speak it.",
        |it| it.counters.tls_faults,
    ),
];

/// A cause, and how many there were of it.
type ByCause = (&'static str, fn(&WorkerReport) -> u64);

/// Why connections ended, if they did not fail to come about.
const ENDS: [ByCause; 9] = [
    ("disconnect", |it| it.counters.disconnects),
    ("health_check", |it| it.counters.health_checks),
    ("eof", |it| it.counters.eof),
    ("reset", |it| it.counters.reset),
    ("register_failed", |it| it.counters.register_failed),
    ("refused", |it| it.counters.refused),
    ("hello_timeout", |it| it.counters.hello_timeouts),
    ("idle_timeout", |it| it.counters.idle_timeouts),
    ("write_timeout", |it| it.counters.write_timeouts),
];

const ACCEPT_ERRORS: [ByCause; 2] = [
    ("starved", |it| it.counters.accept_starved),
    ("aborted", |it| it.counters.accept_aborted),
];

const STATES: [ByCause; 3] = [
    ("connecting", |it| it.states.connecting as u64),
    ("established", |it| it.states.established as u64),
    ("leaving", |it| it.states.leaving as u64),
];

/// The kinds of things that handlers count: family, label, help.
const TALLIES: [(&str, &str, &str, &str); 3] = [
    (
        "message",
        "spoa_messages_total",
        "message",
        "Messages answered, by name.",
    ),
    (
        "action",
        "spoa_actions_total",
        "action",
        "Answers by the action that their score stands for.",
    ),
    (
        "report",
        "spoa_behavior_reports_total",
        "result",
        "Reports of HAProxy, by what became of them: queued, dropped at a full queue, invalid.",
    ),
];

/// Everything.
pub(super) fn metrics(figures: &Figures) -> String {
    let mut text = Exposition::with_capacity(256 * 1024);
    agent(&mut text, figures);
    workers(&mut text, &figures.report.workers);
    latencies(&mut text, &figures.report.workers);
    tallies(&mut text, figures);
    feeds::feeds(&mut text, figures);
    live::live(&mut text, figures);
    fleet::fleet(&mut text, figures);
    crowdsec::crowdsec(&mut text, figures);
    process(&mut text, figures);
    text.into_text()
}

fn agent(text: &mut Exposition, figures: &Figures) {
    let mut features = vec!["admin"];
    features.extend(cfg!(feature = "http").then_some("http"));
    features.extend(cfg!(feature = "trace").then_some("trace"));
    let features = features.join(",");
    let mut build = text.family("spoa_build_info", Kind::Gauge, "The program. Always 1.");
    let version = env!("CARGO_PKG_VERSION");
    build.sample(&[("version", &version), ("features", &features)], 1);
    let report = &figures.report;
    let mut up = text.family(
        "spoa_worker_up",
        Kind::Gauge,
        "Whether a worker told its figures in time.",
    );
    for worker in &report.workers {
        up.sample(&[("worker", &worker.worker)], 1);
    }
    for worker in &report.silent {
        up.sample(&[("worker", worker)], 0);
    }
    let subject = &figures.subject;
    text.one(
        "spoa_connections_limit",
        Kind::Gauge,
        "The maximum number of connections at once.",
        subject.connections_max,
    );
    let budget = subject.budget.as_secs_f64();
    text.one(
        "spoa_slow_threshold_seconds",
        Kind::Gauge,
        "What answers are measured against.",
        budget,
    );
    let draining = u8::from(figures.draining);
    text.one(
        "spoa_draining",
        Kind::Gauge,
        "Whether a shutdown has begun.",
        draining,
    );
}

fn workers(text: &mut Exposition, workers: &[WorkerReport]) {
    for (name, help, count) in OF_WORKERS {
        let mut family = text.family(name, Kind::Counter, help);
        for worker in workers {
            family.sample(&[("worker", &worker.worker)], count(worker));
        }
    }
    let by_cause: [(_, _, _, _, &[ByCause]); 3] = [
        (
            "spoa_connections",
            Kind::Gauge,
            "state",
            "Open connections.",
            &STATES,
        ),
        (
            "spoa_connections_ended_total",
            Kind::Counter,
            "cause",
            "Connections by what ended them.",
            &ENDS,
        ),
        (
            "spoa_accept_errors_total",
            Kind::Counter,
            "cause",
            "Failures to take a connection.",
            &ACCEPT_ERRORS,
        ),
    ];
    for (name, kind, label, help, causes) in by_cause {
        let mut family = text.family(name, kind, help);
        for worker in workers {
            for (cause, count) in causes {
                let labels: [Label<'_>; 2] = [("worker", &worker.worker), (label, cause)];
                family.sample(&labels, count(worker));
            }
        }
    }
    let help = "Connections ended for a protocol error of the peer, by the status code sent.";
    let mut family = text.family("spoa_connections_rejected_total", Kind::Counter, help);
    for worker in workers {
        for (status, count) in worker.refusals.by_status() {
            let labels: [Label<'_>; 3] = [
                ("worker", &worker.worker),
                ("status", &status.0),
                ("meaning", &status.message()),
            ];
            family.sample(&labels, count);
        }
    }
}

/// The upper bounds of the histogram's buckets, in microseconds.
const BOUNDS_US: [u64; 15] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000,
    1_000_000,
];

fn latencies(text: &mut Exposition, workers: &[WorkerReport]) {
    let bounds = BOUNDS_US.map(Duration::from_micros);
    let names: Vec<_> = bounds
        .iter()
        .map(|it| it.as_secs_f64().to_string())
        .collect();
    let help = "From the read that completed a NOTIFY to the write that sent its ACK; time in the \
                kernel before and after is not in it.";
    let mut family = text.family("spoa_answer_duration_seconds", Kind::Histogram, help);
    for worker in workers {
        let number = &worker.worker;
        for (bound, count) in names.iter().zip(worker.latency.cumulative(&bounds)) {
            family.part("_bucket", &[("worker", number), ("le", bound)], count);
        }
        let count = worker.latency.count();
        family.part("_bucket", &[("worker", number), ("le", &"+Inf")], count);
        let sum = worker.latency.sum().as_secs_f64();
        family.part("_sum", &[("worker", number)], sum);
        family.part("_count", &[("worker", number)], count);
    }
}

fn tallies(text: &mut Exposition, figures: &Figures) {
    let tallies = figures.all.as_ref().map(|all| &all.tallies[..]);
    let tallies = tallies.unwrap_or_default();
    for (kind, name, label, help) in TALLIES {
        let mut family = text.family(name, Kind::Counter, help);
        for tally in tallies.iter().filter(|tally| tally.kind == kind) {
            family.sample(&[(label, &tally.name)], tally.count);
        }
    }
    let mut family = text.family(
        "spoa_verdicts_total",
        Kind::Counter,
        "Verdicts on addresses, by what decided and by the category of a feed's entry.",
    );
    for tally in tallies.iter().filter(|tally| tally.kind == "verdict") {
        let (decided_by, category) = tally.name.split_once(':').unwrap_or((&tally.name, ""));
        let labels: [Label<'_>; 2] = [("decided_by", &decided_by), ("category", &category)];
        family.sample(&labels, tally.count);
    }
}

/// The names that every exporter gives these.
fn process(text: &mut Exposition, figures: &Figures) {
    let process = &figures.process;
    text.one(
        "process_start_time_seconds",
        Kind::Gauge,
        "When the process started, in seconds since 1970.",
        figures.started,
    );
    if let Some(cpu) = process.cpu {
        text.one(
            "process_cpu_seconds_total",
            Kind::Counter,
            "CPU time used, in user and kernel mode.",
            cpu.as_secs_f64(),
        );
    }
    let gauges = [
        (
            "process_resident_memory_bytes",
            "Memory in use.",
            process.resident,
        ),
        (
            "process_virtual_memory_bytes",
            "Address space.",
            process.address_space,
        ),
        ("process_threads", "Threads.", process.threads),
        ("process_open_fds", "Open files.", process.open_files),
        (
            "process_max_fds",
            "The most files that may be open.",
            process.open_files_max,
        ),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            text.one(name, Kind::Gauge, help, value);
        }
    }
}
