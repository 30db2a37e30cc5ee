//! Sending the new connections of an `SO_REUSEPORT` group to the sockets that stay.
//!
//! A process that stops has its listeners in one group with those of its successor. The kernel spreads
//! new connections over all of them, and what it queues at a listener that then closes is reset. So
//! the one that stops points the group at the others first, and takes what is queued in peace. A
//! connection in the middle of its TCP handshake is not touched.
//!
//! ```text
//!  the group, in the order of joining     earlier | own | later      by their inodes, in /proc/net
//!  a successor is there                                 ^^^^^        spread over these
//!  none, but who was there before us      ^^^^^^^                    spread over these
//!  nobody else                                                       nothing to do
//! ```
//!
//! The choice stays with the group; a number that no socket has any more lets the kernel choose as it
//! did before.

use std::collections::HashSet;
use std::fs;
use std::io::{self, BufRead as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Instant;

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{SockFilter, SockRef};

/// The state of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";
/// The state of a connection whose handshake the kernel has answered, and that is in no queue yet.
const HALF_OPEN: &str = "03";
/// Loads a random number: `SKF_AD_OFF + SKF_AD_RANDOM` of linux/filter.h.
const RANDOM: u32 = 0xffff_f000 + 56;

/// The inodes of the sockets that listen on an address, of this and of other processes. `None` if
/// the kernel does not say.
pub(super) fn listening_on(address: SocketAddr) -> Option<Vec<u64>> {
    let wanted = as_in_proc(address);
    // The kernel lists those that listen first. What follows may be very long, and is not read.
    let listening = lines(address)?.map_while(|line| listener(&line));
    Some(
        listening
            .filter(|(local, _)| *local == wanted)
            .map(|(_, inode)| inode)
            .collect(),
    )
}

/// The connections in the middle of their handshake with an address: both ends, as the kernel prints
/// them. It reads a line for each connection of the machine, which may take seconds: as far as it gets.
pub(super) fn half_open_at(address: SocketAddr, by: Instant) -> HashSet<String> {
    let anywhere = address.ip().is_unspecified();
    let wanted = as_in_proc(address);
    let port = format!(":{:04X}", address.port());
    let here = |local: &str| local == wanted || (anywhere && local.ends_with(&port));
    let ends = |line: String| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (local, remote) = (fields.next()?, fields.next()?);
        let wanted = fields.next()? == HALF_OPEN && here(local);
        wanted.then(|| format!("{local} {remote}"))
    };
    lines(address)
        .into_iter()
        .flatten()
        .take_while(|_| Instant::now() < by)
        .filter_map(ends)
        .collect()
}

/// The kernel's table of sockets, without its heading.
fn lines(address: SocketAddr) -> Option<impl Iterator<Item = String>> {
    // `/proc/net` leads to the same, but not where only processes are shown (`subset=pid`).
    let table = match address {
        SocketAddr::V4(_) => "/proc/self/net/tcp",
        SocketAddr::V6(_) => "/proc/self/net/tcp6",
    };
    let table = io::BufReader::new(fs::File::open(table).ok()?);
    Some(table.lines().skip(1).map_while(Result::ok))
}

/// The local address and the inode of a line's socket, if it listens.
fn listener(line: &str) -> Option<(String, u64)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = fields.next()?;
    let (_remote, state) = (fields.next()?, fields.next()?);
    let inode = fields.nth(5)?.parse().ok()?;
    (state == LISTENING).then(|| (local.to_owned(), inode))
}

/// An address as the kernel prints it: words in the machine's own order, in hexadecimal.
fn as_in_proc(address: SocketAddr) -> String {
    let octets = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = octets
        .as_chunks::<4>()
        .0
        .iter()
        .map(|word| u32::from_ne_bytes(*word));
    let words = words.map(|word| format!("{word:08X}"));
    format!(
        "{}:{:04X}",
        words.collect::<Vec<_>>().concat(),
        address.port()
    )
}

/// Which numbers of the group are to get the new connections: the first, and how many.
pub(super) fn choose(now: &[u64], before: &[u64], own: &[u64]) -> Option<(usize, usize)> {
    let earlier = now.iter().filter(|inode| before.contains(inode)).count();
    let later = now.len().saturating_sub(earlier + own.len());
    match (earlier, later) {
        (0, 0) => None,
        (_, 0) => Some((0, earlier)),
        _ => Some((earlier + own.len(), later)),
    }
}

