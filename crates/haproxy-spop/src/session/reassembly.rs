//! A NOTIFY that arrives in fragments (SPOE.txt 3.2.1 of `HAProxy` 2.x and 3.0; later versions send
//! none).
//!
//! ```text
//!  NOTIFY  ids a  ....  |
//!  UNSET   ids a  ....  |  gathered, at most `max` bytes
//!  UNSET   ids a  FIN   |  -> one NOTIFY, or with ABORT none
//! ```

use super::Refusal;
use crate::{Frame, Malformed, Notify};

/// The fragments of one NOTIFY so far.
#[derive(Debug)]
pub(super) struct Reassembly {
    stream_id: u64,
    frame_id: u64,
    payload: Vec<u8>,
}

/// What a fragment did.
pub(super) enum Fragment {
    More,
    Complete,
    Aborted,
}

impl Reassembly {
    /// Starts with a NOTIFY that has no FIN.
    pub(super) fn begin(frame: Frame<'_>, max: usize) -> Result<Self, Refusal> {
        let mut begun = Self {
            stream_id: frame.stream_id,
            frame_id: frame.frame_id,
            payload: Vec::new(),
        };
        begun.gather(frame.payload, max)?;
        Ok(begun)
    }

    /// Adds the next fragment.
    pub(super) fn add(&mut self, frame: Frame<'_>, max: usize) -> Result<Fragment, Refusal> {
        if (frame.stream_id, frame.frame_id) != (self.stream_id, self.frame_id) {
            return Err(Refusal::Interlaced);
        }
        if frame.flags.is_abort() {
            return Ok(Fragment::Aborted);
        }
        self.gather(frame.payload, max)?;
        Ok(if frame.flags.is_fin() {
            Fragment::Complete
        } else {
            Fragment::More
        })
    }

    /// The NOTIFY, once it is complete.
    pub(super) fn notify(&self) -> Result<Notify<'_>, Malformed> {
        Notify::parse(self.stream_id, self.frame_id, &self.payload)
    }

    /// Nothing is allocated beyond the bound, whatever the fragments claim.
    fn gather(&mut self, payload: &[u8], max: usize) -> Result<(), Refusal> {
        if payload.len() > max.saturating_sub(self.payload.len()) {
            return Err(Refusal::ReassemblyTooBig(max));
        }
        self.payload.extend_from_slice(payload);
        Ok(())
    }
}
