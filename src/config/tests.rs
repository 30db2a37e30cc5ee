use core::time::Duration;
use std::path::Path;
use std::time::Instant;

use super::*;
use crate::live::BehaviorOptions;
#[cfg(feature = "http")]
use ip_reputation::{Pattern, Role};

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("/etc/spoa/spoa.toml"), text)
}

#[test]
fn the_lines_of_many_errors_are_found_in_no_time() {
    let begun = Instant::now();
    let prefixes = "\"x\",\n".repeat(100_000);
    let text = format!("[deny]\nprefixes = [\n{prefixes}]\n");
    let error = Config::parse(Path::new("spoa.toml"), &text).unwrap_err();
    let lines: Vec<_> = error.problems.iter().map(|it| it.line).collect();
    assert_eq!(lines.len(), 100_000);
    assert_eq!((lines[0], lines[99_999]), (Some(3), Some(100_002)));
    assert!(begun.elapsed().as_secs() < 10);
}

#[test]
fn scores_are_random_only_if_the_file_says_so() {
    let config = parse("").unwrap();
    assert_eq!(config.agent, AgentOptions::default());
    assert_eq!(config.source(), Source::Feeds);
    assert!(config.lacks_lists());
    assert!(!parse("[live]\n").unwrap().lacks_lists());
    let random = parse("[reputation]\nsource = \"random\"\n").unwrap();
    assert_eq!(random.source(), Source::Random);
    assert!(!random.lacks_lists());
    assert!(config.messages.is_empty() && config.feeds.is_empty());
}

#[test]
#[cfg(feature = "http")]
fn every_key_is_understood() {
    use ip_reputation::formats::{Column, Format, Strip};

    use crate::host::log::{LogFormat, LogLevel};

    let config = parse(include_str!("every_key.toml")).unwrap();
    assert_eq!(config.agent.bind.as_deref().unwrap().len(), 2);
    assert_eq!(config.agent.unix_mode, Some(0o600));
    assert_eq!(config.agent.user.as_deref(), Some("nobody:nogroup"));
    assert_eq!(config.agent.confine, Some(values::When::Require));
    assert_eq!(config.agent.log_level, Some(LogLevel::Debug));
    assert_eq!(config.agent.log_format, Some(LogFormat::Json));
    assert_eq!(config.source(), Source::Feeds);
    assert_eq!(
        config.reputation.cache_dir.as_deref(),
        Some(Path::new("/var/cache/spoa"))
    );
    let [file, exits, url, json, ranges, lines, proxies] = &config.feeds[..] else {
        panic!("{:?}", config.feeds)
    };
    assert_eq!(file.place, Place::Path("/etc/spoa/lists/own.csv".into()));
    assert_eq!((&*exits.name, exits.role), ("tor-exits", Role::Deny));
    assert_eq!(exits.group.as_deref(), Some("anonymizers"));
    assert_eq!(file.half_life, Some(Duration::from_hours(24 * 7)));
    assert_eq!((file.weight, file.interval), (0.5, None));
    assert_eq!(url.place, Place::Url("https://192.0.2.1/list".into()));
    assert_eq!(url.interval, Some(Duration::from_mins(10)));
    assert_eq!(url.headers[0].value, Secret::Env("LIST_KEY".into()));
    assert_eq!(url.max_size, 64 << 20);
    assert_eq!(url.ca_file.as_deref(), Some(Path::new("/etc/spoa/ca.pem")));
    assert_eq!(file.ca_file, None, "there is nobody to ask");
    let specifics = |feed: &Feed| feed.specifics.clone();
    assert_eq!(specifics(json).keys.items, ["prefixes[]"]);
    assert_eq!(specifics(json).keys.prefix, ["ipv4Prefix", "ipv6Prefix"]);
    let wanted = [("active", "true"), ("level", "3"), ("type", "ban")];
    let wanted = wanted.map(|(key, text)| (key.to_owned(), text.to_owned()));
    assert_eq!(specifics(json).conditions, wanted);
    assert_eq!(specifics(json).strip, Some(Strip::Port));
    assert_eq!(
        specifics(ranges).columns.first,
        Some(Column::Name("start".to_owned()))
    );
    assert_eq!(specifics(ranges).columns.count, Some(Column::Index(1)));
    assert!(specifics(ranges).integers);
    assert!(specifics(lines).regex.is_some());
    assert_eq!(
        proxies.format,
        Some(Format::Plain),
        "what is stripped hides the format"
    );
    let shortest = |feed: &Feed| (feed.specifics.min_prefix_v4, feed.specifics.min_prefix_v6);
    assert_eq!((shortest(file), shortest(url)), ((4, 12), (8, 16)));
    let names: Vec<_> = config
        .reputation
        .actions
        .iter()
        .map(|it| &*it.name)
        .collect();
    assert_eq!(names, ["deny", "challenge"]);
    assert_eq!(config.messages[0].rules.answers.len(), 17);
    assert_eq!(
        config.payload[1].rule.pattern,
        Pattern::Prefix(vec![0x16, 3, 1])
    );
    assert_eq!(config.payload_bytes_max, Some(512));
}

