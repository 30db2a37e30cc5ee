//! docs/guide.md: the configurations that it shows are accepted, and do what it says.

use core::net::IpAddr;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use crate::rig::{Oracle, Proxy, Setup, Version, free_port, repository};
use crate::stall::freeze;
use crate::support::{Program, Scratch, Signal, eventually};

each_version!(accepted, fail_open, fail_closed, behind_a_cdn);

/// What a reader of the guide would write, and where.
const FOLDER: &str = "/etc/haproxy/";
const CONFIGS: [&str; 3] = ["www.cfg", "closed.cfg", "cdn.cfg"];
const ENGINES: [&str; 2] = ["iprep.spoe", "cdn.spoe"];
const CLIENT: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(127, 0, 0, 50));
/// The CDN, and whoever claims to be one.
const CDN: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(127, 0, 0, 70));
const STRANGER: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(127, 0, 0, 60));

/// The file that stands in the guide.
fn file(name: &str) -> String {
    let guide = fs::read_to_string(repository().join("docs/guide.md")).unwrap();
    let begin = format!("<!-- file: {name} -->\n```haproxy\n");
    let (_, rest) = guide
        .split_once(&begin)
        .unwrap_or_else(|| panic!("no {name}"));
    rest.split_once("```\n").unwrap().0.to_owned()
}

fn accepted(version: Version) {
    for in_3_1 in [false, true] {
        if in_3_1 && !version.has_mode_spop() {
            continue;
        }
        let folder = Scratch::new();
        folder.write("cdn.lst", "192.0.2.0/24\n");
        for name in CONFIGS.into_iter().chain(ENGINES) {
            let text = file(name).replace(FOLDER, &format!("{}/", folder.path("").display()));
            let text = if in_3_1 {
                text.replace("mode tcp", "mode spop")
            } else {
                text
            };
            folder.write(name, text);
        }
        for name in CONFIGS {
            let mut haproxy = Command::new(version.program());
            let checked = haproxy.args(["-dW", "-c", "-f"]).arg(folder.path(name));
            let checked = checked.output().unwrap();
            assert!(checked.status.success(), "{name}: {checked:?}");
        }
    }
}

/// The same files with the ports of a test, and a header that tells what HAProxy knows.
fn start(version: Version, name: &str, spoe: &str, agent: &str, processing: &str) -> Proxy {
    let log = "    log \"${SPOA_LOG}\" format raw local0\n";
    let mut config = file(name)
        .replace("defaults\n", &format!("defaults\n{log}"))
        .replace("bind :80", "bind \"${SPOA_FRONTEND}\"")
        .replace("192.0.2.80:8000", "\"${SPOA_ORIGIN}\"")
        .replace("127.0.0.1:12345", agent)
        .replace(FOLDER, "\"${TEST_FOLDER}\"/");
    let told = "http-response set-header x-score %[var(sess.iprep.ip_score)]";
    config = config.replace(
        "    default_backend origin",
        &format!("    {told}\n    default_backend origin"),
    );
    if version.has_mode_spop() {
        config = config.replace("mode tcp", "mode spop");
    }
    writeln!(config, "    # {name}").unwrap();
    let times = file(spoe).replace("processing 10ms", &format!("processing {processing}"));
    let setup = Setup::own(version, &config).with(spoe, &times);
    setup.with("cdn.lst", "127.0.0.70\n").start()
}

fn fail_open(version: Version) {
    let oracle = Oracle::start();
    let agent = oracle.address().to_string();
    let proxy = start(version, "www.cfg", "iprep.spoe", &agent, "20s");
    for (last, status) in [(19, 403), (20, 200), (100, 200)] {
        let mut client = proxy.connect([127, 0, 0, last].into());
        assert_eq!(client.ask("", b"").unwrap().status, status, "{last}");
    }
    let nobody = format!("127.0.0.1:{}", free_port());
    let proxy = start(version, "www.cfg", "iprep.spoe", &nobody, "20s");
    let response = proxy.connect([127, 0, 0, 19].into()).ask("", b"").unwrap();
    assert_eq!((response.status, response.header("x-score")), (200, ""));
}

