//! Made-up sources: what the rules have to find, and what they must not.

/// The words of the finding, where the text stands, the text.
pub(crate) const FORBIDDEN: [(&str, &str, &str); 17] = [
    (
        "must not use session",
        "crates/haproxy-spop/src/x.rs",
        "fn f() { super::session::g() }",
    ),
    (
        "must not use session",
        "crates/haproxy-spop/src/x.rs",
        "use crate::{\n    Ack, session::SessionConfig,\n};",
    ),
    (
        "must not use std",
        "crates/haproxy-spop/src/x.rs",
        "    use std::net::TcpStream;",
    ),
    (
        "must not use std",
        "crates/haproxy-spop/src/session/x.rs",
        "use std::{fmt, time::Instant};",
    ),
    (
        "must not use std",
        "crates/ip-reputation/src/x.rs",
        "fn f() { std::thread::yield_now() }",
    ),
    (
        "must not use config",
        "src/policy/x.rs",
        "pub(super) use crate::config::Config;",
    ),
    (
        "must not use admin",
        "src/config/a/b.rs",
        "use super::super::super::admin::Token;",
    ),
    (
        "must not use admin",
        "src/feeds/x.rs",
        "use crate::{admin::{self, Token}};",
    ),
    (
        "must not use policy",
        "src/host/x.rs",
        "use crate::policy::Policy;",
    ),
    ("must not use main", "src/cli/x.rs", "use crate::main;"),
    (
        "prints",
        "crates/haproxy-spoa/src/x.rs",
        "fn f() { eprintln!(\"{}\", 1) }",
    ),
    (
        "prints",
        "crates/haproxy-spoa/src/x.rs",
        "use std::io::{self, stderr};",
    ),
    (
        "without a reason",
        "crates/haproxy-spoa/src/x.rs",
        "#[allow(dead_code)]\nfn f() {}",
    ),
    (
        "without a reason",
        "tests/x.rs",
        "#![expect(\n    clippy::pedantic,\n)]",
    ),
    (
        "imports haproxy_spop::*",
        "tests/x.rs",
        "use haproxy_spop::{session, *};",
    ),
    (
        "imports super::*",
        "crates/haproxy-spoa/src/x.rs",
        "use super::*;",
    ),
    ("imports super::*", "tests/a/b_tests.rs", "use super::*;"),
];

/// Where the text stands, the text.
pub(crate) const ALLOWED: [(&str, &str); 9] = [
    (
        "crates/haproxy-spop/src/session/x.rs",
        "use super::SessionConfig;\nuse bytes::BytesMut;\nuse core::fmt::{self, Write};",
    ),
    (
        "crates/haproxy-spop/src/x.rs",
        "fn f() {}\n#[cfg(test)]\nmod tests {\n    use super::*;\n    use std::fs;\n}",
    ),
    (
        "src/policy/x.rs",
        "use ip_reputation::Score;\nuse haproxy_spoa::Handler;",
    ),
    (
        "src/feeds/x.rs",
        "/// See [`admin`](crate::admin).\nuse crate::config::Config;",
    ),
    (
        "src/cli/x.rs",
        "use haproxy_spoa::Agent;\nfn f() { println!(\"{}\", std::process::id()) }",
    ),
    ("src/main.rs", "mod cli;\nfn main() { cli::run() }"),
    (
        "crates/haproxy-spoa/src/x.rs",
        "#[expect(dead_code, reason = \"seen\")]\nfn f() { footprint!() }",
    ),
    ("crates/haproxy-spoa/src/tests.rs", "use super::*;"),
    ("bench/a/frame_tests.rs", "use super::*;"),
];
