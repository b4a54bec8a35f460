//! What is read of an index: rows into columns.

use rusqlite::{OptionalExtension, Row, Transaction};

use super::aborted::Aborted;
use super::failure::{signed, unsigned};
use crate::blobs::BlobPath;
use crate::bounds::MAX_ANSWER_BYTES;
use crate::index::{Difference, Entries, Folder, Summary, entry_bytes, made_unique_id};

/// A folder's own row.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) id: i64,
    pub(super) epoch: u64,
    pub(super) version: u64,
    pub(super) pruned: u64,
    pub(super) messages: u64,
    pub(super) octets: u64,
    pub(super) weight: u64,
    pub(super) bytes: u64,
}

impl Found {
    pub(super) fn summary(&self) -> Summary {
        Summary {
            version: self.version,
            messages: self.messages,
            octets: self.octets,
        }
    }

    /// The unique-id of a row of `message`: the one that was brought, or the one that
    /// follows from its number.
    fn unique_id(&self, row: &Row<'_>, number: u64) -> rusqlite::Result<String> {
        let brought: Option<String> = row.get("unique_id")?;
        Ok(brought.unwrap_or_else(|| made_unique_id(self.epoch, number)))
    }
}

/// A folder's row. None: nothing was ever in it.
pub(super) fn find(
    transaction: &Transaction<'_>,
    folder: &Folder,
) -> rusqlite::Result<Option<Found>> {
    let sql = "select id, epoch, version, pruned, messages, octets, weight, bytes from maildrop
        where tenant = ?1 and name = ?2 and folder = ?3";
    let mut select = transaction.prepare_cached(sql)?;
    let names = (folder.tenant(), folder.maildrop(), folder.folder());
    let found = select.query_row(names, |row| {
        Ok(Found {
            id: row.get(0)?,
            epoch: unsigned(row.get(1)?),
            version: unsigned(row.get(2)?),
            pruned: unsigned(row.get(3)?),
            messages: unsigned(row.get(4)?),
            octets: unsigned(row.get(5)?),
            weight: unsigned(row.get(6)?),
            bytes: unsigned(row.get(7)?),
        })
    });
    found.optional()
}

/// What a folder holds, in short.
pub(super) fn summary(transaction: &Transaction<'_>, folder: &Folder) -> rusqlite::Result<Summary> {
    let found = find(transaction, folder)?;
    Ok(found.map(|found| found.summary()).unwrap_or_default())
}

/// Entries that came after a version.
pub(super) fn entries_since(
    transaction: &Transaction<'_>,
    found: &Found,
    version: u64,
) -> rusqlite::Result<Entries> {
    let sql = "select number, unique_id, octets, surrogate, received, name from message
        where maildrop = ?1 and number > ?2 order by number";
    let mut select = transaction.prepare_cached(sql)?;
    let mut rows = select.query((found.id, signed(version)))?;
    let mut entries = Entries {
        version: found.version,
        ..Entries::default()
    };
    while let Some(row) = rows.next()? {
        let unique_id = found.unique_id(row, unsigned(row.get(0)?))?;
        push(&mut entries.unique_ids, &unique_id);
        let surrogate: Option<i64> = row.get(3)?;
        if let Some(octets) = surrogate {
            let position = entries.octets.len() as u32;
            entries.surrogates.push((position, unsigned(octets)));
        }
        entries.octets.push(unsigned(row.get(2)?));
        entries.received.push(unsigned(row.get(4)?));
        push(&mut entries.names, row.get_ref(5)?.as_str()?);
    }
    Ok(entries)
}

/// What came and went since a version; None: that cannot be told.
pub(super) fn changes(
    transaction: &Transaction<'_>,
    found: &Found,
    version: u64,
) -> rusqlite::Result<Option<Difference>> {
    if version < found.pruned || version > found.version {
        return Ok(None);
    }
    let sql = "select unique_id from gone
        where maildrop = ?1 and version > ?2 and number <= ?2 order by version, number";
    let mut select = transaction.prepare_cached(sql)?;
    let mut rows = select.query((found.id, signed(version)))?;
    let mut gone = String::new();
    while let Some(row) = rows.next()? {
        push(&mut gone, row.get_ref(0)?.as_str()?);
        if gone.len() as u64 > MAX_ANSWER_BYTES {
            return Ok(None);
        }
    }
    // What is in a folder is never more than an answer may have.
    let came = entries_since(transaction, found, version)?;
    let unique_ids = came.unique_ids.split_terminator('\0');
    let names = came.names.split_terminator('\0');
    let bytes = unique_ids
        .zip(names)
        .map(|(id, name)| entry_bytes(id, name));
    let bytes = gone.len() as u64 + bytes.sum::<u64>();
    Ok((bytes <= MAX_ANSWER_BYTES).then_some(Difference { gone, came }))
}

/// Blobs of a place that nothing leads to, after one of them.
pub(super) fn garbage(
    transaction: &Transaction<'_>,
    place: &str,
    after: Option<&BlobPath>,
    limit: u32,
) -> Result<Vec<BlobPath>, Aborted> {
    // No path is empty.
    let after = after.map_or("", BlobPath::as_str);
    let sql = "select path from garbage where place = ?1 and path > ?2 order by path limit ?3";
    let mut select = transaction.prepare_cached(sql)?;
    let mut rows = select.query((place, after, limit))?;
    let mut paths = Vec::new();
    while let Some(row) = rows.next()? {
        let path: String = row.get(0)?;
        paths.push(BlobPath::new(path)?);
    }
    Ok(paths)
}

/// Packs one text more.
fn push(packed: &mut String, text: &str) {
    packed.push_str(text);
    packed.push('\0');
}
