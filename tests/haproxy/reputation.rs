//! The agent with lists: who is listed is refused, who is allowed inside a listed range gets in,
//! HAProxy's log says why, and a list that changes is in force without a pause.

use core::net::IpAddr;
use std::fs;
use std::time::Instant;

use crate::rig::{Open, Proxy, Response, Setup, Traffic, Version, repository};
use crate::support::{Program, Scratch, Signal, eventually};

each_version!(sample, one_connection_many_clients, listed_clients, reload);

/// A proxy that may say who the client is.
const TRUSTED: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(127, 0, 0, 50));

/// haproxy-conf/spoa.toml as it is, behind haproxy-conf/behind-proxy.cfg.
fn start(version: Version) -> (Program, Proxy) {
    let config = repository().join("haproxy-conf/spoa.toml");
    let agent = Program::start(&["-n", "2", "-f", config.to_str().unwrap()]);
    let setup = Setup::sample(version, "behind-proxy").agent(agent.address());
    let proxy = setup.file("SPOA_TRUSTED", "127.0.0.50\n").start();
    (agent, proxy)
}

/// Who asks, the status that they get, and what the log says: score, listed, category, reason.
type Case = (
    &'static str,
    u16,
    u32,
    &'static str,
    Option<&'static str>,
    Option<&'static str>,
);

const CASES: [Case; 8] = [
    // Two feeds list it; the one that says most is the reason.
    (
        "203.0.113.9",
        403,
        2,
        "1",
        Some("attacks"),
        Some("scanners:203.0.113.0/24"),
    ),
    (
        "203.0.113.77",
        403,
        10,
        "1",
        Some("attacks"),
        Some("scanners:203.0.113.0/24"),
    ),
    // Allowed inside a listed range.
    (
        "203.0.113.10",
        200,
        100,
        "1",
        None,
        Some("allow:203.0.113.10"),
    ),
    ("192.0.2.1", 200, 100, "1", None, Some("allow:192.0.2.1")),
    // Half a suspicion refuses nobody.
    (
        "198.51.100.20",
        200,
        65,
        "1",
        Some("spam"),
        Some("reported:198.51.100.0/24"),
    ),
    (
        "198.51.100.66",
        403,
        0,
        "1",
        None,
        Some("deny:198.51.100.66"),
    ),
    (
        "2001:db8:bad::1",
        403,
        10,
        "1",
        Some("bruteforce"),
        Some("reported:2001:db8:bad::/48"),
    ),
    // Nobody knows it but a feed that is tried out.
    ("192.0.2.130", 200, 100, "0", None, None),
];

fn sample(version: Version) {
    let (agent, proxy) = start(version);
    for case in CASES {
        let mut connection = proxy.connect(TRUSTED);
        let headers = format!("connection: close\r\nx-forwarded-for: {}\r\n", case.0);
        let response = connection.ask(&headers, b"").unwrap();
        let name = connection.name.clone();
        drop(connection);
        let logged = proxy.logged(&name);
        assert_eq!(
            (response.status, logged.score),
            (case.1, Some(case.2)),
            "{case:?}"
        );
        assert_eq!(logged.error, None, "{case:?}");
        let said = ["listed", "category", "reason"].map(|name| logged.field(name));
        assert_eq!(said, [Some(case.3), case.4, case.5], "{case:?}");
    }
    proxy.assert_all_answered(CASES.len());
    agent.stop();
}

/// What was said of one client does not stay for the next one on the same connection, and a
/// question about nobody says nothing.
fn one_connection_many_clients(version: Version) {
    let (_agent, proxy) = start(version);
    let mut connection = proxy.connect(TRUSTED);
    let name = connection.name.clone();
    for case in CASES {
        let headers = format!("x-forwarded-for: {}\r\n", case.0);
        assert_eq!(
            connection.ask(&headers, b"").unwrap().status,
            case.1,
            "{case:?}"
        );
        let about = format!("client={} ", case.0);
        let expected = format!(
            "score={} listed={} category={} reason={} error=- ",
            case.2,
            case.3,
            case.4.unwrap_or("-"),
            case.5.unwrap_or("-")
        );
        proxy.log.find("its line", 0, |line| {
            let is_it = line.starts_with(&name) && line.contains(&about);
            is_it.then(|| assert!(line.contains(&expected), "{line}"))
        });
    }
}

