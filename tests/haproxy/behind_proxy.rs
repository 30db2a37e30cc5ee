//! haproxy-conf/behind-proxy: X-Forwarded-For counts when a listed proxy sends it.

use core::net::IpAddr;

use crate::rig::{Oracle, Proxy, Setup, Version};

each_version!(forwarded_for, spoofed, one_connection_many_clients);

/// A proxy that is trusted, and one that is not.
const TRUSTED: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(127, 0, 0, 50));
const STRANGER: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(127, 0, 0, 60));

fn start(version: Version) -> (Oracle, Proxy) {
    let oracle = Oracle::start();
    let setup = Setup::sample(version, "behind-proxy").agent(oracle.address());
    let proxy = setup.file("SPOA_TRUSTED", "127.0.0.50\n").start();
    (oracle, proxy)
}

/// A request on a connection of its own; its status, and which address the agent was asked about.
fn ask(oracle: &Oracle, proxy: &Proxy, source: IpAddr, headers: &str) -> (u16, Vec<String>) {
    let response = proxy.connect(source).ask(headers, b"").unwrap();
    let asked = oracle.asked();
    (
        response.status,
        asked.iter().map(ToString::to_string).collect(),
    )
}

fn forwarded_for(version: Version) {
    let (oracle, proxy) = start(version);
    for (headers, status, about) in [
        ("x-forwarded-for: 198.51.100.19\r\n", 403, "198.51.100.19"),
        ("x-forwarded-for: 198.51.100.20\r\n", 200, "198.51.100.20"),
        ("X-Forwarded-For: 2001:db8::13\r\n", 403, "2001:db8::13"),
        ("X-Forwarded-For: 2001:db8::14\r\n", 200, "2001:db8::14"),
        // The client wrote the first itself; the proxy added the last.
        (
            "x-forwarded-for: 203.0.113.99, 198.51.100.7\r\n",
            403,
            "198.51.100.7",
        ),
        (
            "x-forwarded-for: 203.0.113.7\r\nx-forwarded-for: 198.51.100.88\r\n",
            200,
            "198.51.100.88",
        ),
        // The proxy's own request.
        ("", 200, "127.0.0.50"),
    ] {
        let found = ask(&oracle, &proxy, TRUSTED, headers);
        assert_eq!(found, (status, vec![about.to_owned()]), "{headers:?}");
    }
    proxy.assert_all_answered(7);
}

/// Anyone can write the header; only the connection's own address counts then.
fn spoofed(version: Version) {
    let (oracle, proxy) = start(version);
    for headers in [
        "x-forwarded-for: 198.51.100.5\r\n",
        "x-forwarded-for: 127.0.0.50\r\n",
        "x-forwarded-for: 127.0.0.50, 198.51.100.5\r\nx-forwarded-for: 127.0.0.50\r\n",
        "forwarded: for=198.51.100.5\r\nx-real-ip: 198.51.100.5\r\nclient-ip: 198.51.100.5\r\n",
        "x-forwarded-for: not an address\r\n",
        "x-ip-score: 100\r\n",
    ] {
        let found = ask(&oracle, &proxy, STRANGER, headers);
        assert_eq!(found, (200, vec!["127.0.0.60".to_owned()]), "{headers:?}");
        // A stranger with a bad score does not get in with another's address either.
        let bad = ask(&oracle, &proxy, [127, 0, 0, 5].into(), headers);
        assert_eq!(bad, (403, vec!["127.0.0.5".to_owned()]), "{headers:?}");
    }
    // From a trusted proxy, what is no address is none: the proxy's own counts.
    for headers in [
        "x-forwarded-for: not an address\r\n",
        "x-forwarded-for: \r\n",
    ] {
        let found = ask(&oracle, &proxy, TRUSTED, headers);
        assert_eq!(found, (200, vec!["127.0.0.50".to_owned()]), "{headers:?}");
    }
    proxy.assert_all_answered(14);
}

/// Each request of a proxy's connection is judged by itself, and a refusal does not end it.
fn one_connection_many_clients(version: Version) {
    let (oracle, proxy) = start(version);
    let mut connection = proxy.connect(TRUSTED);
    for (last, status) in [(70, 200), (3, 403), (20, 200), (19, 403), (100, 200)] {
        let headers = format!("x-forwarded-for: 198.51.100.{last}\r\n");
        let response = connection.ask(&headers, b"").unwrap();
        assert_eq!(response.status, status, "score {last}");
        if status == 200 {
            assert_eq!(response.number("x-told"), Some(last));
        }
        assert_eq!(
            oracle.asked(),
            [format!("198.51.100.{last}").parse::<IpAddr>().unwrap()]
        );
    }
    proxy.assert_all_answered(5);
}
