//! Which format a feed is in, from its first bytes and its name.

use core::fmt;

use serde_json::Value;

use super::Format;
use super::asn;
use super::contents::{BOM, Contents};
use super::format::Names;
use super::item::Item;
use super::plain::{in_commas, listed};
use super::report::excerpt;
use super::text::{EMPTIED, comment};

/// Lines that are looked at, without the comments.
const LINES_MAX: usize = 50;

/// No format is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unrecognised {
    /// It is no list.
    Unfit(Contents),
    /// There are comments and nothing else, and none of them says that this is meant.
    Comments,
    /// CSV with semicolons, or a plain list whose comments are numbers: such a line of it, printable.
    Semicolons(String),
    /// CSV whose first two columns are addresses: a range, a network and its mask, or two entries. Such
    /// a line of it, printable.
    TwoAddresses(String),
    /// It is text, but not one that is known: the first line that is no comment, printable.
    Text(String),
}

impl fmt::Display for Unrecognised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit(contents) => write!(f, "this is {contents}, not a list"),
            Self::Comments => f.write_str(
                "there is no entry in it, only comments; a list that is empty on purpose says so with \
                 the line \"# spoa: empty\", or the configuration with allow-empty",
            ),
            Self::Semicolons(line) => write!(
                f,
                "\"{line}\" looks like CSV with semicolons: state format = \"csv\" with columns = \
                 {{ separator = \";\", ... }}, or format = \"plain\" if what stands behind ; is a comment"
            ),
            Self::TwoAddresses(line) => write!(
                f,
                "\"{line}\" has two addresses: state format = \"csv\" with columns = {{ first = 0, \
                 last = 1 }} if that is a range, columns = {{ first = 0, netmask = 1 }} if the second \
                 is a mask, columns = {{ prefix = 0 }} if only the first counts, or format = \
                 \"plain\" if both do"
            ),
            Self::Text(line) => write!(
                f,
                "no format is recognised in \"{line}\"; if it is a list, the configuration has to \
                 state its format, one of {Names}"
            ),
        }
    }
}

impl core::error::Error for Unrecognised {}

/// The format of a feed. `head` is how it begins (some kilobytes of it, not compressed), `name` the
/// name of its file or the path of its URL.
///
/// What stands in the feed decides; the name does where that may mean two things, and for a MaxMind
/// database, which says what it is only at its end. Three numbers in columns are a list of Suricata's
/// unless the name ends in `.csv`.
///
/// # Errors
/// If it is no list, or none that is known.
///
/// ```
/// use ip_reputation::formats::{Contents, Format, Unrecognised, detect};
///
/// assert_eq!(detect(b"192.0.2.0/24 ; SBL000001\n", "drop.txt"), Ok(Format::DropText));
/// assert_eq!(detect(b"<html>", "drop.txt"), Err(Unrecognised::Unfit(Contents::Markup)));
/// ```
pub fn detect(head: &[u8], name: &str) -> Result<Format, Unrecognised> {
    let ending = ending(name);
    let is_database = memchr::memmem::find(head, b"\xab\xcd\xefMaxMind.com").is_some();
    match Contents::sniff(head) {
        Contents::Binary | Contents::Text if is_database || ending == "mmdb" => {
            return Ok(Format::Mmdb);
        }
        Contents::Text => {}
        other => return Err(Unrecognised::Unfit(other)),
    }
    let has_comment = |wanted: &[u8]| {
        let mut comments = lines(head).filter_map(comment);
        comments.any(|text| text.starts_with(wanted))
    };
    let lines_of_list = lines(head).filter(|line| comment(line).is_none());
    let lines_of_list: Vec<_> = lines_of_list.take(LINES_MAX).collect();
    let found = lines_of_list.iter().find_map(|line| of_line(line, head));
    let semicolons = lines_of_list.iter().find(|line| is_semicolons(line));
    match found {
        Some(Format::Plain) if let Some(line) = semicolons => {
            Err(Unrecognised::Semicolons(excerpt(line)))
        }
        Some(Format::Plain) if ending == "netset" || ending == "ipset" => Ok(Format::Netset),
        Some(Format::Plain) if has_comment(b"Category") => Ok(Format::Netset),
        Some(Format::Csv) if let Some(line) = lines_of_list.iter().find(|line| is_pair(line)) => {
            Err(Unrecognised::TwoAddresses(excerpt(line)))
        }
        Some(Format::Csv) if ending != "csv" && lines_of_list.iter().all(|line| is_iprep(line)) => {
            Ok(Format::SuricataIprep)
        }
        Some(format) => Ok(format),
        None if has_comment(EMPTIED) => Ok(Format::Plain),
        None => Err(match lines_of_list.first() {
            Some(line) => Unrecognised::Text(excerpt(line)),
            None => Unrecognised::Comments,
        }),
    }
}

