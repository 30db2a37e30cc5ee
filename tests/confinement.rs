//! What the process may still touch once it serves, and as whom; and that what it has to do until its
//! end still works then.
//!
//! Where the kernel has no Landlock, or the tests are not run by root, the tests that need it say so
//! and end.

#![cfg(test)]

mod support;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::thread;

use haproxy_spoa::BindAddress;
use haproxy_spoa::{Agent, handler};
use iprep_spoa::host::confine::{Confinement, Extent};
use nix::unistd::{geteuid, getuid};

use support::{Habit, Load, Peer, Program, Scratch, Signal, own_loopback, until};

/// The user and group that own nothing, on every Debian and most others.
const NOBODY: u32 = 65534;

/// Runs this in a thread that is confined; the others of this process are not.
fn confined<T: Send>(folders: Confinement, inside: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let run = || {
            let confined = folders.apply().unwrap();
            let complete = confined.extent() == Extent::Full;
            if !complete {
                println!("SKIPPED: {}", confined.extent());
            }
            complete.then(inside)
        };
        scope.spawn(run).join().unwrap()
    })
}

fn is_denied<T>(result: std::io::Result<T>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

#[test]
fn nothing_else_can_be_read_or_written_or_run() {
    let (scratch, other) = (Scratch::new(), Scratch::new());
    fs::write(scratch.path("list"), "1").unwrap();
    fs::write(other.path("secret"), "1").unwrap();
    let mut folders = Confinement::new();
    folders.reads_file(&scratch.path("list"));
    confined(folders, || {
        assert_eq!(fs::read(scratch.path("list")).unwrap(), b"1");
        assert!(is_denied(fs::write(scratch.path("list"), "2")));
        assert!(is_denied(fs::write(scratch.path("new"), "2")));
        assert!(is_denied(fs::remove_file(scratch.path("list"))));
        assert!(is_denied(File::open(other.path("secret"))));
        assert!(is_denied(fs::read_dir("/")));
        assert!(is_denied(File::open("/etc/passwd")));
        assert!(is_denied(Command::new("true").status()));
        // A thread that is started later is as confined.
        let later = thread::spawn(|| is_denied(File::open("/etc/passwd")));
        assert!(later.join().unwrap());
    });
}

#[test]
fn a_list_that_is_replaced_or_comes_later_can_be_read() {
    let (scratch, target) = (Scratch::new(), Scratch::new());
    fs::write(scratch.path("list"), "old").unwrap();
    fs::write(target.path("linked"), "old").unwrap();
    std::os::unix::fs::symlink(target.path("linked"), scratch.path("link")).unwrap();
    let mut folders = Confinement::new();
    for name in ["list", "link", "later/list"] {
        folders.reads_file(&scratch.path(name));
    }
    let replace = |at: &Scratch, name: &str| {
        fs::write(at.path("temporary"), "new").unwrap();
        fs::rename(at.path("temporary"), at.path(name)).unwrap();
    };
    let (ask, asked) = std::sync::mpsc::channel();
    let (done, is_done) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        let (scratch, target) = (&scratch, &target);
        // Whoever replaces a list is somebody else.
        scope.spawn(move || {
            if asked.recv().is_err() {
                return;
            }
            replace(scratch, "list");
            replace(target, "linked");
            fs::create_dir(scratch.path("later")).unwrap();
            fs::write(scratch.path("later/list"), "new").unwrap();
            done.send(()).unwrap();
        });
        confined(folders, move || {
            assert_eq!(fs::read(scratch.path("list")).unwrap(), b"old");
            ask.send(()).unwrap();
            is_done.recv().unwrap();
            for name in ["list", "link", "later/list"] {
                assert_eq!(fs::read(scratch.path(name)).unwrap(), b"new", "{name}");
            }
        });
    });
}

#[test]
fn a_cache_can_be_kept() {
    let scratch = Scratch::new();
    let mut folders = Confinement::new();
    folders.writes_folder(&scratch.path(""));
    confined(folders, || {
        fs::create_dir(scratch.path("feeds")).unwrap();
        fs::write(scratch.path("feeds/new"), "1").unwrap();
        fs::rename(scratch.path("feeds/new"), scratch.path("feed")).unwrap();
        File::create(scratch.path("feed")).unwrap();
        assert!(is_denied(Command::new(scratch.path("feed")).status()));
        fs::remove_file(scratch.path("feed")).unwrap();
        fs::remove_dir(scratch.path("feeds")).unwrap();
    });
}

