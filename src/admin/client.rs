//! What `spoa ctl` talks to an endpoint with: one request, one answer, over TCP or a UNIX socket.

use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use super::{AdminError, Token};
use haproxy_spoa::BindAddress;

/// How long an agent may take to answer. A reload reads every list.
const PATIENCE: Duration = Duration::from_mins(1);
/// The longest answer, in bytes.
const ANSWER_MAX: u64 = 64 << 20;

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Asks, and gives back what is answered.
///
/// # Errors
/// If nobody answers, or the agent says no.
pub fn ask(
    address: &BindAddress,
    method: &str,
    path: &str,
    token: Option<&Token>,
) -> Result<String, AdminError> {
    send(address, method, path, token, "")
}

/// The same, with a body.
///
/// # Errors
/// If nobody answers, or the agent says no.
pub fn send(
    address: &BindAddress,
    method: &str,
    path: &str,
    token: Option<&Token>,
    body: &str,
) -> Result<String, AdminError> {
    let failed = |error: io::Error| AdminError::Answer(address.clone(), error.to_string());
    let stream = connect(address).map_err(|error| AdminError::Connect(address.clone(), error))?;
    let mut request = format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\n");
    if method == "POST" {
        request.push_str("Content-Length: ");
        request.push_str(&body.len().to_string());
        request.push_str("\r\n");
    }
    if let Some(token) = token {
        request.push_str("Authorization: ");
        request.push_str(&token.header());
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request.push_str(body);
    let answer = stream.exchange(request.as_bytes()).map_err(failed)?;
    let (status, body) = parse(&answer)
        .ok_or_else(|| AdminError::Answer(address.clone(), "that is not HTTP".to_owned()))?;
    let body = String::from_utf8_lossy(body).into_owned();
    if (200..300).contains(&status) {
        return Ok(body);
    }
    let why = body.trim_end().to_owned();
    Err(AdminError::Refused { status, why })
}

fn connect(address: &BindAddress) -> io::Result<Stream> {
    match address {
        BindAddress::Tcp(tcp) => TcpStream::connect_timeout(tcp, PATIENCE).map(Stream::Tcp),
        BindAddress::Unix(path) => UnixStream::connect(path).map(Stream::Unix),
    }
}

impl Stream {
    /// Sends the request and reads until the other side closes.
    fn exchange(self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut answer = Vec::new();
        match self {
            Self::Tcp(mut stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.write_all(request)?;
                stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
            }
            Self::Unix(mut stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.write_all(request)?;
                stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
            }
        }
        Ok(answer)
    }
}

/// The status and the body.
fn parse(answer: &[u8]) -> Option<(u16, &[u8])> {
    const END: &[u8] = b"\r\n\r\n";
    let head_len = answer.windows(END.len()).position(|four| four == END)?;
    let (head, rest) = answer.split_at_checked(head_len)?;
    let head = str::from_utf8(head).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some((status.parse().ok()?, rest.get(END.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_status_and_a_body() {
        let answer = b"HTTP/1.0 404 Not Found\r\nA: b\r\n\r\nno\r\n\r\nmore";
        assert_eq!(parse(answer), Some((404, &b"no\r\n\r\nmore"[..])));
        for wrong in [
            &b""[..],
            b"HTTP/1.0 200 OK\r\n",
            b"SSH-2.0\r\n\r\n",
            b"HTTP/1.0 x\r\n\r\n",
        ] {
            assert_eq!(parse(wrong), None);
        }
    }
}
