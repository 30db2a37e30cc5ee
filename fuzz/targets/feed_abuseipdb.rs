//! libFuzzer's way into [`laws::abuseipdb`].

#![no_main]

#[path = "../feed_laws.rs"]
mod laws;

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::abuseipdb(data));
