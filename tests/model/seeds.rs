//! The seeds of the fuzz targets: small, and each the first step into another part of the code.

use crate::encode::{self, Message, Value};

type Seeds = Vec<(&'static str, Vec<u8>)>;

/// FIN.
const WHOLE: u32 = 1;
/// FIN and ABORT.
const ABORT: u32 = 3;

fn text(text: &str) -> Value {
    Value::String(text.into())
}

fn kv_list(items: &[(&str, Value)]) -> Vec<u8> {
    items
        .iter()
        .flat_map(|(key, value)| encode::kv(key.as_bytes(), value))
        .collect()
}

fn haproxy_hello(capabilities: &str, healthcheck: bool) -> Vec<u8> {
    let payload = kv_list(&[
        ("supported-versions", text("2.0")),
        ("max-frame-size", Value::Uint32(16_380)),
        ("capabilities", text(capabilities)),
        ("healthcheck", Value::Bool(healthcheck)),
        ("engine-id", text("0A4B")),
    ]);
    encode::frame(1, WHOLE, (0, 0), &payload)
}

fn agent_hello() -> Vec<u8> {
    let payload = kv_list(&[
        ("version", text("2.0")),
        ("max-frame-size", Value::Uint32(16_380)),
        ("capabilities", text("pipelining,fragmentation")),
    ]);
    encode::frame(101, WHOLE, (0, 0), &payload)
}

fn disconnect(kind: u8, status: u32) -> Vec<u8> {
    let payload = kv_list(&[
        ("status-code", Value::Uint32(status)),
        ("message", text("bye")),
    ]);
    encode::frame(kind, WHOLE, (0, 0), &payload)
}

fn client_ip() -> Message {
    let arguments = vec![(Vec::new(), Value::Ipv4([192, 0, 2, 1]))];
    Message {
        name: "check-client-ip".to_owned(),
        arguments,
    }
}

/// An argument of every type.
fn every_type() -> Message {
    let values = [
        Value::Null,
        Value::Bool(true),
        Value::Int32(-1),
        Value::Uint32(239),
        Value::Int64(-2),
        Value::Uint64(u64::MAX),
        Value::Ipv6([0x20; 16]),
        text("abc"),
        Value::Binary(vec![0xff; 30]),
    ];
    let arguments = values.map(|value| (b"x".to_vec(), value)).to_vec();
    Message {
        name: "every".to_owned(),
        arguments,
    }
}

fn notify(ids: (u64, u64), messages: &[Message]) -> Vec<u8> {
    encode::frame(3, WHOLE, ids, &encode::messages(messages))
}

fn ack() -> Vec<u8> {
    let set = encode::set_var(1, "ip_score", &Value::Uint32(42));
    encode::frame(
        103,
        WHOLE,
        (7, 1),
        &[set, encode::unset_var(2, "old")].concat(),
    )
}

/// A NOTIFY of two messages in three fragments, with these flags on the last one.
fn fragments(flags: u32) -> Vec<u8> {
    let payload = encode::messages(&[client_ip(), every_type()]);
    let (first, rest) = payload.split_at(20);
    let (second, third) = rest.split_at(30);
    let third = if flags == WHOLE { third } else { b"" };
    let parts = [(3, 0, first), (0, 0, second), (0, flags, third)];
    let frames = parts.map(|(kind, flags, part)| encode::frame(kind, flags, (5, 300), part));
    frames.concat()
}

/// The byte that chooses the max-frame-size, then frames.
pub(crate) fn frame() -> Seeds {
    let with = |frame: Vec<u8>| [vec![2], frame].concat();
    vec![
        (
            "haproxy-hello",
            with(haproxy_hello("pipelining,async", false)),
        ),
        ("agent-hello", with(agent_hello())),
        ("notify", with(notify((7, 1), &[client_ip()]))),
        (
            "notify-every-type",
            with(notify((u64::MAX, 2288), &[client_ip(), every_type()])),
        ),
        ("notify-empty", with(notify((1, 1), &[]))),
        ("ack", with(ack())),
        ("haproxy-disconnect", with(disconnect(2, 4242))),
        ("agent-disconnect", with(disconnect(102, 0))),
        ("fragments", with(fragments(WHOLE))),
        ("too-big", vec![1, 0, 1, 0, 0]),
    ]
}

/// Four bytes that choose terms and chunking, then what HAProxy sends.
pub(crate) fn session() -> Seeds {
    let with = |choice: [u8; 4], frames: &[Vec<u8>]| [choice.to_vec(), frames.concat()].concat();
    let ask = |stream| notify((stream, 1), &[client_ip()]);
    let hello = haproxy_hello("pipelining", false);
    vec![
        ("handshake", with([6, 3, 0, 1], &[hello.clone(), ask(1)])),
        (
            "health-check",
            with([6, 3, 5, 1], &[haproxy_hello("", true), ask(1)]),
        ),
        (
            "pipelined",
            with(
                [30, 2, 9, 0],
                &[ask(1), ask(3), ask(u64::MAX), disconnect(2, 0)],
            ),
        ),
        (
            "every-type",
            with(
                [30, 0, 3, 0],
                &[notify((1, 2), &[every_type(), every_type()])],
            ),
        ),
        (
            "fragments",
            with([22, 1, 16, 0], &[fragments(WHOLE), ask(9)]),
        ),
        ("aborted", with([22, 1, 16, 0], &[fragments(ABORT), ask(9)])),
        ("not-announced", with([23, 1, 2, 0], &[fragments(WHOLE)])),
        ("interlaced", with([22, 3, 30, 0], &[fragments(0), ask(5)])),
        ("second-hello", with([22, 3, 1, 0], &[ask(5), hello])),
        (
            "unknown-type",
            with(
                [22, 3, 1, 0],
                &[ack(), encode::frame(77, 0, (1, 1), b"x"), ask(5)],
            ),
        ),
        ("before-hello", with([22, 3, 1, 1], &[ask(5)])),
    ]
}

/// The bound, the number of fragments, their sizes, the payload.
pub(crate) fn reassembly() -> Seeds {
    let payload = encode::messages(&[client_ip(), every_type()]);
    let with = |choice: &[u8], payload: &[u8]| [choice, payload].concat();
    vec![
        ("one-piece", with(&[0, 0], &payload)),
        ("halves", with(&[3, 1, 40], &payload)),
        ("bytes", with(&[3, 5, 1, 1, 1, 0, 1], &payload)),
        ("one-too-many", with(&[1, 1, 40], &payload)),
        ("empty", with(&[0, 2, 0, 0], b"")),
        ("malformed", with(&[3, 2, 9, 9], &payload[..25])),
    ]
}

/// How feeds combine, the terms of four feeds, then an entry every seven bytes.
pub(crate) fn table() -> Seeds {
    const DENY_AND_FEEDS: [u8; 5] = [100, 0xf0, 0x81, 0x88, 0x06];
    let with = |records: &[[u8; 7]]| [&DENY_AND_FEEDS[..], records.as_flattened()].concat();
    vec![
        ("empty", with(&[])),
        (
            "everything",
            with(&[[0, 0, 3, 0, 0, 0, 0], [15, 0, 3, 0, 0, 0, 0]]),
        ),
        (
            "nested",
            with(&[
                [0, 24, 3, 192, 0, 2, 0],
                [1, 26, 2, 192, 0, 2, 64],
                [1, 32, 3, 192, 0, 2, 65],
                [2, 32, 3, 192, 0, 2, 65],
                [3, 32, 3, 192, 0, 2, 66],
            ]),
        ),
        (
            "adjacent",
            with(&[[0, 25, 3, 192, 0, 2, 0], [0, 25, 3, 192, 0, 2, 128]]),
        ),
        (
            "mapped",
            with(&[[8, 120, 3, 192, 0, 2, 9], [8, 90, 3, 192, 0, 2, 9]]),
        ),
        (
            "expiring",
            with(&[
                [12, 16, 0xff, 0x20, 0x01, 0, 1],
                [13, 128, 0x87, 0x20, 0x01, 0, 1],
                [0, 32, 0x37, 255, 255, 255, 255],
                [1, 8, 0x2f, 255, 255, 255, 255],
                [1, 8, 0x0f, 255, 255, 255, 255],
            ]),
        ),
    ]
}

/// The choice, then rules a line each, then the payload; or the payload alone for fixed rules.
pub(crate) fn rules() -> Seeds {
    let words = b"never union  SELECT word\nline\n\xff\xff\0 1234# xyx abbac GET \n\n".repeat(4);
    let of_its_own = |choice: u8, rules: &[&[u8]], payload: &[u8]| {
        let lines: Vec<_> = rules
            .iter()
            .map(|rule| [rule, &b"\n"[..]].concat())
            .collect();
        [&[4 | choice << 3 | 3], &lines.concat()[..], payload].concat()
    };
    vec![
        ("fixed", [&[3], &words[..]].concat()),
        ("fixed-limited", [&[1], &words[..]].concat()),
        ("fixed-tls", b"\x03\x16\x03\x01\x02\x00".to_vec()),
        ("one", of_its_own(0, &[b"a.*b"], b"xxaxxb")),
        (
            "prefixes",
            of_its_own(1, &[b"=GET ", b"=\x16\x03"], b"\x16\x03\x01"),
        ),
        (
            "mixed",
            of_its_own(2, &[b"[0-9]{3}$", b"=x", b"(?i)A|b"], &words),
        ),
        (
            "looks",
            of_its_own(3, &[b"\\bend$", b"(?m)^a", b"^$", b"\\x00+"], b"a\nend"),
        ),
        ("refused", of_its_own(1, &[b"(", b"x{1000}{1000}"], b"x")),
    ]
}

/// Configurations, good and bad.
pub(crate) fn config() -> Seeds {
    let texts = [
        ("empty", "# nothing\n"),
        (
            "feeds",
            "[[feed]]\nname = \"a\"\npath = \"a.csv\"\nformat = \"csv\"\nhigher-is = \"worse\"\n\
             columns = { prefix = 1, separator = \"\\t\" }\nhalf-life = \"7d\"\nmax-size = \"1G\"\n\
             [[feed]]\nname = \"b\"\npath = \"b\"\nsets = [\"x\"]\nstale-after = \"off\"\n",
        ),
        (
            "wrong",
            "[agent]\nworkes = 1\ncores = \"3-1\"\n[[feed]]\nname = \"a\"\n[deny]\nprefixes = [\"x\"]\n",
        ),
        (
            "payload",
            "[[payload]]\nname = \"p\"\nscore = 5\nregex = '^(a|b)*c{1,9}'\n[payload-options]\n\
             bytes-max = 64\n",
        ),
        (
            "inline",
            "reputation = { actions = [{ name = \"a\", max-score = 1 }], default-score = 3 }\n\
             message = [{ name = \"m\", vars = [{ name = \"v\", value = \"score\" }] }]\n",
        ),
    ];
    let bytes = texts.map(|(name, text)| (name, text.as_bytes().to_vec()));
    bytes.into()
}
