//! Lines that wait for a thread to print them. Whoever adds one never waits.

use core::time::Duration;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// What may wait, in bytes. A report on SIGUSR1 of 1,024 workers has half of that.
const WAITING_MAX: usize = 1 << 20;
/// Room that is kept for the next lines, in bytes.
const ROOM_KEPT: usize = 64 << 10;

/// The lines that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// There is something to print.
    more: Condvar,
    /// Everything has been printed.
    done: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    text: String,
    /// Lines that found no room since the last that did.
    left_out: u64,
    is_printing: bool,
}

impl Queue {
    /// Prints what comes, until the process ends. `left_out` makes the line that says how many lines
    /// there are none of.
    pub(super) fn print(&self, left_out: impl Fn(u64) -> String) {
        loop {
            let text = self.next(&left_out);
            // A stderr that is gone is no reason to end.
            let _ = write_all(&mut io::stderr().lock(), text.as_bytes());
        }
    }

    /// Adds whole lines, if there is room.
    pub(super) fn push(&self, lines: &str) {
        let mut waiting = self.lock();
        if waiting.text.len() + lines.len() > WAITING_MAX {
            waiting.left_out += lines.lines().count() as u64;
            return;
        }
        let was_empty = waiting.text.is_empty();
        waiting.text.push_str(lines);
        drop(waiting);
        if was_empty {
            self.more.notify_one();
        }
    }

    /// Waits until everything has been printed, for this long at most.
    pub(super) fn flush(&self, patience: Duration) {
        let is_busy = |waiting: &mut Waiting| waiting.is_printing || !waiting.text.is_empty();
        // Late or poisoned: the rest is lost, and there is nobody to tell.
        let _ = self.done.wait_timeout_while(self.lock(), patience, is_busy);
    }

    /// Waits for something to print.
    fn next(&self, left_out: &impl Fn(u64) -> String) -> String {
        let mut waiting = self.lock();
        waiting.is_printing = false;
        if waiting.text.is_empty() {
            self.done.notify_all();
        }
        while waiting.text.is_empty() {
            let woken = self.more.wait(waiting);
            waiting = woken.unwrap_or_else(PoisonError::into_inner);
        }
        waiting.is_printing = true;
        let mut text = core::mem::take(&mut waiting.text);
        if waiting.left_out > 0 {
            text.push_str(&left_out(core::mem::take(&mut waiting.left_out)));
        }
        if text.len() < ROOM_KEPT {
            waiting.text.reserve(text.len());
        }
        text
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all bytes. Waits for a descriptor that is non-blocking, as writing to another would: its flag
/// may belong to another process that shares it.
fn write_all(to: &mut (impl Write + AsFd), mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let mut ready = [PollFd::new(to.as_fd(), PollFlags::POLLOUT)];
                match poll(&mut ready, PollTimeout::NONE) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    #[test]
    fn a_descriptor_that_does_not_block_loses_no_line() {
        let (mut to, mut from) = UnixStream::pair().unwrap();
        to.set_nonblocking(true).unwrap();
        let lines = "0123456789\n".repeat(200_000);
        let sent = lines.clone();
        let writer = thread::spawn(move || write_all(&mut to, sent.as_bytes()));
        let mut received = String::new();
        from.read_to_string(&mut received).unwrap();
        writer.join().unwrap().unwrap();
        assert_eq!(received.len(), lines.len());
    }

    #[test]
    fn what_finds_no_room_is_counted_and_said_once() {
        let queue = Queue::default();
        let line = format!("{}\n", "x".repeat(WAITING_MAX / 2));
        for _ in 0..4 {
            queue.push(&line);
        }
        queue.push("a\n");
        let said = |count: u64| format!("{count} left out\n");
        let text = queue.next(&said);
        assert_eq!(text, format!("{line}a\n3 left out\n"));
        queue.push("b\n");
        assert_eq!(queue.next(&said), "b\n");
    }
}