/// A file, the line of its problem, and what is said about it.
const WRONG: &[(&str, usize, &str)] = &[
    (
        "[agent]\nworkes = 2",
        2,
        "unknown key \"workes\" in [agent]; did you mean \"workers\"?",
    ),
    ("\n[reputaton]", 2, "did you mean \"reputation\"?"),
    ("[agent]\ncolour = 2", 2, "known are bind, workers"),
    (
        "[agent]\nworkers = 0",
        2,
        "workers: 0: expected a number from 1 to 1024",
    ),
    (
        "[agent]\nworkers = \"many\"",
        2,
        "expected 1 to 1024, or auto",
    ),
    (
        "[agent]\nmax-frame-size = 255",
        2,
        "expected a number from 256 to 16777216",
    ),
    (
        "[agent]\nunix-mode = 660",
        2,
        "expected octal digits as text",
    ),
    ("[agent]\nhello-timeout = \"soon\"", 2, "expected a time"),
    ("[agent]\ncores = \"3-1\"", 2, "expected numbers and ranges"),
    (
        "[agent]\nlog-level = \"loudly\"",
        2,
        "unknown value \"loudly\"; known are error, warn, info, debug",
    ),
    (
        "[agent]\nlog-format = \"jason\"",
        2,
        "did you mean \"json\"?",
    ),
    (
        "[agent]\nconfine = \"yes\"",
        2,
        "known are auto, require, off",
    ),
    (
        "[reputation]\ndefault-score = 101",
        2,
        "expected a number from 0 to 100",
    ),
    (
        "[reputation]\naggregation = \"noisyor\"",
        2,
        "did you mean \"noisy-or\"?",
    ),
    ("[[feed]]\npath = \"x\"", 1, "a [[feed]] has no name"),
    ("[[feed]]\nname = \"a\"", 2, "neither a path nor a url"),
    (
        "[[feed]]\nname = \"a\"\npath = \"x\"\nurl = \"http://x/\"",
        4,
        "give one of them",
    ),
    (
        "[[feed]]\nname = \"a\"\nurl = \"ftp://x/\"",
        3,
        "expected http://HOST",
    ),
    (
        "[[feed]]\nname = \"a\"\nurl = \"http://me:secret@x/\"",
        3,
        "use headers",
    ),
    (
        "[[feed]]\nname = \"a\"\npath = \"x\"\nweight = 1.5",
        4,
        "weight: 1.5: expected a number from 0 to 1",
    ),
    (
        "[[feed]]\nname = \"a\"\npath = \"x\"\nweight = nan",
        4,
        "expected a number from 0 to 1",
    ),
    (
        "[[feed]]\nname = \"a\"\npath = \"x\"\nformat = \"csv\"\ncolumns = { value = 1 }",
        4,
        "needs higher-is",
    ),
    (
        "[[feed]]\nname = \"a\"\npath = \"x\"\nformat = \"asn\"",
        4,
        "needs asn-db in [reputation]",
    ),
    (
        "[[feed]]\nname = \"a\"\nurl = \"http://x/\"\nheaders = [{ name = \"X\", value = \"\" }]",
        4,
        "its value is empty",
    ),
    (
        "[[feed]]\nname = \"a\"\nurl = \"http://x/\"\nheaders = [{ name = \"X\", value = \"a\", env = \"A\" }]",
        4,
        "give one of them",
    ),
    (
        "[[feed]]\nname = \"a\"\npath = \"x\"\nformat = \"netsset\"",
        4,
        "did you mean \"netset\"?",
    ),
    (
        "[[feed]]\nname = \"a\"\npath = \"x\"\nhigher-is = \"bad\"",
        4,
        "unknown value \"bad\"",
    ),
    (
        "[[feed]]\nname = \"a\"\npath = \"x\"\n[[feed]]\nname = \"a\"\npath = \"y\"",
        5,
        "stands in line 2 already",
    ),
    (
        "[[feed]]\nname = \"a\"\npath = \"x\"\nmax-size = 0",
        4,
        "bytes above zero",
    ),
    (
        "[[feed]]\nname = \"a\"\nurl = \"http://x/\"\nrefresh-interval = \"1ms\"",
        4,
        "1s or more",
    ),
    (
        "[[feed]]\nname = \"a\"\nurl = \"http://x/\"\nheaders = [{ name = \"Key\" }]",
        4,
        "in a file or in env",
    ),
    (
        "[[feed]]\nname = \"a\"\nurl = \"http://x/\"\nheaders = [{ name = \"K y\", env = \"X\" }]",
        4,
        "not the name of a header",
    ),
    (
        "[[feed]]\nname = \"a\"\nurl = \"http://x/\"\nca-file = \"ca.pem\"",
        4,
        "begins with https://",
    ),
    (
        "[[feed]]\nname = \"a\"\npath = \"x\"\nca-file = \"ca.pem\"",
        4,
        "begins with https://",
    ),
    (
        "[allow]\nprefixes = [\n  \"192.0.2.0/24\",\n  \"192.0.2.0/33\",\n]",
        4,
        "\"192.0.2.0/33\": expected",
    ),
    (
        "[allow]\nprefixes = [\"203.0.113.7/24\"]",
        2,
        "\"203.0.113.7/24\": expected the network, 203.0.113.0/24, or the one address, 203.0.113.7",
    ),
    (
        "[deny]\nprefixes = [\"2001:db8::1/64\"]",
        2,
        "expected the network, 2001:db8::/64, or the one address, 2001:db8::1",
    ),
    (
        "[[feed]]\nname = \"a\"\npath = \"x\"\nhalf-life = \"7\"",
        4,
        "expected a unit: 7ms, 7s, 7m, 7h or 7d",
    ),
    (
        "[[feed]]\nname = \"allow\"\npath = \"x\"",
        2,
        "a feed cannot be called \"allow\"",
    ),
    (
        "[agent]\nhello-timeout = \"30\"",
        2,
        "expected a unit: 30ms, 30s, 30m, 30h or 30d",
    ),
    (
        "[deny]\nprefixes = \"192.0.2.0/24\"",
        2,
        "\"192.0.2.0/24\": expected a list; write prefixes = [\"192.0.2.0/24\"]",
    ),
    ("[[message]]\nname = \"m\"", 2, "sets nothing"),
    (
        "[[message]]\nname = \"m\"\nvars = [{ name = \"a\", value = \"scor\" }]",
        3,
        "did you mean \"score\"?",
    ),
    (
        "[[message]]\nname = \"m\"\nvars = [{ name = \"a-b\", value = \"score\" }]",
        3,
        "letters, digits",
    ),
    (
        "[[message]]\nname = \"m\"\nvars = [{ name = \"a\", value = \"asn\" }]",
        2,
        "needs asn-db in [reputation]",
    ),
    (
        "[[message]]\nname = \"m\"\nscope = \"sesion\"\nvars = []",
        3,
        "did you mean \"session\"?",
    ),
    (
        "[[payload]]\nname = \"p\"\nscore = 5",
        2,
        "give it one of regex",
    ),
    (
        "[[payload]]\nname = \"p\"\nscore = 5\nstarts-with-hex = \"1\"",
        4,
        "pairs of hexadecimal digits",
    ),
    (
        "[[payload]]\nname = \"p\"\nscore = 5\nregex = \"(\"",
        4,
        "payload rule p: not a regular expression",
    ),
    (
        "[[feed]]\nname = \"a\"\npath = \"x\"\nformat = \"mmdb\"",
        4,
        "needs rules",
    ),
    (
        "[[feed]]\nname = \"a\"\npath = \"x\"\nrules = [{ asn = 1, country = \"ZZ\" }]",
        4,
        "a rule is for one of",
    ),
    (
        "[[feed]]\nname = \"a\"\npath = \"x\"\nrules = [{ country = \"zz\" }]",
        4,
        "country = \"zz\": expected two capital letters",
    ),
    (
        "[[feed]]\nname = \"a\"\npath = \"x\"\ncolumns = { prefix = 0, separator = \"ab\" }",
        4,
        "expected one character",
    ),
    (
        "[[feed]]\nname = \"a\"\npath = \"x\"\nformat = \"lines\"",
        4,
        "needs a regex",
    ),
    (
        "[[feed]]\nname = \"a\"\npath = \"x\"\nregex = '(\\S+)'",
        4,
        "no group (?<prefix>",
    ),
    (
        "[[feed]]\nname = \"a\"\npath = \"x\"\nformat = \"json\"\nvalue = \"score\"",
        4,
        "needs higher-is",
    ),
    (
        "[[feed]]\nname = \"a\"\npath = \"x\"\ncolumns = { last = 1 }",
        4,
        "belong to a range",
    ),
    (
        "[[feed]]\nname = \"a\"\npath = \"x\"\nmin-prefix-v4 = 33",
        4,
        "0 to 32",
    ),
    (
        "[[feed]]\nname = \"a\"\npath = \"x\"\nmax-value = 0.0",
        4,
        "number above 0",
    ),
    (
        "[agent]\nlisten = [\"127.0.0.1\"]",
        2,
        "unknown key \"listen\" in [agent]; did you mean \"bind\"?",
    ),
    (
        "[agent]\nhalf-life = \"1d\"",
        2,
        "unknown key \"half-life\" in [agent]; it belongs to [behavior] or [[feed]]",
    ),
    (
        "[agent]\nbind = [\"localhost\"]",
        2,
        "bind: \"localhost\": expected ADDRESS",
    ),
    (
        "[agent]\nbind = [5]",
        2,
        "bind: 5: expected a text in quotes",
    ),
    (
        "[agent]\nmax-connections = \"9\"",
        2,
        "max-connections: \"9\": expected a whole number",
    ),
    (
        "[agent]\nmax-connections = 1.5",
        2,
        "max-connections: 1.5: expected a whole number",
    ),
    (
        "[agent]\ntakeover = \"yes\"",
        2,
        "takeover: \"yes\": expected true or false",
    ),
    ("[[agent]]\nworkers = 2", 1, "[agent] is given once"),
    (
        "[feed]\nname = \"a\"\npath = \"x\"",
        1,
        "[feed] can be given several times; write [[feed]]",
    ),
    (
        "[[payload]]\nname = \"p\"\nscore = 5\nprefix = \"a\"",
        4,
        "unknown key \"prefix\" in [[payload]]; did you mean \"starts-with\"?",
    ),
    (
        "[[payload]]\nname = \"p\"\nscore = 5\npattern = \"a\"",
        4,
        "did you mean \"regex\"?",
    ),
    (
        "[reputation]\naggregation = \"worst\"",
        2,
        "did you mean \"max\"?",
    ),
    ("allow = 5", 1, "allow: 5: expected a table"),
    ("[agent", 1, ""),
    ("a = \"\n", 1, ""),
];

