//! The service behind HAProxy, on a UNIX socket. It answers HTTP with the score it was told, 401 on
//! `/login` and 404 on `/missing`, and bare bytes, which end with a line end, with how many they were.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

use crate::support::PATIENCE;

/// Connections that are served at once.
const THREADS: usize = 4;

/// Serves at this path until the process ends.
pub(crate) fn start(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    for _ in 0..THREADS {
        let listener = listener.try_clone().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that gave up is no failure of the test's.
                let _ = serve(stream);
            }
        });
    }
}

fn serve(stream: UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let Some(path) = line.strip_prefix("POST ") else {
        return writeln!(reader.get_mut(), "{}", line.len());
    };
    let status = match path.split(' ').next() {
        Some("/login") => "401 Unauthorized",
        Some("/missing") => "404 Not Found",
        _ => "200 OK",
    };
    let mut score = String::new();
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if let Some(value) = line.strip_prefix("x-ip-score:") {
            value.trim().clone_into(&mut score);
        }
    }
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n");
    write!(reader.get_mut(), "{head}x-told: {score}\r\n\r\n")
}
