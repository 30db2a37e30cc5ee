//! `spoa check`: what is found, list by list, and 1 if anything is wrong.

#![cfg(test)]

mod support;

use std::fs::{self, File};
use std::os::unix::net::UnixListener;
use std::time::{Duration, SystemTime};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use support::{Ended, Peer, Program, Scratch};

fn check(scratch: &Scratch, text: &str) -> Ended {
    let config = scratch.write("spoa.toml", text);
    Program::run(&["check", "-f", config.to_str().unwrap(), "--offline"])
}

/// A feed and its file.
fn feed(name: &str) -> String {
    format!("[[feed]]\nname = \"{name}\"\npath = \"{name}\"\n")
}

#[test]
fn every_list_is_described() {
    let scratch = Scratch::new();
    scratch.write(
        "plain",
        "192.0.2.1\n2001:db8::/32\nnonsense\n".to_owned() + &"192.0.2.7\n".repeat(30),
    );
    scratch.write("drop", "; Spamhaus\n198.51.100.0/24 ; SBL1\n");
    scratch.write("empty", "# spoa: empty\n");
    let ended = check(&scratch, &(feed("plain") + &feed("drop") + &feed("empty")));
    assert_eq!((ended.code, ended.stderr.len()), (Some(0), 0), "{ended:?}");
    for part in [
        "feed \"plain\": plain, 2 IPv4 and 1 IPv6 entries, as of 20",
        "1 of 33 lines are wrong",
        "line 3: \"nonsense\"",
        "feed \"drop\": drop-text, 1 IPv4 and 0 IPv6 entries",
        "empty on purpose",
        "nothing is wrong",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
}

#[test]
fn a_list_that_is_too_old_is_said_to_be() {
    let scratch = Scratch::new();
    let text = feed("old") + "stale-after = \"1d\"\n";
    let path = scratch.write("old", "192.0.2.1\n");
    let ended = check(&scratch, &text);
    assert!(!ended.stdout.contains("stale"), "{ended:?}");
    let days_ago = SystemTime::now() - Duration::from_hours(48);
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(days_ago).unwrap();
    let ended = check(&scratch, &text);
    assert_eq!(ended.code, Some(0), "it is in use: {ended:?}");
    assert!(
        ended.stdout.contains("stale: nothing new for longer"),
        "{ended:?}"
    );
}

#[test]
fn a_wrong_configuration_is_a_line_for_each_mistake() {
    let scratch = Scratch::new();
    let ended = check(
        &scratch,
        "[[feed]]\nname = \"a\"\n[deny]\nprefixes = [\"x\"]\n",
    );
    assert_eq!((ended.code, ended.stderr.len()), (Some(1), 2), "{ended:?}");
    for (line, part) in ended.stderr.iter().zip(["spoa.toml:2: ", "spoa.toml:4: "]) {
        assert!(line.starts_with("spoa: ") && line.contains(part), "{line}");
    }
    let ended = check(&scratch, "[agent]\nworkes = 1");
    let line = ended.refusal(1);
    assert!(
        line.contains("spoa.toml:2: unknown key \"workes\" in [agent]; did you mean \"workers\"?"),
        "{line}"
    );
    // To start with it is no better.
    let config = scratch.path("spoa.toml");
    let ended = Program::run(&["-p", "0", "-f", config.to_str().unwrap()]);
    assert!(ended.refusal(1).contains("workes"));
    let ended = Program::run(&["check", "-f", "/nonexistent/spoa.toml"]);
    assert!(
        ended
            .refusal(1)
            .contains("/nonexistent/spoa.toml: cannot be read")
    );
    assert!(Program::run(&["check"]).refusal(2).contains("--config"));
}

/// What stands where a list should be, and what is said of it.
#[test]
fn nothing_at_the_path_of_a_list_makes_it_hang() {
    let scratch = Scratch::new();
    mkfifo(&scratch.path("fifo"), Mode::S_IRWXU).unwrap();
    fs::create_dir(scratch.path("folder")).unwrap();
    let _socket = UnixListener::bind(scratch.path("socket")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", scratch.path("zero")).unwrap();
    std::os::unix::fs::symlink("loop", scratch.path("loop")).unwrap();
    let huge = File::create(scratch.path("huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    let sparse = File::create(scratch.path("sparse")).unwrap();
    sparse.set_len(100 << 20).unwrap();
    scratch.write("page", "<!doctype html>\n<html></html>\n");
    scratch.write("nothing", "");
    let cases = [
        ("fifo", "a FIFO"),
        ("folder", "a folder"),
        ("socket", "a socket"),
        ("zero", "a device"),
        ("loop", "loop"),
        ("huge", "max-size"),
        ("sparse", "binary data"),
        ("page", "HTML"),
        ("nothing", "no entry"),
        ("missing", "No such file"),
    ];
    let text: String = cases.iter().map(|(name, _)| feed(name)).collect();
    let ended = check(&scratch, &text);
    assert_eq!((ended.code, ended.stderr.len()), (Some(1), 0), "{ended:?}");
    for (name, why) in cases {
        let start = format!("feed \"{name}\": WRONG: ");
        let line = ended.stdout.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("{name}: {}", ended.stdout));
        assert!(line.contains(why), "{name}: {line}");
    }
    assert!(
        ended.stdout.contains("10 things are WRONG"),
        "{}",
        ended.stdout
    );

    // The agent says it all, and serves.
    let config = scratch.path("spoa.toml");
    let agent = Program::configured(&config, &[]);
    assert_eq!(Peer::greeted(agent.address()).ask(), 100);
    agent.says("list not used list=missing ");
    assert_eq!(agent.count("WARN list "), 10);
    agent.stop();
}

#[test]
fn a_mistake_in_a_list_of_ones_own_is_wrong() {
    let scratch = Scratch::new();
    scratch.write("allow", "192.0.2.1\n".repeat(40) + "192.0.2.300\n");
    let ended = check(&scratch, "[allow]\nfiles = [\"allow\"]\n");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stdout.contains("line 41: \"192.0.2.300\""),
        "{}",
        ended.stdout
    );
}

/// A list of a few lines, written at night.
#[test]
fn a_slip_in_a_short_list_is_named_and_the_rest_of_it_counts() {
    let scratch = Scratch::new();
    scratch.write(
        "own",
        "192.0.2.1\n192.0.2.2\n192.0.2.3\n192.0.2.4/33\n192.0.2.5\n",
    );
    let ended = check(&scratch, &feed("own"));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for part in [
        "feed \"own\": plain, 4 IPv4",
        "1 of 5 lines are wrong and left out",
        "line 4: \"192.0.2.4/33\" where a prefix length",
        "1 thing is WRONG",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    let agent = Program::configured(&scratch.path("spoa.toml"), &[]);
    assert_eq!(Peer::greeted(agent.address()).ask(), 0);
    agent.says("list lines invalid list=own invalid=1 lines=5 first=\"line 4: ");
    let ended = check(&scratch, &(feed("own") + "max-invalid-ratio = 0\n"));
    assert!(
        ended.stdout.contains("more than max-invalid-ratio allows"),
        "{ended:?}"
    );
}

#[test]
fn without_asking_a_url_is_not_there() {
    let scratch = Scratch::new();
    let ended = check(
        &scratch,
        "[[feed]]\nname = \"web\"\nurl = \"http://127.0.0.1:9/\"\n",
    );
    assert_eq!(ended.code, Some(1), "{ended:?}");
    if cfg!(feature = "http") {
        assert!(
            ended.stdout.contains("not asked, and there is no copy"),
            "{}",
            ended.stdout
        );
    }
}

#[test]
fn what_the_agent_would_not_start_with_is_wrong() {
    let scratch = Scratch::new();
    scratch.write("short", "secret\n");
    let ended = check(
        &scratch,
        "[agent]\nbind = [\"127.0.0.1:0\"]\n\
         [admin]\nbind = \"0.0.0.0:12346\"\ntoken-file = \"short\"\n",
    );
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let admin = if cfg!(feature = "admin") {
        [
            "[admin] bind: WRONG: 0.0.0.0:12346 ",
            "[admin] token-file: WRONG: ",
        ]
    } else {
        ["[admin]: WRONG: ", "without the feature admin"]
    };
    for part in admin {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    assert!(!ended.stdout.contains("127.0.0.1:0"), "{}", ended.stdout);
    let ended = check(&scratch, "[agent]\nbind = [\"localhost\"]\n");
    let line = ended.refusal(1);
    assert!(
        line.contains("spoa.toml:2: bind: \"localhost\": "),
        "{line}"
    );
}

#[test]
fn control_characters_of_a_configuration_are_escaped() {
    let scratch = Scratch::new();
    let name = "\\u001b[2Jx";
    let ended = check(&scratch, &format!("[deny]\nfiles = [\"{name}\"]\n"));
    assert!(ended.stdout.contains("\\u{1b}[2Jx: WRONG: "), "{ended:?}");
    assert!(!ended.stdout.contains('\u{1b}'), "{ended:?}");
    let ended = check(&scratch, &format!("\"{name}\" = 1\n"));
    assert!(!ended.stderr.concat().contains('\u{1b}'), "{ended:?}");
}

/// Plain lists begin comments with `;`, and CSV may have it between its columns.
#[test]
fn a_list_with_semicolons_has_its_format_stated() {
    let scratch = Scratch::new();
    scratch.write("own", "203.0.113.0/24;100;good\n192.0.2.0/24;15;bad\n");
    let ended = check(&scratch, &(feed("own") + "higher-is = \"better\"\n"));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let line = "feed \"own\": WRONG: \"203.0.113.0/24;100;good\" looks like CSV with semicolons";
    assert!(ended.stdout.contains(line), "{ended:?}");
    let columns =
        "higher-is = \"better\"\ncolumns = { separator = \";\", prefix = 0, value = 1 }\n";
    for (stated, part) in [
        ("format = \"plain\"\n", "feed \"own\": plain, 2 IPv4"),
        (
            &("format = \"csv\"\n".to_owned() + columns),
            "feed \"own\": csv, 2 IPv4",
        ),
    ] {
        let ended = check(&scratch, &(feed("own") + stated));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stdout.contains(part), "{ended:?}");
    }
}

/// Whose format cannot be stated, and where no number says anything.
#[test]
fn a_list_of_ones_own_may_have_numbers_for_comments() {
    let scratch = Scratch::new();
    scratch.write("own", "203.0.113.0/24 ; 100\n");
    let ended = check(&scratch, "[allow]\nfiles = [\"own\"]\n");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains(": plain, 1 IPv4"), "{ended:?}");
}

/// A publisher that has nothing to say may leave the header alone.
#[test]
fn a_list_of_comments_is_empty_where_it_may_be() {
    let scratch = Scratch::new();
    scratch.write("own", "# nothing today\n");
    scratch.write(
        "own.netset",
        "#\n# Category : attacks\n# Entries : 0 subnets\n#\n",
    );
    let feeds = [feed("own"), feed("own.netset")];
    let ended = check(&scratch, &feeds.concat());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let why = "WRONG: there is no entry in it, only comments";
    assert_eq!(ended.stdout.matches(why).count(), 2, "{ended:?}");
    let ended = check(
        &scratch,
        &feeds.map(|it| it + "allow-empty = true\n").concat(),
    );
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(
        ended.stdout.matches(" 0 IPv4 and 0 IPv6").count(),
        2,
        "{ended:?}"
    );
}

/// Nothing is wrong with it, but somebody may wonder where his entries are.
#[test]
fn what_may_not_be_meant_is_said() {
    let scratch = Scratch::new();
    let saved = "create bl hash:ip family inet\nadd bl 192.0.2.1\n\
        create bm bitmap:ip range 192.0.2.0/24\nadd bm 192.0.2.7\n";
    scratch.write("own", saved);
    let note = "line 3: set bm is of type bitmap:ip, which is not read";
    let ended = check(&scratch, &feed("own"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains(&format!("\n  {note}\n")), "{ended:?}");
    let agent = Program::configured(&scratch.path("spoa.toml"), &[]);
    let said = format!("list suspicious list=own findings=\"{note}\"");
    agent.says(&said);
    scratch.replace("own", saved.replace("192.0.2.1\n", "192.0.2.2\n"));
    agent.shows("reputation ", "reloads=1 ");
    assert_eq!(agent.count(&said), 1);
    agent.stop();

    let ended = check(&scratch, &(feed("own") + "sets = [\"bl\"]\n"));
    assert!(!ended.stdout.contains("bitmap"), "{ended:?}");
    let ended = check(&scratch, &(feed("own") + "sets = [\"bm\"]\n"));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let why = "WRONG: read as ipset-save; set bm is of type bitmap:ip, which is not read";
    assert!(ended.stdout.contains(why), "{ended:?}");
}

#[test]
fn json_says_what_the_text_says() {
    let scratch = Scratch::new();
    scratch.write("plain", "192.0.2.1\n2001:db8::/32\nnonsense\n");
    scratch.write(
        "times",
        "198.51.100.1,2001-02-03\n198.51.100.2,2001-02-03\n",
    );
    let times = feed("times") + "format = \"csv\"\ncolumns = { prefix = 0, expires = 1 }\n";
    let text = feed("plain") + &times + &feed("absent") + "role = \"allow\"\n";
    let config = scratch.write("spoa.toml", text);
    let ended = Program::run(&[
        "check",
        "-f",
        config.to_str().unwrap(),
        "--offline",
        "--json",
    ]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let said: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let [plain, times, absent] = &said["lists"].as_array().unwrap()[..] else {
        panic!("{said}")
    };
    assert_eq!(
        (&plain["name"], &plain["assumed"]),
        (&"plain".into(), &"plain".into())
    );
    assert_eq!((&plain["v4"], &plain["v6"]), (&1.into(), &1.into()));
    assert_eq!(plain["invalid_lines"][0]["line"], 3);
    assert_eq!(plain["state"], "good");
    assert_eq!(
        (&times["expired"], &times["wrong"]),
        (&2.into(), &true.into())
    );
    assert_eq!(times["assumed"], serde_json::Value::Null);
    assert_eq!(
        (&absent["role"], &absent["state"]),
        (&"allow".into(), &"absent".into())
    );
    assert!(
        absent["error"].as_str().unwrap().contains("No such file"),
        "{absent}"
    );
}

#[test]
fn what_would_not_start_or_work_is_wrong() {
    let scratch = Scratch::new();
    scratch.write("file", "");
    for (text, part) in [
        ("", "no lists configured: WRONG: every score is"),
        (
            "[live]\n[agent]\nuser = \"no-such-user-here\"\n",
            "user: WRONG: ",
        ),
        (
            "[live]\n[reputation]\ncache-dir = \"file/cache\"\n",
            "is not a directory",
        ),
    ] {
        let ended = check(&scratch, text);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
}
