//! libFuzzer's way into [`laws::mmdb`].

#![no_main]

#[path = "../feed_laws.rs"]
mod laws;

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::mmdb(data));
