//! The agent on another machine: HAProxy shows a certificate, and nobody else gets in.

use crate::rig::{Open, Proxy, Traffic, Version, free_port, unscored};
use crate::support::{Authority, Leaf, Life, Program, Scratch, until};

each_version!(certificate, refused, checks, takeover);

/// The CAs of both sides, and the files of the agent.
struct Ground {
    folder: Scratch,
    servers: Authority,
    clients: Authority,
    bind: String,
}

impl Ground {
    fn new(address: &str) -> Self {
        let folder = Scratch::new();
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let bind = folder.tls_bind(address, &servers.issue("agent.test"), &clients);
        Self {
            folder,
            servers,
            clients,
            bind,
        }
    }

    /// The words of a `server` line with this certificate, or none.
    fn server(&self, name: &str, leaf: Option<&Leaf>) -> String {
        let ca = self.folder.file("servers.pem", &self.servers.pem);
        let mut words = format!("ssl ca-file {} verify required", ca.display());
        if let Some(leaf) = leaf {
            let crt = self.folder.file(name, &leaf.pem());
            words = format!("{words} crt {}", crt.display());
        }
        words
    }

    /// One that is let in.
    fn good(&self, version: Version, agent: &Program) -> Proxy {
        let leaf = self.clients.issue("haproxy.test");
        let server = self.server("haproxy.pem", Some(&leaf));
        proxy(version, agent, &server, PATIENT)
    }
}

/// `timeout processing` where an answer comes, and where none does.
const PATIENT: &str = "20s";
const IMPATIENT: &str = "300ms";

/// A HAProxy that reaches the agent with these words of a `server` line.
fn proxy(version: Version, agent: &Program, server: &str, processing: &str) -> Proxy {
    let open = Open {
        server,
        processing,
        agent: "messages check-client-ip\n    option dontlog-normal",
        ..Open::default()
    };
    open.setup(version).agent(agent.address()).start()
}

fn scores(proxy: &Proxy, last: u8) -> Option<u32> {
    let mut connection = proxy.connect([127, 0, 0, last].into());
    connection.ask("", b"").unwrap().number("x-score")
}

/// Many questions at once, over TLS from end to end.
fn certificate(version: Version) {
    let ground = Ground::new("127.0.0.1:0");
    let agent = Program::start_on(&[&ground.bind], &["-n", "2"]);
    let proxy = ground.good(version, &agent);
    std::thread::scope(|scope| {
        for client in 2..18 {
            let proxy = &proxy;
            scope.spawn(move || {
                (0..5).for_each(|_| assert!(scores(proxy, client).is_some()));
            });
        }
    });
    let all = agent.report().all;
    assert_eq!((all.number("notifies"), all.number("refused")), (80, 0));
    assert!(all.number("tls_handshakes") > 0, "{all:?}");
    assert_eq!(all.number("tls_refused") + all.number("tls_faults"), 0);
    // It leaves as it leaves without TLS.
    drop(proxy);
    agent.reports("all closed", |report| report.all.number("open") == 0);
    agent.stop();
}

/// Without a certificate, with one of another CA, with one that has expired, and without TLS.
fn refused(version: Version) {
    let ground = Ground::new("127.0.0.1:0");
    let agent = Program::start_on(&[&ground.bind], &["-n", "1"]);
    let other = Authority::new("others").issue("haproxy.test");
    let old = ground.clients.issue_for("haproxy.test", Life::Past);
    let mut refused = 0;
    for (name, leaf) in [("none", None), ("other", Some(&other)), ("old", Some(&old))] {
        let server = ground.server(name, leaf);
        let proxy = proxy(version, &agent, &server, IMPATIENT);
        assert_eq!(scores(&proxy, 2), None, "{name}");
        let before = refused;
        until("a refusal is counted", || {
            refused = agent.report().all.number("tls_refused");
            refused > before
        });
    }
    let proxy = proxy(version, &agent, "", IMPATIENT);
    assert_eq!(scores(&proxy, 2), None);
    let all = agent.reports("what is no TLS is counted", |report| {
        report.all.number("tls_faults") > 0
    });
    assert_eq!(all.all.number("notifies"), 0);
}

/// `option spop-check` goes over TLS as well.
fn checks(version: Version) {
    let ground = Ground::new("127.0.0.1:0");
    let agent = Program::start_on(&[&ground.bind], &["-n", "1"]);
    let leaf = ground.clients.issue("haproxy.test");
    let server = ground.server("haproxy.pem", Some(&leaf)) + " check inter 100ms";
    let proxy = proxy(version, &agent, &server, PATIENT);
    until("the check passes", || {
        proxy
            .stat("agents", "iprep", "check_status")
            .is_ok_and(|status| status == "L7OK")
    });
    let all = agent
        .reports("checks are answered", |report| {
            report.all.number("health_checks") >= 3
        })
        .all;
    assert_eq!(all.number("tls_refused") + all.number("tls_faults"), 0);
}

/// The agent is replaced under traffic, and with it its certificate.
fn takeover(version: Version) {
    let ground = Ground::new(&format!("127.0.0.1:{}", free_port()));
    let old = Program::start_on(&[&ground.bind], &["--drain-timeout", "1m"]);
    let proxy = ground.good(version, &old);
    let mut traffic = Traffic::start(&proxy);
    traffic.more(200, "with a score", |it| it.number("x-score").is_some());
    let renewed = ground.servers.issue("renewed.test");
    ground.folder.file("agent.pem", &renewed.pem());
    let new = Program::start_on(&[&ground.bind], &["--takeover"]);
    traffic.more(200, "with a score", |it| it.number("x-score").is_some());
    old.stop();
    traffic.more(500, "with a score", |it| it.number("x-score").is_some());
    let answers = traffic.stop();
    let lost = unscored(&format!("HAProxy {version}, takeover over TLS"), &answers);
    assert!(lost * 50 < answers.len(), "{lost} of {}", answers.len());
    assert!(new.report().all.number("notifies") >= 500);
    new.stop();
}
