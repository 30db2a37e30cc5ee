//! Lines of standard input, one after the other in the same memory.

use std::io::{self, BufRead, Read as _};

/// The longest line that can be an address, with room for blanks.
const LINE_MAX: u64 = 256;

/// Hands over each line that is neither blank nor a comment, without the blanks around it.
pub(super) fn lines(
    from: &mut impl BufRead,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if from.take(LINE_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let is_cut = line.last() != Some(&b'\n') && line.len() as u64 == LINE_MAX;
        if is_cut {
            from.skip_until(b'\n')?;
        }
        let text = line.trim_ascii();
        if !text.is_empty() && !text.starts_with(b"#") {
            take(text)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_trimmed_and_long_ones_cut() {
        let long = "x".repeat(10_000);
        let text = format!("192.0.2.1\r\n\n# note\n  ::1\n{long}\n192.0.2.2");
        let mut seen = Vec::new();
        lines(&mut text.as_bytes(), |line| {
            seen.push(String::from_utf8(line.to_vec()).unwrap());
            Ok(())
        })
        .unwrap();
        assert_eq!(seen.len(), 4);
        assert_eq!(seen[2].len(), 256);
        assert_eq!(
            (&*seen[0], &*seen[1], &*seen[3]),
            ("192.0.2.1", "::1", "192.0.2.2")
        );
    }
}
