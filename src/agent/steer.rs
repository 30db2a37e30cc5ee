//! Sending the new connections of an `SO_REUSEPORT` group to one of its sockets.
//!
//! The sockets of a group are numbered in the order in which they joined. A process that stops
//! points the group at the first socket behind its own, which is the first of its successor: the
//! kernel then queues nothing more at the listeners that are about to close, and what it has queued
//! can be taken in peace. A connection in the middle of its TCP handshake is not touched. If there
//! is no such socket the kernel ignores the choice.

use std::io;
use std::os::fd::AsFd;

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

/// `BPF_RET | BPF_K`: return a constant.
const RETURN: u16 = 0x06;

/// Points the group of `listener` at its socket number `index`.
pub(super) fn to_index(listener: &impl AsFd, index: usize) -> io::Result<()> {
    let index = u32::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut program = [libc::sock_filter {
        code: RETURN,
        jt: 0,
        jf: 0,
        k: index,
    }];
    let attached = libc::sock_fprog {
        len: 1,
        filter: program.as_mut_ptr(),
    };
    setsockopt(listener, sockopt::AttachReusePortCbpf, &attached)?;
    Ok(())
}
