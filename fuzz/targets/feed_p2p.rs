//! libFuzzer's way into [`laws::holds`] for `P2p`.

#![no_main]

#[path = "../feed_laws.rs"]
mod laws;

use ip_reputation::formats::Format;

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::holds(Format::P2p, data));
