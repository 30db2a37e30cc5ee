//! Peers that are wrong, and what they are to be told: the status of SPOE.txt 3.5 that says so, then the end.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::frames::{self, DISCONNECT, FIN, HELLO, NOTIFY, UNSET, frame};
use crate::peer::{Peer, Target, known};
use crate::shared::Shared;

/// What is sent, and the status that must come back; `None` for any.
type Case = (Vec<u8>, Option<u64>);

/// Instead of a HELLO.
fn at_first(random: u64) -> Vec<Case> {
    let items = frames::hello_items(b"2.0");
    let mut noise = vec![0xff; 4];
    noise.extend((0..2000_u64).map(|place| (place.wrapping_mul(random) >> 7) as u8));
    vec![
        (vec![0; 4], Some(4)),
        (vec![0, 0, 0, 6, 1, 0, 0, 0, 1, 0], Some(4)),
        (vec![0, 1, 0, 1], Some(3)),
        (vec![0xff; 4], Some(3)),
        (b"GET / HTTP/1.1\r\nHost: spoa\r\n\r\n".to_vec(), Some(3)),
        (noise, Some(3)),
        (frames::notify(1, known(1).address), Some(4)),
        (
            frame(HELLO, FIN, (0, 0), &items[..items.len() - 3]),
            Some(4),
        ),
        (frame(HELLO, FIN, (1, 1), &items), Some(4)),
        (frame(HELLO, 0, (0, 0), &items), Some(10)),
        (
            frame(HELLO, FIN, (0, 0), &frames::hello_items(b"3.0")),
            Some(8),
        ),
    ]
}

/// After the handshake.
fn later() -> Vec<Case> {
    let first = frame(NOTIFY, 0, (1, 1), b"\x01m");
    let large = frame(NOTIFY, 0, (1, 1), &[0; 16_000]);
    let more = frame(UNSET, 0, (1, 1), &[0; 16_000]);
    let flood = [&large[..], &more.repeat(20)].concat();
    vec![
        (frames::hello(), Some(4)),
        ([frames::hello(), vec![0xee; 256 * 1024]].concat(), Some(4)),
        (frame(NOTIFY, FIN, (1, 1), b"\x05m"), Some(4)),
        (frame(NOTIFY, FIN, (1, 1), b"\x01m\x01"), Some(4)),
        (frame(NOTIFY, FIN, (1, 1), b"\x01m\x01\x00\x0f"), Some(4)),
        (vec![0, 0, 0, 7, 3, 0, 0, 0, 1, 0xff, 0xff], Some(4)),
        (frame(DISCONNECT, FIN, (0, 0), b""), Some(4)),
        (vec![0, 0, 0x3f, 0xfd], Some(3)),
        (frame(UNSET, FIN, (1, 1), b""), Some(12)),
        (
            [first.clone(), frames::notify(2, known(2).address)].concat(),
            Some(11),
        ),
        ([first, frame(UNSET, FIN, (1, 2), b"")].concat(), Some(11)),
        // Beyond what is put together.
        (flood, Some(3)),
    ]
}

/// Sends what makes no sense, one after the other.
pub(crate) fn garbage(shared: &Shared, target: &Target) {
    let mut round = 0_usize;
    shared.again("garbage", Duration::from_millis(25), || {
        round += 1;
        let (greeted, cases) = match round % 2 {
            0 => (false, at_first(round as u64 * 2_654_435_761)),
            _ => (true, later()),
        };
        let (bytes, status) = &cases[round / 2 % cases.len()];
        let mut peer = if greeted {
            Peer::greeted(target)?
        } else {
            Peer::connect(target)?
        };
        // It may have seen enough before all of it is sent.
        let _ = peer.try_send(bytes);
        peer.dismissed(*status).map_err(|error| {
            format!(
                "case {} of {}: {error}",
                round / 2 % cases.len(),
                if greeted { "later" } else { "first" }
            )
        })?;
        shared.refused.fetch_add(1, Relaxed);
        Ok(())
    });
}

/// Breaks off in the middle of something.
pub(crate) fn broken_off(shared: &Shared, target: &Target) {
    let mut round = 0_usize;
    shared.again("broken off", Duration::from_millis(50), || {
        round += 1;
        let whole = [frames::hello(), frames::notify(1, known(1).address)].concat();
        let mut peer = Peer::connect(target)?;
        peer.send(&whole[..round % whole.len()])
    });
}

/// Says nothing, or half of something, until the agent has had enough.
pub(crate) fn silent(shared: &Shared, target: &Target) {
    let mut round = 0_usize;
    shared.again("silent", Duration::from_millis(100), || {
        round += 1;
        let mut peer = Peer::connect(target)?;
        peer.send(&frames::hello()[..round % 20])?;
        peer.dismissed(Some(2))?;
        shared.refused.fetch_add(1, Relaxed);
        Ok(())
    });
}
