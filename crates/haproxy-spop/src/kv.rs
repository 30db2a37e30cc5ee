//! A KV-LIST that fills the rest of a payload (SPOE.txt 3.1): HELLO and DISCONNECT are made of it.

use super::{DecodeError, Reader, TypedData};

/// Reads every item of a list and hands it to `item`.
pub(super) fn each<'a>(
    payload: &'a [u8],
    mut item: impl FnMut(&'a [u8], TypedData<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(payload);
    while !reader.is_empty() {
        let key = reader.string("item name")?;
        let value = TypedData::read(&mut reader, "item value")?;
        item(key, value)?;
    }
    Ok(())
}