/// Threads of the test, so that the whole life of an agent is seen from within.
#[test]
fn an_agent_comes_is_taken_over_and_goes_while_confined() {
    let answer = handler(|_, _| {});
    let scratch = Scratch::new();
    let mut folders = Confinement::new();
    folders.listens(&scratch.path("socket"));
    let port = format!("{}:12345", own_loopback());
    confined(folders, || {
        for address in [port, scratch.bind("socket")] {
            let address: BindAddress = address.parse().unwrap();
            let agent = |takeover| {
                let builder = Agent::builder().bind(address.clone()).workers(2);
                builder.takeover(takeover).spawn(|_| answer).unwrap()
            };
            let (old, new) = (agent(false), agent(true));
            drop(Peer::greeted(&address));
            let open = || [old.control().open(), new.control().open()].concat();
            until("it is seen to have gone", || open() == [0; 4]);
            old.control().drain();
            let peers: Vec<_> = (0..20).map(|_| Peer::greeted(&address)).collect();
            assert_eq!(old.control().open(), [0; 2], "{address}");
            assert_eq!(new.control().open(), [10; 2], "{address}");
            drop(peers);
            new.control().drain();
            old.join().unwrap();
            new.join().unwrap();
        }
        // Neither a path nor a temporary name is left.
        assert!(is_denied(fs::write(scratch.path("file"), "1")));
    });
    assert_eq!(scratch.names(), [""; 0]);
}

#[test]
fn the_program_says_what_it_may_touch() {
    let scratch = Scratch::new();
    let folder = fs::canonicalize(scratch.path("")).unwrap();
    let agent = Program::start_on(&[&scratch.bind("socket")], &["-n", "1"]);
    agent.says("confined");
    let line = agent.lines().pop().unwrap();
    if line.contains("not confined") {
        println!("SKIPPED: {line}");
    } else {
        let writes = format!(" writes={}", folder.display());
        assert!(line.contains(" reads=\"\""), "{line}");
        assert!(line.ends_with(&writes), "{line}");
        for privileges in agent.process().of_threads("NoNewPrivs:") {
            assert_eq!(privileges, ["1"]);
        }
    }
    agent.stop();
    assert_eq!(scratch.names(), [""; 0]);

    let agent = Program::start(&["-n", "1", "--confine", "off"]);
    Peer::greeted(agent.address()).asks(1);
    assert_eq!(agent.count("INFO"), 1, "{:?}", agent.lines());
    for privileges in agent.process().of_threads("NoNewPrivs:") {
        assert_eq!(privileges, ["0"]);
    }
}

#[test]
fn a_reload_reads_what_is_new_in_its_folders_and_says_what_is_shut_off() {
    let (scratch, other) = (Scratch::new(), Scratch::new());
    let feed = |place: &str| format!("[[feed]]\nname = \"own\"\npath = \"{place}\"\n");
    scratch.write("own.txt", "192.0.2.1\n");
    let config = scratch.write("spoa.toml", feed("own.txt"));
    let agent = Program::configured(&config, &[]);
    let mut peer = Peer::greeted(agent.address());
    assert_eq!(peer.ask(), 0);

    scratch.write("new.txt", "192.0.2.2\n");
    scratch.replace("spoa.toml", feed("new.txt"));
    agent.signal(Signal::SIGHUP);
    until("the other list", || peer.ask() == 100);

    let elsewhere = other.write("own.txt", "192.0.2.1\n");
    scratch.replace("spoa.toml", feed(elsewhere.to_str().unwrap()));
    agent.signal(Signal::SIGHUP);
    if agent
        .lines()
        .iter()
        .any(|line| line.contains("not confined"))
    {
        println!("SKIPPED: no Landlock");
    } else {
        agent.says("directory not accessible");
        assert_eq!(peer.ask(), 100, "the last good list stays");
    }
    drop(peer);
    agent.stop();
}