fn fail_closed(version: Version) {
    let config = Scratch::new();
    let config = config.write("spoa.toml", "[deny]\nprefixes = [\"127.0.0.19\"]\n");
    let agent = Program::configured(&config, &[]);
    let address = agent.address().to_string();
    let proxy = start(version, "closed.cfg", "iprep.spoe", &address, "500ms");
    // The origin closes its connection; the client's goes on.
    let mut client = proxy.connect(CLIENT);
    eventually("an answer", || {
        (client.ask("", b"").ok()?.status == 200).then_some(())
    });
    let mut denied = proxy.connect([127, 0, 0, 19].into());
    eventually("a refusal", || {
        (denied.ask("", b"").ok()?.status == 403).then_some(())
    });

    // Its score is there from the request before, and counts for nothing.
    freeze(&agent);
    assert_eq!(client.ask("", b"").unwrap().status, 503);
    // A connection that has none.
    assert_eq!(proxy.connect(CLIENT).ask("", b"").unwrap().status, 503);
    agent.signal(Signal::SIGCONT);
    eventually("an answer again", || {
        (client.ask("", b"").ok()?.status == 200).then_some(())
    });

    let nobody = format!("127.0.0.1:{}", free_port());
    let proxy = start(version, "closed.cfg", "iprep.spoe", &nobody, "500ms");
    assert_eq!(proxy.connect(CLIENT).ask("", b"").unwrap().status, 503);
    agent.stop();
}

fn behind_a_cdn(version: Version) {
    let oracle = Oracle::start();
    let agent = oracle.address().to_string();
    let proxy = start(version, "cdn.cfg", "cdn.spoe", &agent, "20s");
    let ask = |source: IpAddr, headers: &str| {
        let status = proxy.connect(source).ask(headers, b"").unwrap().status;
        let asked: Vec<_> = oracle.asked().iter().map(ToString::to_string).collect();
        (status, asked.join(" "))
    };
    for (source, headers, status, about) in [
        (
            CDN,
            "cf-connecting-ip: 198.51.100.19\r\n",
            403,
            "198.51.100.19",
        ),
        (
            CDN,
            "CF-Connecting-IP: 2001:db8::20\r\n",
            200,
            "2001:db8::20",
        ),
        // What a client has written into another header counts for nothing.
        (
            CDN,
            "x-forwarded-for: 198.51.100.5\r\ncf-connecting-ip: 198.51.100.99\r\n",
            200,
            "198.51.100.99",
        ),
        (CDN, "cf-connecting-ip: nonsense\r\n", 200, "127.0.0.70"),
        (CDN, "", 200, "127.0.0.70"),
        // Whoever is not the CDN speaks for nobody, and cannot hide either.
        (
            STRANGER,
            "cf-connecting-ip: 198.51.100.19\r\n",
            200,
            "127.0.0.60",
        ),
        (
            [127, 0, 0, 19].into(),
            "cf-connecting-ip: 198.51.100.99\r\nx-forwarded-for: 127.0.0.70\r\n",
            403,
            "127.0.0.19",
        ),
    ] {
        assert_eq!(
            ask(source, headers),
            (status, about.to_owned()),
            "{headers:?}"
        );
    }

    // Many clients on one connection, each judged by itself; a refusal does not end it.
    let mut connection = proxy.connect(CDN);
    for (last, status) in [(70, 200), (3, 403), (20, 200), (19, 403), (100, 200)] {
        let headers = format!("cf-connecting-ip: 198.51.100.{last}\r\n");
        assert_eq!(
            connection.ask(&headers, b"").unwrap().status,
            status,
            "{last}"
        );
    }
}
