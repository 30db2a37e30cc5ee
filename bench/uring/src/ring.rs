//! The ring: submissions, completions and the buffers that the kernel receives into. The one module
//! with unsafe code.
//!
//! ```text
//!  one io_uring_enter:  arm, cancel ... | a send for each connection | close    then wait
//!  completions:         accepted, received (in a buffer of ours), not all sent, writable, closed
//! ```
//!
//! Answers are sent with `MSG_DONTWAIT`, so the kernel is done with them when `enter` returns, and a
//! send has a completion only if it did not take everything. Sockets are direct descriptors.

#![expect(unsafe_code, reason = "what is shared with the kernel is")]

use std::alloc::{Layout, alloc_zeroed};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{BufRingEntry, Fd, Fixed};
use io_uring::{CompletionQueue, IoUring, SubmissionQueue, Submitter, cqueue, opcode};

/// Places in the submission queue; the completion queue has four times as many.
const SUBMISSIONS: u32 = 4096;
/// The most connections.
const SOCKETS: u32 = 16 * 1024;
/// The one group of buffers.
const GROUP: u16 = 0;
/// `IOU_PBUF_RING_INC`: a buffer is used up piece by piece, not at once.
const INCREMENTAL: u16 = 2;

/// What a completion is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Accept,
    Receive,
    Send,
    Writable,
    Close,
    Other,
}

/// A connection, as the kernel repeats it: its place and its serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub place: u32,
    /// 24 bits of it count.
    pub serial: u32,
}

/// A completion.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    pub kind: Kind,
    pub key: Key,
    /// As of a system call: bytes, a socket, or an error below zero.
    pub result: i32,
    flags: u32,
}

impl Done {
    /// Whether the request goes on.
    pub fn more(&self) -> bool {
        cqueue::more(self.flags)
    }
}

/// What is to be sent at the end of a turn: bytes `from..to` of the output.
#[derive(Debug, Clone, Copy)]
pub struct Send {
    pub key: Key,
    pub socket: u32,
    pub from: usize,
    pub to: usize,
    /// Close the socket once all of it is sent. Whether a receive is armed on it then.
    pub close: Option<bool>,
}

/// How the ring is set up.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    pub buffers: u16,
    pub buffer_len: u32,
    pub incremental: bool,
    /// `DEFER_TASKRUN`: completions are made in `enter` and nowhere else.
    pub deferred: bool,
    /// The ring's own descriptor is registered.
    pub registered: bool,
}

/// A ring, which lives as long as the process.
pub struct Ring {
    submitter: Submitter<'static>,
    submissions: SubmissionQueue<'static>,
    completions: CompletionQueue<'static>,
    listener: OwnedFd,
    buffers: Buffers,
}

impl Ring {
    pub fn new(listener: OwnedFd, setup: Setup) -> io::Result<Self> {
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_submit_all();
        builder.setup_cqsize(4 * SUBMISSIONS);
        if setup.deferred {
            builder.setup_defer_taskrun();
        }
        let ring = Box::leak(Box::new(builder.build(SUBMISSIONS)?));
        let (mut submitter, submissions, completions) = ring.split();
        if setup.registered {
            submitter.register_ring_fd()?;
        }
        submitter.register_files_sparse(SOCKETS)?;
        Ok(Self {
            buffers: Buffers::new(&submitter, setup)?,
            submitter,
            submissions,
            completions,
            listener,
        })
    }

    /// Accepts connections until a completion has no more.
    pub fn accept(&mut self) -> io::Result<()> {
        let accept = opcode::AcceptMulti::new(Fd(self.listener.as_raw_fd()));
        let key = Key {
            place: 0,
            serial: 0,
        };
        self.push(&accept.allocate_file_index(true).build(), Kind::Accept, key)
    }

    /// Receives until a completion has no more.
    pub fn receive(&mut self, key: Key, socket: u32) -> io::Result<()> {
        let receive = opcode::RecvMulti::new(Fixed(socket), GROUP).build();
        self.push(&receive, Kind::Receive, key)
    }

