//! What messages weigh, remembered in a file of the maildrop so that each is
//! measured once.
//!
//! Nothing depends on the file: one that is missing, broken, or of another
//! version is as good as none, and a record counts only for the very size and
//! modification time that it was made for.
//!
//! ```text
//! "restante maildir index 2\n"
//! records, by unique-id: size, modified, octets, surrogate: u64; length: u8;
//!     unique-id
//! CRC-32 of all that: u32                       (numbers little-endian)
//! ```

use std::cmp::Ordering;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use restante_guest::files::Reader;

/// Its name in the maildrop. Programs that read Maildirs pass it over.
pub(crate) const FILE: &str = ".restante-index";
/// Where a new one is written before it takes the place of the old.
const NEXT: &str = ".restante-index.new";
const MAGIC: &[u8] = b"restante maildir index 2\n";
/// Octets of a record less its unique-id.
const FIXED: usize = 33;
const CHECKSUM: usize = 4;
/// Octets of the largest file that is read or written: some 400,000 records.
/// Further messages are measured anew each time.
const FILE_OCTETS: u64 = 32 * 1024 * 1024;

/// A message's octets, and the file that they were measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) size: u64,
    /// Nanoseconds since the Unix epoch.
    pub(crate) modified: u64,
    pub(crate) octets: u64,
    /// Octets of its surrogate.
    pub(crate) surrogate: u64,
}

/// Records as they stand in a file.
#[derive(Debug, Default)]
pub(crate) struct Index {
    file: Vec<u8>,
    /// Where each record begins.
    starts: Vec<u32>,
}

/// Why a file is as good as none.
#[derive(Debug)]
pub(crate) enum Unusable {
    Missing,
    /// Not a regular file, or too large: no index of ours.
    Foreign,
    /// Of another version, cut off, or changed by somebody.
    Broken,
    Unreadable(io::Error),
}

impl Index {
    /// Reads the maildrop's index.
    pub(crate) fn load(root: &Path) -> Result<Index, Unusable> {
        let path = root.join(FILE);
        let mut reader = Reader::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Unusable::Missing,
            _ => match fs::symlink_metadata(&path) {
                Ok(about) if !about.is_file() => Unusable::Foreign,
                _ => Unusable::Unreadable(error),
            },
        })?;
        let size = reader.status().size;
        if size > FILE_OCTETS {
            return Err(Unusable::Foreign);
        }
        let mut file = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        reader
            .read_to_end(&mut file)
            .map_err(Unusable::Unreadable)?;
        Index::parse(file).ok_or(Unusable::Broken)
    }

    fn parse(file: Vec<u8>) -> Option<Index> {
        let (content, checksum) = file.split_last_chunk::<CHECKSUM>()?;
        let mut rest = content.strip_prefix(MAGIC)?;
        if crc32fast::hash(content) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let mut starts = Vec::with_capacity(rest.len() / (FIXED + 32));
        let mut last: &[u8] = b"";
        while !rest.is_empty() {
            let (unique_id, behind) = split(rest)?;
            if unique_id <= last {
                return None;
            }
            starts.push(u32::try_from(content.len() - rest.len()).ok()?);
            (last, rest) = (unique_id, behind);
        }
        Some(Index { file, starts })
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// The record of a unique-id.
    pub(crate) fn find(&self, unique_id: &str) -> Option<Record> {
        let at = self
            .starts
            .binary_search_by(|start| self.unique_id(*start).cmp(unique_id.as_bytes()))
            .ok()?;
        Some(self.record(self.starts[at]))
    }

    /// Every record, by unique-id.
    pub(crate) fn records(&self) -> impl Iterator<Item = (&[u8], Record)> {
        self.starts
            .iter()
            .map(|start| (self.unique_id(*start), self.record(*start)))
    }

    fn unique_id(&self, start: u32) -> &[u8] {
        let record = &self.file[start as usize..];
        split(record).expect("parse() went over every record").0
    }

    fn record(&self, start: u32) -> Record {
        let number = |field: usize| {
            let at = start as usize + 8 * field;
            let octets = self.file[at..at + 8].try_into();
            u64::from_le_bytes(octets.expect("parse() went over every record"))
        };
        Record {
            size: number(0),
            modified: number(1),
            octets: number(2),
            surrogate: number(3),
        }
    }
}

/// A record's unique-id, and what follows the record.
fn split(record: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(*record.get(FIXED - 1)?);
    record.get(FIXED..)?.split_at_checked(length)
}

/// Puts an index of these records, rising by unique-id, in the place of the one
/// that is there. After a crash it is the one or the other.
pub(crate) fn write<'a>(
    root: &Path,
    records: impl Iterator<Item = (&'a [u8], Record)>,
) -> io::Result<()> {
    let file = render(records);
    let next = root.join(NEXT);
    // Left by a crash, or put there by somebody: a fresh file in any case.
    match fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&next)
        .and_then(|mut output| {
            output.write_all(&file)?;
            output.sync_all()
        })
        .and_then(|()| fs::rename(&next, root.join(FILE)));
    if written.is_err() {
        // The disk may be full: half an index is of no use to anybody.
        let _ = fs::remove_file(&next);
    }
    written
}