#[test]
fn what_is_wrong_is_named_with_its_line() {
    // Without the feature a URL is one mistake more.
    let about_urls = |text: &str| text.contains("url = \"http");
    let wrong = WRONG.iter();
    for (text, line, what) in wrong.filter(|row| cfg!(feature = "http") || !about_urls(row.0)) {
        let error = parse(text).map(|_| ()).unwrap_err();
        let [problem] = &error.problems[..] else {
            panic!("{text}: {error}")
        };
        assert_eq!(problem.line, Some(*line), "{text}: {error}");
        assert!(problem.what.contains(what), "{text}: {error}");
        assert!(!error.to_string().contains('\n'), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let text =
        "[[feed]]\nname = \"a\"\n[[feed]]\nname = \"b\"\nurl = \"x\"\n[allow]\nprefixes = [\"x\"]";
    let error = parse(text).map(|_| ()).unwrap_err();
    let lines: Vec<_> = error.problems.iter().map(|it| it.line.unwrap()).collect();
    assert_eq!(lines, [2, 5, 7]);
    assert!(
        error
            .to_string()
            .starts_with("/etc/spoa/spoa.toml:2: feed \"a\" has neither")
    );
}

#[test]
fn mistakes_of_all_kinds_are_reported_together() {
    let text = "[agent]\nworkres = 2\nworkers = 0\n[reputation]\ndefault-score = \"x\"\n\
                [[feed]]\nname = \"a\"\nurl = 5\n[[feed]]\nname = \"b\"\n\
                [deny]\nprefixes = [\"x\", 5, 6]\n";
    let error = parse(text).map(|_| ()).unwrap_err();
    let lines: Vec<_> = error.problems.iter().map(|it| it.line.unwrap()).collect();
    // Feed a has no place only because that was removed; feed b never had one.
    assert_eq!(lines, [2, 3, 5, 8, 10, 12, 12, 12], "{error}");
}

#[test]
fn no_message_has_a_type_name_of_rust() {
    for (text, _, _) in WRONG {
        let error = parse(text).map(|_| ()).unwrap_err().to_string();
        for name in [
            "usize", "u32", "i64", "map", "sequence", "struct", "variant", "string `",
        ] {
            assert!(!error.contains(name), "{text}: {error}");
        }
    }
}

#[test]
fn keys_of_the_agent_have_lines() {
    let config = parse("[agent]\nworkers = 2\n\nbind = [\"127.0.0.1\"]\n").unwrap();
    let lines = [
        ("agent.workers".to_owned(), 2),
        ("agent.bind".to_owned(), 4),
    ];
    assert_eq!(config.lines.len(), 2);
    assert!(lines.iter().all(|line| config.lines.contains(line)));
}

#[test]
fn what_is_no_configuration_file_is_refused() {
    for path in ["/dev/zero", "/", "/nonexistent"] {
        let error = Config::read(Path::new(path)).map(|_| ()).unwrap_err();
        assert!(error.to_string().starts_with(path), "{error}");
    }
}

#[test]
#[cfg(not(feature = "http"))]
fn a_url_is_refused_by_a_binary_that_cannot_ask_for_it() {
    let error = parse("[[feed]]\nname = \"a\"\nurl = \"http://192.0.2.1/\"\n").unwrap_err();
    assert_eq!(error.problems[0].line, Some(3));
    assert!(error.to_string().contains("feature http"), "{error}");
}

#[test]
fn live_has_defaults_and_makes_the_source_feeds() {
    let config = parse("[live]\n").unwrap();
    assert_eq!(config.live, Some(LiveOptions::default()));
    assert_eq!(config.source(), Source::Feeds);
    let text = "[live]\nstore = \"a.db\"\ndefault-duration = \"1h\"\nipv6-prefix = 56\n\
                max-decisions = 7\nchallenge-score = 30\n";
    let live = parse(text).unwrap().live.unwrap();
    assert_eq!(live.store.as_deref(), Some(Path::new("/etc/spoa/a.db")));
    assert_eq!((live.ipv6_prefix, live.max_decisions), (56, 7));
    assert_eq!(live.challenge_score.value(), 30);
    for wrong in [
        "ipv6-prefix = 0",
        "ipv6-prefix = 129",
        "default-duration = 5",
        "max-decisions = 0",
        "challenge-score = 101",
        "stroe = \"a\"",
    ] {
        let error = parse(&format!("[live]\n{wrong}\n")).unwrap_err();
        assert_eq!(error.problems[0].line, Some(2), "{error}");
    }
}

#[test]
fn behavior_has_defaults_and_needs_live() {
    let config = parse("[live]\n[behavior]\n[reputation]\nignore-private = false\n").unwrap();
    let behavior = config.live.unwrap().behavior.unwrap();
    let default = BehaviorOptions {
        ignore_private: false,
        ..BehaviorOptions::default()
    };
    assert_eq!(behavior, default);
    assert_eq!((&behavior.message[..], behavior.ban_at), ("report", 100));
    let text = "[live]\n[behavior]\nmessage = \"bad\"\nhalf-life = \"1m\"\nmax-addresses = 7\n\
                ban-at = 50\nban-duration = \"30m\"\n";
    let behavior = parse(text).unwrap().live.unwrap().behavior.unwrap();
    let given = BehaviorOptions {
        message: "bad".to_owned(),
        half_life: Duration::from_mins(1),
        max_addresses: 7,
        ban_at: 50,
        ban_duration: Duration::from_mins(30),
        ignore_private: true,
    };
    assert_eq!(behavior, given);
    let error = parse("[behavior]\nban-at = 100\n").unwrap_err();
    assert_eq!(error.problems[0].line, Some(1), "{error}");
    assert!(
        error.to_string().contains("needs a [live] section"),
        "{error}"
    );
    for wrong in [
        "ban-at = 0",
        "half-life = 5",
        "max-addresses = 0",
        "message = \"\"",
        "ban-durration = \"1h\"",
    ] {
        let error = parse(&format!("[live]\n[behavior]\n{wrong}\n")).unwrap_err();
        assert_eq!(error.problems[0].line, Some(3), "{error}");
    }
}

#[cfg(feature = "crowdsec")]
#[test]
fn crowdsec_has_defaults_and_needs_live_and_credentials() {
    use crate::crowdsec::Credentials;

    let config = parse("[live]\n[crowdsec]\napi-key-file = \"k\"\n").unwrap();
    let options = config.crowdsec.unwrap();
    assert_eq!(options.url.to_string(), "http://127.0.0.1:8080");
    assert_eq!(options.interval, Duration::from_secs(10));
    assert_eq!(options.scopes, ["ip", "range", "as", "country"]);
    assert!(options.origins.is_empty());
    assert!(matches!(options.credentials, Credentials::Key(file) if file.ends_with("k")));
    for (wrong, line, says) in [
        (
            "[crowdsec]\napi-key-file = \"k\"\n",
            1,
            "needs a [live] section",
        ),
        ("[live]\n[crowdsec]\n", 2, "cscli bouncers add"),
        (
            "[live]\n[crowdsec]\nurl = \"lapi\"\napi-key-file = \"k\"\n",
            3,
            "invalid url",
        ),
        (
            "[live]\n[crowdsec]\ncert-file = \"c\"\n",
            2,
            "needs key-file",
        ),
        (
            "[live]\n[crowdsec]\ncert-file = \"c\"\nkey-file = \"k\"\n",
            3,
            "https",
        ),
        (
            "[live]\n[crowdsec]\napi-key-file = \"k\"\nkey-file = \"k\"\n",
            2,
            "exclude",
        ),
        (
            "[live]\n[crowdsec]\napi-key-file = \"k\"\nscopes = [\"ip\",\n\"user\"]\n",
            5,
            "unknown scope",
        ),
        (
            "[live]\n[crowdsec]\napi-key-file = \"k\"\nscopes = []\n",
            2,
            "scopes is empty",
        ),
        (
            "[live]\n[crowdsec]\napi-key-file = \"k\"\ninterval = 10\n",
            4,
            "interval",
        ),
    ] {
        // Without a URL the default is http, so that a certificate is shown to nobody.
        let error = parse(wrong).unwrap_err().to_string();
        assert!(error.contains(says), "{wrong}: {error}");
        assert!(error.contains(&format!(":{line}: ")), "{wrong}: {error}");
    }
}
