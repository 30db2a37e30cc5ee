//! The admin endpoint: what it tells is true, and who may tell it to do something is who should. What
//! clients do to it is `admin_clients`' subject.

#![cfg(test)]
#![cfg(feature = "admin")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use haproxy_spop::FrameType;
use support::{
    Endpoint, Habit, Load, Metrics, Peer, Program, Scratch, frames, own_loopback, until,
};

const LIST: &str = "192.0.2.0/24\n198.51.100.7\n";
const CONFIG: &str = "\
[reputation]
actions = [{ name = \"deny\", max-score = 20 }]
[[feed]]
name = \"bad \\\"<b>\\\\\"
path = \"bad.txt\"
default-category = \"worm\"
[[message]]
name = \"check-client-ip\"
vars = [{ name = \"ip_score\", value = \"score\" }, { name = \"action\", value = \"action\" }]
";
const TOKEN: &str = "0123456789abcdef-0123456789abcdef";

/// An agent over a list in a folder of its own, and its endpoint.
fn with_list(args: &[&str]) -> (Scratch, Program, Endpoint) {
    let scratch = Scratch::new();
    scratch.write("bad.txt", LIST);
    let config = scratch.write("spoa.toml", CONFIG);
    let args: Vec<_> = ["--admin", "127.0.0.1:0"]
        .iter()
        .chain(args)
        .copied()
        .collect();
    let agent = Program::configured(&config, &args);
    let endpoint = Endpoint::of(&agent);
    // The line that it listens is there before the endpoint knows.
    until("it is up", || endpoint.get("/readyz").status == 200);
    (scratch, agent, endpoint)
}

/// Asks one question after the other. Each is answered with two variables.
fn ask(peer: &mut Peer, questions: u64) {
    for number in 1..=questions {
        peer.send(&frames::notify(number, 1));
        let ack = peer.frame();
        assert_eq!((ack.kind, ack.ids), (FrameType::ACK, (number, 1)));
    }
}

#[test]
fn metrics_count_what_happened() {
    let (_scratch, agent, endpoint) = with_list(&[]);
    let mut peers = [
        Peer::greeted(agent.address()),
        Peer::greeted(agent.address()),
    ];
    for peer in &mut peers {
        ask(peer, 50);
    }
    let mut rude = Peer::connect(agent.address());
    rude.send(b"GET / HTTP/1.1\r\n\r\n");
    rude.dismissed(3);

    let metrics = endpoint.metrics();
    assert_eq!(metrics.count("spoa_notifies_total", &[]), 100);
    assert_eq!(metrics.count("spoa_notifies_total", &["worker=\"0\""]), 100);
    assert_eq!(metrics.count("spoa_acks_total", &[]), 100);
    assert_eq!(metrics.count("spoa_connections", &["established"]), 2);
    assert_eq!(
        metrics.count("spoa_connections_rejected_total", &["status=\"3\""]),
        1
    );
    assert_eq!(metrics.count("spoa_connections_rejected_total", &[]), 1);
    assert_eq!(
        metrics.count("spoa_messages_total", &["check-client-ip"]),
        100
    );
    assert_eq!(metrics.count("spoa_actions_total", &["deny"]), 100);
    assert_eq!(
        metrics.count("spoa_verdicts_total", &["decided_by=\"feed\"", "worm"]),
        100
    );
    assert_eq!(metrics.count("spoa_worker_up", &[]), 1);
    assert_eq!(
        metrics.count("spoa_feed_entries", &[r#"feed="bad \"<b>\\""#, "ipv4"]),
        2
    );
    assert_eq!(metrics.count("spoa_feed_last_load_successful", &[]), 1);
    assert!(metrics.count("spoa_received_bytes_total", &[]) > 1000);
    assert!(metrics.count("process_resident_memory_bytes", &[]) > 1_000_000);
    assert!(metrics.count("process_open_fds", &[]) > 5);
    every_sample_is_of_a_family(&metrics);
    drop(peers);
    agent.stop();
}

fn every_sample_is_of_a_family(metrics: &Metrics) {
    for key in metrics.samples.keys() {
        let name = key.split('{').next().unwrap();
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end));
        let is_listed = |name: &str| metrics.families.contains_key(name);
        assert!(is_listed(name) || base.is_some_and(is_listed), "{key}");
    }
}

/// The bucket that a percentile falls into is the one that holds what the agent reports.
#[test]
fn a_percentile_falls_into_its_bucket() {
    let (_scratch, agent, endpoint) = with_list(&[]);
    let mut peer = Peer::greeted(agent.address());
    ask(&mut peer, 2000);
    let metrics = endpoint.metrics();
    let said: serde_json::Value = serde_json::from_str(&endpoint.get("/status.json").body).unwrap();
    let said = said["all"]["latency"]["p999"].as_f64().unwrap();
    let mut buckets: Vec<(f64, f64)> = metrics
        .samples
        .iter()
        .filter_map(|(key, count)| {
            let (_, bound) = key
                .strip_prefix("spoa_answer_duration_seconds_bucket{")?
                .split_once("le=\"")?;
            let bound = bound.trim_end_matches("\"}");
            Some((bound.parse().unwrap_or(f64::INFINITY), *count))
        })
        .collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    assert!(
        buckets.is_sorted_by(|one, other| one.1 <= other.1),
        "{buckets:?}"
    );
    assert!((buckets.last().unwrap().1 - 2000.0).abs() < 0.5);
    // The agent counts the 1,999th of 2,000 as the one that 99.9 % did not exceed.
    let above = buckets
        .iter()
        .find(|(_, count)| *count >= 1999.0)
        .unwrap()
        .0;
    assert!(above >= said * 0.99, "{above} and {said}");
    assert_eq!(buckets.len(), 16, "{buckets:?}");
    assert_eq!(
        metrics.count("spoa_answer_duration_seconds_count", &[]),
        2000
    );
    assert!(metrics.sum("spoa_answer_duration_seconds_sum", &[]) > 0.0);
}

#[test]
fn commands_over_tcp_take_the_token_and_come_from_no_browser() {
    let scratch = Scratch::new();
    let token = scratch.write("token", format!("{TOKEN}\n"));
    let (list, agent, endpoint) = with_list(&["--admin-token", token.to_str().unwrap()]);
    let right = format!("Authorization: Bearer {TOKEN}");
    for headers in [
        &[][..],
        &["Authorization: Bearer x"],
        &["Authorization: Basic eA=="],
        &["Origin: http://x"],
    ] {
        let answer = endpoint.post("/reload", headers);
        assert_eq!(answer.status, 403, "{answer:?}");
    }
    list.write("bad.txt", "192.0.2.0/24\n198.51.100.7\n203.0.113.1\n");
    let answer = endpoint.post("/reload", &[&right]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.starts_with("reloaded: "), "{answer:?}");
    assert_eq!(endpoint.metrics().count("spoa_feed_entries", &["ipv4"]), 3);

    // What is not used is told whoever asks, however often.
    list.write("bad.txt", "<html></html>\n");
    for _ in 0..2 {
        let answer = endpoint.post("/reload", &[&right]);
        assert_eq!(answer.status, 409, "{answer:?}");
        assert!(
            answer.body.starts_with("reloaded: ") && answer.body.contains("; not used: "),
            "{answer:?}"
        );
    }
    list.write("bad.txt", "192.0.2.0/24\n198.51.100.7\n");
    assert_eq!(endpoint.post("/reload", &[&right]).status, 200);

    list.write("spoa.toml", "[nonsense]\n");
    let answer = endpoint.post("/reload", &[&right]);
    assert_eq!(answer.status, 409);
    assert!(answer.body.contains("nonsense"), "{answer:?}");
    assert_eq!(
        endpoint
            .metrics()
            .count("spoa_config_reload_failures_total", &[]),
        1
    );

    let (_list, other, open) = with_list(&[]);
    assert_eq!(open.post("/drain", &[&right]).status, 403);
    other.stop();
    agent.stop();
}

#[test]
fn a_unix_socket_takes_commands_by_its_mode_and_leaves_no_trace() {
    let scratch = Scratch::new();
    let address = scratch.bind("admin");
    scratch.write("bad.txt", LIST);
    let keys = format!("[admin]\nbind = \"{address}\"\nunix-mode = \"600\"\n");
    let config = scratch.write("spoa.toml", format!("{keys}{CONFIG}"));
    let mut agent = Program::configured(&config, &[]);
    agent.says("admin endpoint listening");
    let mode = fs::metadata(scratch.path("admin"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let config = config.to_str().unwrap();
    let ctl = |args: &[&str]| {
        let args: Vec<_> = ["ctl"].iter().chain(args).copied().collect();
        let ended = Program::run(&args);
        (ended.code, ended.stdout, ended.stderr)
    };
    let (code, said, _) = ctl(&["status", "-f", config]);
    assert_eq!(code, Some(0));
    assert!(
        said.starts_with("spoa version=") && said.contains("\nfeed="),
        "{said}"
    );
    let (code, said, _) = ctl(&["lookup", "192.0.2.9", "--admin", &address]);
    assert_eq!(code, Some(0));
    assert!(said.starts_with("192.0.2.9  score 0, "), "{said}");
    let (code, said, _) = ctl(&["histogram", "-f", config]);
    assert!(
        code == Some(0) && said.starts_with("worker=0 count=0 "),
        "{said}"
    );
    let (code, said, _) = ctl(&["reload", "-f", config]);
    assert!(code == Some(0) && said.starts_with("reloaded: "), "{said}");
    scratch.write("other.toml", "");
    let (code, _, said) = ctl(&["status", "-f", scratch.path("other.toml").to_str().unwrap()]);
    assert!(code == Some(2) && said[0].contains("--admin"), "{said:?}");
    let answer = Endpoint(address.parse().unwrap()).post("/drain", &["Sec-Fetch-Site: cross-site"]);
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(!agent.has_ended());
    let (code, _, _) = ctl(&["drain", "-f", config]);
    assert_eq!(code, Some(0));
    assert_eq!(agent.wait().code, Some(0));
    assert!(!scratch.path("admin").exists());
    let (code, _, said) = ctl(&["status", "-f", config]);
    assert!(
        code == Some(1) && said[0].contains("no agent answers at"),
        "{said:?}"
    );
}

#[test]
fn it_is_ready_after_the_first_table_and_not_in_a_shutdown() {
    let scratch = Scratch::new();
    let server = support::Server::start(support::Answer::Stalls);
    let url = format!(
        "[[feed]]\nname = \"slow\"\nurl = \"{}\"\nfetch-timeout = \"3s\"\n",
        server.url("/list")
    );
    let config = scratch.write("spoa.toml", url);
    let address = scratch.bind("admin");
    let args = [
        "-f",
        config.to_str().unwrap(),
        "-p",
        "0",
        "--admin",
        &address,
        "--drain-timeout",
        "20s",
    ];
    let agent = Program::spawn(Program::command(&args));
    let endpoint = Endpoint(address.parse().unwrap());
    until("it listens", || scratch.path("admin").exists());
    if cfg!(feature = "http") {
        assert_eq!(endpoint.get("/healthz").status, 200);
        assert_eq!(endpoint.get("/readyz").status, 503);
        assert_eq!(endpoint.get("/metrics").status, 503);
        assert_eq!(endpoint.get("/").status, 503);
    }
    until("it is ready", || endpoint.get("/readyz").status == 200);
    agent.says("INFO listening ");
    let line = agent
        .lines()
        .into_iter()
        .find(|line| line.starts_with("INFO listening "))
        .unwrap();
    let listening = line
        .split("address=")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .to_owned();
    // It is owed the end of its frame, so that the shutdown waits.
    let mut peer = Peer::greeted(&listening.parse().unwrap());
    let whole = frames::notify(1, 1);
    peer.send(&whole[..9]);
    assert_eq!(endpoint.post("/drain", &[]).status, 202);
    until("it is not ready", || endpoint.get("/readyz").status == 503);
    assert!(endpoint.get("/status").body.contains("draining=true"));
    peer.send(&whole[9..]);
    assert_eq!(agent.wait().code, Some(0));
}

#[test]
fn the_page_is_whole_without_a_script_and_escapes_what_others_wrote() {
    let (_scratch, agent, endpoint) = with_list(&[]);
    let mut peer = Peer::greeted(agent.address());
    ask(&mut peer, 10);
    let answer = endpoint.get("/?address=%3Cscript%3Ealert(1)%3C%2Fscript%3E");
    assert_eq!(answer.status, 200);
    let page = &answer.body;
    assert!(
        !page.contains("<b>") && page.contains("bad &quot;&lt;b&gt;"),
        "{page}"
    );
    assert!(
        !page.contains("<script>") && page.contains("&lt;script&gt;alert(1)"),
        "{page}"
    );
    assert!(
        !page.contains("style=\"") && !page.contains("onclick"),
        "{page}"
    );
    for figure in ["Workers", "Lists", "Latency", "Answers", "p99.9"] {
        assert!(page.contains(figure), "{figure}: {page}");
    }
    let nonce = answer.head.split("script-src 'nonce-").nth(1).unwrap();
    let nonce = nonce.split('\'').next().unwrap();
    assert!(
        nonce.len() == 32 && page.contains(&format!("<script nonce=\"{nonce}\">")),
        "{nonce}"
    );
    assert!(
        answer.head.contains("default-src 'none'"),
        "{}",
        answer.head
    );
    let again = endpoint.get("/");
    assert!(!again.head.contains(nonce), "a nonce is used once");
    let outside = page
        .split(['"', '\''])
        .filter(|it| it.starts_with("http:") || it.starts_with("https:") || it.starts_with("//"));
    assert_eq!(outside.count(), 0);
    assert!(
        endpoint
            .get("/?address=192.0.2.1")
            .body
            .contains("192.0.2.1  score 0, ")
    );
    let figures = endpoint.get("/figures");
    assert!(
        figures.status == 200 && !figures.body.contains("<html"),
        "{figures:?}"
    );
    drop(peer);
    agent.stop();
}

#[test]
fn a_place_that_cannot_be_had_is_one_line() {
    let scratch = Scratch::new();
    let file = scratch.write("file", "x");
    let taken = UnixListener::bind(scratch.path("taken")).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = tcp.local_addr().unwrap().to_string();
    let weak = scratch.write("weak", "short\n");
    let (weak, none) = (weak.to_str().unwrap(), scratch.path("none"));
    let (fifo, long) = (
        scratch.path("fifo"),
        scratch.write("long", "x".repeat(65_537)),
    );
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let [fifo, long] = [&fifo, &long].map(|path| path.to_str().unwrap());
    for (args, code, words) in [
        (
            vec!["--admin", "0.0.0.0:0"],
            1,
            "can be reached from other machines",
        ),
        (
            vec!["--admin", "[::]:0"],
            1,
            "can be reached from other machines",
        ),
        (vec!["--admin", "localhost"], 2, "--admin: \"localhost\""),
        (vec!["--admin", &tcp], 1, "is in use by another process"),
        (
            vec!["--admin", &scratch.bind("taken")],
            1,
            "is in use by another process",
        ),
        (vec!["--admin", &scratch.bind("file")], 1, "is not a socket"),
        (
            vec!["--admin", &scratch.bind("no/folder")],
            1,
            "its folder has to exist",
        ),
        (
            vec!["--admin", "127.0.0.1:0", "--admin-token", weak],
            1,
            "fewer than 16 characters",
        ),
        (
            vec![
                "--admin",
                "127.0.0.1:0",
                "--admin-token",
                none.to_str().unwrap(),
            ],
            1,
            "cannot be read",
        ),
        (
            vec!["--admin", "127.0.0.1:0", "--admin-token", fifo],
            1,
            "is not a regular file",
        ),
        (
            vec!["--admin", "127.0.0.1:0", "--admin-token", long],
            1,
            "has more than 65536 bytes",
        ),
        (vec!["--admin-token", weak], 2, "there is no --admin"),
    ] {
        let args: Vec<_> = ["-p", "0"].into_iter().chain(args).collect();
        let ended = Program::run(&args);
        let line = ended.refusal(code);
        assert!(line.contains(words), "{args:?}: {line}");
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "x");
    drop(taken);
    // Nobody listens there any more: the path is taken over.
    let agent = Program::start(&["--admin", &scratch.bind("taken")]);
    assert_eq!(Endpoint::of(&agent).get("/readyz").status, 200);
    assert_eq!(
        Endpoint::of(&agent).post("/reload", &[]).status,
        409,
        "there is nothing to reload"
    );
    agent.stop();
    assert_eq!(scratch.names(), ["fifo", "file", "long", "weak"]);
}

/// On TCP and on a UNIX socket: the newest process answers, and after a rollback the old one.
#[test]
fn a_second_process_takes_the_endpoint_over() {
    let scratch = Scratch::new();
    for address in [format!("{}:12346", own_loopback()), scratch.bind("admin")] {
        let old = Program::start(&["--admin", &address]);
        let listening = old.address().to_string();
        let args = ["--admin", &address, "--takeover"];
        let endpoint = Endpoint(address.parse().unwrap());
        let of = |agent: &Program| format!("process={} ", agent.process().0);
        let answers = |agent: &Program| {
            let own = of(agent);
            until("it answers alone", || {
                (0..8).all(|_| endpoint.get("/status").body.contains(&own))
            });
        };
        let new = Program::start_on(&[&listening], &args);
        answers(&new);
        new.stop();
        answers(&old);

        let foreign = TcpListener::bind((own_loopback(), 0)).unwrap();
        let taken = foreign.local_addr().unwrap().to_string();
        let failing = [&args[..], &["-b", &listening, "-b", &taken]].concat();
        let ended = Program::run(&failing);
        assert!(ended.refusal(1).contains(&taken));
        answers(&old);

        let new = Program::start_on(&[&listening], &args);
        old.stop();
        answers(&new);
        new.stop();
    }
    assert_eq!(scratch.names(), [""; 0]);
}

/// A worker that is stopped from outside is not waited for, and what is known of others is told.
#[test]
fn figures_move_while_somebody_looks() {
    let (_scratch, agent, endpoint) = with_list(&[]);
    let mut load = Load::new();
    load.add(1, Habit::Persistent, agent.address());
    let history = || {
        let body = endpoint.get("/status.json").body;
        let all: serde_json::Value = serde_json::from_str(&body).unwrap();
        all["history"].as_array().unwrap().clone()
    };
    until("two seconds were seen", || {
        let seen = history();
        seen.len() >= 2
            && seen
                .iter()
                .all(|sample| sample["rate"].as_f64().unwrap() > 0.0)
    });
    let patience = Duration::from_secs(1);
    assert!(history()[0]["p999"].as_f64().unwrap() < patience.as_secs_f64() * 30.0);
    drop(load.end());
    agent.stop();
}