/// Two runs of records as one; of a unique-id in both the second counts.
pub(crate) fn merge<'a>(
    old: impl Iterator<Item = (&'a [u8], Record)>,
    new: impl Iterator<Item = (&'a [u8], Record)>,
) -> impl Iterator<Item = (&'a [u8], Record)> {
    let (mut old, mut new) = (old.peekable(), new.peekable());
    std::iter::from_fn(move || match (old.peek(), new.peek()) {
        (Some(left), Some(right)) => match left.0.cmp(right.0) {
            Ordering::Less => old.next(),
            Ordering::Equal => {
                old.next();
                new.next()
            }
            Ordering::Greater => new.next(),
        },
        (Some(_), None) => old.next(),
        (None, _) => new.next(),
    })
}

fn render<'a>(records: impl Iterator<Item = (&'a [u8], Record)>) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    for (unique_id, record) in records {
        let Ok(length) = u8::try_from(unique_id.len()) else {
            continue;
        };
        if (file.len() + FIXED + unique_id.len() + CHECKSUM) as u64 > FILE_OCTETS {
            break;
        }
        for number in [
            record.size,
            record.modified,
            record.octets,
            record.surrogate,
        ] {
            file.extend_from_slice(&number.to_le_bytes());
        }
        file.push(length);
        file.extend_from_slice(unique_id);
    }
    let checksum = crc32fast::hash(&file);
    file.extend_from_slice(&checksum.to_le_bytes());
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: u64) -> Vec<(String, Record)> {
        (0..count)
            .map(|n| {
                let record = Record {
                    size: n,
                    modified: 1_700_000_000_000_000_000 + n,
                    octets: 2 * n,
                    surrogate: 3 * n,
                };
                (format!("17{n:08}.M{n}P1.host"), record)
            })
            .collect()
    }

    fn borrowed(records: &[(String, Record)]) -> impl Iterator<Item = (&[u8], Record)> {
        records.iter().map(|(id, record)| (id.as_bytes(), *record))
    }

    #[test]
    fn what_is_written_is_found_again() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(Index::load(root.path()), Err(Unusable::Missing)));
        for count in [0, 1, 1000] {
            let expected = records(count);
            write(root.path(), borrowed(&expected)).unwrap();
            let index = Index::load(root.path()).unwrap();
            assert_eq!(index.len() as u64, count);
            assert!(index.records().eq(borrowed(&expected)));
            for (id, record) in &expected {
                assert_eq!(index.find(id), Some(*record));
            }
            assert_eq!(index.find("17"), None);
            assert_eq!(index.find("18"), None);
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn no_cut_and_no_flipped_bit_goes_unnoticed() {
        let whole = render(borrowed(&records(3)));
        for length in 0..whole.len() {
            assert!(Index::parse(whole[..length].to_vec()).is_none(), "{length}");
        }
        for bit in 0..whole.len() * 8 {
            let mut broken = whole.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(Index::parse(broken).is_none(), "{bit}");
        }
        assert!(Index::parse(whole).is_some());
    }

    #[test]
    fn records_out_of_order_are_not_ours_even_with_a_good_checksum() {
        let mut mixed = records(3);
        mixed.swap(0, 1);
        assert!(Index::parse(render(borrowed(&mixed))).is_none());
        let twice = vec![mixed[2].clone(), mixed[2].clone()];
        assert!(Index::parse(render(borrowed(&twice))).is_none());
    }

    #[test]
    fn merging_keeps_the_order_and_the_newer_record() {
        let old = records(10);
        let mut new = records(12)[5..].to_vec();
        new[0].1.octets = 99;
        let merged: Vec<_> = merge(borrowed(&old[1..7]), borrowed(&new)).collect();
        let mut expected = [&old[1..5], &new[..]].concat();
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(merged, borrowed(&expected).collect::<Vec<_>>());
        assert_eq!(merged.len(), 11);
        assert_eq!(merge(borrowed(&[]), borrowed(&old)).count(), 10);
    }

    #[test]
    fn what_stands_in_the_way_is_no_index() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(FILE)).unwrap();
        assert!(matches!(Index::load(root.path()), Err(Unusable::Foreign)));
        assert!(write(root.path(), borrowed(&records(1))).is_err());
        assert!(!root.path().join(NEXT).exists());
        fs::remove_dir(root.path().join(FILE)).unwrap();
        fs::write(root.path().join("elsewhere"), "mail").unwrap();
        std::os::unix::fs::symlink("elsewhere", root.path().join(NEXT)).unwrap();
        write(root.path(), borrowed(&records(1))).unwrap();
        assert_eq!(fs::read(root.path().join("elsewhere")).unwrap(), b"mail");
        assert_eq!(Index::load(root.path()).unwrap().len(), 1);
    }
}
