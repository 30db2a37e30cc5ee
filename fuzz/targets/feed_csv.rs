//! libFuzzer's way into [`laws::csv`].

#![no_main]

#[path = "../feed_laws.rs"]
mod laws;

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::csv(data));
