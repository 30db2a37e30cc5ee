//! fail2ban: a jail of Debian's fail2ban bans and unbans with the action that is packaged.

#![cfg(test)]
#![cfg(all(feature = "admin", feature = "live-store"))]

mod support;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use support::{Endpoint, Program, Scratch, debian, until};

struct Fail2ban {
    child: Child,
    programs: PathBuf,
    folder: PathBuf,
}

impl Drop for Fail2ban {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Fail2ban {
    fn start(programs: PathBuf, folder: &Path, admin: &str) -> Self {
        let write = |name: &str, text: String| fs::write(folder.join(name), text).unwrap();
        for name in ["action.d", "filter.d", "jail.d", "fail2ban.d"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        let action = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("packaging/fail2ban/action.d/iprep-spoa.conf");
        fs::copy(action, folder.join("action.d/iprep-spoa.conf")).unwrap();
        let shown = folder.display();
        write(
            "fail2ban.conf",
            format!(
                "[Definition]\nloglevel = INFO\nlogtarget = {shown}/fail2ban.log\nsyslogsocket = auto\n\
                 socket = {shown}/f2b.sock\npidfile = {shown}/f2b.pid\ndbfile = :memory:\n"
            ),
        );
        write(
            "filter.d/logins.conf",
            "[Definition]\nfailregex = ^\\s*bad login of <HOST>$\ndatepattern = ^EPOCH\n"
                .to_owned(),
        );
        write("access.log", String::new());
        let spoa = env!("CARGO_BIN_EXE_spoa");
        write(
            "jail.conf",
            format!(
                "[logins]\nenabled = true\nfilter = logins\nbackend = polling\nlogpath = {shown}/access.log\n\
                 ignoreself = false\nmaxretry = 3\nfindtime = 600\nbantime = 900\n\
                 action = iprep-spoa[spoa=\"{spoa}\", admin=\"{admin}\"]\n"
            ),
        );
        let child = Command::new(programs.join("fail2ban-server"))
            .args(["-c", folder.to_str().unwrap(), "-xf", "start"])
            .env("TZ", "UTC")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            programs,
            folder: folder.to_owned(),
        }
    }

    fn client(&self, args: &[&str]) -> bool {
        let ended = Command::new(self.programs.join("fail2ban-client"))
            .args(["-c", self.folder.to_str().unwrap()])
            .args(args)
            .output()
            .unwrap();
        ended.status.success()
    }

    fn logins(&self, address: &str, count: usize) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let line = format!("{} bad login of {address}\n", now.as_secs());
        let mut file = OpenOptions::new()
            .append(true)
            .open(self.folder.join("access.log"))
            .unwrap();
        file.write_all(line.repeat(count).as_bytes()).unwrap();
    }
}

#[test]
fn a_jail_bans_and_unbans_with_the_packaged_action() {
    let programs = debian("fail2ban");
    let scratch = Scratch::new();
    let config = scratch.write("spoa.toml", "[live]\nstore = \"live.db\"\n");
    let admin = scratch.bind("admin.sock");
    let program = Program::configured(&config, &["--admin", &admin]);
    let endpoint = Endpoint::of(&program);
    until("it is up", || endpoint.get("/readyz").status == 200);
    let decisions = || endpoint.get("/decisions").body;

    let folder = scratch.path("fail2ban");
    fs::create_dir(&folder).unwrap();
    let fail2ban = Fail2ban::start(programs, &folder, &admin);
    until("it serves", || fail2ban.client(&["status", "logins"]));
    fail2ban.logins("192.0.2.1", 2);
    fail2ban.logins("192.0.2.2", 3);
    fail2ban.logins("2001:db8::7", 3);
    until("it bans", || {
        let listed = decisions();
        listed.contains("\"192.0.2.2\"") && listed.contains("2001:db8::/64")
    });
    let listed = decisions();
    assert!(!listed.contains("\"192.0.2.1\""), "{listed}");
    assert!(listed.contains("\"origin\":\"fail2ban\""), "{listed}");
    assert!(listed.contains("jail logins, 3 failures"), "{listed}");
    let explained = endpoint.get("/lookup?address=192.0.2.2").body;
    assert!(explained.contains("score 0"), "{explained}");
    // What an operator has decided of the same address is not fail2ban's to end.
    let ban = [
        "ctl",
        "--admin",
        &admin,
        "ban",
        "192.0.2.2",
        "--reason",
        "mine",
    ];
    assert_eq!(Program::run(&ban).code, Some(0));
    assert!(fail2ban.client(&["set", "logins", "unbanip", "192.0.2.2", "2001:db8::7"]));
    until("it unbans", || !decisions().contains("fail2ban"));
    assert!(decisions().contains("mine"));
    let unban = [
        "ctl",
        "--admin",
        &admin,
        "unban",
        "192.0.2.2",
        "--origin",
        "fail2ban",
    ];
    assert_eq!(Program::run(&unban).stdout, "0\n");
    let unban = ["ctl", "--admin", &admin, "unban", "192.0.2.2"];
    assert_eq!(Program::run(&unban).stdout, "1\n");
}
