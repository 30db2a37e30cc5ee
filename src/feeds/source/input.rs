//! Bytes to be read: no more than a limit, and unpacked if they are gzip.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

/// How gzip begins (RFC 1952, 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Bytes read at once.
const BUFFER: usize = 64 * 1024;

/// A feed's bytes, bounded before and after they are unpacked.
pub struct Input<'a> {
    reader: Box<dyn BufRead + 'a>,
}

impl core::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Input").finish_non_exhaustive()
    }
}

impl<'a> Input<'a> {
    /// Bytes from any reader.
    ///
    /// # Errors
    /// If the first bytes cannot be read.
    pub fn new(reader: impl Read + 'a, max_size: u64) -> io::Result<Self> {
        let mut packed = BufReader::with_capacity(BUFFER, Bounded::new(reader, max_size));
        // A file of one byte is no gzip; a short read of two bytes does not happen to files.
        let is_gzip = packed.fill_buf()?.starts_with(&GZIP_MAGIC);
        let reader: Box<dyn BufRead + 'a> = if is_gzip {
            let unpacked = Bounded::new(MultiGzDecoder::new(packed), max_size);
            Box::new(BufReader::with_capacity(BUFFER, unpacked))
        } else {
            Box::new(packed)
        };
        Ok(Self { reader })
    }

    /// The bytes.
    pub fn reader(&mut self) -> &mut (dyn BufRead + 'a) {
        &mut *self.reader
    }
}

/// A reader that fails when there is more than there may be.
#[derive(Debug)]
struct Bounded<R> {
    reader: R,
    left: u64,
    max: u64,
}

impl<R> Bounded<R> {
    const fn new(reader: R, max: u64) -> Self {
        Self {
            reader,
            left: max,
            max,
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            // At the limit only the end may follow.
            return match self.reader.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(too_big(self.max)),
            };
        }
        let room = usize::try_from(self.left).unwrap_or(usize::MAX);
        let len = buffer.len().min(room);
        let read = self
            .reader
            .read(buffer.get_mut(..len).unwrap_or_default())?;
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}

fn too_big(max: u64) -> io::Error {
    let what = format!("more than {max} bytes; raise max-size if it is so");
    io::Error::new(io::ErrorKind::FileTooLarge, what)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn read(bytes: &[u8], max: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Input::new(bytes, max)?.reader().read_to_end(&mut out)?;
        Ok(out)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_is_unpacked_and_anything_else_is_as_it_is() {
        assert_eq!(read(b"192.0.2.1\n", 100).unwrap(), b"192.0.2.1\n");
        assert_eq!(read(&gzip(b"192.0.2.1\n"), 100).unwrap(), b"192.0.2.1\n");
        let two = [gzip(b"192.0.2.1\n"), gzip(b"192.0.2.2\n")].concat();
        assert_eq!(read(&two, 100).unwrap(), b"192.0.2.1\n192.0.2.2\n");
        assert_eq!(read(b"", 100).unwrap(), b"");
        assert_eq!(read(b"\x1f", 100).unwrap(), b"\x1f");
        for len in 2..gzip(b"192.0.2.1\n").len() {
            assert!(read(&gzip(b"192.0.2.1\n")[..len], 100).is_err(), "{len}");
        }
    }

    #[test]
    fn there_is_a_limit_before_and_after() {
        assert_eq!(read(b"1234", 4).unwrap(), b"1234");
        let error = read(b"12345", 4).unwrap_err();
        assert!(error.to_string().contains("max-size"), "{error}");
        let bomb = gzip(&vec![0; 10_000_000]);
        assert!(bomb.len() < 20_000);
        assert!(read(&bomb, 20_000).is_err());
        let endless = io::repeat(b'1');
        let mut out = Vec::new();
        let mut input = Input::new(endless, 1 << 20).unwrap();
        assert!(input.reader().read_to_end(&mut out).is_err());
        assert_eq!(out.len(), 1 << 20);
    }
}
