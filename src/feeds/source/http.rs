//! A feed behind a URL: one conditional request, within bounds of size and time.
//!
//! Redirects are followed here and not by the client, so that the headers with secrets go to nobody
//! but the host that the configuration names.

use core::time::Duration;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;
use std::time::Instant;

use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use ureq::Agent;
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use super::cache::{Meta, digest};
use super::input::Bounded;
use super::memory::{Body, NoMemory};
use super::{SourceError, tls};
use crate::config::{Feed, Secret};
use crate::host::file::read_small_text;

/// The most redirects that are followed.
const REDIRECTS_MAX: usize = 5;
/// The shortest and the longest that a server may ask us to wait.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_hours(24);
/// The longest value of a header from a file or the environment, in bytes.
const SECRET_MAX: u64 = 8 * 1024;
/// The longest ETag or Last-Modified that is kept, in bytes.
const VALIDATOR_MAX: usize = 1024;
/// Bytes read at once.
const BUFFER: usize = 64 * 1024;
/// What is made room for at once, whatever the server says is to come.
const FIRST_ROOM: u64 = 1 << 20;

/// What a server answered.
#[derive(Debug)]
pub enum Answer {
    /// Nothing new since the copy.
    NotModified,
    /// New bytes, and what to ask with the next time.
    Fetched {
        /// The bytes, without the encoding of the transfer.
        body: Body,
        /// ETag, Last-Modified, and what the bytes are known by.
        meta: Meta,
    },
}

const TIMED_OUT: &str = "no whole answer within the timeout";
/// The client takes any end of a connection for the end of such an answer, one that TLS does not
/// vouch for as well: half a list would be a whole one.
const WITHOUT_END: &str = "the answer says neither its length nor where it ends, so that nobody could \
    tell a part from the whole; have the server send Content-Length or chunks";

/// The same of an answer without TLS, which is taken if its last line is whole.
const WITHOUT_LINE_END: &str = "the answer says neither its length nor where it ends, and its last \
    line has no end, so that part of it may be missing; have the server send Content-Length or chunks, \
    or end the list with a line end";

/// Whether bytes of unknown length end where a list may: with a line, as JSON, or with what checks
/// itself when it is unpacked.
fn is_whole(bytes: &[u8]) -> bool {
    let is_packed = bytes.starts_with(b"\x1f\x8b") || bytes.starts_with(b"PK");
    let end = bytes.last();
    is_packed || matches!(end, None | Some(b'\n' | b'\r' | b'}' | b']'))
}

/// Whether one can tell that an answer has come to its end.
fn says_its_end(body: &ureq::Body, headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        text.to_ascii_lowercase().contains("chunked")
    };
    body.content_length().is_some() || codings.any(is_chunked)
}

/// A request's target.
struct Target {
    url: String,
    /// Whether this is the host of the configuration.
    is_trusted: bool,
}

