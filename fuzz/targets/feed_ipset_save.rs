//! libFuzzer's way into [`laws::ipset_save`].

#![no_main]

#[path = "../feed_laws.rs"]
mod laws;

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::ipset_save(data));
