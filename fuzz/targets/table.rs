//! libFuzzer's way into [`laws::table`].

#![no_main]

#[path = "../laws.rs"]
mod laws;

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::table(data));
