//! What HAProxy can ask in one NOTIFY and how: several messages, a group, arguments with and
//! without names, a client without an address, an agent on a UNIX socket.

use core::net::IpAddr;

use crate::rig::{Open, Oracle, Version, agent};
use crate::support::{Program, Scratch, until};

each_version!(several, group, argument_names, no_address, agent_addresses);

const CLIENT: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(127, 0, 0, 42));

/// Five messages in one event: three that ask, one without an address and one that nobody knows.
/// SPOE.txt's example sets `ip_score`, the Go library's `reputation`.
fn several(version: Version) {
    let oracle = Oracle::start();
    let open = Open {
        agent: "messages no-such-message check-client-ip check-buffer get-ip-reputation ip-rep",
        messages: "\
spoe-message no-such-message
    args src str(x) int(-1) bool(true)
    event on-frontend-http-request
spoe-message check-client-ip
    args src
    event on-frontend-http-request
spoe-message check-buffer
    args buf=req.hdrs
    event on-frontend-http-request
spoe-message get-ip-reputation
    args ip=req.hdr_ip(x-other)
    event on-frontend-http-request
spoe-message ip-rep
    args other=int(4611686018427387904) ip=src
    event on-frontend-http-request
",
        ..Open::default()
    };
    let proxy = open.setup(version).agent(oracle.address()).start();
    for (headers, score) in [("x-other: 2001:db8::21\r\n", 33), ("", 42)] {
        let response = proxy.connect(CLIENT).ask(headers, b"").unwrap();
        assert_eq!(
            response.number("x-score"),
            Some(score),
            "the last one that asks counts"
        );
        assert_eq!(response.number("x-reputation"), Some(42));
        assert_eq!(response.header("x-error"), "");
    }
    let asked: Vec<_> = oracle.asked().iter().map(ToString::to_string).collect();
    let (client, other) = ("127.0.0.42", "2001:db8::21");
    assert_eq!(asked, [client, other, client, client, client]);
    proxy.assert_all_answered(2);
}

/// A group is sent by a rule, when it is wanted and only then.
fn group(version: Version) {
    let oracle = Oracle::start();
    let open = Open {
        frontend: "http-request send-spoe-group iprep on-demand if { req.hdr(x-ask) yes }",
        agent: "groups on-demand",
        messages: "\
spoe-message ip-rep
    args ip=src
spoe-message check-client-ip
    args src
spoe-group on-demand
    messages ip-rep check-client-ip
",
        ..Open::default()
    };
    let proxy = open.setup(version).agent(oracle.address()).start();
    let mut client = proxy.connect(CLIENT);
    let response = client.ask("x-ask: no\r\n", b"").unwrap();
    assert_eq!(
        (response.header("x-score"), response.header("x-error")),
        ("", "")
    );
    assert!(oracle.asked().is_empty());
    let response = client.ask("x-ask: yes\r\n", b"").unwrap();
    assert_eq!(response.number("x-score"), Some(42));
    assert_eq!(response.number("x-reputation"), Some(42));
    assert_eq!(oracle.asked(), [CLIENT, CLIENT]);
    proxy.log.await_text("<GROUP:on-demand>", 0);
    proxy.assert_all_answered(1);
}

/// `args src` sends an argument without a name.
fn argument_names(version: Version) {
    let oracle = Oracle::start();
    for arguments in ["src", "src=src", "ip=src", "str(first) any-name=src"] {
        let messages = format!(
            "spoe-message check-client-ip\n    args {arguments}\n    event on-client-session\n"
        );
        let open = Open {
            messages: &messages,
            ..Open::default()
        };
        let proxy = open.setup(version).agent(oracle.address()).start();
        let response = proxy.connect(CLIENT).ask("", b"").unwrap();
        assert_eq!(response.number("x-score"), Some(42), "args {arguments}");
        let v6 = proxy.connect(IpAddr::V6(core::net::Ipv6Addr::LOCALHOST));
        assert_eq!(
            { v6 }.ask("", b"").unwrap().number("x-score"),
            Some(1),
            "args {arguments}"
        );
    }
}

/// A client on a UNIX socket has no `src`, which HAProxy sends as NULL: no score, and no error.
fn no_address(version: Version) {
    let agent = agent();
    let proxy = Open::default()
        .setup(version)
        .agent(agent.address())
        .start();
    let mut client = proxy.connect_unix();
    let response = client.ask("", b"").unwrap();
    assert_eq!(
        (response.header("x-score"), response.header("x-error")),
        ("", "")
    );
    assert_eq!(agent.report().all.number("notifies"), 1);
    proxy.log.find("its event", 0, |line| {
        line.starts_with("SPOE: [").then_some(())
    });
    proxy.assert_all_answered(1);
}

/// HAProxy reaches the agent over IPv6, and over a UNIX socket, which is gone afterwards.
fn agent_addresses(version: Version) {
    let folder = Scratch::new();
    for bind in ["[::1]:0", &folder.bind("agent")] {
        let agent = Program::start_on(&[bind], &[]);
        let open = Open {
            server: "check inter 100ms",
            ..Open::default()
        };
        let proxy = open.setup(version).agent(agent.address()).start();
        for _ in 0..10 {
            let response = proxy.connect(CLIENT).ask("", b"").unwrap();
            assert!(response.number("x-score").is_some_and(|score| score <= 100));
        }
        proxy.assert_all_answered(10);
        until("a health check", || {
            agent.report().all.number("health_checks") > 0
        });
        drop(proxy);
        agent.stop();
    }
    assert_eq!(folder.names(), [""; 0], "its path goes with it");
}
