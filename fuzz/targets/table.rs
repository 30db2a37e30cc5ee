//! libFuzzer's way into [`table::law`].

#![no_main]

#[path = "../laws/table.rs"]
mod table;

libfuzzer_sys::fuzz_target!(|data: &[u8]| table::law(data));
