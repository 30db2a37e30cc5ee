//! The connections between HAProxy and the agent: opened in a burst, left idle, gone with HAProxy.

use core::net::IpAddr;
use core::time::Duration;

use crate::rig::{Open, Proxy, Version, agent};
use crate::support::{Program, throughout, until};

each_version!(burst, idle, leaving);

/// Clients at once, and what each of them asks.
const CLIENTS: u8 = 32;
const REQUESTS: u8 = 5;
/// `timeout idle` in `idle`.
const IDLE: Duration = Duration::from_millis(100);

fn start(version: Version) -> (Program, Proxy) {
    let agent = agent();
    let proxy = Open::default()
        .setup(version)
        .agent(agent.address())
        .start();
    (agent, proxy)
}

fn assert_scored(proxy: &Proxy, source: IpAddr) {
    let response = proxy.connect(source).ask("", b"").unwrap();
    let error = response.header("x-error");
    assert!(response.number("x-score").is_some(), "error {error}");
}

/// Cold, with all clients at once: HAProxy opens many connections, and needs few of them.
fn burst(version: Version) {
    let (agent, proxy) = start(version);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let proxy = &proxy;
            let source = IpAddr::from([127, 0, 2, client + 1]);
            let ask = move || (0..REQUESTS).for_each(|_| assert_scored(proxy, source));
            scope.spawn(ask);
        }
    });
    let counters = agent.report().all;
    let all = u64::from(CLIENTS) * u64::from(REQUESTS);
    assert_eq!(
        (counters.number("notifies"), counters.number("refused")),
        (all, 0)
    );
    assert!(
        counters.number("accepted") < all,
        "connections are used again: {counters:?}"
    );
    proxy.assert_all_answered(all.try_into().unwrap());
}

/// After `timeout idle` HAProxy 2.6 and 3.0 say goodbye with status 2. 3.2 ignores that time, and
/// keeps its connection.
fn idle(version: Version) {
    let agent = agent();
    let open = Open {
        idle: "100ms",
        ..Open::default()
    };
    let proxy = open.setup(version).agent(agent.address()).start();
    for _ in 0..2 {
        assert_scored(&proxy, [127, 0, 0, 2].into());
        let closed = || agent.report().all.number("open") == 0;
        if version.has_mode_spop() {
            throughout(3 * IDLE, "3.2 keeps its connection", || !closed());
        } else {
            until("all connections closed", closed);
        }
    }
    let counters = agent.report().all;
    let said_goodbye = counters.number("disconnects") > 0;
    assert_eq!(said_goodbye, !version.has_mode_spop(), "{counters:?}");
    assert_eq!(counters.number("refused"), 0);
    proxy.assert_all_answered(2);
}

/// When HAProxy ends, however it leaves, nothing of it stays.
fn leaving(version: Version) {
    let (agent, proxy) = start(version);
    for last in 2..10 {
        assert_scored(&proxy, [127, 0, 0, last].into());
    }
    drop(proxy);
    until("all connections closed", || {
        agent.report().all.number("open") == 0
    });
    let counters = agent.report().all;
    assert_eq!(
        counters.number("accepted"),
        counters.number("closed"),
        "{counters:?}"
    );
    agent.stop();
}
