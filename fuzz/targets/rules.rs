//! libFuzzer's way into [`rules::rules`].

#![no_main]

#[path = "../laws/rules.rs"]
mod rules;

libfuzzer_sys::fuzz_target!(|data: &[u8]| rules::rules(data));