/// Asks for a feed. `known` is what it last gave, if that is still there.
///
/// # Errors
/// Whatever the server does other than to send a whole answer in time.
pub fn fetch(
    feed: &Feed,
    url: &str,
    known: Option<&Meta>,
    now: u32,
) -> Result<Answer, SourceError> {
    let deadline = Instant::now().checked_add(feed.timeout);
    let config = Agent::config_builder()
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .max_idle_connections(0)
        .user_agent(concat!("spoa/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("gzip")
        .tls_config(tls::trust(feed)?)
        .build();
    let agent = Agent::new_with_config(config);
    let secrets = secrets(feed)?;
    let validators = validators(known);
    let is_conditional = !validators.is_empty();
    let mut target = Target {
        url: url.to_owned(),
        is_trusted: true,
    };
    for _ in 0..=REDIRECTS_MAX {
        let mut request = agent.get(&target.url);
        for (name, value) in &validators {
            request = request.header(name, value.clone());
        }
        for (name, value) in secrets.iter().filter(|_| target.is_trusted) {
            request = request.header(*name, value.clone());
        }
        // The redirects of one fetch share its time.
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(SourceError::Http(TIMED_OUT.into()));
        }
        let answer = request
            .config()
            .timeout_global(left)
            .build()
            .call()
            .map_err(|error| failed(&error, feed.ca_file.as_deref()))?;
        let (parts, body) = answer.into_parts();
        match parts.status.as_u16() {
            200 if target.is_tls() && !says_its_end(&body, &parts.headers) => {
                return Err(SourceError::Http(WITHOUT_END.into()));
            }
            200 => {
                let has_end = says_its_end(&body, &parts.headers);
                let read = receive(body, &parts.headers, feed.max_size, deadline, now)?;
                if let (Answer::Fetched { body, .. }, false) = (&read, has_end)
                    && !is_whole(body)
                {
                    return Err(SourceError::Http(WITHOUT_LINE_END.into()));
                }
                return Ok(read);
            }
            304 if is_conditional => return Ok(Answer::NotModified),
            301 | 302 | 303 | 307 | 308 => target = target.redirected(&parts.headers)?,
            status => {
                return Err(SourceError::Status {
                    status,
                    retry_after: retry_after(&parts.headers, now),
                });
            }
        }
    }
    let what = format!("more than {REDIRECTS_MAX} redirects");
    Err(SourceError::Http(what))
}

/// Returns the headers that make a request conditional. A stored value that is no valid header value
/// is left out, so that the feed is fetched whole instead of never.
fn validators(known: Option<&Meta>) -> Vec<(HeaderName, HeaderValue)> {
    let Some(meta) = known else {
        return Vec::new();
    };
    let stored = [
        (header::IF_NONE_MATCH, &meta.etag),
        (header::IF_MODIFIED_SINCE, &meta.last_modified),
    ];
    let valid = stored.into_iter().filter_map(|(name, value)| {
        let value = HeaderValue::from_str(value.as_ref()?).ok()?;
        Some((name, value))
    });
    valid.collect()
}

/// Reads an answer to its end.
fn receive(
    body: ureq::Body,
    headers: &HeaderMap,
    max_size: u64,
    deadline: Option<Instant>,
    now: u32,
) -> Result<Answer, SourceError> {
    let coding = coding(headers)?;
    let declared = body.content_length();
    if declared.is_some_and(|len| len > max_size) {
        return Err(SourceError::TooBig { max: max_size });
    }
    let expected = usize::try_from(declared.unwrap_or(0).min(FIRST_ROOM)).unwrap_or(0);
    let mut kept = Body::new(expected, deadline).map_err(out_of_memory)?;
    let mut received = Counted {
        reader: Bounded::new(body.into_reader(), max_size),
        count: 0,
    };
    let mut buffer = vec![0; BUFFER];
    {
        let mut decoder = decoder(coding, &mut received).map_err(|error| broken(&error, coding))?;
        loop {
            let read = match decoder.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::FileTooLarge => {
                    return Err(SourceError::TooBig { max: max_size });
                }
                Err(error) => return Err(broken(&error, coding)),
            };
            if (kept.len() + read) as u64 > max_size {
                return Err(SourceError::TooBig { max: max_size });
            }
            let bytes = buffer.get(..read).unwrap_or_default();
            kept.extend(bytes, deadline).map_err(out_of_memory)?;
        }
    }
    let len = received.count;
    if let Some(declared) = declared.filter(|declared| *declared != len) {
        let what = format!("the answer broke off after {len} of {declared} bytes");
        return Err(SourceError::Http(what));
    }
    let meta = meta(&kept, headers, now);
    Ok(Answer::Fetched { body: kept, meta })
}

fn out_of_memory(why: NoMemory) -> SourceError {
    SourceError::Http(why.to_string())
}

/// What is known of an answer beside its bytes. The data is as old as the server says.
fn meta(body: &Body, headers: &HeaderMap, now: u32) -> Meta {
    let kept = |name| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        let value = value.filter(|value| !value.is_empty() && value.len() <= VALIDATOR_MAX);
        value.map(ToOwned::to_owned)
    };
    let last_modified = kept(header::LAST_MODIFIED);
    let modified = last_modified.as_deref().and_then(date);
    let modified = modified.and_then(|second| u32::try_from(second).ok());
    Meta {
        fetched: now,
        as_of: Some(modified.map_or(now, |modified| modified.min(now))),
        digest: Some(digest(body)),
        etag: kept(header::ETAG),
        last_modified,
    }
}

/// How an answer is encoded for its transfer (RFC 9110, 8.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Deflate,
}

