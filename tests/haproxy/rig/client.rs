//! Clients: HTTP/1.1 and bare bytes, from an address of one's own choice.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use socket2::{Domain, Socket, Type};

use crate::support::PATIENCE;

/// Source addresses in turn: 127.0.0.2 and up, and `::1` after every third.
pub(crate) fn sources() -> impl Iterator<Item = IpAddr> {
    (2_u8..=254).cycle().flat_map(|last| {
        let v4 = IpAddr::from([127, 0, 0, last]);
        let v6 = (last % 3 == 0).then_some(IpAddr::V6(Ipv6Addr::LOCALHOST));
        [Some(v4), v6].into_iter().flatten()
    })
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    headers: HashMap<String, String>,
}

impl Response {
    /// A header's value, empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// A header's number, if it has one.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        self.header(name).parse().ok()
    }
}

trait Stream: Read + Write + Send {
    fn shut_write(&self) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn shut_write(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Stream for UnixStream {
    fn shut_write(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

/// A client's connection.
pub(crate) struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    /// `address:port` as HAProxy logs it (`%ci:%cp`).
    pub(crate) name: String,
}

impl Connection {
    /// From an address of this machine to a port of it, in the same family.
    pub(crate) fn open(source: IpAddr, port: u16) -> io::Result<Self> {
        let to: IpAddr = match source {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        let to = SocketAddr::new(to, port);
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
        socket.connect_timeout(&to.into(), PATIENCE)?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        let local = stream.local_addr()?;
        Ok(Self {
            stream: BufReader::new(Box::new(stream)),
            name: format!("{}:{}", local.ip(), local.port()),
        })
    }

    pub(crate) fn open_unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::new(Box::new(stream)),
            name: "unix".into(),
        })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.stream.get_ref().shut_write()
    }

    /// A request with these headers (each with its line end) and body, and its answer.
    ///
    /// # Errors
    /// `UnexpectedEof` or `ConnectionReset` if the connection is closed without an answer.
    pub(crate) fn ask(&mut self, headers: &str, body: &[u8]) -> io::Result<Response> {
        self.ask_for("/", headers, body)
    }

    /// The same for a path.
    pub(crate) fn ask_for(
        &mut self,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> io::Result<Response> {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n{headers}\r\n"
        );
        self.send(&[head.as_bytes(), body].concat())?;
        self.response()
    }

    /// Reads until the connection ends.
    pub(crate) fn rest(&mut self) -> io::Result<String> {
        let mut rest = String::new();
        self.stream.read_to_string(&mut rest)?;
        Ok(rest)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    fn response(&mut self) -> io::Result<Response> {
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or(io::ErrorKind::InvalidData)?;
        let mut headers = HashMap::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let response = Response { status, headers };
        let length = response.number("content-length").unwrap_or(0);
        io::copy(
            &mut self.stream.by_ref().take(length.into()),
            &mut io::sink(),
        )?;
        Ok(response)
    }
}

impl core::fmt::Debug for Connection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Connection")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Whether an error means that HAProxy closed the connection without an answer.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe)
}
