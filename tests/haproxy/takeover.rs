//! The agent is replaced under traffic, or restarted: no client fails.

use crate::rig::{Open, Proxy, Response, Traffic, Version, free_port, unscored};
use crate::support::{Program, Scratch};

each_version!(tcp, unix, restart);

fn open(version: Version, agent: &Program, processing: &str) -> Proxy {
    let quiet = "messages check-client-ip\n    option dontlog-normal";
    let open = Open {
        agent: quiet,
        processing,
        ..Open::default()
    };
    open.setup(version).agent(agent.address()).start()
}

fn tcp(version: Version) {
    let bind = format!("127.0.0.1:{}", free_port());
    take_over(version, &bind);
}

fn unix(version: Version) {
    let folder = Scratch::new();
    take_over(version, &folder.bind("agent"));
    assert_eq!(
        folder.names(),
        [""; 0],
        "the last one takes its path with it"
    );
}

/// The new one starts beside the old one, which is then told to stop.
fn take_over(version: Version, bind: &str) {
    let old = Program::start_on(&[bind], &["--drain-timeout", "1m"]);
    let proxy = open(version, &old, "20s");
    let mut traffic = Traffic::start(&proxy);
    let scored = |answer: &Response| answer.number("x-score").is_some();
    traffic.more(500, "with a score", scored);

    let refused = Program::run(&["--bind", bind]);
    assert!(refused.refusal(1).contains("--takeover"), "{refused:?}");
    let new = Program::start_on(&[bind], &["--takeover"]);
    traffic.more(500, "with a score", scored);
    assert!(old.report().all.number("notifies") > 0);
    // It leaves busy connections with an answer; it does not wait until its time is over, which is
    // longer than a test waits.
    old.stop();
    traffic.more(1500, "with a score", scored);

    let answers = traffic.stop();
    assert!(
        new.report().all.number("notifies") >= 1500,
        "the new one serves"
    );
    let unscored = unscored(&format!("HAProxy {version}, takeover of {bind}"), &answers);
    assert!(
        unscored * 100 < answers.len(),
        "{unscored} of {}",
        answers.len()
    );
    new.stop();
}

/// While there is no agent there are no scores; clients are served all the same.
fn restart(version: Version) {
    let address = format!("127.0.0.1:{}", free_port());
    let agent = Program::start_on(&[&address], &[]);
    // Without a check HAProxy goes on trying, and each request waits for as long as it may.
    let proxy = open(version, &agent, "200ms");
    let mut traffic = Traffic::start(&proxy);
    let scored = |answer: &Response| answer.number("x-score").is_some();
    traffic.more(100, "with a score", scored);
    agent.stop();
    traffic.more(40, "without an agent", |answer| {
        answer.number("x-error").is_some()
    });
    let again = Program::start_on(&[&address], &[]);
    traffic.more(300, "with a score", scored);
    let answers = traffic.stop();
    unscored(&format!("HAProxy {version}, restart"), &answers);
    again.stop();
}