fn coding(headers: &HeaderMap) -> Result<Coding, SourceError> {
    let values = headers.get_all(header::CONTENT_ENCODING).iter();
    let texts = values.map(|value| value.to_str().unwrap_or("?"));
    let codings = texts.flat_map(|text| text.split(',')).map(str::trim);
    let mut found = Coding::Identity;
    for name in codings {
        let coding = match name.to_ascii_lowercase().as_str() {
            "" | "identity" => continue,
            "gzip" | "x-gzip" => Coding::Gzip,
            "deflate" => Coding::Deflate,
            _ => {
                let name = name.escape_debug();
                let why = format!("Content-Encoding {name} is not unpacked; gzip and deflate are");
                return Err(SourceError::Http(why));
            }
        };
        if found != Coding::Identity {
            let why = "Content-Encoding names more than one encoding; one is unpacked";
            return Err(SourceError::Http(why.to_owned()));
        }
        found = coding;
    }
    Ok(found)
}

/// Unpacks what is received. Servers mean zlib by `deflate`, or deflate without a frame.
fn decoder<'r>(coding: Coding, received: &'r mut impl Read) -> io::Result<Box<dyn Read + 'r>> {
    use std::io::BufRead as _;

    let mut received = BufReader::with_capacity(BUFFER, received);
    Ok(match coding {
        Coding::Identity => Box::new(received),
        Coding::Gzip => Box::new(MultiGzDecoder::new(received)),
        Coding::Deflate => match received.fill_buf()? {
            [first, second, ..]
                if first & 0x0f == 8
                    && (u16::from(*first) << 8 | u16::from(*second)).is_multiple_of(31) =>
            {
                Box::new(ZlibDecoder::new(received))
            }
            _ => Box::new(DeflateDecoder::new(received)),
        },
    })
}

fn broken(error: &io::Error, coding: Coding) -> SourceError {
    let is_of_coding = matches!(
        error.kind(),
        ErrorKind::InvalidInput | ErrorKind::InvalidData
    );
    SourceError::Http(match coding {
        _ if is_timeout(error) => TIMED_OUT.into(),
        Coding::Gzip if is_of_coding => {
            format!("Content-Encoding is gzip, and the answer is not: {error}")
        }
        Coding::Deflate if is_of_coding => {
            format!("Content-Encoding is deflate, and the answer is not: {error}")
        }
        _ => format!("the answer broke off: {error}"),
    })
}

/// Counts what comes over the connection.
struct Counted<R> {
    reader: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.count += read as u64;
        Ok(read)
    }
}

impl Target {
    fn is_tls(&self) -> bool {
        self.url.starts_with("https://")
    }

    /// Where the answer sends us.
    fn redirected(&self, headers: &HeaderMap) -> Result<Self, SourceError> {
        let bad = |why: &str| SourceError::Http(format!("a redirect {why}"));
        let location = headers
            .get(header::LOCATION)
            .and_then(|value| value.to_str().ok());
        let location = location.ok_or_else(|| bad("to nowhere"))?;
        let here: Uri = self.url.parse().map_err(|_| bad("from no URL"))?;
        let scheme = here.scheme_str().unwrap_or("http");
        let authority = here.authority().map_or("", |authority| authority.as_str());
        let url = if location.starts_with("http://") || location.starts_with("https://") {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{scheme}://{authority}{location}")
        } else if location.contains("://") {
            return Err(bad("to another protocol than http and https"));
        } else {
            let folder = here
                .path()
                .rsplit_once('/')
                .map_or("", |(folder, _)| folder);
            format!("{scheme}://{authority}{folder}/{location}")
        };
        let there: Uri = url.parse().map_err(|_| bad("to no URL"))?;
        if scheme == "https" && there.scheme_str() != Some("https") {
            return Err(bad("from https to http; not followed"));
        }
        let is_same = there.authority() == here.authority();
        Ok(Self {
            url,
            is_trusted: self.is_trusted && is_same,
        })
    }
}

