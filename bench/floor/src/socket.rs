//! The system calls, and nothing between them and the floor. Linux only.

use std::io;
use std::net::TcpListener;
use std::os::fd::IntoRawFd as _;
use std::os::unix::net::UnixListener;
use std::ptr;

use libc::{c_int, epoll_event};

const EVENTS: usize = 1024;

/// Room for what one [`Epoll::wait`] reports.
pub fn events() -> Vec<epoll_event> {
    vec![epoll_event { events: 0, u64: 0 }; EVENTS]
}

/// An epoll instance.
#[derive(Clone, Copy)]
pub struct Epoll(c_int);

impl Epoll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointer is passed.
        check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }).map(Self)
    }

    /// Once and for good: edge-triggered, for reading only.
    pub fn add(self, fd: c_int) -> io::Result<()> {
        self.register(fd, libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET)
    }

    /// Level-triggered: one `accept` for each event, and no second one that finds nothing.
    pub fn add_listener(self, fd: c_int) -> io::Result<()> {
        self.register(fd, libc::EPOLLIN)
    }

    fn register(self, fd: c_int, events: c_int) -> io::Result<()> {
        let mut event = epoll_event {
            events: events as u32,
            u64: fd as u64,
        };
        // SAFETY: `event` lives until the call returns.
        check(unsafe { libc::epoll_ctl(self.0, libc::EPOLL_CTL_ADD, fd, &raw mut event) })?;
        Ok(())
    }

    pub fn wait(self, events: &mut [epoll_event]) -> io::Result<&[epoll_event]> {
        loop {
            // SAFETY: the pointer and the length describe `events`.
            let ready =
                unsafe { libc::epoll_wait(self.0, events.as_mut_ptr(), events.len() as c_int, -1) };
            match check(ready) {
                Ok(ready) => return Ok(&events[..ready as usize]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The descriptor of an event, and whether the peer has closed.
#[inline]
pub fn parts(event: &epoll_event) -> (c_int, bool) {
    let gone = libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR;
    (event.u64 as c_int, event.events & gone as u32 != 0)
}

/// `Some(0)` is "nothing there"; `None` is "the connection has ended".
#[inline]
pub fn receive(fd: c_int, buffer: &mut [u8]) -> Option<usize> {
    // SAFETY: the pointer and the length describe `buffer`.
    let read = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    match read {
        0 => None,
        1.. => Some(read as usize),
        _ if io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock => Some(0),
        _ => None,
    }
}

/// Sends all of it, waiting if it must. False if the connection has ended.
#[inline]
pub fn send(fd: c_int, mut bytes: &[u8]) -> bool {
    loop {
        // SAFETY: the pointer and the length describe `bytes`.
        let sent =
            unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
        if sent < 0 {
            if io::Error::last_os_error().kind() != io::ErrorKind::WouldBlock {
                return false;
            }
            wait_writable(fd);
            continue;
        }
        bytes = &bytes[sent as usize..];
        if bytes.is_empty() {
            return true;
        }
    }
}

#[cold]
fn wait_writable(fd: c_int) {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one pollfd, which lives until the call returns.
    unsafe { libc::poll(&raw mut poll, 1, -1) };
}

pub fn close(fd: c_int) {
    // SAFETY: no pointer is passed, and the caller forgets the descriptor.
    unsafe { libc::close(fd) };
}

pub fn listen_tcp(port: u16) -> io::Result<(c_int, String)> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let address = listener.local_addr()?.to_string();
    deepen(listener.into_raw_fd()).map(|fd| (fd, address))
}

pub fn listen_unix(path: &str) -> io::Result<(c_int, String)> {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let fd = UnixListener::bind(path)?.into_raw_fd();
    deepen(fd).map(|fd| (fd, format!("unix:{path}")))
}

/// A backlog for a storm of connects.
fn deepen(fd: c_int) -> io::Result<c_int> {
    // SAFETY: no pointer is passed.
    check(unsafe { libc::listen(fd, 4096) }).map(|_| fd)
}

/// Waits for a connection. On TCP it gets `TCP_NODELAY`.
pub fn accept(listener: c_int, tcp: bool) -> io::Result<c_int> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: null pointers mean that the address is not wanted.
    let fd = check(unsafe { libc::accept4(listener, ptr::null_mut(), ptr::null_mut(), flags) })?;
    if tcp {
        let on: c_int = 1;
        // SAFETY: the pointer and the length describe `on`.
        check(unsafe {
            let len = size_of_val(&on) as libc::socklen_t;
            libc::setsockopt(
                fd,
                libc::IPPROTO_TCP,
                libc::TCP_NODELAY,
                (&raw const on).cast(),
                len,
            )
        })?;
    }
    Ok(fd)
}

/// Pins the calling thread to the `index`-th core that the process may use, counted round.
pub fn pin(index: usize) {
    // SAFETY: the sets live until the calls return; the macros stay within CPU_SETSIZE.
    unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of_val(&allowed), &raw mut allowed);
        let cores: Vec<usize> = (0..libc::CPU_SETSIZE as usize)
            .filter(|&core| libc::CPU_ISSET(core, &allowed))
            .collect();
        let Some(&core) = cores.get(index % cores.len().max(1)) else {
            return;
        };
        let mut own: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut own);
        libc::sched_setaffinity(0, size_of_val(&own), &raw const own);
    }
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