    /// Ends a receive, which has a last completion then.
    pub fn stop_receiving(&mut self, key: Key) -> io::Result<()> {
        self.push(&cancel(key), Kind::Other, key)
    }

    /// Tells once when the socket takes bytes again, or has failed.
    pub fn watch_writable(&mut self, key: Key, socket: u32) -> io::Result<()> {
        let poll = opcode::PollAdd::new(Fixed(socket), libc::POLLOUT as u32).build();
        self.push(&poll, Kind::Writable, key)
    }

    /// Sends, and waits for completions if there is nothing else to do. `done` is replaced. When all
    /// is with the kernel `sent` is called, if there is one, at the price of a system call.
    pub fn turn(
        &mut self,
        output: &[u8],
        sends: &mut Vec<Send>,
        sent: Option<impl FnOnce()>,
        wait: bool,
        done: &mut Vec<Done>,
    ) -> io::Result<()> {
        for send in sends.drain(..) {
            self.send(output, send)?;
        }
        if let Some(sent) = sent {
            self.enter(0)?;
            sent();
        }
        self.enter(usize::from(wait))?;
        done.clear();
        loop {
            self.completions.sync();
            done.extend((&mut self.completions).map(|entry| unpack(&entry)));
            self.completions.sync();
            if !self.submissions.cq_overflow() {
                return Ok(());
            }
            self.enter(1)?;
        }
    }

    fn send(&mut self, output: &[u8], send: Send) -> io::Result<()> {
        // A chain does not survive the end of a submission.
        if self.submissions.capacity() - self.submissions.len() < 3 {
            self.enter(0)?;
        }
        let bytes = &output[send.from..send.to];
        if !bytes.is_empty() {
            // All or a completion that says how much.
            let flags = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
            let len = bytes.len() as u32;
            let entry = opcode::Send::new(Fixed(send.socket), bytes.as_ptr(), len).flags(flags);
            let then = send.close.map_or(Flags::empty(), |_| Flags::IO_LINK);
            let entry = entry.build().flags(Flags::SKIP_SUCCESS | then);
            self.push(&entry, Kind::Send, send.key)?;
        }
        if let Some(receiving) = send.close {
            if receiving {
                let entry = cancel(send.key).flags(Flags::IO_HARDLINK);
                self.push(&entry, Kind::Other, send.key)?;
            }
            let entry = opcode::Close::new(Fixed(send.socket)).build();
            self.push(&entry, Kind::Close, send.key)?;
        }
        Ok(())
    }

    fn push(&mut self, entry: &Entry, kind: Kind, key: Key) -> io::Result<()> {
        let entry = entry.clone().user_data(pack(kind, key));
        while self.submissions.is_full() {
            self.enter(0)?;
        }
        // SAFETY: only a send has a pointer. It goes into the output that `turn` borrows, `turn`
        // does not return before `enter` has emptied the queue, and a send with MSG_DONTWAIT is
        // over when it has been submitted.
        unsafe { self.submissions.push(&entry) }.map_err(io::Error::other)
    }

    /// Submits everything.
    fn enter(&mut self, want: usize) -> io::Result<()> {
        loop {
            self.submissions.sync();
            match self.submitter.submit_and_wait(want) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => self.submissions.sync(),
            }
            if self.submissions.is_empty() {
                return Ok(());
            }
        }
    }

    /// What a completion has received.
    pub fn input(&self, done: &Done) -> &[u8] {
        let (Some(id), Ok(len)) = (cqueue::buffer_select(done.flags), done.result.try_into())
        else {
            return &[];
        };
        self.buffers.piece(id, len)
    }

    /// Gives the kernel back what a completion has received into.
    pub fn give_back(&mut self, done: &Done) {
        if let Some(id) = cqueue::buffer_select(done.flags) {
            let used = usize::try_from(done.result).unwrap_or(0);
            let whole = !cqueue::buffer_more(done.flags);
            self.buffers.give_back(id, used, whole);
        }
    }
}

