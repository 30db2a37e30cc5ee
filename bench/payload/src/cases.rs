//! Rules and payloads: what an operator would write, what arrives, and what hurts most.

/// Some rules and one payload.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) patterns: Vec<String>,
    pub(crate) payload: Vec<u8>,
}

/// How long a payload is.
const LEN: usize = 1024;

/// The first bytes of protocols.
const ANCHORED: [&str; 20] = [
    r"^\x78\x78.\x01[\x00-\x99]{8}",
    r"^\x24\x24[\x00-\xff]{2}[0-9]{10}",
    r"^#[A-Z]{1,3}#[0-9]{15};",
    r"^\*HQ,[0-9]{10},V1,",
    r"^\(0[0-9]{11}BP[0-9]{2}",
    r"^imei:[0-9]{15},",
    r"^\x00\x0f[0-9]{15}",
    r"^\+RESP:GT[A-Z]{3},",
    r"^SSH-[0-9.]+-",
    r"^\x16\x03[\x00-\x04]",
    r"^(GET|POST|HEAD|PUT|OPTIONS) [^ ]* HTTP/1\.[01]\r\n",
    r"^PRI \* HTTP/2\.0\r\n",
    r"^EHLO ",
    r"^\x05[\x01-\x04][\x00-\x09]",
    r"^\x03\x00.{5}\xe0",
    r"^\*[0-9]+\r\n\$[0-9]+\r\n",
    r"^[\x00-\x08]{16}",
    r"^(?i)(user|pass|quit)\b",
    r"^\x10.\x00[\x04\x06]MQ",
    r"^\xffSMB",
];

/// What attacks have in them, somewhere.
const FREE: [&str; 20] = [
    r"(?i)union\s+select",
    r"(?i)<script",
    r"\.\./\.\./",
    r"/etc/(passwd|shadow)",
    r"(?i)cmd\.exe",
    r"\$\{jndi:",
    r"(?i)xp_cmdshell",
    r"/cgi-bin/[a-z]+\.sh",
    r"\x90{16}",
    r"(?i)wget\s+http",
    r"(?i)curl\s+http",
    r"\(\)\s*\{\s*:;\s*\};",
    r"(?i)eval\s*\(",
    r"(?i)base64_decode",
    r"masscan|zgrab|nmap",
    r"/wp-login\.php",
    r"\.env\b",
    r"%00|%2e%2e",
    r"(?i)or\s+1\s*=\s*1",
    r"/bin/(ba)?sh\b",
];

/// Patterns that keep in mind what stood before.
const MINDFUL: [&str; 20] = [
    "a.*b", "c.*d", "e.*f", "g.*h", "i.*j", "k.*l", "m.*n", "o.*p", "q.*r", "s.*t", "A.*B", "C.*D",
    "E.*F", "G.*H", "I.*J", "K.*L", "M.*N", "O.*P", "Q.*R", "S.*T",
];

fn owned(patterns: &[&str]) -> Vec<String> {
    patterns.iter().map(|&pattern| pattern.to_owned()).collect()
}

/// Bytes in no order, the same in every run.
fn noise(seed: u64, from: &[u8]) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        from[(state >> 32) as usize % from.len()]
    };
    (0..LEN).map(|_| next()).collect()
}

fn request() -> Vec<u8> {
    let mut text =
        b"GET /index.html?page=7&from=home HTTP/1.1\r\nhost: www.example.org\r\n".to_vec();
    while text.len() < LEN {
        text.extend_from_slice(
            b"cookie: session=0f3a9c; theme=light; seen=3\r\naccept: text/html\r\n",
        );
    }
    text.truncate(LEN);
    text
}

fn starting_with(start: &[u8]) -> Vec<u8> {
    let mut payload = request();
    payload[..start.len()].copy_from_slice(start);
    payload
}

pub(crate) fn cases() -> Vec<Case> {
    let all: Vec<u8> = (0..=255).collect();
    let mixed: Vec<_> = ANCHORED[..10].iter().chain(&FREE[..10]).copied().collect();
    let mut cases = Vec::new();
    let mut add = |name: &str, patterns: &[&str], payload: Vec<u8>| {
        let patterns = owned(patterns);
        let name = name.to_owned();
        cases.push(Case {
            name,
            patterns,
            payload,
        });
    };
    add("anchored, none matches", &ANCHORED, noise(1, &all));
    add("anchored, one matches at the front", &ANCHORED, request());
    add("free, none matches, a request", &FREE, request());
    add("free, none matches, noise", &FREE, noise(2, &all));
    add(
        "free, the first matches at the front",
        &FREE,
        starting_with(b"UNION SELECT"),
    );
    add(
        "free, the last matches at the front",
        &FREE,
        starting_with(b"/bin/sh "),
    );
    add(
        "free, the last matches all along",
        &FREE,
        b"/bin/sh ".repeat(LEN / 8),
    );
    add(
        "free, almost matches all along",
        &FREE,
        b"union  selec".repeat(LEN / 12 + 1)[..LEN].to_vec(),
    );
    add(
        "10 anchored and 10 free, none matches",
        &mixed,
        noise(3, b"abcdefghijklmnopqrstuvwxyz /.=%"),
    );
    add(
        "10 anchored and 10 free, the last, front",
        &mixed,
        starting_with(b"wget http://"),
    );
    add(
        "mindful, none matches",
        &MINDFUL,
        noise(4, b"acegikmoqsACEGIKMOQS"),
    );
    add("mindful, noise", &MINDFUL, noise(5, &all));
    cases
}
