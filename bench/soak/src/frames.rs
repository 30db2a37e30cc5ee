//! The wire as a client needs it, written from SPOE.txt and not from the agent's own code.

use std::net::Ipv4Addr;

pub(crate) const UNSET: u8 = 0;
pub(crate) const HELLO: u8 = 1;
pub(crate) const DISCONNECT: u8 = 2;
pub(crate) const NOTIFY: u8 = 3;
pub(crate) const AGENT_HELLO: u8 = 101;
pub(crate) const AGENT_DISCONNECT: u8 = 102;
pub(crate) const ACK: u8 = 103;

pub(crate) const FIN: u32 = 1;

/// The max-frame-size that is offered, as HAProxy offers its bufsize less 4.
pub(crate) const FRAME_MAX: usize = 16380;

/// A frame that was received.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) kind: u8,
    pub(crate) frame_id: u64,
    pub(crate) payload: Vec<u8>,
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    if value < 240 {
        out.push(value as u8);
        return;
    }
    out.push(value as u8 | 240);
    value = (value - 240) >> 4;
    while value >= 128 {
        out.push(value as u8 | 128);
        value = (value - 128) >> 7;
    }
    out.push(value as u8);
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let first = u64::from(byte(bytes)?);
    if first < 240 {
        return Some(first);
    }
    let (mut value, mut shift) = (first, 4);
    loop {
        let next = u64::from(byte(bytes)?);
        value = value.checked_add(next.checked_shl(shift)?)?;
        shift += 7;
        if next < 128 {
            return Some(value);
        }
    }
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

fn string(text: &[u8], out: &mut Vec<u8>) {
    varint(text.len() as u64, out);
    out.extend_from_slice(text);
}

fn read_string<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = read_varint(bytes)?;
    take(bytes, usize::try_from(len).ok()?)
}

pub(crate) fn frame(kind: u8, flags: u32, ids: (u64, u64), payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.push(kind);
    out.extend_from_slice(&flags.to_be_bytes());
    varint(ids.0, &mut out);
    varint(ids.1, &mut out);
    out.extend_from_slice(payload);
    let len = (out.len() - 4) as u32;
    out[..4].copy_from_slice(&len.to_be_bytes());
    out
}

/// What a HELLO with this version says.
pub(crate) fn hello_items(version: &[u8]) -> Vec<u8> {
    let mut items = Vec::new();
    for (name, value) in [
        (&b"supported-versions"[..], version),
        (b"capabilities", b"pipelining,fragmentation"),
    ] {
        string(name, &mut items);
        items.push(8);
        string(value, &mut items);
    }
    string(b"max-frame-size", &mut items);
    items.push(3);
    varint(FRAME_MAX as u64, &mut items);
    items
}

pub(crate) fn hello() -> Vec<u8> {
    frame(HELLO, FIN, (0, 0), &hello_items(b"2.0"))
}

pub(crate) fn disconnect() -> Vec<u8> {
    let mut items = Vec::new();
    string(b"status-code", &mut items);
    items.extend_from_slice(&[3, 0]);
    string(b"message", &mut items);
    items.push(8);
    string(b"bye", &mut items);
    frame(DISCONNECT, FIN, (0, 0), &items)
}

fn question(address: Ipv4Addr, payload_len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    string(b"check-client-ip", &mut out);
    out.push(if payload_len == 0 { 1 } else { 2 });
    string(b"", &mut out);
    out.push(6);
    out.extend_from_slice(&address.octets());
    if payload_len > 0 {
        string(b"buf", &mut out);
        out.push(9);
        string(&vec![b'x'; payload_len], &mut out);
    }
    out
}

pub(crate) fn notify(frame_id: u64, address: Ipv4Addr) -> Vec<u8> {
    frame(
        NOTIFY,
        FIN,
        (frame_id % 1000, frame_id),
        &question(address, 0),
    )
}

