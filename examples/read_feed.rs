//! Reads a feed, says what was found in it and how long that took.
//!
//!     cargo run --release --example read_feed -- FILE [FORMAT]
//!
//! The time is that of the call of `read`: the bytes are in memory before it, and the entries are
//! counted and forgotten.

use std::env;
use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::time::Instant;

use ip_reputation::formats::{Format, HigherIs, Options, detect, read};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let path = arguments.next().ok_or("which file?")?;
    let bytes = fs::read(&path)?;
    let head = bytes.get(..4096).unwrap_or(&bytes);
    let format: Format = match arguments.next() {
        Some(name) => name.parse()?,
        None => detect(head, &path)?,
    };
    let options = Options {
        higher_is: Some(HigherIs::Worse),
        ..Options::default()
    };
    let start = Instant::now();
    let report = read(format, &mut bytes.as_slice(), &options, &mut |entry| {
        black_box(entry);
        ControlFlow::Continue(())
    })?;
    let took = start.elapsed();
    for wrong in &report.first_wrong {
        println!("{path}: {wrong}");
    }
    println!(
        "{format}: {} entries, {} wrong, {took:.1?}",
        report.entries, report.wrong
    );
    Ok(())
}
