//! Made-up sources: what the rules have to find, and what they must not.

/// The words of the finding, where the text stands, the text.
pub(crate) const FORBIDDEN: [(&str, &str, &str); 23] = [
    (
        "spop uses reputation",
        "src/spop/x.rs",
        "use crate::reputation::Score;",
    ),
    (
        "spop uses handler",
        "src/spop/x.rs",
        "use crate::{\n    handler, spop::Ack,\n};",
    ),
    (
        "spop uses session",
        "src/spop/x.rs",
        "fn f() { super::super::session::g() }",
    ),
    (
        "spop uses session",
        "src/spop/mod.rs",
        "use super::session::Terms;",
    ),
    (
        "spop uses mio",
        "src/spop/x.rs",
        "    use mio::net::TcpStream;",
    ),
    (
        "handler uses session",
        "src/handler.rs",
        "use crate::session::Terms;",
    ),
    ("handler uses agent", "src/handler.rs", "use super::Agent;"),
    (
        "session uses agent",
        "src/session/x.rs",
        "fn f(a: crate::Agent) {}",
    ),
    (
        "session uses iprep",
        "src/session/x.rs",
        "use crate::{iprep::{self, Question}};",
    ),
    (
        "session uses std",
        "src/session/x.rs",
        "use std::{fmt, time::Instant};",
    ),
    (
        "reputation uses spop",
        "src/reputation/x.rs",
        "use crate::spop::Ack;",
    ),
    (
        "reputation uses std",
        "src/reputation/x.rs",
        "fn f() { std::thread::yield_now() }",
    ),
    (
        "agent uses iprep",
        "src/agent/x.rs",
        "pub(super) use crate::iprep::Question;",
    ),
    (
        "agent uses reputation",
        "src/agent/a/b.rs",
        "use super::super::super::reputation::Score;",
    ),
    ("cli uses main", "src/cli/x.rs", "use crate::main;"),
    ("belongs to no layer", "src/novel/x.rs", "fn f() {}"),
    (
        "prints",
        "src/agent/x.rs",
        "fn f() { eprintln!(\"{}\", 1) }",
    ),
    ("prints", "src/agent/x.rs", "use std::io::{self, stderr};"),
    (
        "without a reason",
        "src/agent/x.rs",
        "#[allow(dead_code)]\nfn f() {}",
    ),
    (
        "without a reason",
        "tests/x.rs",
        "#![expect(\n    clippy::pedantic,\n)]",
    ),
    (
        "imports spoa::spop::*",
        "tests/x.rs",
        "use spoa::{session, spop::*};",
    ),
    ("imports super::*", "src/agent/x.rs", "use super::*;"),
    ("imports super::*", "tests/a/b_tests.rs", "use super::*;"),
];

/// Where the text stands, the text.
pub(crate) const ALLOWED: [(&str, &str); 10] = [
    (
        "src/session/x.rs",
        "/// See [`agent`](crate::agent).\nuse crate::{Handler, spop::Ack};",
    ),
    (
        "src/session/x.rs",
        "use super::Terms;\nuse bytes::BytesMut;\nuse core::fmt::{self, Write};",
    ),
    (
        "src/spop/a/b.rs",
        "use super::super::Reader;\nuse core::net::IpAddr;",
    ),
    (
        "src/spop/x.rs",
        "fn f() {}\n#[cfg(test)]\nmod tests {\n    use super::*;\n    use std::fs;\n}",
    ),
    (
        "src/iprep/x.rs",
        "use crate::reputation::Score;\nuse crate::Handler;",
    ),
    (
        "src/cli/x.rs",
        "use spoa::Agent;\nfn f() { println!(\"{}\", std::process::id()) }",
    ),
    ("src/main.rs", "mod cli;\nfn main() { cli::run() }"),
    (
        "src/agent/x.rs",
        "#[expect(dead_code, reason = \"seen\")]\nfn f() { footprint!() }",
    ),
    ("src/agent/tests.rs", "use super::*;"),
    ("bench/a/frame_tests.rs", "use super::*;"),
];
