//! The sample `behavior`: failed logins, scans and exceeded rate limits are reported, and lead to a ban.

use core::net::IpAddr;
use std::fs;

use crate::rig::{Proxy, Setup, Version, repository};
use crate::support::{Clock, Endpoint, Program, Scratch, until};

each_version!(misbehavior_is_refused);

/// The agent with the sample's configuration, for clients of this machine.
fn agent(scratch: &Scratch, clock: Option<&Clock>) -> Program {
    let sample = fs::read_to_string(repository().join("haproxy-conf/behavior.toml")).unwrap();
    let config = scratch.write(
        "spoa.toml",
        sample + "[reputation]\nignore-private = false\n",
    );
    let admin = scratch.bind("admin.sock");
    let mut command = Program::command(&["-b", "127.0.0.1:0", "-n", "2", "--admin", &admin, "-f"]);
    command.arg(config);
    if let Some(clock) = clock {
        clock.equip(&mut command);
    }
    let agent = Program::started(command);
    let endpoint = Endpoint::of(&agent);
    until("it is up", || endpoint.get("/readyz").status == 200);
    agent
}

/// The status of a request on a connection of its own; `None`: denied.
fn status(proxy: &Proxy, client: IpAddr, path: &str) -> Option<u16> {
    let mut connection = proxy.connect(client);
    let answer = connection.ask_for(path, "connection: close\r\n", b"");
    answer
        .ok()
        .map(|it| it.status)
        .filter(|status| *status != 403)
}

fn misbehavior_is_refused(version: Version) {
    let scratch = Scratch::new();
    let clock = Clock::new(&scratch);
    let agent = agent(&scratch, clock.as_ref());
    let proxy = Setup::sample(version, "behavior")
        .set("SPOA_RATE", "40")
        .agent(agent.address())
        .start();
    let [customer, guesser, scanner, flooder] =
        [1, 2, 3, 4].map(|last| IpAddr::from([127, 0, 0, last]));
    let points = |client: IpAddr| {
        let path = format!("/behavior?address={client}");
        let answer = Endpoint::of(&agent).get(&path).body;
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        answer[0]["points"].as_f64().unwrap()
    };

    // The sixth bad login in a row is the last one.
    for login in 1..=6 {
        assert_eq!(
            status(&proxy, guesser, "/login"),
            Some(401),
            "login {login}"
        );
        until("it is reported", || {
            points(guesser) > f64::from(login) * 14.0
        });
    }
    assert_eq!(status(&proxy, guesser, "/"), None);
    assert_eq!(status(&proxy, customer, "/"), Some(200));

    // Some pages may be missing; many are a scan.
    let missing = (1..30).take_while(|count| {
        let is_missing = status(&proxy, scanner, "/missing") == Some(404);
        let reported = f64::from(count - 10) * 9.5;
        until("it is reported", || points(scanner) >= reported.min(80.0));
        is_missing
    });
    assert_eq!(missing.count(), 18);

    // Whoever exceeds the rate gets 429, and is banned for going on.
    let statuses: Vec<_> = (1..200)
        .map_while(|count| {
            let status = status(&proxy, flooder, "/");
            let reported = f64::from(count - 40) * 4.5;
            until("it is reported", || points(flooder) >= reported.min(76.0));
            status
        })
        .collect();
    let limited = statuses.iter().filter(|it| **it == 429).count();
    assert_eq!(statuses.len() - limited, 40, "{statuses:?}");
    assert!((16..=17).contains(&limited), "{limited}");

    let logged = proxy.log.find("a report in the log", 0, |line| {
        line.contains("reported=failed-login")
            .then(|| line.to_owned())
    });
    assert!(logged.contains(" 401 "), "{logged}");

    // Half an hour later they are let in again.
    if let Some(clock) = clock {
        clock.step(1800);
        for client in [guesser, scanner] {
            assert_eq!(status(&proxy, client, "/"), Some(200), "{client}");
        }
        // By HAProxy's clock a second has passed.
        assert_eq!(status(&proxy, flooder, "/"), Some(429));
    }
    drop(proxy);
    agent.stop();
}
