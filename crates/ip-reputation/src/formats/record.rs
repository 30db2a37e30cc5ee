//! What the formats with fields have in common: from the texts of one record to an entry.
//!
//! ```text
//!  address text ── strip-prefix ── strip ──► Item
//!  value, category, last-seen, expires, duration ──► Evidence
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::item::{Expected, Item, address, network, range};
use super::options::{Options, Strip};
use super::output::Evidence;
use super::{Report, moment, word};

pub(super) const VALUE: Expected = "a number of 0 or more as the value";
pub(super) const CATEGORY: Expected = "a category of at most 64 printable characters";
const INTEGER: Expected = "an address as an integer";
const COUNT: Expected = "a count of addresses that stays within the family";

/// The texts of one record. A field that is not read, or empty, is `None`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fields<'a> {
    /// Empty if the configuration reads a value and the record has none.
    pub(super) value: Option<&'a [u8]>,
    pub(super) category: Option<&'a [u8]>,
    pub(super) last_seen: Option<&'a [u8]>,
    pub(super) expires: Option<&'a [u8]>,
    pub(super) duration: Option<&'a [u8]>,
}

impl Options {
    /// Reads the evidence of a record. A time that cannot be read is counted and left out.
    pub(super) fn evidence<'a>(
        &self,
        fields: Fields<'a>,
        report: &mut Report,
    ) -> Result<Evidence<'a>, Expected> {
        let confidence = match (fields.value, self.higher_is) {
            (Some(text), Some(higher_is)) => {
                let number = str::from_utf8(text).ok().and_then(|text| text.parse().ok());
                let number = number.ok_or(VALUE)?;
                let confidence = self.confidence_of(number, higher_is).ok_or(VALUE)?;
                report.clamped += u64::from(number > self.max_value);
                confidence
            }
            _ => self.confidence,
        };
        let category = match fields.category {
            None => None,
            Some(text) => Some(word(text).ok_or(CATEGORY)?),
        };
        let expires = time(fields.expires, report);
        let ends = fields.duration.and_then(|text| {
            let seconds = moment::duration(text);
            report.bad_times += u64::from(seconds.is_err());
            u32::try_from((i64::from(self.now) + seconds.ok()?).max(0)).ok()
        });
        Ok(Evidence {
            confidence,
            category,
            seen: time(fields.last_seen, report),
            expires: expires.into_iter().chain(ends).min(),
        })
    }

    /// Reads the addresses of a record; `None` is the name of a host, in a list of URLs.
    pub(super) fn addresses(&self, text: &[u8]) -> Result<Option<Item>, Expected> {
        let text = self.strip_prefix.as_ref().map_or(text, |start| {
            text.strip_prefix(start.as_bytes()).unwrap_or(text)
        });
        if self.integers {
            let address = integer(text)?;
            return range(address, address).map(Some);
        }
        match self.strip {
            None => Item::parse(text).map(Some),
            Some(Strip::Port) => Item::parse(without_port(text)).map(Some),
            Some(Strip::Url) => {
                let host = host(text);
                let is_name = host.iter().any(|byte| is_of_name(*byte))
                    && memchr::memchr(b':', host).is_none();
                if is_name {
                    return Ok(None);
                }
                Item::parse(host).map(Some)
            }
        }
    }

    /// Reads one address of a range.
    pub(super) fn address(&self, text: &[u8]) -> Result<IpAddr, Expected> {
        if self.integers {
            integer(text)
        } else {
            address(text)
        }
    }
}

fn time(text: Option<&[u8]>, report: &mut Report) -> Option<u32> {
    let text = str::from_utf8(text?).unwrap_or_default();
    let time = moment::rfc3339_or_epoch(text);
    report.bad_times += u64::from(time.is_err());
    time.ok().flatten()
}

/// Whether a byte is part of no address.
const fn is_of_name(byte: u8) -> bool {
    matches!(byte.to_ascii_lowercase(), b'g'..=b'z' | b'_' | b'-')
}

