//! Variables that are set again and again: scope and name are encoded once.
//!
//! ```text
//!  set-var    1 | 3 | scope | name: string | (value)
//!  unset-var  2 | 2 | scope | name: string
//! ```

use super::ack::{SET_VAR, SET_VAR_ARGUMENTS};
use super::{Scope, Varint};

/// A variable of `HAProxy`'s, for [`Ack::set`](super::Ack::set) and [`Ack::unset`](super::Ack::unset).
///
/// ```
/// use bytes::BytesMut;
/// use haproxy_spop::{Ack, Scope, Variable};
///
/// let score = Variable::new(Scope::Session, "ip_score");
/// let (mut one, mut other) = (BytesMut::new(), BytesMut::new());
/// let mut ack = Ack::begin(&mut one, 1, 1, 16380);
/// ack.set(&score, 42_u32)?;
/// ack.finish();
/// let mut ack = Ack::begin(&mut other, 1, 1, 16380);
/// ack.set_var(Scope::Session, "ip_score", 42_u32)?;
/// ack.finish();
/// assert_eq!(one, other);
/// # Ok::<(), haproxy_spop::FrameFull>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The action that sets it, up to the value.
    set: Box<[u8]>,
}

impl Variable {
    /// A variable of this scope. `name` as for [`Ack::set_var`](super::Ack::set_var).
    #[must_use]
    pub fn new(scope: Scope, name: &str) -> Self {
        let len = Varint::new(name.len() as u64);
        let parts = [
            &[SET_VAR, SET_VAR_ARGUMENTS, scope as u8][..],
            len.as_slice(),
            name.as_bytes(),
        ];
        Self {
            set: parts.concat().into(),
        }
    }

    /// The action that sets it, up to the value.
    #[inline]
    pub(super) const fn set(&self) -> &[u8] {
        &self.set
    }

    /// Scope and name.
    pub(super) fn place(&self) -> &[u8] {
        self.set.get(2..).unwrap_or_default()
    }
}