/// The headers whose values are secret. They are read each time, so that a new key needs no reload.
fn secrets(feed: &Feed) -> Result<Vec<(&str, HeaderValue)>, SourceError> {
    let headers = feed.headers.iter().map(|header| {
        let failed = |why: String| SourceError::Header {
            name: header.name.clone(),
            why,
        };
        let text = match &header.value {
            Secret::Literal(value) => value.clone(),
            Secret::Env(variable) => std::env::var(variable)
                .map_err(|_| failed(format!("the environment has no {variable}")))?,
            Secret::File(path) => {
                let about = |error| failed(format!("{}: {error}", path.display()));
                read_small_text(path, SECRET_MAX).map_err(about)?
            }
        };
        let first = text.lines().next().unwrap_or_default().trim();
        let value = HeaderValue::from_str(first)
            .ok()
            .filter(|it| !it.is_empty());
        let mut value =
            value.ok_or_else(|| failed("its value is empty, or no value of a header".into()))?;
        value.set_sensitive(true);
        Ok((header.name.as_str(), value))
    });
    headers.collect()
}

/// Whether it took too long, in the client's words or in those of a socket.
fn is_timeout(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    error.kind() == ErrorKind::TimedOut || matches!(inner, Some(ureq::Error::Timeout(_)))
}

/// What the client says, without what it was asked for.
fn failed(error: &ureq::Error, ca_file: Option<&Path>) -> SourceError {
    let why = match error {
        ureq::Error::Io(error) if let Some(error) = tls::beneath(error) => {
            tls::explained(error, ca_file)
        }
        ureq::Error::Rustls(error) => tls::explained(error, ca_file),
        ureq::Error::Timeout(_) => TIMED_OUT.to_owned(),
        ureq::Error::HostNotFound => "the name of the host is not known".to_owned(),
        ureq::Error::Io(error) => format!("the server cannot be reached: {error}"),
        ureq::Error::BadUri(_) => "this is no URL that can be asked".to_owned(),
        other => format!("the server cannot be understood: {other}"),
    };
    SourceError::Http(why)
}

/// `Retry-After` of a server that has had enough: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: u32) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => seconds_until(text, now)?,
    };
    Some(Duration::from_secs(seconds).clamp(RETRY_MIN, RETRY_MAX))
}

/// The seconds from now until a date such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).
fn seconds_until(date: &str, now: u32) -> Option<u64> {
    let seconds = self::date(date)?.saturating_sub(i64::from(now));
    u64::try_from(seconds.max(0)).ok()
}

/// A date of HTTP, in seconds since 1970.
fn date(text: &str) -> Option<i64> {
    let parsed = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text);
    Some(parsed.ok()?.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_server_may_ask_for_time_within_bounds() {
        let after = |text: &str| retry_after(&headers(header::RETRY_AFTER, text), 784_111_000);
        assert_eq!(after("120"), Some(Duration::from_mins(2)));
        assert_eq!(after("0"), Some(RETRY_MIN));
        assert_eq!(after("99999999999"), Some(RETRY_MAX));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(after(date), Some(Duration::from_secs(777)));
        assert_eq!(after("soon"), None);
    }

    #[test]
    fn a_stored_validator_that_is_no_header_value_is_left_out() {
        let meta = |etag: &str| Meta {
            etag: Some(etag.to_owned()),
            ..Meta::default()
        };
        assert_eq!(validators(Some(&meta("\u{1}"))), []);
        let good = HeaderValue::from_static("\"a\"");
        assert_eq!(
            validators(Some(&meta("\"a\""))),
            [(header::IF_NONE_MATCH, good)]
        );
    }

    #[test]
    fn secrets_stay_with_their_host() {
        let from = |url: &str, to: &str| {
            let target = Target {
                url: url.into(),
                is_trusted: true,
            };
            let target = target.redirected(&headers(header::LOCATION, to)).ok()?;
            Some((target.url, target.is_trusted))
        };
        for (to, url, is_trusted) in [
            ("/x?y", "http://192.0.2.1:80/x?y", true),
            ("x", "http://192.0.2.1:80/a/x", true),
            ("//192.0.2.2/x", "http://192.0.2.2/x", false),
            ("https://192.0.2.1/x", "https://192.0.2.1/x", false),
        ] {
            let found = from("http://192.0.2.1:80/a/b?c", to);
            assert_eq!(found, Some((url.to_owned(), is_trusted)), "{to}");
        }
        assert_eq!(from("https://192.0.2.1/", "http://192.0.2.1/"), None);
        assert_eq!(from("http://192.0.2.1/", "file:///etc/passwd"), None);
    }
}
