//! The wire: SPOP bytes to borrowed views, and values to SPOP bytes.
//!
//! In scope: every type and frame of SPOE.txt section 3, in both directions, so that the same code
//! serves an agent and a program that plays `HAProxy`. Out of scope: the order of frames (that is
//! [`session`]), sockets, clocks, threads, logs, and what a message means.
//!
//! ```text
//!  0        4      5        9
//!  +--------+------+--------+-----------+----------+------------------------+
//!  | length | type | flags  | stream-id | frame-id | payload                |
//!  | u32 BE | u8   | u32 BE | varint    | varint   | by type                |
//!  +--------+------+--------+-----------+----------+------------------------+
//!           |<------------------ length, at most max-frame-size ----------->|
//! ```
//!
//! Reading goes in two steps. [`Frame::split_first`] takes one whole frame off the front of what
//! was received (`None` while it is incomplete); the `parse` of the frame's type then checks the
//! payload to its last byte, and what it returns can be iterated without errors. Nothing is copied:
//! every view borrows from the input.
//!
//! Writing appends to a [`bytes::BytesMut`]. The length of a frame is patched in when the frame is
//! complete; a frame that is given up leaves no trace.

#![forbid(unsafe_code)]

mod ack;
mod data;
mod decode_error;
mod disconnect;
mod frame;
mod hello;
mod kv;
mod notify;
mod reader;
pub mod session;
mod status;
mod variable;
mod varint;
mod writer;

pub use ack::{Ack, AckView, Action, Actions, Scope};
pub use data::TypedData;
pub use decode_error::{DecodeError, Fault};
pub use disconnect::Disconnect;
pub use frame::{FRAME_LEN_LEAST, Flags, Frame, FrameType, LENGTH_PREFIX};
pub use hello::{AgentHello, Capabilities, HaproxyHello, Versions};
pub use notify::{Argument, Arguments, Message, Messages, Notify, NotifyWriter};
pub use reader::Reader;
pub use status::Status;
pub use variable::Variable;
pub use varint::{VARINT_MAX, Varint};
pub use writer::{FrameFull, FrameWriter};

/// The protocol version that this crate speaks, as it stands in a HELLO (SPOE.txt 3.2.4, 3.2.5).
pub const VERSION: &str = "2.0";

/// The smallest max-frame-size that either side may propose (SPOE.txt 3.2).
pub const MAX_FRAME_SIZE_LEAST: u32 = 256;

/// The longest `message` of a DISCONNECT that we send, in bytes.
pub const DISCONNECT_MESSAGE_MAX: usize = 255;

/// The examples of README.md are tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