/// Where others are in a group, before and after any of our own closes and the last one of all takes its
/// place: the most of them in a row, the first and how many. Our own have a number.
pub(super) fn staying(group: &[Option<usize>]) -> Option<(usize, usize)> {
    let (_, all_but_last) = group.split_last()?;
    let (mut best, mut count) = (None, 0);
    for (place, number) in all_but_last.iter().enumerate() {
        count = if number.is_none() { count + 1 } else { 0 };
        if count > best.map_or(0, |(_, most)| most) {
            best = Some((place + 1 - count, count));
        }
    }
    best
}

/// Spreads the group's new connections at random over `count` of its sockets from number `first` on.
pub(super) fn spread_over(listener: &impl AsFd, (first, count): (usize, usize)) -> io::Result<()> {
    let number = |n: usize| u32::try_from(n).map_err(|_| io::ErrorKind::InvalidInput);
    let instruction = |code: u32, k: u32| -> io::Result<libc::sock_filter> {
        let code = u16::try_from(code).map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(libc::sock_filter {
            code,
            jt: 0,
            jf: 0,
            k,
        })
    };
    let mut program = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, RANDOM)?,
        instruction(
            libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K,
            number(count.max(1))?,
        )?,
        instruction(libc::BPF_ALU | libc::BPF_ADD | libc::BPF_K, number(first)?)?,
        instruction(libc::BPF_RET | libc::BPF_A, 0)?,
    ];
    let attached = libc::sock_fprog {
        len: 4,
        filter: program.as_mut_ptr(),
    };
    setsockopt(listener, sockopt::AttachReusePortCbpf, &attached)?;
    Ok(())
}

/// Makes a listener deaf to new connections, as if their first packet were lost: peers send it again
/// after a second. Connections in the middle of their handshake go on.
pub(super) fn deafen(listener: &impl AsFd) -> io::Result<()> {
    // Of the TCP header, which is where a socket's filter looks.
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const SYN_ACK: u32 = 0x12;
    let instruction = |code: u32, jump_false: u8, k: u32| {
        let code = u16::try_from(code).map_err(|_| io::ErrorKind::InvalidInput)?;
        io::Result::Ok(SockFilter::new(code, 0, jump_false, k))
    };
    SockRef::from(listener).attach_filter(&[
        instruction(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, FLAGS)?,
        instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, SYN_ACK)?,
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, SYN)?,
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0)?,
        instruction(libc::BPF_RET | libc::BPF_K, 0, u32::MAX)?,
    ])
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_is_found_by_its_address_and_inode() {
        use std::os::unix::fs::MetadataExt as _;
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let address = listener.local_addr().unwrap();
            let link = format!(
                "/proc/self/fd/{}",
                std::os::fd::AsRawFd::as_raw_fd(&listener)
            );
            let inode = fs::metadata(link).unwrap().ino();
            assert_eq!(listening_on(address), Some(vec![inode]));
            drop(listener);
            assert_eq!(listening_on(address), Some(vec![]));
        }
    }

    #[test]
    fn a_successor_comes_before_a_predecessor_and_nobody_means_nothing() {
        let (before, own) = ([1, 2], [3, 4, 5]);
        assert_eq!(choose(&[3, 4, 5], &before, &own), None);
        assert_eq!(choose(&[1, 2, 3, 4, 5], &before, &own), Some((0, 2)));
        assert_eq!(choose(&[3, 4, 5, 6, 7], &before, &own), Some((3, 2)));
        assert_eq!(choose(&[1, 2, 3, 4, 5, 6], &before, &own), Some((5, 1)));
        assert_eq!(choose(&[3, 4, 5, 6], &[], &own), Some((3, 1)));
    }

    #[test]
    fn those_who_stay_do_not_move_while_one_closes() {
        let (own, other) = (Some(7), None);
        assert_eq!(staying(&[own, own, other, other]), Some((2, 1)));
        assert_eq!(staying(&[other, own, other]), Some((0, 1)));
        assert_eq!(staying(&[other, other, own, own]), Some((0, 2)));
        assert_eq!(staying(&[other, own, other, other, own]), Some((2, 2)));
        // The last one moves, or nobody else is there.
        for group in [&[own, own, other][..], &[own, own], &[own], &[]] {
            assert_eq!(staying(group), None);
        }
    }
}
