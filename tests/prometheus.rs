//! Prometheus itself agrees: its own checker finds nothing wrong with `/metrics`, a real Prometheus
//! scrapes it, and docs/metrics.md lists every metric. `SPOA_BLESS=1` writes that list.
//!
//! The programs come from Debian by way of scripts/prometheus. Where they cannot be had the test fails
//! and says so, unless `SPOA_WITHOUT_PROMETHEUS=1` says that it is known.

#![cfg(test)]
#![cfg(feature = "admin")]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use support::{Endpoint, Peer, Program, Scratch, eventually};

const CONFIG: &str = "\
[reputation]
actions = [{ name = \"deny\", max-score = 20 }]
[[feed]]
name = \"lots of \\\"quotes\\\" and \\\\ and ü\"
path = \"bad.txt\"
[live]
[behavior]
";

fn agent() -> (Scratch, Program, Endpoint) {
    let scratch = Scratch::new();
    scratch.write("bad.txt", "192.0.2.0/24\n");
    let config = scratch.write("spoa.toml", CONFIG);
    let agent = Program::configured(&config, &["--admin", "127.0.0.1:0"]);
    let endpoint = Endpoint::of(&agent);
    (scratch, agent, endpoint)
}

/// The folder with prometheus and promtool, if they are here.
fn programs() -> Option<PathBuf> {
    if std::env::var_os("SPOA_WITHOUT_PROMETHEUS").is_some() {
        eprintln!("NOT TESTED with Prometheus: SPOA_WITHOUT_PROMETHEUS is set");
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/prometheus");
    let output = Command::new(script).output().unwrap();
    assert!(
        output.status.success(),
        "{}; SPOA_WITHOUT_PROMETHEUS=1 leaves this out",
        String::from_utf8_lossy(&output.stderr)
    );
    let folder = String::from_utf8(output.stdout).unwrap();
    Some(PathBuf::from(folder.trim()))
}

#[test]
fn promtool_finds_nothing_wrong() {
    let Some(programs) = programs() else { return };
    let (_scratch, agent, endpoint) = agent();
    let mut peer = Peer::greeted(agent.address());
    peer.asks(10);
    let metrics = endpoint.get("/metrics").body;
    let mut check = Command::new(programs.join("promtool"));
    check.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut check = check
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check
        .stdin
        .take()
        .unwrap()
        .write_all(metrics.as_bytes())
        .unwrap();
    let said = check.wait_with_output().unwrap();
    let text = [said.stdout, said.stderr].concat();
    assert!(
        said.status.success() && text.is_empty(),
        "{}",
        String::from_utf8_lossy(&text)
    );
}

/// Killed when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_real_prometheus_scrapes_it() {
    let Some(programs) = programs() else { return };
    let (scratch, agent, endpoint) = agent();
    let mut peer = Peer::greeted(agent.address());
    peer.asks(10);
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs: [{{job_name: spoa, static_configs: [{{targets: ['{}']}}]}}]\n",
        endpoint.0
    );
    let config = scratch.write("prometheus.yml", config);
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let mut prometheus = Command::new(programs.join("prometheus"));
    prometheus
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            scratch.path("data").display()
        ))
        .arg(format!("--web.listen-address={port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _prometheus = Killed(prometheus.spawn().unwrap());
    let query = "/api/v1/query?query=sum(spoa_acks_total)";
    eventually("a scrape", || {
        let mut socket = TcpStream::connect(port).ok()?;
        let request = format!("GET {query} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        socket.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        answer.contains("\"10\"]").then_some(())
    });
    drop(peer);
    agent.stop();
}

/// The names of metrics in a text, without the endings of histograms' series.
fn metric_names(text: &str) -> BTreeSet<String> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text.split(|letter| !is_name(letter));
    let names = words.filter(|word| word.starts_with("spoa_") || word.starts_with("process_"));
    let endings = ["_bucket", "_count"];
    let whole = names.map(|name| {
        let base = endings.iter().find_map(|ending| name.strip_suffix(ending));
        base.filter(|base| base.ends_with("_seconds"))
            .unwrap_or(name)
    });
    whole.map(str::to_owned).collect()
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_there_are() {
    let (_scratch, agent, endpoint) = agent();
    let families = endpoint.metrics().families;
    agent.stop();
    for document in ["docs/alerts.yml", "docs/dashboard.json"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
        let names = metric_names(&std::fs::read_to_string(path).unwrap());
        assert!(names.len() >= 10, "{document}: {names:?}");
        for name in names {
            assert!(families.contains_key(&name), "{document}: {name}");
        }
    }
}

#[test]
fn alerts_fire_when_they_have_to() {
    let Some(programs) = programs() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scratch = Scratch::new();
    for (name, path) in [
        ("alerts.yml", "docs/alerts.yml"),
        ("test.yml", "tests/alerts/alerts_test.yml"),
    ] {
        scratch.write(name, std::fs::read(root.join(path)).unwrap());
    }
    for arguments in [
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "test.yml"],
    ] {
        let mut promtool = Command::new(programs.join("promtool"));
        let output = promtool
            .args(arguments)
            .current_dir(scratch.path(""))
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&said)
        );
    }
    let dashboard = std::fs::read_to_string(root.join("docs/dashboard.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            // Grafana's variables stand where PromQL has values.
            let query = target["expr"].as_str().unwrap();
            let query = query
                .replace("$__rate_interval", "5m")
                .replace("$instance", ".*");
            let rule =
                format!("groups: [{{name: x, rules: [{{record: 'x', expr: '{query}'}}]}}]\n");
            let rule = scratch.write("rule.yml", rule);
            let mut promtool = Command::new(programs.join("promtool"));
            let checked = promtool
                .args(["check", "rules"])
                .arg(rule)
                .output()
                .unwrap();
            assert!(checked.status.success(), "{query}: {checked:?}");
        }
    }
}

#[test]
fn the_document_lists_every_metric() {
    let (_scratch, agent, endpoint) = agent();
    let mut table = String::from("| metric | type | what it is |\n|---|---|---|\n");
    for (name, (kind, help)) in endpoint.metrics().families {
        writeln!(table, "| `{name}` | {kind} | {help} |").unwrap();
    }
    agent.stop();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let begin = document.find("| metric |").unwrap();
    let end = begin
        + document[begin..]
            .find("\n\n")
            .map_or(document.len() - begin, |end| end + 1);
    let made = format!("{}{table}{}", &document[..begin], &document[end..]);
    if std::env::var_os("SPOA_BLESS").is_some() {
        std::fs::write(&path, made).unwrap();
        return;
    }
    assert_eq!(
        document, made,
        "docs/metrics.md is behind: SPOA_BLESS=1 cargo test --test prometheus"
    );
}
