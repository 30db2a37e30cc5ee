//! libFuzzer's way into [`laws::haproxy_map`].

#![no_main]

#[path = "../feed_laws.rs"]
mod laws;

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::haproxy_map(data));
