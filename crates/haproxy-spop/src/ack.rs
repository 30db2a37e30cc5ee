//! ACK: actions for `HAProxy` (SPOE.txt 3.2.7 and 3.4).
//!
//! ```text
//!  payload    action*
//!  set-var    1 | 3 | scope | name: string | value: typed data
//!  unset-var  2 | 2 | scope | name: string
//! ```

use core::fmt;

use bytes::BytesMut;

use super::{
    DecodeError, Fault, Flags, Frame, FrameFull, FrameType, FrameWriter, Reader, TypedData,
};
use super::{Variable, Varint, data};

pub(super) const SET_VAR: u8 = 1;
pub(super) const SET_VAR_ARGUMENTS: u8 = 3;
const UNSET_VAR: u8 = 2;
const UNSET_VAR_ARGUMENTS: u8 = 2;

/// Where a variable lives in `HAProxy` (SPOE.txt 3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// `proc`: the whole process.
    Process = 0,
    /// `sess`: the client's connection.
    Session = 1,
    /// `txn`: request and response.
    Transaction = 2,
    /// `req`: the request.
    Request = 3,
    /// `res`: the response.
    Response = 4,
}

impl Scope {
    fn from_wire(byte: u8) -> Result<Self, DecodeError> {
        Ok(match byte {
            0 => Self::Process,
            1 => Self::Session,
            2 => Self::Transaction,
            3 => Self::Request,
            4 => Self::Response,
            unknown => return Err(DecodeError::field("scope", Fault::Unknown(unknown))),
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Process => "proc",
            Self::Session => "sess",
            Self::Transaction => "txn",
            Self::Request => "req",
            Self::Response => "res",
        })
    }
}

/// An ACK being written.
#[derive(Debug)]
pub struct Ack<'a> {
    frame: FrameWriter<'a>,
    /// Where the actions begin.
    actions: usize,
}

impl<'a> Ack<'a> {
    /// Begins the ACK of a NOTIFY. It carries FIN always: 3.1+ refuses one without it.
    #[inline]
    pub fn begin(out: &'a mut BytesMut, stream_id: u64, frame_id: u64, max: u32) -> Self {
        let ids = (stream_id, frame_id);
        let frame = FrameWriter::begin(out, FrameType::ACK, Flags::FIN, ids, max);
        let actions = frame.mark();
        Self { frame, actions }
    }

