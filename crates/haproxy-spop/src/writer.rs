//! Writing a frame in place: the length is a placeholder until the frame is complete.
//!
//! ```text
//!  begin     | .... | 00 00 00 00 | type flags ids |
//!  put       | .... | 00 00 00 00 | type flags ids | payload
//!  finish    | .... | 00 00 00 1c | type flags ids | payload
//!  drop      | .... |
//! ```

use core::fmt;

use bytes::BytesMut;

use super::{Flags, FrameType, LENGTH_PREFIX, TypedData, Varint, data};

/// What was to be written does not fit the negotiated max-frame-size. Nothing of it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameFull;

impl fmt::Display for FrameFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the frame would exceed the negotiated max-frame-size")
    }
}

impl core::error::Error for FrameFull {}

/// A frame being written at the end of a buffer. [`finish`](Self::finish) completes it; dropping
/// it instead removes it.
#[derive(Debug)]
pub struct FrameWriter<'a> {
    out: &'a mut BytesMut,
    /// Where the length prefix stands.
    start: usize,
    /// Where the frame must end at the latest.
    limit: usize,
}

impl<'a> FrameWriter<'a> {
    /// Begins a frame of at most `max` bytes (its length prefix does not count). Type, flags and ids,
    /// 25 bytes at the most, are written whatever `max` is; at 256, the least that can be agreed on,
    /// they always fit.
    #[inline]
    pub fn begin(
        out: &'a mut BytesMut,
        kind: FrameType,
        flags: Flags,
        (stream_id, frame_id): (u64, u64),
        max: u32,
    ) -> Self {
        let start = out.len();
        let limit = start
            .saturating_add(LENGTH_PREFIX)
            .saturating_add(max as usize);
        let [a, b, c, d] = flags.0.to_be_bytes();
        if let (Some(stream), Some(frame)) = (Varint::byte(stream_id), Varint::byte(frame_id)) {
            out.extend_from_slice(&[0, 0, 0, 0, kind.0, a, b, c, d, stream, frame]);
        } else {
            out.extend_from_slice(&[0, 0, 0, 0, kind.0, a, b, c, d]);
            out.extend_from_slice(Varint::new(stream_id).as_slice());
            out.extend_from_slice(Varint::new(frame_id).as_slice());
        }
        Self { out, start, limit }
    }

    /// The buffer, if `len` more bytes fit the frame.
    #[inline]
    pub(super) fn admit(&mut self, len: usize) -> Result<&mut BytesMut, FrameFull> {
        if len > self.limit.saturating_sub(self.out.len()) {
            return Err(FrameFull);
        }
        Ok(self.out)
    }

    /// Appends bytes of the payload as they are.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), FrameFull> {
        self.admit(bytes.len())?.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends a name and a value (SPOE.txt 3.1, KV-LIST).
    pub fn put_kv(&mut self, key: &[u8], value: TypedData<'_>) -> Result<(), FrameFull> {
        let len = Varint::len_of(key.len() as u64) + key.len() + value.encoded_len();
        let out = self.admit(len)?;
        data::write_string(key, out);
        value.write(out);
        Ok(())
    }

    /// How many bytes of the buffer are written, this frame's included.
    pub(super) fn mark(&self) -> usize {
        self.out.len()
    }

    /// Removes what was written after `mark`.
    pub(super) fn roll_back(&mut self, mark: usize) {
        self.out.truncate(mark);
    }

    /// Continues a frame that was completed and that is all of `out`.
    pub(super) fn reopen(out: &'a mut BytesMut, max: u32) -> Self {
        let limit = LENGTH_PREFIX.saturating_add(max as usize);
        Self {
            out,
            start: 0,
            limit,
        }
    }

    /// What is written of this frame.
    pub(super) fn written(&self) -> &[u8] {
        self.out.get(self.start..).unwrap_or_default()
    }

    /// Completes the frame.
    #[inline]
    pub fn finish(mut self) {
        self.complete();
    }

    /// Completes the frame, so that dropping it keeps it.
    #[inline]
    pub(super) fn complete(&mut self) {
        let body = self.out.len().saturating_sub(self.start + LENGTH_PREFIX);
        // At most `max`, which is 32 bits wide.
        #[expect(clippy::cast_possible_truncation, reason = "see above")]
        let len = (body as u32).to_be_bytes();
        if let Some(prefix) = self.out.get_mut(self.start..self.start + LENGTH_PREFIX) {
            prefix.copy_from_slice(&len);
        }
        // Nothing is left for `drop` to take back.
        self.start = self.out.len();
    }
}

impl Drop for FrameWriter<'_> {
    #[inline]
    fn drop(&mut self) {
        self.out.truncate(self.start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_is_given_up_leaves_no_trace() {
        let mut out = BytesMut::from(&b"before"[..]);
        let mut frame = FrameWriter::begin(&mut out, FrameType::ACK, Flags::FIN, (1, 2), 256);
        frame.put(b"payload").unwrap();
        drop(frame);
        assert_eq!(out, &b"before"[..]);
    }

    #[test]
    fn the_length_is_patched_in_and_the_limit_is_exact() {
        let mut out = BytesMut::new();
        let mut frame = FrameWriter::begin(&mut out, FrameType::ACK, Flags::FIN, (1, 2), 10);
        assert_eq!(frame.put(b"four"), Err(FrameFull));
        assert_eq!(frame.put(b"abc"), Ok(()));
        assert_eq!(frame.put(b"d"), Err(FrameFull));
        frame.finish();
        assert_eq!(
            out,
            &[0, 0, 0, 10, 103, 0, 0, 0, 1, 1, 2, b'a', b'b', b'c'][..]
        );
    }
}
