//! Bytes to be read: no more than a limit, and unpacked if they are gzip, or zip with one file in it.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use flate2::bufread::MultiGzDecoder;

use super::zip;

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
    /// Bytes from any reader, from its start.
    ///
    /// # Errors
    /// If the first bytes cannot be read, or are those of an archive that is not unpacked.
    pub fn new(mut reader: impl Read + Seek + 'a, max_size: u64) -> io::Result<Self> {
        let mut head = [0; 4];
        let head = read_head(&mut reader, &mut head)?;
        reader.seek(SeekFrom::Start(0))?;
        let reader: Box<dyn BufRead + 'a> = if zip::is_zip(head) {
            let unpacked = Bounded::new(zip::open(reader)?, max_size);
            Box::new(BufReader::with_capacity(BUFFER, unpacked))
        } else if head.starts_with(&GZIP_MAGIC) {
            let packed = BufReader::with_capacity(BUFFER, Bounded::new(reader, max_size));
            let unpacked = Bounded::new(MultiGzDecoder::new(packed), max_size);
            Box::new(BufReader::with_capacity(BUFFER, unpacked))
        } else {
            let plain = Bounded::new(reader, max_size);
            Box::new(BufReader::with_capacity(BUFFER, plain))
        };
        Ok(Self { reader })
    }

    /// The bytes.
    pub fn reader(&mut self) -> &mut (dyn BufRead + 'a) {
        &mut *self.reader
    }
}

/// The first bytes, as many as there are.
fn read_head<'h>(reader: &mut impl Read, head: &'h mut [u8]) -> io::Result<&'h [u8]> {
    let mut len = 0;
    while let Some(room) = head.get_mut(len..).filter(|room| !room.is_empty()) {
        match reader.read(room) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(head.get(..len).unwrap_or_default())
}

/// A reader that fails when there is more than there may be.
#[derive(Debug)]
pub(super) struct Bounded<R> {
    reader: R,
    left: u64,
    max: u64,
}

impl<R> Bounded<R> {
    pub(super) const fn new(reader: R, max: u64) -> Self {
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
    use std::io::Cursor;

    use super::*;

    #[test]
    fn bytes_come_as_they_are_or_unpacked_and_never_more_than_the_limit() {
        use flate2::{Compression, write::GzEncoder};
        use std::io::Write as _;

        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&[b'x'; 1000]).unwrap();
        let packed = packed.finish().unwrap();
        for bytes in [packed, vec![b'x'; 1000]] {
            let mut text = Vec::new();
            let mut input = Input::new(Cursor::new(&bytes), 1000).unwrap();
            input.reader().read_to_end(&mut text).unwrap();
            assert_eq!(text, [b'x'; 1000]);
            let mut input = Input::new(Cursor::new(&bytes), 999).unwrap();
            let error = input.reader().read_to_end(&mut text).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        }
        for few in ["", "x", "PK"] {
            let mut text = String::new();
            let mut input = Input::new(Cursor::new(few), 1000).unwrap();
            input.reader().read_to_string(&mut text).unwrap();
            assert_eq!(text, few);
        }
    }
}