/// A NOTIFY with so large an argument that it takes several frames.
pub(crate) fn fragments(frame_id: u64, address: Ipv4Addr, payload_len: usize) -> Vec<u8> {
    let whole = question(address, payload_len);
    let ids = (frame_id % 1000, frame_id);
    let pieces: Vec<_> = whole.chunks(FRAME_MAX - 32).collect();
    let mut out = Vec::new();
    for (place, piece) in pieces.iter().enumerate() {
        let kind = if place == 0 { NOTIFY } else { UNSET };
        let flags = if place + 1 == pieces.len() { FIN } else { 0 };
        out.extend(frame(kind, flags, ids, piece));
    }
    out
}

/// Takes a whole frame off what has been received. An error says what is wrong with it.
pub(crate) fn split(held: &mut Vec<u8>) -> Result<Option<Received>, String> {
    let Some(head) = held.first_chunk::<4>() else {
        return Ok(None);
    };
    let len = u32::from_be_bytes(*head) as usize;
    if !(7..=FRAME_MAX).contains(&len) {
        return Err(format!("a frame of {len} bytes"));
    }
    if held.len() < 4 + len {
        return Ok(None);
    }
    let whole: Vec<u8> = held.drain(..4 + len).collect();
    let mut bytes = &whole[4..];
    let parse = |bytes: &mut &[u8]| {
        let kind = byte(bytes)?;
        take(bytes, 4)?;
        read_varint(bytes)?;
        Some((kind, read_varint(bytes)?))
    };
    let (kind, frame_id) = parse(&mut bytes).ok_or("a frame without its head")?;
    Ok(Some(Received {
        kind,
        frame_id,
        payload: bytes.to_vec(),
    }))
}

/// A value: its number if it is one.
fn value(bytes: &mut &[u8]) -> Option<Option<u64>> {
    match byte(bytes)? & 15 {
        0 | 1 => Some(None),
        2..=5 => Some(Some(read_varint(bytes)?)),
        6 => take(bytes, 4).map(|_| None),
        7 => take(bytes, 16).map(|_| None),
        8 | 9 => read_string(bytes).map(|_| None),
        _ => None,
    }
}

/// The score that an ACK sets. An error says why it is not one.
pub(crate) fn score(payload: &[u8]) -> Result<u64, String> {
    let (mut bytes, mut score) = (payload, None);
    let mut action = || {
        let head = take(&mut bytes, 3)?;
        let name = read_string(&mut bytes)?;
        let number = if head[0] == 1 {
            value(&mut bytes)?
        } else {
            None
        };
        if name == b"ip_score" {
            score = number;
        }
        Some(!bytes.is_empty())
    };
    while action().ok_or("an action that is cut off")? {}
    score.ok_or_else(|| "no score".to_owned())
}

/// The status of an AGENT-DISCONNECT.
pub(crate) fn status(payload: &[u8]) -> Option<u64> {
    let mut bytes = payload;
    while !bytes.is_empty() {
        let name = read_string(&mut bytes)?;
        let number = value(&mut bytes)?;
        if name == b"status-code" {
            return number;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [
            0,
            239,
            240,
            2287,
            2288,
            264_431,
            264_432,
            u64::from(u32::MAX),
            1 << 60,
        ] {
            let mut out = Vec::new();
            varint(value, &mut out);
            assert_eq!(read_varint(&mut &out[..]), Some(value), "{out:?}");
        }
    }

    #[test]
    fn frames_come_back_whole_or_not_at_all() {
        let whole = disconnect();
        let mut held = whole[..whole.len() - 1].to_vec();
        assert!(split(&mut held).unwrap().is_none());
        held.push(*whole.last().unwrap());
        held.push(9);
        let frame = split(&mut held).unwrap().unwrap();
        assert_eq!(
            (frame.kind, status(&frame.payload), held.len()),
            (DISCONNECT, Some(0), 1)
        );
        assert!(split(&mut vec![0, 0, 0, 1]).is_err());
    }

    #[test]
    fn a_score_is_found_among_other_actions() {
        let mut actions = vec![1, 3, 1];
        string(b"listed", &mut actions);
        actions.push(0x11);
        actions.extend_from_slice(&[1, 3, 1]);
        string(b"ip_score", &mut actions);
        actions.extend_from_slice(&[3, 100]);
        assert_eq!(score(&actions), Ok(100));
        assert!(score(&actions[..actions.len() - 1]).is_err());
        assert!(score(&[]).is_err());
    }
}
