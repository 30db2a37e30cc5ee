//! What HAProxy logs, kept for whoever looks, and a way to wait for a line.

use std::net::UdpSocket;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use socket2::SockRef;

use crate::support::PATIENCE;

/// The largest log message: HAProxy cuts at 1,024 bytes by default.
const MESSAGE_MAX: usize = 8 * 1024;
/// Room for log messages while their reader has no core; the kernel may give less.
const LOG_BUFFER: usize = 4 * 1024 * 1024;

#[derive(Debug, Clone, Default)]
pub(crate) struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Lines {
    /// The messages that come to a UDP port of this machine, and the port.
    pub(crate) fn syslog() -> (Self, u16) {
        let lines = Self::default();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let _ = SockRef::from(&socket).set_recv_buffer_size(LOG_BUFFER);
        let port = socket.local_addr().unwrap().port();
        let writer = lines.clone();
        thread::spawn(move || {
            let mut message = vec![0; MESSAGE_MAX];
            // Until the process ends: nothing tells that nobody will log here any more.
            while let Ok(len) = socket.recv(&mut message) {
                writer.push(message[..len].trim_ascii_end());
            }
        });
        (lines, port)
    }

    fn push(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line).into_owned();
        self.lock().push(line);
        self.0.more.notify_all();
    }

    /// How many lines there are: what comes later has a number from here on.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Every line so far that contains a text.
    pub(crate) fn with(&self, text: &str) -> Vec<String> {
        let lines = self.lock();
        let found = lines.iter().filter(|line| line.contains(text));
        found.cloned().collect()
    }

    /// Waits for a line from number `from` on that something can be made of.
    ///
    /// # Panics
    /// If there is none in time; with the lines.
    pub(crate) fn find<T>(
        &self,
        what: &str,
        from: usize,
        mut find: impl FnMut(&str) -> Option<T>,
    ) -> T {
        let until = Instant::now() + PATIENCE;
        let mut next = from;
        let mut lines = self.lock();
        loop {
            for line in lines.iter().skip(next) {
                if let Some(found) = find(line) {
                    return found;
                }
            }
            next = lines.len().max(from);
            let left = until.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "not in time: {what}; there is\n{}",
                lines.join("\n")
            );
            lines = self.0.more.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Waits for a line from number `from` on that contains a text.
    pub(crate) fn await_text(&self, text: &str, from: usize) {
        self.find(text, from, |line| line.contains(text).then_some(()));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        // A test that gives up while it looks does no harm to the lines.
        let lines = self.0.lines.lock();
        lines.unwrap_or_else(PoisonError::into_inner)
    }
}
