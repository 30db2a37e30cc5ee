//! Output of a connection: written at once, and later what the socket did not take.
//!
//! While there is unsent output nothing more is read from the peer, so the backlog is bounded. A
//! backlog has a deadline: a peer that does not read would hold memory here and in the kernel.

use std::io::{self, Write};
use std::time::Instant;

/// Answers that leave together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Batch {
    /// When the read that brought their NOTIFYs returned.
    pub(super) read_at: Instant,
    /// The number of answers.
    pub(super) acks: u32,
}

impl Batch {
    /// Output without answers, such as DISCONNECT.
    pub(super) fn without_acks() -> Self {
        Self {
            read_at: Instant::now(),
            acks: 0,
        }
    }
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) bytes: usize,
    /// The batch whose last byte the kernel has taken.
    pub(super) complete: Option<Batch>,
}

/// Unsent output.
#[derive(Debug)]
struct Backlog {
    bytes: Vec<u8>,
    sent: usize,
    batch: Batch,
    deadline: Option<Instant>,
}

/// The unsent output of one connection. A box: few connections ever have any.
#[derive(Debug, Default)]
pub(super) struct Outbox(Option<Box<Backlog>>);

impl Outbox {
    /// Whether there is unsent output.
    #[inline]
    pub(super) const fn has_unsent(&self) -> bool {
        self.0.is_some()
    }

    /// When the unsent output has to be sent. It does not move while the peer reads slowly.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.as_ref()?.deadline
    }

    pub(super) fn set_deadline(&mut self, deadline: Option<Instant>) {
        if let Some(backlog) = &mut self.0 {
            backlog.deadline = deadline;
        }
    }

    /// Writes `output` with one call. What the socket does not take becomes the backlog; if there is
    /// one already, all of it is appended and nothing is written.
    ///
    /// # Errors
    /// An error of the socket that is neither `WouldBlock` nor `Interrupted`.
    #[inline]
    pub(super) fn send(
        &mut self,
        socket: &mut impl Write,
        output: &[u8],
        batch: Batch,
    ) -> io::Result<Sent> {
        if let Some(backlog) = &mut self.0 {
            backlog.bytes.extend_from_slice(output);
            return Ok(Sent {
                bytes: 0,
                complete: None,
            });
        }
        let bytes = write(socket, output)?;
        if bytes == output.len() {
            let complete = Some(batch);
            return Ok(Sent { bytes, complete });
        }
        self.start_backlog(output, bytes, batch);
        Ok(Sent {
            bytes,
            complete: None,
        })
    }

    #[cold]
    fn start_backlog(&mut self, output: &[u8], sent: usize, batch: Batch) {
        let unsent = output.get(sent..);
        debug_assert!(unsent.is_some(), "no more is sent than there is");
        self.0 = Some(Box::new(Backlog {
            bytes: unsent.unwrap_or_default().to_vec(),
            sent: 0,
            batch,
            deadline: None,
        }));
    }

    /// Writes unsent output with one call.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(super) fn flush(&mut self, socket: &mut impl Write) -> io::Result<Sent> {
        let Some(backlog) = &mut self.0 else {
            return Ok(Sent {
                bytes: 0,
                complete: None,
            });
        };
        let unsent = backlog.bytes.get(backlog.sent..);
        debug_assert!(unsent.is_some(), "no more is sent than there is");
        let bytes = write(socket, unsent.unwrap_or_default())?;
        backlog.sent += bytes;
        let complete = (backlog.sent == backlog.bytes.len()).then_some(backlog.batch);
        if complete.is_some() {
            self.0 = None;
        }
        Ok(Sent { bytes, complete })
    }
}

/// One write, which may take part of the bytes or none.
#[inline]
fn write(socket: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match socket.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            written => return written,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that takes so many bytes in each write, and fails at the end.
    struct Socket {
        rooms: Vec<io::Result<usize>>,
        taken: Vec<u8>,
    }

    fn socket(rooms: impl IntoIterator<Item = io::Result<usize>>) -> Socket {
        let mut rooms: Vec<_> = rooms.into_iter().collect();
        rooms.reverse();
        Socket {
            rooms,
            taken: Vec::new(),
        }
    }

    impl Write for Socket {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = self.rooms.pop().expect("no write is expected")?;
            let taken = room.min(bytes.len());
            self.taken.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn batch(acks: u32) -> Batch {
        Batch {
            acks,
            ..Batch::without_acks()
        }
    }

    #[test]
    fn what_fits_is_sent_at_once() {
        let (mut outbox, mut socket, batch) = (Outbox::default(), socket([Ok(99)]), batch(3));
        let sent = outbox.send(&mut socket, b"abc", batch).unwrap();
        assert_eq!(
            sent,
            Sent {
                bytes: 3,
                complete: Some(batch)
            }
        );
        assert!(!outbox.has_unsent());
    }

    #[test]
    fn what_does_not_fit_is_sent_later_in_order_and_completes_once() {
        let rooms = [Ok(1), Err(io::ErrorKind::WouldBlock.into()), Ok(2), Ok(99)];
        let (mut outbox, mut socket, batch) = (Outbox::default(), socket(rooms), batch(3));
        let sent = outbox.send(&mut socket, b"abc", batch).unwrap();
        assert_eq!((sent.bytes, sent.complete), (1, None));
        // Nothing overtakes the backlog.
        let late = outbox
            .send(&mut socket, b"de", Batch::without_acks())
            .unwrap();
        assert_eq!((late.bytes, late.complete), (0, None));
        let flushed: Vec<_> = (0..3).map(|_| outbox.flush(&mut socket).unwrap()).collect();
        assert_eq!(flushed.iter().map(|sent| sent.bytes).sum::<usize>(), 4);
        assert_eq!(flushed[2].complete, Some(batch));
        assert_eq!(socket.taken, b"abcde");
        assert!(!outbox.has_unsent());
        assert_eq!(outbox.flush(&mut socket).unwrap().complete, None);
    }

    #[test]
    fn an_interrupted_write_is_repeated_and_a_failed_one_is_an_error() {
        let rooms = [
            Err(io::ErrorKind::Interrupted.into()),
            Ok(1),
            Err(io::ErrorKind::BrokenPipe.into()),
        ];
        let (mut outbox, mut socket) = (Outbox::default(), socket(rooms));
        let sent = outbox.send(&mut socket, b"a", batch(1)).unwrap();
        assert_eq!(sent.bytes, 1);
        let error = outbox.send(&mut socket, b"b", batch(1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn the_deadline_belongs_to_the_backlog() {
        let (mut outbox, mut socket) = (Outbox::default(), socket([Ok(0), Ok(1), Ok(9)]));
        outbox.set_deadline(Some(Instant::now()));
        assert_eq!(outbox.deadline(), None);
        outbox.send(&mut socket, b"ab", batch(1)).unwrap();
        let at = Some(Instant::now());
        outbox.set_deadline(at);
        outbox.flush(&mut socket).unwrap();
        assert_eq!(outbox.deadline(), at, "a slow reader does not move it");
        outbox.flush(&mut socket).unwrap();
        assert_eq!(outbox.deadline(), None);
    }
}
