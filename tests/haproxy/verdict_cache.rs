//! haproxy-conf/verdict-cache: the agent is asked once per client for some seconds, and then again,
//! although the client keeps coming.

use core::net::IpAddr;

use crate::rig::{Connection, Oracle, Proxy, Setup, Version};
use crate::support::{Endpoint, Program, Scratch, until};

each_version!(asks_once, asks_again, keeps_the_last_verdict);

/// Longer than a test.
const LONG: &str = "3600";

fn status(connection: &mut Connection) -> Option<u16> {
    connection.ask("", b"").map(|response| response.status).ok()
}

fn start(version: Version, oracle: &Oracle, seconds: &str) -> Proxy {
    Setup::sample(version, "verdict-cache")
        .agent(oracle.address())
        .set("SPOA_VERDICT_SECONDS", seconds)
        .start()
}

/// Both families, and several connections of a client.
fn asks_once(version: Version) {
    let oracle = Oracle::start();
    let proxy = start(version, &oracle, LONG);
    let clients: [(IpAddr, u16); 4] = [
        ([127, 0, 0, 19].into(), 403),
        ([127, 0, 0, 20].into(), 200),
        ([127, 0, 0, 100].into(), 200),
        ("::1".parse().unwrap(), 403),
    ];
    for (client, expected) in clients {
        for _ in 0..3 {
            let mut connection = proxy.connect(client);
            for _ in 0..10 {
                assert_eq!(status(&mut connection), Some(expected), "{client}");
            }
        }
        assert_eq!(oracle.asked(), [client], "asked once");
    }
    proxy.assert_all_answered(clients.len());
}

/// A ban and an unban are in force once the verdict is old, although requests never pause.
fn asks_again(version: Version) {
    let scratch = Scratch::new();
    let config = scratch.write(
        "spoa.toml",
        "[live]\nstore = \"live.db\"\n[reputation]\nignore-private = false\n",
    );
    let admin = scratch.bind("admin.sock");
    let agent = Program::configured(&config, &["--admin", &admin]);
    let endpoint = Endpoint::of(&agent);
    until("the agent is ready", || {
        endpoint.get("/readyz").status == 200
    });
    let proxy = Setup::sample(version, "verdict-cache")
        .agent(agent.address())
        .set("SPOA_VERDICT_SECONDS", "1")
        .start();
    let mut connection = proxy.connect([127, 0, 0, 1].into());
    assert_eq!(status(&mut connection), Some(200));
    for (command, expected) in [("ban", 403), ("unban", 200), ("ban", 403)] {
        let ended = Program::run(&["ctl", "--admin", &admin, command, "127.0.0.1"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        until("the verdict is asked for again", || {
            status(&mut connection) == Some(expected)
        });
    }
    let notifies = agent.report().all.number("notifies");
    let requests = proxy.log.with("127.0.0.1:").len() as u64;
    assert!(
        notifies < requests,
        "{notifies} questions for {requests} requests"
    );
    agent.stop();
}

/// Without an answer, the last verdict of a client stays, and a client without one is served.
fn keeps_the_last_verdict(version: Version) {
    let oracle = Oracle::start();
    // Every verdict is old at once, so each request asks.
    let proxy = start(version, &oracle, "0");
    let bad = IpAddr::from([127, 0, 0, 5]);
    assert_eq!(proxy.visit(bad).response.map(|it| it.status), Some(403));
    drop(oracle);
    until("the agent is gone", || {
        let visit = proxy.visit(bad);
        assert_eq!(visit.response.map(|it| it.status), Some(403));
        visit.log.error.is_some()
    });
    let unknown = proxy.visit([127, 0, 0, 6].into());
    assert_eq!(unknown.response.map(|it| it.status), Some(200));
    assert!(unknown.log.error.is_some());
}
