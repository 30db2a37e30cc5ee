//! `spoa check --haproxy`: what does not fit the agent is found, with file, line and remedy, and nothing else is.

#![cfg(test)]

mod support;

use std::fs;
use std::path::Path;

use support::{Ended, Program, Scratch};

const CFG: &str = "\
global
    log stderr format raw local0
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend www
    bind 127.0.0.1:8080
    filter spoe engine ip-reputation config iprep.spoe
    http-request deny if { var(sess.iprep.ip_score) -m int lt 20 }
    log-format \"%ci score=%[var(sess.iprep.ip_score)] error=%[var(txn.iprep.error)]\"
    default_backend origin
backend origin
    server origin1 127.0.0.1:8000
backend iprep-agent
    mode spop
    option spop-check
    server agent1 127.0.0.1:12345 check
";

const SPOE: &str = "\
[ip-reputation]
spoe-agent iprep-agent
    messages check-client-ip
    option var-prefix iprep
    option set-on-error error
    timeout processing 10ms
    use-backend iprep-agent
spoe-message check-client-ip
    args ip=src
    event on-client-session
";

/// A change to one of the files above, and the findings that follow from it.
struct Case {
    name: &'static str,
    cfg: &'static [(&'static str, &'static str)],
    spoe: &'static [(&'static str, &'static str)],
    agent: Option<&'static str>,
    /// The beginning of each line, without the directory, and a part of it.
    findings: &'static [(&'static str, &'static str)],
}

impl Case {
    const NONE: Self = Self {
        name: "as it is",
        cfg: &[],
        spoe: &[],
        agent: None,
        findings: &[],
    };
}

fn edited(text: &str, edits: &[(&str, &str)]) -> String {
    edits.iter().fold(text.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old}");
        text.replace(old, new)
    })
}

fn check(scratch: &Scratch, agent: Option<&str>) -> Ended {
    let cfg = scratch.path("haproxy.cfg").display().to_string();
    let mut args = vec!["check", "--haproxy", &cfg];
    let config = scratch.path("spoa.toml").display().to_string();
    if let Some(text) = agent {
        scratch.write("spoa.toml", text);
        args.extend(["-f", &config, "--offline"]);
    }
    Program::run(&args)
}

/// The lines about HAProxy's files, without the directory and the last one, which counts them.
fn findings(ended: &Ended, scratch: &Scratch) -> Vec<String> {
    let dir = format!("{}/", scratch.path("").display());
    let dir = dir.replace("//", "/");
    let lines = ended
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix(&dir));
    lines
        .filter(|line| !line.starts_with("spoa.toml") && !line.contains(".cfg: "))
        .map(str::to_owned)
        .collect()
}

