//! Against Debian's own crowdsec 1.4.6: its LAPI alone, without a network.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use super::{Agent, config, scratch};
use crate::support::{Scratch, debian, eventually, until};

/// A LAPI that ends with the test.
struct Crowdsec {
    child: Child,
    programs: PathBuf,
    config: PathBuf,
    url: String,
}

impl Drop for Crowdsec {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_config(scratch: &Scratch, programs: &Path, port: u16) -> PathBuf {
    let folder = scratch.path("");
    let folder = folder.to_str().unwrap().trim_end_matches('/');
    let share = programs.join("root");
    let share = share.display();
    for name in ["data", "hub", "patterns", "plugins", "notifications", "log"] {
        fs::create_dir_all(scratch.path(name)).unwrap();
    }
    scratch.write("simulation.yaml", "simulation: false\n");
    scratch.write("profiles.yaml", "name: default\nfilters:\n - Alert.Remediation == true\ndecisions:\n - type: ban\n   duration: 4h\n");
    scratch.write(
        "local.yaml",
        format!("url: http://127.0.0.1:{port}\nlogin: test\npassword: test\n"),
    );
    let text = format!(
        "common:\n  daemonize: false\n  log_media: stdout\n  log_level: info\n  log_dir: {folder}/log\n  working_dir: {folder}\n\
         config_paths:\n  config_dir: {folder}\n  data_dir: {folder}/data\n  simulation_path: {folder}/simulation.yaml\n\
         \x20 hub_dir: {folder}/hub\n  index_path: {folder}/hub/.index.json\n  notification_dir: {folder}/notifications\n\
         \x20 plugin_dir: {share}/usr/lib/crowdsec/plugins\n\
         cscli:\n  output: raw\n\
         db_config:\n  type: sqlite\n  db_path: {folder}/data/crowdsec.db\n\
         api:\n  client:\n    credentials_path: {folder}/local.yaml\n  server:\n    listen_uri: 127.0.0.1:{port}\n\
         \x20   profiles_path: {folder}/profiles.yaml\n    use_forwarded_for_headers: false\n\
         prometheus:\n  enabled: false\n"
    );
    scratch.write("hub/.index.json", "{}\n");
    scratch.write("config.yaml", text)
}

impl Crowdsec {
    fn start(scratch: &Scratch, programs: PathBuf) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let config = write_config(scratch, &programs, port);
        let log = fs::File::create(scratch.path("log/stdout")).unwrap();
        // Its own machine account first, so that cscli may talk to it.
        let added = Command::new(programs.join("cscli"))
            .args(["-c", config.to_str().unwrap(), "machines", "add", "test"])
            .args(["--password", "test", "-f", "/dev/null", "--force"])
            .output()
            .unwrap();
        assert!(added.status.success(), "{added:?}");
        let child = Command::new(programs.join("crowdsec"))
            .args(["-c", config.to_str().unwrap(), "-no-cs"])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let url = format!("http://127.0.0.1:{port}");
        until("the LAPI listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self {
            child,
            programs,
            config,
            url,
        }
    }

    fn cscli(&self, args: &[&str]) -> String {
        let ended = Command::new(self.programs.join("cscli"))
            .args(["-c", self.config.to_str().unwrap()])
            .args(args)
            .output()
            .unwrap();
        assert!(ended.status.success(), "{args:?}: {ended:?}");
        String::from_utf8(ended.stdout).unwrap()
    }
}

#[test]
fn decisions_of_cscli_are_in_force_and_end_with_a_delete() {
    let programs = debian("crowdsec");
    let of_crowdsec = Scratch::new();
    let crowdsec = Crowdsec::start(&of_crowdsec, programs);
    let key = crowdsec.cscli(&["bouncers", "add", "haproxy", "-o", "raw"]);
    let own = scratch();
    own.write("crowdsec.key", "wrong\n");
    let agent = Agent::again(own, &config(&crowdsec.url, ""));
    // A wrong key, and the right one without a reload.
    until("it is refused", || {
        agent.logged("refuses the key (403)") == 1
    });
    agent.scratch.write("crowdsec.key", &key);
    until("it is let in", || agent.status()["connected"] == true);
    let add = |args: &[&str]| {
        crowdsec.cscli(&[&["decisions", "add"], args].concat());
    };
    add(&["--ip", "192.0.2.1", "--duration", "1h", "--reason", "first"]);
    agent.has("192.0.2.1", 0);
    add(&[
        "--ip",
        "192.0.2.1",
        "--duration",
        "3h",
        "--reason",
        "second",
    ]);
    add(&[
        "--range",
        "203.0.113.0/28",
        "--duration",
        "1h",
        "--type",
        "captcha",
    ]);
    add(&["--scope", "AS", "--value", "64496", "--duration", "1h"]);
    add(&["--ip", "2001:db8::1", "--duration", "1h"]);
    agent.has("203.0.113.9", 40);
    agent.has("198.51.100.1", 0);
    agent.has("2001:db8::1", 0);
    assert_eq!(agent.score("2001:db8::2"), 100);
    let both = eventually("both stand in a lookup", || {
        let text = agent.done(&["lookup", "192.0.2.1"]);
        (text.matches("live ban 192.0.2.1 ").count() == 2).then_some(text)
    });
    assert!(both.contains("cscli"), "{both}");
    // All again, as after a restart, is the same.
    let agent = Agent::again(agent.kill(), &config(&crowdsec.url, ""));
    until("all are received", || {
        !agent.status()["last_full"].is_null()
    });
    let text = agent.done(&["lookup", "192.0.2.1"]);
    assert_eq!(text.matches("live ban 192.0.2.1 ").count(), 2, "{text}");
    crowdsec.cscli(&["decisions", "delete", "--ip", "192.0.2.1"]);
    agent.has("192.0.2.1", 100);
    // The LAPI is gone: what is in force stays.
    drop(crowdsec);
    until("it is noticed", || agent.status()["connected"] == false);
    assert_eq!(agent.score("203.0.113.9"), 40);
}
