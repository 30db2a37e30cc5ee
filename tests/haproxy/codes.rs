//! docs/operating.md: what HAProxy says to a request that the agent's connection cap has cost its answer.
//! Its other codes are seen in `health`, `payload` and `stall`.

use core::net::IpAddr;

use crate::rig::{Open, Version};
use crate::support::{Peer, Program, eventually};

each_version!(connection_cap);

fn connection_cap(version: Version) {
    let agent = Program::start(&["-n", "1", "--max-connections", "1"]);
    let peer = Peer::greeted(agent.address());
    let open = Open {
        processing: "1s",
        ..Open::default()
    };
    let proxy = open.setup(version).agent(agent.address()).start();
    let client = IpAddr::from([127, 0, 0, 2]);
    let response = proxy.connect(client).ask("", b"").unwrap();
    // A DISCONNECT in place of a HELLO: HAProxy tries again until the time is over, and the newer one
    // may take it for a frame that is not valid. Neither shows the status, 13.
    let error = response.number("x-error").unwrap();
    let is_listed = error == 1 || (version.has_mode_spop() && error == 256 + 4);
    assert!(is_listed, "{error}");
    assert_eq!(response.number("x-score"), None);
    drop(peer);
    eventually("a place", || {
        let response = proxy.connect(client).ask("", b"").ok()?;
        response.number("x-score")
    });
}
