//! What `-d` shows of a conversation with real HAProxy.

use core::net::IpAddr;

use crate::rig::{Open, Version};
use crate::support::{Program, eventually};

each_version!(conversation);

fn conversation(version: Version) {
    let agent = Program::start(&["-n", "2", "-d"]);
    let proxy = Open::default()
        .setup(version)
        .agent(agent.address())
        .start();
    let client: IpAddr = [127, 0, 0, 99].into();
    let response = proxy.connect(client).ask("", b"").unwrap();
    let score = response.number("x-score").expect("a score");

    let line = |what: &str| {
        eventually(what, || {
            let lines = agent.lines();
            let shown = lines.iter().find_map(|line| line.split_once(what));
            shown.map(|(_, shown)| shown.to_owned())
        })
    };
    let hello = line("<- HAPROXY-HELLO ");
    let offered = if version.has_mode_spop() {
        "pipelining"
    } else {
        "pipelining,async"
    };
    assert!(
        hello.contains(&format!(" capabilities=\"{offered}\"")),
        "{hello}"
    );
    assert!(hello.contains(" supported-versions=\"2.0\""), "{hello}");
    assert!(hello.contains(" max-frame-size=16380"), "{hello}");
    let answer = line("-> AGENT-HELLO ");
    assert!(
        answer.contains(" version=2.0 max-frame-size=16380"),
        "{answer}"
    );
    let notify = line("<- NOTIFY ");
    assert!(
        notify.ends_with(" check-client-ip(=127.0.0.99)"),
        "{notify}"
    );
    let ack = line("-> ACK ");
    assert!(ack.contains(&format!("ip_score={score}")), "{ack}");
}
