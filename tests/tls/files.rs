//! Every file that can be wrong: one line that says which, what and what to do, and exit code 1.

use std::fs;

use crate::support::{Authority, Life, Program, Scratch};

/// What the agent says to a bind line.
fn refusal(line: &str) -> String {
    let ended = Program::run(&["--bind", &format!("127.0.0.1:0 {line}")]);
    ended.refusal(1).to_owned()
}

#[test]
fn each_wrong_file_has_its_line() {
    let folder = Scratch::new();
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let (leaf, other) = (servers.issue("agent.test"), servers.issue("other.test"));
    let file = |name: &str, text: &str| folder.file(name, text).display().to_string();
    let good = file("good.pem", &leaf.pem());
    let ca = file("ca.pem", &clients.pem);
    let junk = file("junk.pem", "not PEM at all\n");
    let expired = servers.issue_for("agent.test", Life::Past).pem();
    let early = servers.issue_for("agent.test", Life::Future).pem();
    let old_ca = Authority::with_life("old", Life::Past).pem;
    let bad_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let mixed = format!("{}{}", leaf.certificate, other.key);
    let folder_path = folder.path("").display().to_string();
    let crt = |path: &str| format!("ssl crt {path} ca-file {ca}");
    let own = |name: &str, text: &str| crt(&file(name, text));
    let cases = [
        (
            crt("/nowhere/agent.pem"),
            "/nowhere/agent.pem: No such file",
        ),
        (crt(&folder_path), "is not a file"),
        (crt(&junk), "junk.pem: no certificate in it"),
        (own("der.pem", bad_der), "der.pem: "),
        (own("old.pem", &expired), "the certificate has expired"),
        (own("early.pem", &early), "not valid yet; check the clock"),
        (
            own("bare.pem", &leaf.certificate),
            "no private key in it, nor in",
        ),
        (
            own("locked.pem", &format!("{}{locked}", leaf.certificate)),
            "the key is encrypted; take the passphrase off",
        ),
        (
            own("mixed.pem", &mixed),
            "the key is not that of the certificate",
        ),
        (
            format!("ssl crt {good} ca-file /nowhere/ca"),
            "/nowhere/ca: No such file",
        ),
        (
            format!("ssl crt {good} ca-file {junk}"),
            "junk.pem: no certificate in it",
        ),
        (
            format!("ssl crt {good} ca-file {}", file("old-ca.pem", &old_ca)),
            "every CA in it has expired; renew it",
        ),
        (
            format!("ssl crt {good} ca-file {ca} crl-file {junk}"),
            "junk.pem: there is no X509 CRL in it",
        ),
    ];
    for (line, words) in &cases {
        let said = refusal(line);
        assert!(
            said.contains(words) && said.starts_with("ERROR startup failed error=\"--bind: "),
            "{line}\n{said}"
        );
        assert!(said.contains("; "), "no remedy: {said}");
    }
    let big = folder.file("big.pem", "");
    fs::File::create(&big).unwrap().set_len(5 << 20).unwrap();
    assert!(refusal(&crt(&big.display().to_string())).contains("has more than"));
}

#[test]
fn the_key_may_be_beside_the_certificate() {
    let folder = Scratch::new();
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let leaf = servers.issue("agent.test");
    let bind = folder.tls_bind("127.0.0.1:0", &leaf, &clients);
    folder.file("agent.pem", &leaf.certificate);
    folder.file("agent.pem.key", &leaf.key);
    Program::start_on(&[&bind], &[]).stop();
}

#[test]
fn a_start_that_fails_takes_no_address() {
    let folder = Scratch::new();
    let socket = folder.bind("socket");
    let line = "127.0.0.1:0 ssl crt /nowhere/agent.pem ca-file /nowhere/ca.pem";
    let ended = Program::run(&["--bind", &socket, "--bind", line]);
    ended.refusal(1);
    assert_eq!(folder.names(), [""; 0]);
}

#[test]
fn a_wrong_word_is_a_wrong_command_line() {
    let ended = Program::run(&["--bind", "127.0.0.1:0 ssl"]);
    let said = ended.refusal(2);
    assert!(said.contains("crt FILE"), "{said}");
}

/// `spoa check` reads what the agent would read, and says the same of it.
#[test]
fn a_check_looks_at_the_files_of_tls_too() {
    let folder = Scratch::new();
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let good = folder.tls_bind("127.0.0.1:0", &servers.issue("agent.test"), &clients);
    let expired = servers.issue_for("agent.test", Life::Past).pem();
    let old = folder.file("old.pem", &expired).display().to_string();
    let bad = format!("127.0.0.1:1 ssl crt {old} verify none");
    let check = |binds: &[&str]| {
        let config = format!("[agent]\nbind = {binds:?}\n[deny]\nprefixes = [\"192.0.2.1\"]\n");
        let config = folder.write("spoa.toml", config);
        Program::run(&["check", "-f", config.to_str().unwrap()])
    };
    let ended = check(&[&good]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let ended = check(&[&good, &bad]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let mut wrong = ended.stdout.lines();
    let wrong = wrong.find(|line| line.contains(": WRONG: ")).unwrap();
    assert!(wrong.contains("the certificate has expired") && wrong.contains("old.pem"));
    assert!(ended.stdout.ends_with("1 thing is WRONG\n"), "{ended:?}");
    let ended = check(&[&good, "127.0.0.1:2 ssl"]);
    let line = ended.refusal(1);
    assert!(
        line.contains("spoa.toml:2: bind: \"127.0.0.1:2 ssl\": "),
        "{line}"
    );
}