    /// Sets a variable.
    ///
    /// `name` is what follows the scope and the `var-prefix`: `ip_score` for `sess.iprep.ip_score`.
    /// `HAProxy` takes letters, digits, `_` and `.`, and under 64 characters with scope and prefix.
    ///
    /// # Errors
    /// [`FrameFull`] if the action would exceed the negotiated max-frame-size; it is then not there
    /// at all.
    #[inline]
    pub fn set_var<'v>(
        &mut self,
        scope: Scope,
        name: &str,
        value: impl Into<TypedData<'v>>,
    ) -> Result<(), FrameFull> {
        let value = value.into();
        let len = 3 + Varint::len_of(name.len() as u64) + name.len() + value.encoded_len();
        let out = self.frame.admit(len)?;
        if let Some(len) = Varint::byte(name.len() as u64) {
            out.extend_from_slice(&[SET_VAR, SET_VAR_ARGUMENTS, scope as u8, len]);
            out.extend_from_slice(name.as_bytes());
        } else {
            out.extend_from_slice(&[SET_VAR, SET_VAR_ARGUMENTS, scope as u8]);
            data::write_string(name.as_bytes(), out);
        }
        value.write(out);
        Ok(())
    }

    /// Removes a variable. `name` as for [`set_var`](Self::set_var).
    pub fn unset_var(&mut self, scope: Scope, name: &str) -> Result<(), FrameFull> {
        let len = 3 + Varint::len_of(name.len() as u64) + name.len();
        let out = self.frame.admit(len)?;
        out.extend_from_slice(&[UNSET_VAR, UNSET_VAR_ARGUMENTS, scope as u8]);
        data::write_string(name.as_bytes(), out);
        Ok(())
    }

    /// Sets a variable whose name is encoded already.
    ///
    /// # Errors
    /// As [`set_var`](Self::set_var).
    #[inline]
    pub fn set<'v>(
        &mut self,
        variable: &Variable,
        value: impl Into<TypedData<'v>>,
    ) -> Result<(), FrameFull> {
        let (set, value) = (variable.set(), value.into());
        let out = self.frame.admit(set.len() + value.encoded_len())?;
        out.extend_from_slice(set);
        if let Some(short) = value.short() {
            out.extend_from_slice(&short);
        } else {
            value.write(out);
        }
        Ok(())
    }

    /// Removes a variable whose name is encoded already.
    ///
    /// # Errors
    /// As [`set_var`](Self::set_var).
    pub fn unset(&mut self, variable: &Variable) -> Result<(), FrameFull> {
        let place = variable.place();
        let out = self.frame.admit(2 + place.len())?;
        out.extend_from_slice(&[UNSET_VAR, UNSET_VAR_ARGUMENTS]);
        out.extend_from_slice(place);
        Ok(())
    }

    /// Takes back every action.
    pub fn clear(&mut self) {
        self.frame.roll_back(self.actions);
    }

    /// Whether it has no action.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.frame.mark() == self.actions
    }

    /// Continues an ACK that was finished before and that is all of `out`, for a program that
    /// collects actions over time. As before, it must be finished: dropped, it is removed.
    pub fn reopen(out: &'a mut BytesMut, max: u32) -> Self {
        // What was there may stay: `clear` takes back only what is added now.
        let actions = out.len();
        let frame = FrameWriter::reopen(out, max);
        Self { frame, actions }
    }

    /// Completes the frame.
    #[inline]
    pub fn finish(self) {
        self.frame.finish();
    }

    /// Completes the frame in place, for an owner that cannot give the ACK away (one with a `Drop`).
    /// No action may be added after it.
    #[inline]
    pub fn complete(&mut self) {
        self.frame.complete();
    }

    /// The frame as far as it is written. Its length prefix is not valid before it is complete.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        self.frame.written()
    }
}

/// An ACK as `HAProxy` reads it, checked to its last byte.
#[derive(Debug, Clone, Copy)]
pub struct AckView<'a> {
    /// The stream-id of the NOTIFY that is answered.
    pub stream_id: u64,
    /// The frame-id of the NOTIFY that is answered.
    pub frame_id: u64,
    payload: &'a [u8],
}

impl<'a> AckView<'a> {
    /// The actions, in order.
    #[must_use]
    pub const fn actions(&self) -> Actions<'a> {
        Actions {
            reader: Reader::new(self.payload),
        }
    }
}

impl<'a> TryFrom<Frame<'a>> for AckView<'a> {
    type Error = DecodeError;

    fn try_from(frame: Frame<'a>) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame.payload);
        while !reader.is_empty() {
            Action::read(&mut reader)?;
        }
        let Frame {
            stream_id,
            frame_id,
            payload,
            ..
        } = frame;
        Ok(Self {
            stream_id,
            frame_id,
            payload,
        })
    }
}

/// The actions of an [`AckView`].
#[derive(Debug, Clone)]
pub struct Actions<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Actions<'a> {
    type Item = Action<'a>;

    fn next(&mut self) -> Option<Action<'a>> {
        if self.reader.is_empty() {
            return None;
        }
        Action::read(&mut self.reader).ok()
    }
}

/// One action of an ACK (SPOE.txt 3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'a> {
    /// Set a variable.
    SetVar {
        /// Where it lives.
        scope: Scope,
        /// Its name, without scope and prefix.
        name: &'a [u8],
        /// Its value.
        value: TypedData<'a>,
    },
    /// Remove a variable.
    UnsetVar {
        /// Where it lives.
        scope: Scope,
        /// Its name, without scope and prefix.
        name: &'a [u8],
    },
}

