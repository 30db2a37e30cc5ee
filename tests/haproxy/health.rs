//! `option spop-check`: HAProxy knows whether the agent answers, and requests go on without it.

use core::net::IpAddr;

use crate::rig::{Open, Proxy, Version, free_port};
use crate::support::{Program, eventually};

each_version!(up_down_up);

const CLIENT: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(127, 0, 0, 2));

/// Waits until a check has been answered as it should be.
fn await_check(proxy: &Proxy) {
    eventually("a check that passes", || {
        let column = |name| proxy.stat("agents", "iprep", name).ok();
        (column("status")? == "UP" && column("check_status")? == "L7OK").then_some(())
    });
}

/// The score and the error of a request, which is served whatever they are.
fn ask(proxy: &Proxy) -> (Option<u32>, Option<u32>) {
    let response = proxy.connect(CLIENT).ask("", b"").unwrap();
    assert_eq!(response.status, 200);
    (response.number("x-score"), response.number("x-error"))
}

fn up_down_up(version: Version) {
    let address = format!("127.0.0.1:{}", free_port());
    let agent = Program::start_on(&[&address], &[]);
    let open = Open {
        server: "check inter 100ms rise 2 fall 3",
        ..Open::default()
    };
    let proxy = open.setup(version).agent(agent.address()).start();

    // HAProxy takes it for UP before it knows; a check that passed shows that it knows.
    await_check(&proxy);
    assert!(ask(&proxy).0.is_some());
    assert!(agent.report().all.number("health_checks") > 0);
    assert_eq!(agent.report().all.number("refused"), 0);
    assert!(proxy.log.with(" is DOWN").is_empty());

    let before = proxy.log.len();
    agent.stop();
    proxy.log.await_text("Server agents/iprep is DOWN", before);
    // Nobody to ask: at once 2 (a resource) for the older two, 257 (an I/O error) for 3.2.
    let error = if version.has_mode_spop() { 257 } else { 2 };
    assert_eq!(ask(&proxy), (None, Some(error)));

    let before = proxy.log.len();
    let again = Program::start_on(&[&address], &[]);
    proxy.log.await_text(
        "Server agents/iprep is UP, reason: Layer7 check passed",
        before,
    );
    await_check(&proxy);
    eventually("a score", || ask(&proxy).0);
    assert!(again.report().all.number("health_checks") > 0);
}
