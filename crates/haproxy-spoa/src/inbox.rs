//! Input of a connection that waits: the first part of a frame, or whole frames that are held back.
//!
//! ```text
//!  after a turn    leftover [ cut fra ]
//!  next read       buffers.input [ cut fra | me frame frame ]   the leftover is restored in front
//! ```

use haproxy_spop::{FRAME_LEN_LEAST, LENGTH_PREFIX};

/// A buffer of at most this size is kept for the next cut frame; a larger one is freed.
const CAPACITY_KEPT: usize = 512;

/// Input that waits for more input, or for its turn.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    leftover: Vec<u8>,
    /// The leftover may hold whole frames, so no event is needed to go on.
    is_held_back: bool,
}

impl Inbox {
    /// The number of bytes that wait.
    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.leftover.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.leftover.is_empty()
    }

    /// Whether whole frames may wait here.
    #[inline]
    pub(super) const fn is_held_back(&self) -> bool {
        self.is_held_back
    }

    /// Appends input. With `hold_back` it may contain whole frames.
    #[inline]
    pub(super) fn keep(&mut self, input: &[u8], hold_back: bool) {
        self.leftover.extend_from_slice(input);
        self.is_held_back = hold_back && !self.leftover.is_empty();
    }

    /// Moves the leftover to the front of `input`. Returns its length.
    #[inline]
    pub(super) fn restore(&mut self, input: &mut [u8]) -> usize {
        let len = self.leftover.len();
        self.is_held_back = false;
        if len == 0 {
            return 0;
        }
        let front = input.get_mut(..len);
        debug_assert!(front.is_some(), "the input has room for a leftover");
        if let Some(front) = front {
            front.copy_from_slice(&self.leftover);
        }
        if self.leftover.capacity() > CAPACITY_KEPT {
            self.leftover = Vec::new();
        }
        self.leftover.clear();
        len
    }

    /// Drops what waits.
    #[cfg(feature = "tls")]
    pub(super) fn discard(&mut self) {
        *self = Self::default();
    }

    /// Whether the frame that is cut stays cut with `fresh` behind it, so that nothing needs to be
    /// moved or parsed. A length that is out of bounds is no reason to wait: the session refuses it.
    pub(super) fn is_still_cut(&self, fresh: &[u8], max_frame_size: u32) -> bool {
        let held = self.leftover.len();
        if held == 0 || self.is_held_back {
            return false;
        }
        let mut prefix = [0; LENGTH_PREFIX];
        let mut known = 0;
        for (byte, from) in prefix.iter_mut().zip(self.leftover.iter().chain(fresh)) {
            *byte = *from;
            known += 1;
        }
        let len = u32::from_be_bytes(prefix);
        known < LENGTH_PREFIX
            || ((FRAME_LEN_LEAST..=max_frame_size).contains(&len)
                && held + fresh.len() < LENGTH_PREFIX.saturating_add(len as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(bytes: &[u8]) -> Inbox {
        let mut inbox = Inbox::default();
        inbox.keep(bytes, false);
        inbox
    }

    #[test]
    fn what_is_kept_is_restored_once() {
        let mut inbox = inbox(b"ab");
        inbox.keep(b"c", true);
        assert!(inbox.is_held_back());
        let mut input = *b"....d";
        assert_eq!((inbox.restore(&mut input), &input), (3, b"abc.d"));
        assert!(inbox.is_empty() && !inbox.is_held_back());
        assert_eq!((inbox.restore(&mut input), &input), (0, b"abc.d"));
    }

    #[test]
    fn nothing_is_held_back_without_bytes() {
        let mut inbox = Inbox::default();
        inbox.keep(b"", true);
        assert!(!inbox.is_held_back());
    }

    #[test]
    fn a_large_buffer_is_freed_and_a_small_one_is_reused() {
        let mut input = vec![0; 10_000];
        for (len, is_kept) in [(10_000, false), (100, true)] {
            let mut inbox = inbox(&vec![7; len]);
            inbox.restore(&mut input);
            assert_eq!(inbox.leftover.capacity() > 0, is_kept, "{len}");
        }
    }

    #[test]
    fn a_cut_frame_is_still_cut_until_its_last_byte() {
        // A frame of 8 bytes behind its length.
        let frame = [0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
        for held in 1..frame.len() {
            let inbox = inbox(&frame[..held]);
            for end in held..=frame.len() {
                let is_cut = end < frame.len();
                assert_eq!(inbox.is_still_cut(&frame[held..end], 256), is_cut);
            }
        }
    }

    #[test]
    fn a_length_out_of_bounds_and_whole_frames_are_parsed_at_once() {
        for len in [0_u32, FRAME_LEN_LEAST - 1, 257, u32::MAX] {
            let inbox = inbox(&len.to_be_bytes());
            assert!(!inbox.is_still_cut(&[1], 256), "{len}");
        }
        assert!(!Inbox::default().is_still_cut(&[0, 0], 256));
        let mut held = Inbox::default();
        held.keep(&[0, 0], true);
        assert!(!held.is_still_cut(&[0], 256));
    }
}
