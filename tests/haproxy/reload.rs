//! HAProxy is reloaded under traffic, as `systemctl reload` does it: SIGUSR2 to the master.

use std::collections::BTreeSet;

use crate::rig::{Open, Response, Traffic, Version, agent, unscored};

each_version!(reload);

/// Reloads in a row.
const RELOADS: usize = 2;

/// No client notices, and (almost) none goes without a score: new workers connect to the agent, old
/// ones say goodbye to it.
fn reload(version: Version) {
    let agent = agent();
    let quiet = "messages check-client-ip\n    option dontlog-normal";
    let open = Open {
        agent: quiet,
        ..Open::default()
    };
    let proxy = open.setup(version).agent(agent.address()).master().start();
    let mut traffic = Traffic::start(&proxy);
    traffic.more(200, "before", |answer| answer.number("x-score").is_some());
    let mut known = traffic.pids();
    for _ in 0..RELOADS {
        proxy.reload();
        let new = |answer: &Response| !known.contains(answer.header("x-pid"));
        traffic.more(500, "of a new worker", new);
        known.extend(traffic.pids());
    }
    let answers = traffic.stop();
    let workers: BTreeSet<_> = answers
        .iter()
        .map(|answer| answer.header("x-pid"))
        .collect();
    assert_eq!(workers.len(), 1 + RELOADS, "{workers:?}");
    let unscored = unscored(&format!("HAProxy {version}, {RELOADS} reloads"), &answers);
    assert!(
        unscored * 100 < answers.len(),
        "{unscored} of {}",
        answers.len()
    );
    assert_eq!(agent.report().all.number("refused"), 0);
}