fn assert_case(case: &Case) {
    let scratch = Scratch::new();
    scratch.write("haproxy.cfg", edited(CFG, case.cfg));
    scratch.write("iprep.spoe", edited(SPOE, case.spoe));
    let ended = check(&scratch, case.agent);
    let found = findings(&ended, &scratch);
    assert_eq!(found.len(), case.findings.len(), "{}: {ended:?}", case.name);
    for (line, (begin, part)) in found.iter().zip(case.findings) {
        assert!(
            line.starts_with(begin) && line.contains(part),
            "{}: {begin} {part}: {line}",
            case.name
        );
    }
    let code = i32::from(!case.findings.is_empty());
    assert_eq!(
        (ended.code, ended.stderr.len()),
        (Some(code), 0),
        "{}: {ended:?}",
        case.name
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn mistakes_in_haproxy_cfg_are_found_where_they_are() {
    let cases = [
        Case {
            name: "no spop-check",
            cfg: &[("    option spop-check\n", "")],
            findings: &[("haproxy.cfg:16: ", "has no \"option spop-check\"")],
            ..Case::NONE
        },
        Case {
            name: "no check",
            cfg: &[("12345 check", "12345")],
            findings: &[("haproxy.cfg:19: ", "server \"agent1\" has no \"check\"")],
            ..Case::NONE
        },
        Case {
            name: "maxconn",
            cfg: &[("12345 check", "12345 check maxconn 5")],
            findings: &[("haproxy.cfg:19: ", "\"maxconn\"")],
            ..Case::NONE
        },
        Case {
            name: "maxconn for all servers",
            cfg: &[(
                "    server agent1",
                "    default-server maxconn 5\n    server agent1",
            )],
            findings: &[("haproxy.cfg:19: ", "\"maxconn\"")],
            ..Case::NONE
        },
        Case {
            name: "no server",
            cfg: &[("    server agent1 127.0.0.1:12345 check\n", "")],
            findings: &[("haproxy.cfg:16: ", "has no server")],
            ..Case::NONE
        },
        Case {
            name: "mode http for the agent",
            cfg: &[("    mode spop\n", "")],
            findings: &[("haproxy.cfg:16: ", "is in mode http; add \"mode spop\"")],
            ..Case::NONE
        },
        Case {
            name: "tcp rule in mode http",
            cfg: &[("http-request deny", "tcp-request content reject")],
            findings: &[("haproxy.cfg:11: ", "write \"http-request deny if")],
            ..Case::NONE
        },
        Case {
            name: "tcp rule with an acl",
            cfg: &[(
                "http-request deny if { var(sess.iprep.ip_score) -m int lt 20 }",
                "acl bad var(sess.iprep.ip_score) -m int lt 20\n    tcp-request content reject if bad",
            )],
            findings: &[("haproxy.cfg:12: ", "in mode http")],
            ..Case::NONE
        },
        Case {
            name: "rule before the agent is asked",
            cfg: &[("http-request deny", "tcp-request connection reject")],
            findings: &[("haproxy.cfg:11: ", "run before the agent is asked")],
            ..Case::NONE
        },
        Case {
            name: "nothing sets it",
            cfg: &[(
                "ci score=%[var(sess.iprep.ip_score)]",
                "ci score=%[var(sess.iprep.ip_scor)]",
            )],
            findings: &[("haproxy.cfg:12: ", "did you mean sess.iprep.ip_score?")],
            ..Case::NONE
        },
        Case {
            name: "other scope",
            cfg: &[("ci score=%[var(sess.", "ci score=%[var(txn.")],
            findings: &[("haproxy.cfg:12: ", "the agent sets sess.iprep.ip_score")],
            ..Case::NONE
        },
        Case {
            name: "large buffers",
            cfg: &[("global\n", "global\n    tune.bufsize 131072\n")],
            findings: &[("haproxy.cfg:2: ", "set max-frame-size = 131068")],
            ..Case::NONE
        },
        Case {
            name: "other engine name",
            cfg: &[("engine ip-reputation", "engine iprep")],
            findings: &[("haproxy.cfg:10: ", "it has [ip-reputation]")],
            ..Case::NONE
        },
        Case {
            name: "no engine name",
            cfg: &[("engine ip-reputation ", "")],
            findings: &[("haproxy.cfg:10: ", "the filter names no engine")],
            ..Case::NONE
        },
        Case {
            name: "no such file",
            cfg: &[("config iprep.spoe", "config /nowhere/iprep.spoe")],
            findings: &[(
                "haproxy.cfg:10: ",
                "cannot read the SPOE file /nowhere/iprep.spoe",
            )],
            ..Case::NONE
        },
        Case {
            name: "two filters",
            cfg: &[(
                "    http-request deny",
                "    filter spoe engine ip-reputation config iprep.spoe\n    http-request deny",
            )],
            findings: &[(
                "haproxy.cfg:11: ",
                "two filters that use backend \"iprep-agent\"",
            )],
            ..Case::NONE
        },
        Case {
            name: "event of a frontend, filter in a backend",
            cfg: &[
                (
                    "    filter spoe engine ip-reputation config iprep.spoe\n",
                    "",
                ),
                (
                    "backend origin\n",
                    "backend origin\n    filter spoe engine ip-reputation config iprep.spoe\n",
                ),
            ],
            findings: &[("iprep.spoe:10: ", "on-client-session happens in a frontend")],
            ..Case::NONE
        },
        Case {
            name: "group of another engine",
            cfg: &[(
                "    default_backend",
                "    http-request send-spoe-group iprep g\n    default_backend",
            )],
            findings: &[(
                "haproxy.cfg:13: ",
                "has ip-reputation; use the name behind \"engine\"",
            )],
            ..Case::NONE
        },
        Case {
            name: "chroot",
            cfg: &[
                ("global\n", "global\n    chroot /var/lib/haproxy\n"),
                ("127.0.0.1:12345", "unix@/run/iprep-spoa/spoa.sock"),
            ],
            agent: Some(
                "[agent]\nbind = [\"unix:/run/iprep-spoa/spoa.sock\"]\n[deny]\nprefixes = [\"192.0.2.1\"]\n",
            ),
            findings: &[(
                "haproxy.cfg:20: ",
                "set bind = [\"unix:/var/lib/haproxy/run/iprep-spoa/spoa.sock\"]",
            )],
            ..Case::NONE
        },
    ];
    cases.iter().for_each(assert_case);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn mistakes_in_a_spoe_file_are_found_where_they_are() {
    let cases = [
        Case::NONE,
        Case {
            name: "no processing time",
            spoe: &[("    timeout processing 10ms\n", "")],
            findings: &[("iprep.spoe:2: ", "add \"timeout processing 10ms\"")],
            ..Case::NONE
        },
        Case {
            name: "processing time beyond the threshold",
            spoe: &[("processing 10ms", "processing 500")],
            findings: &[(
                "iprep.spoe:6: ",
                "longer than the agent's slow-threshold 10ms",
            )],
            ..Case::NONE
        },
        Case {
            name: "the threshold of the configuration counts",
            spoe: &[("processing 10ms", "processing 500")],
            agent: Some(
                "[agent]\nslow-threshold = \"500ms\"\n[deny]\nprefixes = [\"192.0.2.1\"]\n",
            ),
            ..Case::NONE
        },
        Case {
            name: "no time",
            spoe: &[("processing 10ms", "processing soon")],
            findings: &[("iprep.spoe:6: ", "\"soon\" is no time")],
            ..Case::NONE
        },
        Case {
            name: "no backend",
            spoe: &[("use-backend iprep-agent", "use-backend iprep-agents")],
            findings: &[(
                "iprep.spoe:7: ",
                "use-backend \"iprep-agents\": no file has such a backend",
            )],
            ..Case::NONE
        },
        Case {
            name: "unanswered message",
            spoe: &[("check-client-ip", "check-clientip")],
            cfg: &[
                (
                    "    http-request deny if { var(sess.iprep.ip_score) -m int lt 20 }\n",
                    "",
                ),
                (" score=%[var(sess.iprep.ip_score)]", ""),
            ],
            findings: &[("iprep.spoe:8: ", "did you mean \"check-client-ip\"?")],
            ..Case::NONE
        },
        Case {
            name: "undefined message",
            spoe: &[(
                "messages check-client-ip",
                "messages check-client-ip get-ip-reputation",
            )],
            findings: &[(
                "iprep.spoe:3: ",
                "\"get-ip-reputation\" is not defined in this scope",
            )],
            ..Case::NONE
        },
        Case {
            name: "no arguments",
            spoe: &[("    args ip=src\n", "")],
            findings: &[("iprep.spoe:8: ", "has no arguments; add \"args ip=src\"")],
            ..Case::NONE
        },
        Case {
            name: "argument of another name",
            spoe: &[
                ("check-client-ip", "get-ip-reputation"),
                ("ip=src", "client=src"),
            ],
            findings: &[("iprep.spoe:9: ", "has no argument \"ip\"")],
            ..Case::NONE
        },
        Case {
            name: "argument of another name, configured",
            spoe: &[],
            agent: Some(
                "[[message]]\nname = \"check-client-ip\"\nip-arg = \"client\"\n\
                 vars = [{ name = \"ip_score\", value = \"score\" }]\n[deny]\nprefixes = [\"192.0.2.1\"]\n",
            ),
            findings: &[("iprep.spoe:9: ", "write \"args client=src\"")],
            ..Case::NONE
        },
        Case {
            name: "report without an address",
            spoe: &[
                (
                    "messages check-client-ip",
                    "messages check-client-ip report",
                ),
                (
                    "spoe-message",
                    "spoe-message report\n    args points=int(5)\n    event on-http-response\nspoe-message",
                ),
            ],
            findings: &[("iprep.spoe:9: ", "reports without an address")],
            ..Case::NONE
        },
        Case {
            name: "never sent",
            spoe: &[("    event on-client-session\n", "")],
            findings: &[("iprep.spoe:8: ", "is never sent")],
            ..Case::NONE
        },
        Case {
            name: "event of the other mode",
            cfg: &[
                ("    mode http\n", "    mode tcp\n"),
                ("http-request deny", "tcp-request content reject"),
            ],
            spoe: &[("on-client-session", "on-frontend-http-request")],
            findings: &[("iprep.spoe:10: ", "happens in mode http")],
            ..Case::NONE
        },
        Case {
            name: "long names",
            cfg: &[
                (
                    "sess.iprep.",
                    "sess.a.prefix.of.a.length.that.leaves.too.little.room.for.names.",
                ),
                (
                    "txn.iprep.",
                    "txn.a.prefix.of.a.length.that.leaves.too.little.room.for.names.",
                ),
            ],
            spoe: &[(
                "option var-prefix iprep",
                "option var-prefix a.prefix.of.a.length.that.leaves.too.little.room.for.names",
            )],
            findings: &[
                ("iprep.spoe:4: ", "HAProxy drops what is longer than 63"),
                ("iprep.spoe:4: ", "HAProxy drops what is longer than 63"),
            ],
            ..Case::NONE
        },
        Case {
            name: "a variable that the configuration does not set",
            cfg: &[("error=%[", "listed=%[var(sess.iprep.listed)] error=%[")],
            agent: Some("[deny]\nprefixes = [\"192.0.2.1\"]\n"),
            findings: &[("haproxy.cfg:12: ", "nothing sets sess.iprep.listed")],
            ..Case::NONE
        },
    ];
    cases.iter().for_each(assert_case);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn configurations_of_other_shapes_have_no_finding() {
    let crlf = CFG.replace('\n', "\r\n");
    let tabs = CFG
        .replace("    ", "\t")
        .replace("mode http", "mode\thttp  # all of them");
    let shapes = [
        CFG.to_owned(),
        crlf,
        tabs,
        // Words and sections that nobody knows.
        format!("stray\n{CFG}new-section x\n    y \"z\n\n\u{1}\u{fffd} a\n"),
        // The option and the check inherited.
        edited(
            CFG,
            &[
                (
                    "backend iprep-agent\n",
                    "defaults agents\n    mode spop\n    option spop-check\n    default-server check\nbackend iprep-agent from agents\n",
                ),
                (
                    "    mode spop\n    option spop-check\n    server agent1 127.0.0.1:12345 check",
                    "    server agent1 127.0.0.1:12345",
                ),
            ],
        ),
        // Both branches of a condition.
        edited(
            CFG,
            &[(
                "    mode spop\n",
                ".if version_atleast(3.1)\n    mode spop\n.else\n    mode tcp\n.endif\n",
            )],
        ),
        // A listen section.
        edited(
            CFG,
            &[
                ("frontend www", "listen www"),
                ("    default_backend origin\nbackend origin\n", ""),
            ],
        ),
        // Quotes and the environment.
        edited(
            CFG,
            &[
                (
                    "config iprep.spoe",
                    "config \"${NOT_SET_ANYWHERE-iprep}.spoe\"",
                ),
                ("mode http", "\"mode\" 'http'"),
            ],
        ),
        // Another agent beside it.
        edited(
            CFG,
            &[
                (
                    "    http-request deny",
                    "    filter spoe engine waf config waf.spoe\n    http-request deny if { var(txn.waf.x) -m found }\n    http-request deny",
                ),
                (
                    "backend origin\n",
                    "backend waf\n    server w 127.0.0.1:9000 maxconn 3\nbackend origin\n",
                ),
            ],
        ),
        // Small buffers.
        edited(CFG, &[("global\n", "global\n    tune.bufsize 8k\n")]),
        // A variable of its own under the prefix.
        edited(
            CFG,
            &[(
                "    http-request deny",
                "    http-request set-var(txn.iprep.mine) int(1)\n    http-request deny if { var(txn.iprep.mine) -m found }\n    http-request deny",
            )],
        ),
        // An attribute of a configuration that is not given.
        edited(
            CFG,
            &[("error=%[", "listed=%[var(sess.iprep.listed)] error=%[")],
        ),
        // Several servers, one a template.
        edited(
            CFG,
            &[(
                "    server agent1",
                "    server-template agent 3 agents.example.net:12345 check\n    server agent1",
            )],
        ),
        edited(
            CFG,
            &[(
                "frontend www\n",
                "userlist u\n    user a password b\npeers p\n    peer a 127.0.0.1:1\nring r\n    size 1000\nfrontend www\n",
            )],
        ),
        edited(CFG, &[("127.0.0.1:12345", "unix@/run/spoa.sock")]),
        edited(CFG, &[("http-request deny", "http-request silent-drop")]),
        edited(CFG, &[("http-request deny", "use_backend tarpit")]),
        edited(
            CFG,
            &[
                ("    mode http\n", ""),
                ("http-request deny", "tcp-request content reject"),
            ],
        ),
        edited(
            CFG,
            &[(
                "frontend www\n",
                "frontend www\n    acl local src 127.0.0.0/8\n    tcp-request connection reject if local\n",
            )],
        ),
        edited(
            CFG,
            &[
                ("global\n", "global\n    chroot /var/lib/haproxy\n"),
                ("127.0.0.1:12345", "unix@/run/spoa.sock"),
            ],
        ),
        edited(CFG, &[("global\n", "global\n    default-path config\n")]),
    ];
    for text in shapes {
        let scratch = Scratch::new();
        scratch.write("haproxy.cfg", &text);
        scratch.write("iprep.spoe", SPOE);
        scratch.write("waf.spoe", "[waf]\nspoe-agent waf\n    messages waf-req\n    use-backend waf\nspoe-message waf-req\n    event on-frontend-http-request\n");
        let ended = check(&scratch, None);
        assert_eq!(
            (ended.code, findings(&ended, &scratch)),
            (Some(0), vec![]),
            "{text}"
        );
        assert!(
            ended.stdout.contains("haproxy.cfg: fits the agent"),
            "{ended:?}"
        );
    }
}

#[test]
fn two_engines_on_a_backend_are_found() {
    let scratch = Scratch::new();
    let other = "frontend other\n    bind 127.0.0.1:8081\n    filter spoe engine waf config waf.spoe\n    default_backend origin\nbackend origin\n";
    scratch.write("haproxy.cfg", edited(CFG, &[("backend origin\n", other)]));
    scratch.write("iprep.spoe", SPOE);
    scratch.write("waf.spoe", "[waf]\nspoe-agent waf\n    messages m\n    use-backend iprep-agent\nspoe-message m\n    event on-frontend-http-request\n");
    let ended = check(&scratch, None);
    let found = findings(&ended, &scratch);
    assert_eq!(found.len(), 1, "{ended:?}");
    assert!(
        found[0].starts_with("iprep.spoe:7: ") && found[0].contains("waf.spoe:4"),
        "{found:?}"
    );
}

#[test]
fn several_files_and_a_directory_are_read_as_haproxy_reads_them() {
    let scratch = Scratch::new();
    let (first, second) = CFG.split_once("backend iprep-agent").unwrap();
    scratch.write("1.cfg", first);
    scratch.write("2.cfg", format!("backend iprep-agent{second}"));
    scratch.write("ignored.txt", "frontend x\n    filter spoe\n");
    scratch.write("iprep.spoe", SPOE);
    let path = |name: &str| scratch.path(name).display().to_string();
    let both = Program::run(&["check", "--haproxy", &path("1.cfg"), &path("2.cfg")]);
    assert_eq!(both.code, Some(0), "{both:?}");
    let dir = Program::run(&["check", "--haproxy", &path("")]);
    assert_eq!(dir.code, Some(0), "{dir:?}");
    let half = Program::run(&["check", "--haproxy", &path("1.cfg")]);
    assert!(
        half.stdout.contains("no file has such a backend"),
        "{half:?}"
    );
}

#[test]
fn files_that_cannot_be_read_are_an_error() {
    let scratch = Scratch::new();
    let run = |path: &Path| Program::run(&["check", "--haproxy", path.to_str().unwrap()]);
    let missing = run(&scratch.path("missing.cfg"));
    assert!(missing.refusal(2).contains("cannot read"), "{missing:?}");
    let empty = scratch.write("empty.cfg", "global\n");
    let line = run(&empty).refusal(2).to_owned();
    assert!(line.contains("has no \"filter spoe\" line"), "{line}");
    let noise: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let noise = scratch.write("noise.cfg", noise);
    assert!(
        run(&noise)
            .refusal(2)
            .contains("has no \"filter spoe\" line")
    );
    fs::create_dir(scratch.path("empty")).unwrap();
    assert!(
        run(&scratch.path("empty"))
            .refusal(2)
            .contains("no .cfg file is in it")
    );
    let none = Program::run(&["check"]);
    assert!(
        none.stderr
            .iter()
            .any(|line| line.contains("--haproxy") || line.contains("--config")),
        "{none:?}"
    );
}

#[test]
fn the_samples_fit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut samples = 0;
    for entry in fs::read_dir(root.join("haproxy-conf")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "cfg") {
            let path = path.strip_prefix(root).unwrap().to_str().unwrap();
            let own = Path::new(path).with_extension("toml");
            let own = own.to_str().filter(|own| root.join(own).exists());
            for config in [None, own.or(Some("haproxy-conf/spoa.toml"))] {
                let mut args = vec!["check", "--offline", "--haproxy", path];
                args.extend(config.into_iter().flat_map(|config| ["-f", config]));
                let mut command = Program::command(&args);
                command.current_dir(root);
                let ended = Program::spawn(command).wait();
                assert_eq!(ended.code, Some(0), "{ended:?}");
            }
            samples += 1;
        }
    }
    assert!(samples >= 4);
}
