//! haproxy-conf/check-buffer: a TCP service with an allow list and a rate limit, whose first bytes
//! the agent is shown.

use core::net::{IpAddr, Ipv6Addr};

use haproxy_spoa::BindAddress;

use crate::rig::{Connection, Oracle, Proxy, Setup, Version, agent};

each_version!(scores, allow_list, rate_limit);

/// A rate that no test here reaches.
const UNLIMITED: &str = "1000000";
/// The first of them is nothing at all; the last are more than HAProxy's buffer of 16 KB takes.
const SIZES: [usize; 6] = [0, 1, 1000, 16_000, 20_000, 100_000];

fn setup(version: Version, agent: &BindAddress) -> Setup {
    Setup::sample(version, "check-buffer").agent(agent)
}

/// Sends so many bytes and returns what the origin counted, or `None` if it was refused.
fn send(client: &mut Connection, size: usize) -> Option<usize> {
    let mut bytes = vec![b'x'; size];
    if let Some(last) = bytes.last_mut() {
        *last = b'\n';
    }
    // Whoever is refused learns it while it sends, or afterwards.
    let sent = client.send(&bytes).and_then(|()| client.finish());
    let answer = sent.and_then(|()| client.rest());
    answer.ok()?.trim_end().parse().ok()
}

/// Whatever the size of what a client sends first, it gets in with a good score, its bytes arrive,
/// and no question stays open.
fn scores(version: Version) {
    let oracle = Oracle::start();
    let proxy = setup(version, oracle.address())
        .set("SPOA_RATE", UNLIMITED)
        .start();
    for size in SIZES {
        for (source, score) in [([127, 0, 0, 77].into(), 77), ([127, 0, 0, 19].into(), 19)] {
            let mut client = proxy.connect(source);
            let counted = send(&mut client, size);
            let logged = proxy.logged(&client.name);
            assert_eq!(
                (logged.score, logged.error),
                (Some(score), None),
                "{size} bytes"
            );
            if size > 0 {
                assert_eq!(counted, (score >= 20).then_some(size), "score {score}");
            }
        }
    }
    // The score of ::1 is its last byte.
    let mut client = proxy.connect(Ipv6Addr::LOCALHOST.into());
    assert_eq!(send(&mut client, 1), None);
    assert_eq!(proxy.logged(&client.name).score, Some(1));
    // Each asks once about the address and once about the buffer.
    proxy.assert_all_answered(2 * 2 * SIZES.len());
}

fn allow_list(version: Version) {
    let oracle = Oracle::start();
    let setup = setup(version, oracle.address()).set("SPOA_RATE", UNLIMITED);
    let proxy = setup.file("SPOA_ALLOW", "127.0.0.7\n::1\n").start();
    for source in [IpAddr::from([127, 0, 0, 7]), Ipv6Addr::LOCALHOST.into()] {
        let visit = proxy.visit(source);
        assert_eq!((visit.log.score, visit.log.error), (None, None), "{source}");
        assert_eq!(visit.response.expect("allowed").status, 200);
    }
    assert_eq!(
        oracle.asked(),
        [] as [IpAddr; 0],
        "nothing is sent about an allowed client"
    );
    let other = proxy.visit([127, 0, 0, 8].into());
    assert_eq!(
        (other.log.score, other.response.is_some()),
        (Some(8), false)
    );
}

/// An address may open so many connections in 30 seconds; the agent is not asked about more.
fn rate_limit(version: Version) {
    let agent = agent();
    let proxy = setup(version, agent.address())
        .set("SPOA_RATE", "3")
        .start();
    let limited = IpAddr::from([127, 0, 0, 9]);
    let names: Vec<_> = (0..6).map(|_| try_visit(&proxy, limited)).collect();
    for name in &names[..3] {
        assert!(proxy.logged(name).score.is_some());
    }
    // What came later about another address means that nothing more comes about the first.
    let other = try_visit(&proxy, [127, 0, 0, 10].into());
    assert!(proxy.logged(&other).score.is_some());
    assert_eq!(
        proxy.log.with("127.0.0.9:").len(),
        3,
        "a connection over the rate is no visit"
    );
    assert_eq!(agent.report().all.number("notifies"), 2 * 4);
}

/// A visit that may be refused at once; the client's name.
fn try_visit(proxy: &Proxy, source: IpAddr) -> String {
    let mut client = proxy.connect(source);
    send(&mut client, 10);
    client.name
}
