//! An agent that answers no more: requests go on without a score once their time is over, and have
//! one again when it answers again.

use core::net::IpAddr;
use core::time::Duration;
use std::fs;
use std::time::Instant;

use crate::rig::{Open, Proxy, Version, agent};
use crate::support::{Program, Signal, eventually, until};

each_version!(stopped_and_continued);

/// Less than what is configured: HAProxy counts from when it last looked at the clock.
const TIME: Duration = Duration::from_millis(150);
/// Requests while the agent is stopped. They are side by side, as clients are.
const WAITING: u8 = 8;

/// A request that nobody refuses: its score, its error, and how long it took.
fn ask(proxy: &Proxy, source: IpAddr) -> (Option<u32>, Option<u32>, Duration) {
    let from = Instant::now();
    let response = proxy.connect(source).ask("", b"").unwrap();
    assert_eq!(response.status, 200);
    (
        response.number("x-score"),
        response.number("x-error"),
        from.elapsed(),
    )
}

fn stopped_and_continued(version: Version) {
    let agent = agent();
    let open = Open {
        processing: "200ms",
        ..Open::default()
    };
    let proxy = open.setup(version).agent(agent.address()).start();
    let client = IpAddr::from([127, 0, 0, 2]);
    eventually("a score", || ask(&proxy, client).0);

    freeze(&agent);
    std::thread::scope(|scope| {
        for last in 2..2 + WAITING {
            let proxy = &proxy;
            scope.spawn(move || {
                let (score, error, took) = ask(proxy, [127, 0, 0, last].into());
                assert_eq!((score, error), (None, Some(1)), "a timeout");
                assert!(took >= TIME, "{took:?}");
            });
        }
    });

    agent.signal(Signal::SIGCONT);
    eventually("a score again", || ask(&proxy, client).0);
    // The late answers have confused nobody.
    for _ in 0..20 {
        eventually("scores again", || ask(&proxy, client).0);
    }
    assert_eq!(agent.report().all.number("refused"), 0);
    agent.stop();
}

/// Stops every thread of the agent, and waits until all of them have.
pub(crate) fn freeze(agent: &Program) {
    agent.signal(Signal::SIGSTOP);
    let threads = format!("/proc/{}/task", agent.process().0);
    until("a stopped agent", || {
        let mut threads = fs::read_dir(&threads).unwrap();
        threads.all(|thread| {
            let stat = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
            // The state comes after the name, which is in brackets.
            stat.contains(") T ")
        })
    });
}
