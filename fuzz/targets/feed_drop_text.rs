//! libFuzzer's way into [`laws::drop_text`].

#![no_main]

#[path = "../feed_laws.rs"]
mod laws;

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::drop_text(data));