/// What stands behind the last dot of a name, in lower case. A `.gz` or `.zip` behind it does not count.
fn ending(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let packed = [".gz", ".zip"]
        .into_iter()
        .find_map(|packed| name.strip_suffix(packed));
    let name = packed.unwrap_or(&name);
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    ending.unwrap_or_default().to_owned()
}

/// The first lines that are not blank; without the last one, which may be cut.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let head = head.strip_prefix(BOM).unwrap_or(head);
    let whole = memchr::memrchr2(b'\n', b'\r', head).and_then(|end| head.get(..end));
    let lines = whole
        .unwrap_or(head)
        .split(|byte| matches!(byte, b'\n' | b'\r'));
    let lines = lines.map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty())
}

fn of_line(line: &[u8], head: &[u8]) -> Option<Format> {
    let has = |text: &str| memchr::memmem::find(head, text.as_bytes()).is_some();
    match line {
        [b'{', ..] if let Some(format) = of_spamhaus(line) => Some(format),
        [b'{', ..] if has("\"data\"") || has("\"errors\"") => Some(Format::AbuseIpdb),
        [first @ (b'{' | b'['), rest @ ..] if is_json(*first, rest) => Some(Format::Json),
        _ if line.starts_with(b"create ") || line.starts_with(b"add ") => Some(Format::IpsetSave),
        _ if is_drop(line) => Some(Format::DropText),
        _ if listed(line).is_ok() || is_listing(line) => Some(Format::Plain),
        _ if asn::is_marked(line) => Some(Format::Asn),
        _ if is_followed(line, b',') || line.starts_with(b"\"") => Some(Format::Csv),
        _ if is_followed(line, b' ') || is_followed(line, b'\t') => Some(Format::HaproxyMap),
        _ => None,
    }
}

/// A list of Spamhaus's: an object a line, with a network, an AS number or the number of records.
fn of_spamhaus(line: &[u8]) -> Option<Format> {
    let object: serde_json::Map<String, Value> = serde_json::from_slice(line).ok()?;
    let is_text = |key: &str| object.get(key).is_some_and(Value::is_string);
    let is_number = |key: &str| object.get(key).is_some_and(Value::is_u64);
    if is_text("cidr") || (is_text("type") && is_number("records")) {
        return Some(Format::DropJson);
    }
    let is_asndrop = is_number("asn") && (is_text("asname") || is_text("domain"));
    is_asndrop.then_some(Format::Asn)
}

/// The start of JSON, and not of an address in brackets.
fn is_json(first: u8, rest: &[u8]) -> bool {
    match (first, rest.trim_ascii_start().first()) {
        (_, None) | (b'{', Some(b'"' | b'}')) => true,
        (b'[', Some(next)) => matches!(next, b'"' | b'{' | b'[' | b']'),
        _ => false,
    }
}

