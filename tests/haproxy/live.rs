//! `spoa ctl ban` and `unban`, seen by a client on a connection that stays open.

use core::net::IpAddr;
use std::time::{Duration, Instant};

use crate::rig::{Open, Version};
use crate::support::{Endpoint, Program, Scratch, until};

each_version!(ban_and_unban);

/// How long after the command the next request may still be let in.
const IN_FORCE: Duration = Duration::from_millis(200);

fn ban_and_unban(version: Version) {
    let scratch = Scratch::new();
    let config = scratch.write(
        "spoa.toml",
        "[live]\nstore = \"live.db\"\n[reputation]\nignore-private = false\n",
    );
    let admin = scratch.bind("admin.sock");
    let agent = Program::configured(&config, &["--admin", &admin]);
    let endpoint = Endpoint::of(&agent);
    until("it is up", || endpoint.get("/readyz").status == 200);
    let ctl = |args: &[&str]| {
        let ended = Program::run(&[&["ctl", "--admin", &admin], args].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.stdout
    };
    let open = Open {
        frontend: "http-request deny deny_status 403 if { var(sess.iprep.ip_score) -m int lt 20 }",
        messages: "\
spoe-message check-client-ip
    args src
    event on-frontend-http-request
",
        ..Open::default()
    };
    let proxy = open.setup(version).agent(agent.address()).start();
    let client = IpAddr::from([127, 0, 0, 1]);
    let other = IpAddr::from([127, 0, 0, 2]);
    let mut connection = proxy.connect(client);
    let mut neighbor = proxy.connect(other);
    let mut status = || connection.ask("", b"").map(|it| it.status).ok();
    assert_eq!(status(), Some(200));
    for _ in 0..3 {
        ctl(&["ban", "127.0.0.1", "--for", "1h"]);
        let confirmed = Instant::now();
        assert_eq!(status(), Some(403));
        assert!(confirmed.elapsed() < IN_FORCE, "{:?}", confirmed.elapsed());
        let of_neighbor = neighbor.ask("", b"").map(|it| it.status).ok();
        assert_eq!(of_neighbor, Some(200));
        assert_eq!(ctl(&["unban", "127.0.0.1"]), "1\n");
        assert_eq!(status(), Some(200));
    }
    agent.stop();
}
