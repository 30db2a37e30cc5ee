//! Where the bytes of a feed come from: a file, a URL, or the copy on disk of what a URL last gave.
//!
//! ```text
//!  file ──────────────┐
//!  URL ──▶ in memory ─┼──▶ at most max-size bytes ──▶ unpacked, if gzip or zip ──▶ at most max-size
//!  copy on disk ──────┘
//! ```
//!
//! In scope: to get the bytes, whatever stands at the path or answers at the URL, within bounds of
//! size and time. Out of scope: what they say ([`formats`](ip_reputation::formats)).

pub mod cache;
mod error;
mod file;
#[cfg(feature = "http")]
pub mod http;
mod input;
pub mod memory;
#[cfg(feature = "http")]
pub mod tls;
mod zip;

pub use error::SourceError;
pub use file::{File, Stamp, TRIES_MAX};
pub use input::Input;