/// `203.0.113.9` of `203.0.113.9:80`, and `2001:db8::1` of `[2001:db8::1]:80`.
fn without_port(text: &[u8]) -> &[u8] {
    if let Some(rest) = text.strip_prefix(b"[") {
        let end = memchr::memchr(b']', rest);
        return end.and_then(|end| rest.get(..end)).unwrap_or(text);
    }
    let mut parts = text.splitn(3, |byte| *byte == b':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(address), Some(_), None) => address,
        _ => text,
    }
}

/// The host of a URL. A scheme need not be there.
fn host(text: &[u8]) -> &[u8] {
    let scheme = memchr::memmem::find(text, b"://");
    let text = scheme.and_then(|at| text.get(at + 3..)).unwrap_or(text);
    let end = text
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#' | b'\\'));
    let authority = end.and_then(|end| text.get(..end)).unwrap_or(text);
    let user = memchr::memrchr(b'@', authority);
    without_port(
        user.and_then(|at| authority.get(at + 1..))
            .unwrap_or(authority),
    )
}

fn number(text: &[u8]) -> Option<u128> {
    let is_decimal = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = str::from_utf8(text).ok().filter(|_| is_decimal)?;
    text.parse().ok()
}

/// What fits into 32 bits is IPv4.
fn integer(text: &[u8]) -> Result<IpAddr, Expected> {
    let bits = number(text).ok_or(INTEGER)?;
    Ok(match u32::try_from(bits) {
        Ok(bits) => Ipv4Addr::from_bits(bits).into(),
        Err(_) => Ipv6Addr::from_bits(bits).to_canonical(),
    })
}

/// So many addresses from the first one. For IPv6 the registries write the length of the prefix.
pub(super) fn counted(first: IpAddr, count: &[u8]) -> Result<Item, Expected> {
    let IpAddr::V4(start) = first else {
        return network(first, count);
    };
    let count = number(count).and_then(|count| u32::try_from(count).ok());
    let last = count.and_then(|count| start.to_bits().checked_add(count.checked_sub(1)?));
    range(first, Ipv4Addr::from_bits(last.ok_or(COUNT)?).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_urls_are_stripped() {
        for (text, expected) in [
            ("203.0.113.9:80", "203.0.113.9"),
            ("203.0.113.9", "203.0.113.9"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(without_port(text.as_bytes()), expected.as_bytes(), "{text}");
        }
        for (text, expected) in [
            ("http://203.0.113.9/a:b@c", "203.0.113.9"),
            ("https://user:word@203.0.113.9:8080/x", "203.0.113.9"),
            ("http://[2001:db8::1]:80?x", "2001:db8::1"),
            ("203.0.113.9/path", "203.0.113.9"),
            ("http://example.org/", "example.org"),
        ] {
            assert_eq!(host(text.as_bytes()), expected.as_bytes(), "{text}");
        }
    }

    #[test]
    fn a_host_name_in_a_list_of_urls_is_no_entry_and_no_fault() {
        let options = Options {
            strip: Some(Strip::Url),
            ..Options::default()
        };
        assert_eq!(options.addresses(b"http://example.org/x"), Ok(None));
        assert!(matches!(
            options.addresses(b"http://192.0.2.1/"),
            Ok(Some(_))
        ));
        assert!(options.addresses(b"http://192.0.2.300/").is_err());
    }

    #[test]
    fn counts_and_integers_are_addresses() {
        assert_eq!(integer(b"3405803785"), Ok("203.0.113.9".parse().unwrap()));
        assert_eq!(
            integer(b"281473902969353"),
            Ok("192.0.2.9".parse().map(|a: IpAddr| a).unwrap())
        );
        assert!(integer(b"-1").is_err() && integer(b"").is_err());
        let first = "203.0.113.0".parse().unwrap();
        let last = "203.0.113.255".parse().unwrap();
        assert_eq!(counted(first, b"256"), Ok(Item::Range(first, last)));
        assert!(counted(first, b"0").is_err());
        assert!(counted(first, b"4294967295").is_err());
    }
}
