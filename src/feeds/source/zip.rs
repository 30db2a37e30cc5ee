//! The one file of a zip archive, unpacked as it is read.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::read::DeflateDecoder;
use rawzip::{
    CompressionMethod, RECOMMENDED_BUFFER_SIZE, RangeReader, ReaderAt, ZipArchive,
    ZipArchiveEntryWayfinder, ZipLocator,
};

/// The most names of files that a message has.
const NAMES_MAX: usize = 3;
/// Directory entries that are looked at. An archive has one file; folders may stand around it.
const ENTRIES_MAX: usize = 1000;

/// Whether bytes begin as an archive does: with a file, or with its end.
pub(super) fn is_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06")
}

/// Finds the only file of an archive. What is read is checked against its length and checksum.
///
/// # Errors
/// If it is no archive with exactly one file, or one that is packed in a way that is not read.
pub(super) fn open<'a, R: Read + Seek + 'a>(mut reader: R) -> io::Result<Box<dyn Read + 'a>> {
    let end = reader.seek(SeekFrom::End(0))?;
    let source = Arc::new(Source(Mutex::new(reader)));
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let archive = ZipLocator::new()
        .locate_in_reader(Arc::clone(&source), &mut buffer, end)
        .map_err(|(_, error)| malformed(&error))?;
    let (wayfinder, method) = only_file(&archive, &mut buffer)?;
    let entry = archive
        .get_entry(wayfinder)
        .map_err(|error| malformed(&error))?;
    let (from, to) = entry.compressed_data_range();
    let packed = RangeReader::new(source, from..to);
    Ok(match method {
        CompressionMethod::STORE => Box::new(entry.verifying_reader(packed)),
        _ => Box::new(entry.verifying_reader(DeflateDecoder::new(packed))),
    })
}

/// Reads anywhere in a reader.
struct Source<R>(Mutex<R>);

impl<R: Read + Seek> ReaderAt for Source<R> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut reader = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reader.seek(SeekFrom::Start(offset))?;
        reader.read(buffer)
    }
}

fn only_file<R: ReaderAt>(
    archive: &ZipArchive<R>,
    buffer: &mut [u8],
) -> io::Result<(ZipArchiveEntryWayfinder, CompressionMethod)> {
    let mut found = None;
    let mut names = Vec::new();
    let mut files = 0;
    let mut entries = archive.entries(buffer);
    let mut looked_at = 0;
    while let Some(entry) = entries.next_entry().map_err(|error| malformed(&error))? {
        looked_at += 1;
        if looked_at > ENTRIES_MAX {
            break;
        }
        if entry.is_dir() {
            continue;
        }
        files += 1;
        let name = entry.file_path().as_ref().escape_ascii().to_string();
        if names.len() < NAMES_MAX {
            names.push(name.clone());
        }
        let method = entry.compression_method();
        found = Some((
            entry.wayfinder(),
            method,
            entry.flags().is_encrypted(),
            name,
        ));
    }
    let (names, more) = (names.join(", "), if files > NAMES_MAX { ", …" } else { "" });
    match found {
        Some((.., true, name)) if files == 1 => {
            Err(refused(format!("{name} in the zip archive is encrypted")))
        }
        Some((wayfinder, method, ..))
            if files == 1
                && matches!(
                    method,
                    CompressionMethod::STORE | CompressionMethod::DEFLATE
                ) =>
        {
            Ok((wayfinder, method))
        }
        Some((_, method, _, name)) if files == 1 => Err(refused(format!(
            "{name} in the zip archive is packed with method {}; only stored and deflated are unpacked",
            method.as_u16()
        ))),
        Some(_) => Err(refused(format!(
            "a zip archive with {files} files ({names}{more}); expected exactly one"
        ))),
        None => Err(refused("a zip archive without a file".to_owned())),
    }
}

fn malformed(error: &rawzip::Error) -> io::Error {
    refused(format!("the zip archive is damaged: {error}"))
}

fn refused(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use flate2::Compression;
    use flate2::write::DeflateEncoder;

    use super::*;

    /// An archive with these files, deflated.
    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut output = Vec::new();
        let mut archive = rawzip::ZipArchiveWriter::new(&mut output);
        archive.new_dir("folder/").create().unwrap();
        for (name, text) in files {
            let (mut entry, config) = archive
                .new_file(name)
                .compression_method(CompressionMethod::DEFLATE)
                .start()
                .unwrap();
            let encoder = DeflateEncoder::new(&mut entry, Compression::default());
            let mut writer = config.wrap(encoder);
            writer.write_all(text.as_bytes()).unwrap();
            let (encoder, descriptor) = writer.finish().unwrap();
            encoder.finish().unwrap();
            entry.finish(descriptor).unwrap();
        }
        archive.finish().unwrap();
        output
    }

    fn read(bytes: &[u8]) -> Result<String, String> {
        let mut text = String::new();
        let mut file = open(Cursor::new(bytes)).map_err(|error| error.to_string())?;
        let read = file.read_to_string(&mut text);
        read.map_err(|error| error.to_string()).map(|_| text)
    }

    #[test]
    fn the_one_file_is_unpacked_and_others_are_refused_by_name() {
        let one = archive(&[("folder/list.txt", "192.0.2.1\n")]);
        assert!(is_zip(&one));
        assert_eq!(read(&one), Ok("192.0.2.1\n".to_owned()));
        let two = archive(&[("a.txt", "192.0.2.1\n"), ("b.txt", "192.0.2.2\n")]);
        assert_eq!(
            read(&two).unwrap_err(),
            "a zip archive with 2 files (a.txt, b.txt); expected exactly one"
        );
        assert_eq!(
            read(&archive(&[])).unwrap_err(),
            "a zip archive without a file"
        );
    }

    #[test]
    fn an_archive_that_is_cut_or_changed_is_never_a_list() {
        let text = "192.0.2.1\n".repeat(100);
        let whole = archive(&[("list.txt", &text)]);
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "cut at {end}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x55;
            if let Ok(read) = read(&changed) {
                assert_eq!(read, text, "byte {at}");
            }
        }
    }
}
