//! A NOTIFY that arrives in fragments (SPOE.txt 3.2.1 of `HAProxy` 2.x and 3.0; later versions send
//! none).
//!
//! ```text
//!  NOTIFY  ids a  ....  |
//!  UNSET   ids a  ....  |  gathered, at most `max` bytes
//!  UNSET   ids a  FIN   |  -> one NOTIFY, or with ABORT none
//! ```

use super::ProtocolError;
use crate::{DecodeError, Frame, Notify};

/// The fragments of one NOTIFY so far.
#[derive(Debug)]
pub(super) struct Reassembly {
    stream_id: u64,
    frame_id: u64,
    payload: Vec<u8>,
    /// How many messages it has, once it is complete and checked.
    messages: Option<usize>,
}

/// What a fragment did.
pub(super) enum Fragment {
    More,
    Complete,
    Aborted,
}

impl Reassembly {
    /// Starts with a NOTIFY that has no FIN.
    pub(super) fn begin(frame: Frame<'_>, max: usize) -> Result<Self, ProtocolError> {
        let mut begun = Self {
            stream_id: frame.stream_id,
            frame_id: frame.frame_id,
            payload: Vec::new(),
            messages: None,
        };
        begun.gather(frame.payload, max)?;
        Ok(begun)
    }

    /// Adds the next fragment.
    pub(super) fn add(&mut self, frame: Frame<'_>, max: usize) -> Result<Fragment, ProtocolError> {
        if (frame.stream_id, frame.frame_id) != (self.stream_id, self.frame_id) {
            return Err(ProtocolError::Interlaced);
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

    /// Checks the NOTIFY, which is complete.
    pub(super) fn check(&mut self) -> Result<(), DecodeError> {
        let notify = Notify::parse(self.stream_id, self.frame_id, &self.payload)?;
        self.messages = Some(notify.len());
        Ok(())
    }

    /// Whether it is complete and checked, and therefore handed out.
    pub(super) const fn is_complete(&self) -> bool {
        self.messages.is_some()
    }

    /// The NOTIFY that [`check`](Self::check) has found to be valid.
    pub(super) fn notify(&self) -> Option<Notify<'_>> {
        let ids = (self.stream_id, self.frame_id);
        Some(Notify::checked(ids, &self.payload, self.messages?))
    }

    /// Nothing is allocated beyond the bound, whatever the fragments claim.
    fn gather(&mut self, payload: &[u8], max: usize) -> Result<(), ProtocolError> {
        if payload.len() > max.saturating_sub(self.payload.len()) {
            return Err(ProtocolError::ReassemblyTooBig(max));
        }
        self.payload.extend_from_slice(payload);
        Ok(())
    }
}
