//! haproxy-conf/check-buffer with the payload rules of haproxy-conf/spoa.toml: devices that speak
//! their own protocol get in, and everything else is refused, by its first bytes.

use core::net::IpAddr;

use crate::rig::{Connection, Proxy, Setup, Version, repository};
use crate::support::Program;

each_version!(protocols, bytes_that_come_later);

const CLIENT: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(127, 0, 0, 2));

fn start(version: Version) -> (Program, Proxy) {
    let config = repository().join("haproxy-conf/spoa.toml");
    let agent = Program::start(&["-n", "2", "-f", config.to_str().unwrap()]);
    let setup = Setup::sample(version, "check-buffer").agent(agent.address());
    let proxy = setup.set("SPOA_RATE", "1000000").start();
    (agent, proxy)
}

/// Sends bytes, the last of which ends the origin's line; what the origin counted, or `None` if the
/// client was refused.
fn send(client: &mut Connection, bytes: &[u8]) -> Option<usize> {
    // Whoever is refused learns it while it sends, or afterwards.
    let sent = client.send(bytes).and_then(|()| client.finish());
    let answer = sent.and_then(|()| client.rest());
    answer.ok()?.trim_end().parse().ok()
}

fn protocols(version: Version) {
    let (agent, proxy) = start(version);
    let long = [&b"@NTC"[..], &[b'x'; 1000], b"\n"].concat();
    let cases: [(&[u8], &str, bool); 9] = [
        (
            b"@NTC\x01\x00\x00\x00\x7f\x7f*>S:123456789012345\n",
            "device",
            true,
        ),
        (&long, "device", true),
        (b"@NTC\n", "device", true),
        (b"@NT\n", "junk", false),
        (b" @NTC\n", "junk", false),
        (
            b"GET / HTTP/1.1\r\nhost: example.org\r\n\r\n",
            "http",
            false,
        ),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n",
            "tls",
            false,
        ),
        (b"SSH-2.0-scanner\r\n", "junk", false),
        (b"\x00\x00\x00\n", "junk", false),
    ];
    for (bytes, rule, is_let_in) in cases {
        let mut client = proxy.connect(CLIENT);
        let counted = send(&mut client, bytes);
        let logged = proxy.logged(&client.name);
        let shown = bytes.escape_ascii().to_string();
        assert_eq!(logged.field("payload"), Some(rule), "{shown}");
        assert_eq!((logged.score, logged.error), (Some(100), None), "{shown}");
        assert_eq!(counted, is_let_in.then_some(bytes.len()), "{shown}");
    }
    // Each asks once about the address and once about the buffer.
    proxy.assert_all_answered(2 * cases.len());
    agent.stop();
}

/// A client that ends without a byte matches no rule, and is not refused for that.
fn bytes_that_come_later(version: Version) {
    let (agent, proxy) = start(version);
    let mut client = proxy.connect(CLIENT);
    send(&mut client, b"");
    let logged = proxy.logged(&client.name);
    assert_eq!((logged.field("payload"), logged.error), (None, None));
    // The next connection is judged by itself.
    let mut client = proxy.connect(CLIENT);
    assert_eq!(send(&mut client, b"@NTC\n"), Some(5));
    proxy.assert_all_answered(4);
    agent.stop();
}