impl<'a> Action<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (kind, arguments) = (reader.u8("action type")?, reader.u8("number of arguments")?);
        match (kind, arguments) {
            (SET_VAR, SET_VAR_ARGUMENTS) => Ok(Self::SetVar {
                scope: Scope::from_wire(reader.u8("scope")?)?,
                name: reader.string("variable name")?,
                value: TypedData::read(reader, "variable value")?,
            }),
            (UNSET_VAR, UNSET_VAR_ARGUMENTS) => Ok(Self::UnsetVar {
                scope: Scope::from_wire(reader.u8("scope")?)?,
                name: reader.string("variable name")?,
            }),
            (SET_VAR | UNSET_VAR, count) => Err(DecodeError::field(
                "number of arguments",
                Fault::Unknown(count),
            )),
            (kind, _) => Err(DecodeError::field("action type", Fault::Unknown(kind))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(bytes: &[u8]) -> AckView<'_> {
        let (frame, rest) = Frame::split_first(bytes, 16380).unwrap().unwrap();
        assert!(rest.is_empty());
        assert_eq!((frame.kind, frame.flags), (FrameType::ACK, Flags::FIN));
        AckView::try_from(frame).unwrap()
    }

    #[test]
    fn actions_round_trip_and_every_other_cut_is_refused() {
        let mut out = BytesMut::new();
        let mut ack = Ack::begin(&mut out, u64::MAX, 9, 16380);
        ack.set_var(Scope::Session, "ip_score", 42_u32).unwrap();
        ack.unset_var(Scope::Transaction, "old").unwrap();
        ack.finish();
        let actions: Vec<_> = view(&out).actions().collect();
        let value = TypedData::Uint32(42);
        let set = Action::SetVar {
            scope: Scope::Session,
            name: b"ip_score",
            value,
        };
        assert_eq!(
            actions,
            [
                set,
                Action::UnsetVar {
                    scope: Scope::Transaction,
                    name: b"old"
                }
            ]
        );

        let (frame, _) = Frame::split_first(&out, 16380).unwrap().unwrap();
        let whole = (0..=frame.payload.len())
            .filter(|&cut| {
                let payload = &frame.payload[..cut];
                AckView::try_from(Frame { payload, ..frame }).is_ok()
            })
            .count();
        assert_eq!(whole, 3, "nothing, the first action, both");
    }

    #[test]
    fn an_action_that_does_not_fit_is_not_there_at_all() {
        let mut out = BytesMut::new();
        let mut ack = Ack::begin(&mut out, 1, 1, 7 + 14);
        assert_eq!(
            ack.set_var(Scope::Session, "ip_score_long", 42_u32),
            Err(FrameFull)
        );
        assert_eq!(ack.set_var(Scope::Session, "ip_score", 42_u32), Ok(()));
        assert_eq!(ack.unset_var(Scope::Session, "x"), Err(FrameFull));
        ack.finish();
        assert_eq!(view(&out).actions().count(), 1);
        assert_eq!(out.len(), 4 + 7 + 14);
    }

    #[test]
    fn a_variable_is_what_its_scope_and_name_are() {
        for name in ["", "ip_score", &"x".repeat(58), &"x".repeat(300)] {
            let variable = Variable::new(Scope::Request, name);
            let (mut one, mut other) = (BytesMut::new(), BytesMut::new());
            let (mut left, mut right) = (
                Ack::begin(&mut one, 1, 1, 7 + 650),
                Ack::begin(&mut other, 1, 1, 7 + 650),
            );
            for number in [0_u32, 239, 240, u32::MAX] {
                let set = left.set(&variable, number);
                assert_eq!(set, right.set_var(Scope::Request, name, number));
                assert_eq!(left.unset(&variable), right.unset_var(Scope::Request, name));
            }
            left.finish();
            right.finish();
            assert_eq!(one, other, "{name}");
        }
    }

    #[test]
    fn clear_takes_back_every_action_and_keeps_the_frame() {
        let mut out = BytesMut::new();
        let mut ack = Ack::begin(&mut out, 1, 1, 256);
        ack.set_var(Scope::Session, "ip_score", 42_u32).unwrap();
        ack.clear();
        ack.finish();
        assert_eq!(view(&out).actions().count(), 0);
    }

    #[test]
    fn undefined_actions_scopes_and_counts_are_refused() {
        for payload in [
            &[3, 0][..],
            &[1, 2, 1, 1, b'x', 0],
            &[2, 2, 5, 1, b'x'],
            &[1, 3],
        ] {
            let ids = (1, 1);
            let frame = Frame {
                kind: FrameType::ACK,
                flags: Flags::FIN,
                stream_id: ids.0,
                frame_id: ids.1,
                payload,
            };
            assert!(AckView::try_from(frame).is_err(), "{payload:?}");
        }
    }
}
