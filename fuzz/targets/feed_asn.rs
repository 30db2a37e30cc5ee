//! libFuzzer's way into [`laws::holds`] for `Asn`.

#![no_main]

#[path = "../feed_laws.rs"]
mod laws;

use ip_reputation::formats::Format;

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::holds(Format::Asn, data));