/// The addresses of the tests' own clients: 127.0.0.0/8 is private space, so the guard is off.
const OWN: &str = r#"
[reputation]
ignore-private = false
[[feed]]
name = "listed"
path = "listed.txt"
[allow]
prefixes = ["127.0.0.77"]
"#;

fn own(version: Version) -> (Scratch, Program, Proxy) {
    let folder = Scratch::new();
    fs::write(folder.path("spoa.toml"), OWN).unwrap();
    fs::write(folder.path("listed.txt"), "127.0.0.64/26\n::1\n").unwrap();
    let config = folder.path("spoa.toml").display().to_string();
    let agent = Program::start(&["-n", "2", "-f", &config]);
    let proxy = Setup::sample(version, "ip-reputation")
        .agent(agent.address())
        .start();
    (folder, agent, proxy)
}

fn listed_clients(version: Version) {
    let (_folder, agent, proxy) = own(version);
    for (source, is_let_in) in [
        (IpAddr::from([127, 0, 0, 63]), true),
        ([127, 0, 0, 64].into(), false),
        ([127, 0, 0, 76].into(), false),
        ([127, 0, 0, 77].into(), true),
        ([127, 0, 0, 127].into(), false),
        ([127, 0, 0, 128].into(), true),
        ("::1".parse().unwrap(), false),
    ] {
        let visit = proxy.visit(source);
        assert_eq!(visit.is_served(), is_let_in, "{visit:?}");
        assert_eq!(visit.log.score, Some(if is_let_in { 100 } else { 0 }));
        assert_eq!(visit.log.error, None);
    }
    proxy.assert_all_answered(7);
    agent.stop();
}

/// A list is replaced, then the configuration: the answer changes, while every client is served and
/// every question answered.
fn reload(version: Version) {
    let (folder, agent) = {
        let folder = Scratch::new();
        fs::write(folder.path("spoa.toml"), OWN).unwrap();
        fs::write(folder.path("listed.txt"), "127.0.0.64/26\n").unwrap();
        let config = folder.path("spoa.toml").display().to_string();
        (folder, Program::start(&["-n", "2", "-f", &config]))
    };
    let quiet = "messages check-client-ip\n    option dontlog-normal";
    let open = Open {
        agent: quiet,
        ..Open::default()
    };
    let proxy = open.setup(version).agent(agent.address()).start();
    let mut traffic = Traffic::start(&proxy);
    let has = |score| move |answer: &Response| answer.number("x-score") == Some(score);
    traffic.more(100, "before", has(100));

    // Traffic comes from 127.0.1.1 and on. A new list takes the place of the old one.
    let next = folder.path("listed.next");
    fs::write(&next, "127.0.0.64/26\n127.0.1.0/24\n").unwrap();
    let from = Instant::now();
    fs::rename(&next, folder.path("listed.txt")).unwrap();
    traffic.more(1, "with the new list", has(0));
    println!(
        "HAProxy {version}: a new list shows after {:?}",
        from.elapsed()
    );
    traffic.more(100, "with the new list", has(0));

    // A list that is no list changes nothing, and says so.
    fs::write(folder.path("listed.txt"), "<html>502 Bad Gateway</html>\n").unwrap();
    eventually("the complaint", || {
        agent
            .lines()
            .into_iter()
            .find(|line| line.contains("listed"))
    });
    traffic.more(100, "in spite of a bad list", has(0));

    // The configuration changes: the feed counts a quarter.
    let weaker = OWN.replace("path =", "weight = 0.25\npath =");
    fs::write(folder.path("listed.txt"), "127.0.1.0/24\n").unwrap();
    fs::write(folder.path("spoa.toml"), weaker).unwrap();
    let from = Instant::now();
    agent.signal(Signal::SIGHUP);
    traffic.more(1, "after SIGHUP", has(75));
    println!("HAProxy {version}: SIGHUP shows after {:?}", from.elapsed());
    traffic.more(100, "after SIGHUP", has(75));

    let answers = traffic.stop();
    for answer in &answers {
        assert_eq!(answer.header("x-error"), "", "an SPOE error");
        assert!(
            [Some(100), Some(0), Some(75)].contains(&answer.number("x-score")),
            "{answer:?}"
        );
    }
    assert_eq!(agent.report().all.number("refused"), 0);
    agent.stop();
}