/// Three entries or more in one line, with commas between them.
fn is_listing(line: &[u8]) -> bool {
    let Some(entries) = in_commas(line) else {
        return false;
    };
    // The last one may be cut.
    let mut entries = entries.take(LINES_MAX).peekable();
    let mut count = 0;
    while let Some(entry) = entries.next() {
        if Item::parse(entry).is_ok() {
            count += 1;
        } else if entries.peek().is_some() || !entry.iter().copied().all(is_of_address) {
            return false;
        }
    }
    count > 2
}

fn is_of_address(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':' | b'/')
}

/// `203.0.113.0,203.0.113.255,ZZ`
fn is_pair(line: &[u8]) -> bool {
    let mut fields = line.split(|byte| *byte == b',');
    let mut is_address = || {
        let field = fields.next().unwrap_or_default().trim_ascii();
        let bare = field
            .strip_prefix(b"\"")
            .and_then(|field| field.strip_suffix(b"\""));
        Item::parse(bare.unwrap_or(field)).is_ok()
    };
    is_address() && is_address()
}

/// `192.0.2.0/24 ; SBL000001`
fn is_drop(line: &[u8]) -> bool {
    let mut parts = line.splitn(2, |byte| *byte == b';').map(<[u8]>::trim_ascii);
    let is_listed = parts.next().is_some_and(|item| Item::parse(item).is_ok());
    is_listed && parts.next().is_some_and(|text| text.starts_with(b"SBL"))
}

/// `203.0.113.0/24;100;good`: a number may be a comment, but nobody writes one that is no more than that.
fn is_semicolons(line: &[u8]) -> bool {
    let mut fields = line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let is_listed = fields.next().is_some_and(|item| Item::parse(item).is_ok());
    let number = fields.next().and_then(|field| str::from_utf8(field).ok());
    let number = number.map(|text| text.trim_matches('"').replace(',', "."));
    is_listed && number.is_some_and(|text| text.parse().is_ok_and(f64::is_finite))
}

/// Addresses, the separator and something more. Between spaces that is a number.
fn is_followed(line: &[u8], separator: u8) -> bool {
    let Some(end) = line.iter().position(|byte| *byte == separator) else {
        return false;
    };
    let (item, rest) = line.split_at_checked(end).unwrap_or((line, &[]));
    let rest = str::from_utf8(rest).unwrap_or_default().trim();
    let is_column = separator == b',' || rest.parse::<f64>().is_ok();
    Item::parse(item.trim_ascii()).is_ok() && is_column
}