fn cancel(key: Key) -> Entry {
    let cancel = opcode::AsyncCancel::new(pack(Kind::Receive, key)).build();
    cancel.flags(Flags::SKIP_SUCCESS)
}

fn pack(kind: Kind, key: Key) -> u64 {
    (kind as u64) << 56 | u64::from(key.serial & 0xff_ffff) << 32 | u64::from(key.place)
}

fn unpack(entry: &cqueue::Entry) -> Done {
    use Kind::{Accept, Close, Receive, Send, Writable};
    let data = entry.user_data();
    let kinds = [Accept, Receive, Send, Writable, Close];
    Done {
        kind: kinds
            .get((data >> 56) as usize)
            .map_or(Kind::Other, |kind| *kind),
        key: Key {
            place: data as u32,
            serial: (data >> 32) as u32 & 0xff_ffff,
        },
        result: entry.result(),
        flags: entry.flags(),
    }
}

/// The buffers that the kernel chooses from, and the ring in which it is told which ones are free.
struct Buffers {
    ring: *mut BufRingEntry,
    mask: u16,
    tail: u16,
    bytes: *mut u8,
    len: usize,
    /// How much of each buffer has been seen.
    seen: Vec<usize>,
}

impl Buffers {
    fn new(submitter: &Submitter<'_>, setup: Setup) -> io::Result<Self> {
        let (count, len) = (usize::from(setup.buffers), setup.buffer_len as usize);
        let aligned = |bytes| Layout::from_size_align(bytes, 4096).map_err(io::Error::other);
        let entries = aligned(count * size_of::<BufRingEntry>())?;
        let space = aligned(count * len)?;
        if !count.is_power_of_two() || len == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: neither layout is empty.
        let (ring, bytes) = unsafe { (alloc_zeroed(entries), alloc_zeroed(space)) };
        if ring.is_null() || bytes.is_null() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let flags = if setup.incremental { INCREMENTAL } else { 0 };
        // SAFETY: the ring has this many entries, is aligned to a page, and is never freed.
        unsafe {
            submitter.register_buf_ring_with_flags(ring as u64, setup.buffers, GROUP, flags)?;
        }
        let mut buffers = Self {
            ring: ring.cast(),
            mask: setup.buffers - 1,
            tail: 0,
            bytes,
            len,
            seen: vec![0; count],
        };
        for id in 0..setup.buffers {
            buffers.give_back(id, 0, true);
        }
        Ok(buffers)
    }

    /// The next `len` bytes that the kernel has put into a buffer.
    fn piece(&self, id: u16, len: usize) -> &[u8] {
        let seen = self.seen[usize::from(id)];
        assert!(seen + len <= self.len);
        // SAFETY: within the buffer, whose bytes were set when it was made. The kernel has written
        // this piece, and writes there again only after `give_back`, which needs `self` alone.
        unsafe {
            let start = self.bytes.add(usize::from(id) * self.len + seen);
            std::slice::from_raw_parts(start, len)
        }
    }

    fn give_back(&mut self, id: u16, used: usize, whole: bool) {
        let seen = &mut self.seen[usize::from(id)];
        *seen += used;
        if !whole {
            return;
        }
        *seen = 0;
        // SAFETY: `mask` keeps the place within the ring and the offset within the bytes. The kernel
        // reads an entry only once the tail is past it, and the tail is where `tail` says.
        unsafe {
            let entry = &mut *self.ring.add(usize::from(self.tail & self.mask));
            entry.set_addr(self.bytes.add(usize::from(id) * self.len) as u64);
            entry.set_len(self.len as u32);
            entry.set_bid(id);
            self.tail = self.tail.wrapping_add(1);
            let tail = BufRingEntry::tail(self.ring).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}