#[test]
fn a_user_that_cannot_read_a_list_is_found_out_at_the_start() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    fs::set_permissions(scratch.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let list = scratch.write("own.txt", "192.0.2.1\n");
    let config = "[allow]\nfiles = [\"own.txt\"]\n";
    let config = scratch.write("spoa.toml", config);
    fs::set_permissions(&list, fs::Permissions::from_mode(0o600)).unwrap();
    let config = config.to_str().unwrap();
    let ended = Program::run(&["-b", "127.0.0.1:0", "-f", config, "--user", "nobody"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let line = ended.stderr.iter().find(|line| line.contains("--user"));
    let line = line.unwrap_or_else(|| panic!("{ended:?}"));
    assert!(
        line.contains("own.txt") && line.contains("a reload will fail"),
        "{line}"
    );
}

#[test]
#[cfg(feature = "http")]
fn copies_of_lists_belong_to_the_user_that_fetches_them() {
    use std::os::unix::fs::MetadataExt as _;

    if !is_root() {
        return;
    }
    let scratch = given_away();
    let server = support::Server::start(support::Answer::ok("192.0.2.1\n"));
    let url = server.url("/list.txt");
    let config = scratch.write(
        "spoa.toml",
        format!("[reputation]\ncache-dir = \"cache\"\n[[feed]]\nname = \"web\"\nurl = \"{url}\"\n"),
    );
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).unwrap();
    let agent = Program::configured(&config, &["--user", "nobody"]);
    assert_eq!(Peer::greeted(agent.address()).ask(), 0);
    let copies = fs::read_dir(scratch.path("cache")).unwrap();
    let owners: Vec<_> = copies
        .map(|copy| copy.unwrap().metadata().unwrap().uid())
        .collect();
    assert_eq!(owners, [NOBODY; 2]);
    assert_eq!(fs::metadata(scratch.path("cache")).unwrap().uid(), NOBODY);
    agent.stop();
}

fn is_root() -> bool {
    let root = geteuid().is_root();
    if !root {
        println!("SKIPPED: needs root");
    }
    root
}

/// A folder of nobody's.
fn given_away() -> Scratch {
    let scratch = Scratch::new();
    chown(scratch.path(""), Some(NOBODY), Some(NOBODY)).unwrap();
    scratch
}

#[test]
fn root_is_given_up_in_every_thread_after_the_addresses_are_taken() {
    if !is_root() {
        return;
    }
    let scratch = given_away();
    // A port that only root may have.
    let port = format!("{}:777", own_loopback());
    let bind = [&port[..], &scratch.bind("socket")];
    let user = format!("{NOBODY}:{NOBODY}");
    let agent = Program::start_on(&bind, &["-n", "2", "--user", &user]);
    let process = agent.process();
    for (line, count) in [("Uid:", 4), ("Gid:", 4)] {
        for numbers in process.of_threads(line) {
            assert_eq!(numbers, vec![NOBODY.to_string(); count], "{line}");
        }
    }
    for groups in process.of_threads("Groups:") {
        assert_eq!(groups, [NOBODY.to_string()]);
    }
    for rights in ["CapPrm:", "CapEff:", "CapAmb:"] {
        for rights in process.of_threads(rights) {
            assert_eq!(rights, ["0000000000000000"]);
        }
    }
    let socket = fs::metadata(scratch.path("socket")).unwrap();
    assert_eq!((socket.uid(), socket.gid()), (NOBODY, NOBODY));
    assert_eq!(socket.permissions().mode() & 0o777, 0o660);
    for address in agent.addresses() {
        Peer::greeted(address).asks(1);
    }
    agent.stop();
    assert_eq!(scratch.names(), [""; 0]);
}

#[test]
fn one_that_gave_root_up_is_taken_over_under_load() {
    if !is_root() {
        return;
    }
    let scratch = given_away();
    let port = format!("{}:777", own_loopback());
    let addresses = [port, scratch.bind("socket")];
    let bind = [&addresses[0][..], &addresses[1]];
    // What is not over by then is cut off; on a loaded machine 5 s may not be enough.
    let args = ["-n", "2", "--user", "nobody", "--takeover"];
    let args = [&args[..], &["--drain-timeout", "25s"]].concat();
    let start = || Program::start_on(&bind, &args);
    let mut agent = start();
    let mut load = Load::new();
    for address in &addresses {
        load.add(1, Habit::PerQuestion, &address.parse().unwrap());
        load.add(1, Habit::Persistent, &address.parse().unwrap());
    }
    load.runs_for(200);
    for _ in 0..3 {
        let successor = start();
        load.runs_for(200);
        agent.stop();
        load.runs_for(200);
        agent = successor;
    }
    let tally = load.end();
    assert_eq!(tally.lost, [""; 0], "of {} questions", tally.answered);
    agent.stop();
    assert_eq!(scratch.names(), [""; 0]);
}

/// Root binds a UNIX socket in a folder of a user, who swaps each new name for a link to a file of root's as
/// fast as it can.
#[test]
fn a_user_that_swaps_links_changes_no_file_of_another() {
    const STARTS: usize = 60;
    if !is_root() {
        return;
    }
    let (scratch, outside) = (given_away(), Scratch::new());
    let victim = outside.write("victim", "of root");
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
    let before = fs::metadata(&victim).unwrap();
    // Names that begin with a dot are those under which sockets are bound. It says when it has begun.
    let swap = "touch running; while :; do for name in .*.* socket admin; do \
        [ -S \"$name\" ] && ln -sf \"$0\" link && mv -fT link \"$name\"; done; done";
    let mut command = Command::new("sh");
    command
        .args(["-c", swap, victim.to_str().unwrap()])
        .stderr(std::process::Stdio::null())
        .current_dir(scratch.path(""))
        .uid(NOBODY)
        .gid(NOBODY);
    let mut attacker = command.spawn().unwrap();
    until("the attack", || scratch.path("running").exists());
    let (socket, admin) = (scratch.bind("socket"), scratch.bind("admin"));
    let args = [
        "-n", "1", "--user", "nobody", "-b", &socket, "--admin", &admin,
    ];
    for _ in 0..STARTS {
        let mut agent = Program::spawn(Program::command(&args));
        // It ends with an error if the name was swapped in time.
        until("it serves or ends", || {
            agent.has_ended() || agent.count("INFO listening ") > 0
        });
        drop(agent);
        for name in ["socket", "admin"] {
            let _ = fs::remove_file(scratch.path(name));
        }
        let now = fs::metadata(&victim).unwrap();
        assert_eq!(
            (now.uid(), now.gid(), now.mode()),
            (before.uid(), before.gid(), before.mode())
        );
    }
    attacker.kill().unwrap();
    attacker.wait().unwrap();
    assert_eq!(fs::read_to_string(victim).unwrap(), "of root");
}

#[test]
fn a_user_that_one_cannot_be_is_refused_with_a_remedy() {
    let unknown = Program::run(&["-b", "127.0.0.1:0", "--user", "no such user"]);
    let line = unknown.refusal(1);
    assert!(
        line.contains("--user: there is no user \"no such user\""),
        "{line}"
    );
    if !is_root() {
        return;
    }
    // A copy that others than root may run, wherever the checkout is.
    let scratch = Scratch::new();
    fs::set_permissions(scratch.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_spoa"), scratch.path("spoa")).unwrap();
    let mut command = Command::new(scratch.path("spoa"));
    command
        .args(["-b", "127.0.0.1:0", "--user", "root"])
        .uid(NOBODY);
    let ended = Program::spawn(command).wait();
    let line = ended.refusal(1);
    assert!(line.contains("--user: only root can become"), "{line}");
}

#[test]
fn whoever_runs_it_may_be_named() {
    let (own, anywhere) = (getuid().to_string(), Ipv4Addr::LOCALHOST);
    let agent = Program::start_on(&[&format!("{anywhere}:0")], &["-n", "1", "--user", &own]);
    Peer::greeted(agent.address()).asks(1);
    agent.stop();
}

#[test]
fn a_socket_in_a_folder_that_the_user_may_not_write_is_refused_and_leaves_nothing() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let ended = Program::run(&["-b", &scratch.bind("socket"), "--user", "nobody"]);
    let line = ended.refusal(1);
    assert!(
        line.contains("its folder has to exist and to be writable"),
        "{line}"
    );
}