/// `203.0.113.0/24,1,88`
fn is_iprep(line: &[u8]) -> bool {
    let mut fields = line.split(|byte| *byte == b',');
    let number = |field: Option<&[u8]>| -> Option<u8> {
        str::from_utf8(field?.trim_ascii()).ok()?.parse().ok()
    };
    let is_listed = fields.next().is_some_and(|item| Item::parse(item).is_ok());
    let is_numbered = number(fields.next()).is_some();
    let is_scored = number(fields.next()).is_some_and(|score| score <= 127);
    is_listed && is_numbered && is_scored && fields.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_feed_decides() {
        for (expected, name, head) in [
            (Format::Plain, "a", "203.0.113.9"),
            (Format::Plain, "a.csv", "203.0.113.9\n203.0.113.10,1,bad\n"),
            (
                Format::Plain,
                "a",
                "\u{feff}# of ours\r\n\r\n2001:db8::/32 # all\r\n",
            ),
            (Format::Plain, "a", "203.0.113.1-203.0.113.9\n"),
            (Format::Plain, "a", "nonsense\n203.0.113.9\n"),
            (Format::Plain, "a", "# spoa: empty\n"),
            (Format::Netset, "a.netset", "203.0.113.0/24\n"),
            (Format::Netset, "A.IPSET.GZ", "203.0.113.0/24\n"),
            (
                Format::Netset,
                "a",
                "# Category : attacks\n203.0.113.0/24\n",
            ),
            (Format::DropText, "a", "; DROP\n192.0.2.0/24 ; SBL1\n"),
            (Format::DropJson, "a", "{\"cidr\":\"192.0.2.0/24\"}\n{\"typ"),
            (
                Format::DropJson,
                "a",
                "{\"type\":\"metadata\",\"records\":0}\n",
            ),
            (Format::AbuseIpdb, "a", "{\"meta\":{},\"data\":[{\"ipAdd"),
            (Format::AbuseIpdb, "a", "{\n  \"data\": [\n"),
            (Format::AbuseIpdb, "a", "{\"errors\":[]}"),
            (Format::IpsetSave, "a", "create bl hash:ip family inet\n"),
            (Format::IpsetSave, "a.ipset", "add bl 203.0.113.9\n"),
            (Format::Csv, "a", "203.0.113.0/24,15,scanner\n"),
            (
                Format::Csv,
                "a",
                "203.0.113.0/24,1,88\n203.0.113.0/24,1,scanner\n",
            ),
            (Format::Csv, "a", "ip,score\n203.0.113.0/24,15\n"),
            (Format::Csv, "a.csv", "203.0.113.0/24,1,88\n"),
            (
                Format::SuricataIprep,
                "a",
                "203.0.113.0/24,1,88\n203.0.113.9,2,1\n203.",
            ),
            (Format::HaproxyMap, "a", "203.0.113.0/24 15\n"),
            (Format::HaproxyMap, "a", "2001:db8::\t15.5\n"),
            (Format::Mmdb, "a.mmdb", "\0\0\u{1}\0\0"),
            (Format::Mmdb, "a.mmdb.gz", "any"),
        ] {
            assert_eq!(detect(head.as_bytes(), name), Ok(expected), "{name} {head}");
        }
        let database = b"\0\0\x01\xab\xcd\xefMaxMind.com\xe0";
        assert_eq!(detect(database, "a"), Ok(Format::Mmdb));
    }

    #[test]
    fn json_is_called_by_its_shape() {
        for (expected, head) in [
            (
                Format::Json,
                "{\"prefixes\":[{\"ip_prefix\":\"192.0.2.0/24\"},\n",
            ),
            (Format::Json, "{\"error\":\"rate limit\"}\n"),
            (Format::Json, "[\"192.0.2.0/24\",\n"),
            (Format::Json, "[\n  \"192.0.2.0/24\"\n"),
            (
                Format::Json,
                "{\"items\":[{\"cidr\":\"192.0.2.0/24\"}],\"records\":7}\n",
            ),
            (Format::Json, "{\n \"cidr\": \"192.0.2.0/24\"\n}\n"),
            (
                Format::DropJson,
                "{\"cidr\":\"192.0.2.0/24\",\"sblid\":\"SBL1\"}\n",
            ),
            (
                Format::Asn,
                "{\"asn\":64496,\"rir\":\"arin\",\"domain\":\"example.org\"}\n",
            ),
            (Format::Asn, "AS64496 # Example\n"),
            (Format::Plain, "192.0.2.1,192.0.2.2,192.0.2.3,192.0"),
            (Format::Plain, "192.0.2.1\r192.0.2.2\r"),
            (Format::SuricataIprep, "203.0.113.1,1,0\n203.0.113.2,1,88\n"),
        ] {
            assert_eq!(detect(head.as_bytes(), "list"), Ok(expected), "{head}");
        }
        for head in [
            "192.0.2.0,192.0.2.255,ZZ\n",
            "first,last\n192.0.2.0,192.0.2.255\n",
            "192.0.2.0,255.255.255.0\n",
            "\"192.0.2.0\",\"192.0.2.255\"\n",
        ] {
            let error = detect(head.as_bytes(), "list.csv").unwrap_err().to_string();
            assert!(error.contains("first = 0, last = 1"), "{head}: {error}");
        }
    }

    #[test]
    fn what_is_no_list_is_called_by_its_name() {
        for (expected, head) in [
            (Contents::Nothing, &b""[..]),
            (Contents::Nothing, b"\xef\xbb\xbf \r\n"),
            (Contents::Markup, b" <!DOCTYPE html>"),
            (Contents::Markup, b"<?xml version=\"1.0\"?><Error>"),
            (Contents::Gzip, b"\x1f\x8b\x08"),
            (Contents::Packed("zip"), b"PK\x03\x04"),
            (Contents::Utf16, b"\xff\xfe1\x009\x00"),
            (Contents::Binary, b"\0\0\0\0"),
        ] {
            let unfit = Err(Unrecognised::Unfit(expected));
            assert_eq!(detect(head, "list.txt"), unfit, "{expected}");
        }
        for head in ["Not Found", "ip,score\n", "203.0.113.9 bad\n"] {
            let text = Err(Unrecognised::Text(excerpt(head.trim_ascii().as_bytes())));
            assert_eq!(detect(head.as_bytes(), "list.txt"), text, "{head}");
        }
        let long = [
            "# of ours\n\nNot \x1bFound ",
            &"x".repeat(2000),
            "\n203.0.113.9 bad\n",
        ];
        let error = detect(long.concat().as_bytes(), "list.txt");
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("no format is recognised in \"Not \\x1bFound x"));
        assert!(error.contains("x...\"; if") && error.len() < 300, "{error}");
        for format in Format::ALL {
            assert!(error.contains(format.name()), "{format}: {error}");
        }
        for head in [
            "# nothing but this\n",
            &"; \n".repeat(100),
            "# Category : attacks\n",
        ] {
            let error = detect(head.as_bytes(), "list.netset").unwrap_err();
            assert_eq!(error, Unrecognised::Comments, "{head}");
            let error = error.to_string();
            assert!(error.starts_with("there is no entry"), "{error}");
            assert!(error.contains("\"# spoa: empty\"") && error.contains("allow-empty"));
        }
        let page = detect(b"<html>", "ips.mmdb");
        assert_eq!(page, Err(Unrecognised::Unfit(Contents::Markup)));
    }

    #[test]
    fn a_number_behind_a_semicolon_is_a_column_or_a_comment() {
        for line in [
            "203.0.113.0/24;100;good",
            "203.0.113.9 ; 0.5",
            "2001:db8::/32\t;\t-1;",
            "203.0.113.1-203.0.113.9;7 ; bots",
            "203.0.113.9;\"100\";good",
            "203.0.113.9;0,5",
        ] {
            let error = Err(Unrecognised::Semicolons(excerpt(line.as_bytes())));
            for head in [
                format!("{line}\n"),
                format!("ip;score;kind\r\n{line}\r\n"),
                format!("# of ours\n203.0.113.7\n203.0.113.8 ; bots\n{line}\n"),
                format!("# spoa: empty\n{line}\n"),
            ] {
                assert_eq!(detect(head.as_bytes(), "list.txt"), error, "{head}");
                assert_eq!(detect(head.as_bytes(), "list.csv"), error, "{head}");
            }
        }
        for line in [
            "203.0.113.9 ; seen 7 times",
            "203.0.113.9;bots",
            "203.0.113.9;bots;7",
            "203.0.113.9 ;",
            "203.0.113.9 ; 2026-12-01",
            "203.0.113.9 ; nan",
            "203.0.113.9 # 7",
            "203.0.113.9 # a;7",
        ] {
            assert_eq!(
                detect(line.as_bytes(), "list.txt"),
                Ok(Format::Plain),
                "{line}"
            );
        }
        let drop = b"; DROP\n192.0.2.0/24 ; SBL1\n198.51.100.0/24 ; 7\n";
        assert_eq!(detect(drop, "list.txt"), Ok(Format::DropText));
        let error = detect(b"203.0.113.0/24;100;good\n", "a").unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"203.0.113.0/24;100;good\" looks like CSV with semicolons: state format = \"csv\" with \
             columns = { separator = \";\", ... }, or format = \"plain\" if what stands behind ; is a \
             comment"
        );
    }
}
