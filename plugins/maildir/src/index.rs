//! What messages weigh, remembered in a file of the maildrop so that each is
//! measured once; and which files there were, so that a directory that has not
//! changed since need not be gone through.
//!
//! Nothing depends on the file: one that is missing, broken, or of another
//! version is as good as none. A record counts for the very file that it was
//! made for: while its name stands for the same inode, or else if size and
//! modification time are the same.
//!
//! ```text
//! "restante maildir index 4\n"
//! for new and cur: may it be trusted (1) or not (0): u8; modified, made: u64
//! records, by unique-id: size, modified, octets, surrogate, identity: u64; directory
//!     (0: new, 1: cur, and 128 more if the name does not begin with the unique-id),
//!     length of the name, length of the unique-id: u8; name; unique-id, if it is not
//!     in there
//! CRC-32 of all that: u32                       (numbers little-endian)
//! ```

use std::cmp::Ordering;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use restante_guest::files::{self, Reader, Status, reason};
use restante_guest::log;

use crate::name;
use crate::scan::{Place, Times};

/// Its name in the maildrop. Programs that read Maildirs pass it over.
pub(crate) const FILE: &str = ".restante-index";
/// Where a new one is written before it takes the place of the old.
const NEXT: &str = ".restante-index.new";
const MAGIC: &[u8] = b"restante maildir index 4\n";
/// Octets of what is told of a directory.
const DIRECTORY: usize = 17;
const HEADER: usize = MAGIC.len() + 2 * DIRECTORY;
/// Octets of a record less its texts.
const FIXED: usize = 43;
/// Added to a directory: the unique-id stands behind the name.
const OWN_ID: u8 = 128;
const CHECKSUM: usize = 4;
/// Octets of the largest file that is read or written: some 1,500,000 records.
/// Further messages are measured anew each time.
const FILE_OCTETS: u64 = 128 * 1024 * 1024;

/// A message's octets, and the file that they were measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) size: u64,
    /// Nanoseconds since the Unix epoch.
    pub(crate) modified: u64,
    pub(crate) octets: u64,
    /// Octets of its surrogate.
    pub(crate) surrogate: u64,
    pub(crate) identity: u64,
}

impl Record {
    /// Whether it was made for a file that still has this status, whatever it is called.
    pub(crate) fn is_for(&self, status: &Status) -> bool {
        (self.size, self.modified) == (status.size, status.modified)
    }
}

/// A record and what it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) unique_id: &'a str,
    pub(crate) place: Place,
    pub(crate) name: &'a str,
    pub(crate) record: Record,
}

impl Entry<'_> {
    /// Whether the unique-id is one that the name does not tell (see duplicates.rs).
    pub(crate) fn has_own_id(&self) -> bool {
        // A unique-id that is no hash is the beginning of the name.
        name::is_hashed(self.unique_id) && name::unique_id(self.name) != self.unique_id
    }
}

/// Records as they stand in a file.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// As it stands on the disk.
    file: Vec<u8>,
    times: [Option<Times>; 2],
    records: usize,
    has_own_ids: bool,
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
    /// Reads the maildrop's index; one that cannot be used is an empty one.
    pub(crate) fn load(root: &Path) -> Index {
        Index::read(root).unwrap_or_else(|unusable| {
            match unusable {
                Unusable::Missing => {}
                Unusable::Foreign => log::info!("{FILE} is no index: it is built anew"),
                Unusable::Broken => {
                    log::info!("{FILE} is broken, or of another version: it is built anew");
                }
                Unusable::Unreadable(error) => {
                    log::info!(
                        "{FILE} cannot be read: it is built anew: {}",
                        reason(&error)
                    );
                }
            }
            Index::default()
        })
    }

    fn read(root: &Path) -> Result<Index, Unusable> {
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
        if crc32fast::hash(content) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let directories = content.get(..HEADER)?.strip_prefix(MAGIC)?;
        let mut times = [None; 2];
        for (times, told) in times.iter_mut().zip(directories.chunks_exact(DIRECTORY)) {
            if told[0] == 1 {
                *times = Some(Times {
                    modified: number(&told[1..])?,
                    made: number(&told[9..])?,
                });
            }
        }
        let mut rest = &content[HEADER..];
        let mut records = 0;
        let mut has_own_ids = false;
        let mut last = "";
        while !rest.is_empty() {
            let (entry, behind) = split(rest)?;
            if records > 0 && entry.unique_id <= last {
                return None;
            }
            records += 1;
            has_own_ids = has_own_ids || entry.has_own_id();
            (last, rest) = (entry.unique_id, behind);
        }
        Some(Index {
            file,
            times,
            records,
            has_own_ids,
        })
    }

    /// Whether any message has a unique-id that its name does not tell.
    pub(crate) fn has_own_ids(&self) -> bool {
        self.has_own_ids
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.records
    }

    /// The directories' times when it was written, where those can be trusted:
    /// while they are the same, the records of that directory are its messages.
    pub(crate) fn times(&self) -> &[Option<Times>; 2] {
        &self.times
    }

    /// Every record, by unique-id.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let end = self.file.len().saturating_sub(CHECKSUM);
        let mut rest = self.file.get(HEADER..end).unwrap_or_default();
        std::iter::from_fn(move || {
            let (entry, behind) = split(rest)?;
            rest = behind;
            Some(entry)
        })
    }
}

/// A record, and what follows it.
fn split(record: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (fixed, texts) = record.split_at_checked(FIXED)?;
    let place = Place::from_octet(fixed[FIXED - 3] & !OWN_ID)?;
    let (name, mut behind) = texts.split_at_checked(usize::from(fixed[FIXED - 2]))?;
    let name = str::from_utf8(name).ok()?;
    let id_length = usize::from(fixed[FIXED - 1]);
    let unique_id = if fixed[FIXED - 3] & OWN_ID == 0 {
        name.get(..id_length)?
    } else {
        let unique_id;
        (unique_id, behind) = behind.split_at_checked(id_length)?;
        str::from_utf8(unique_id).ok()?
    };
    let record = Record {
        size: number(fixed)?,
        modified: number(&fixed[8..])?,
        octets: number(&fixed[16..])?,
        surrogate: number(&fixed[24..])?,
        identity: number(&fixed[32..])?,
    };
    let entry = Entry {
        unique_id,
        place,
        name,
        record,
    };
    Some((entry, behind))
}

fn number(octets: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(*octets.first_chunk()?))
}

/// Puts an index of these entries, rising by unique-id, in the place of the one
/// that is there. After a crash it is the one or the other.
pub(crate) fn write<'a>(
    root: &Path,
    times: &[Option<Times>; 2],
    entries: impl Iterator<Item = Entry<'a>>,
) -> io::Result<()> {
    put(root, &render(times, entries))
}

/// The same with one that is rendered.
pub(crate) fn put(root: &Path, file: &[u8]) -> io::Result<()> {
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
            let written = output.write_all(file);
            written.map_err(|error| files::cause(&output, error))?;
            output.sync_all()
        })
        .and_then(|()| fs::rename(&next, root.join(FILE)));
    if written.is_err() {
        // The disk may be full: half an index is of no use to anybody.
        let _ = fs::remove_file(&next);
    }
    written
}

/// Two runs of entries as one; of a unique-id in both the second counts.
pub(crate) fn merge<'a>(
    old: impl Iterator<Item = Entry<'a>>,
    new: impl Iterator<Item = Entry<'a>>,
) -> impl Iterator<Item = Entry<'a>> {
    let (mut old, mut new) = (old.peekable(), new.peekable());
    std::iter::from_fn(move || match (old.peek(), new.peek()) {
        (Some(left), Some(right)) => match left.unique_id.cmp(right.unique_id) {
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

pub(crate) fn render<'a>(
    times: &[Option<Times>; 2],
    entries: impl Iterator<Item = Entry<'a>>,
) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    // What does not fit is left out, and then no directory is whole.
    let mut left_out = false;
    for times in times {
        file.push(u8::from(times.is_some()));
        let Times { modified, made } = times.unwrap_or(Times::ABSENT);
        file.extend_from_slice(&modified.to_le_bytes());
        file.extend_from_slice(&made.to_le_bytes());
    }
    for entry in entries {
        let Entry {
            unique_id,
            place,
            name,
            record,
        } = entry;
        let (own_id, kind) = if name.starts_with(unique_id) {
            ("", place.octet())
        } else {
            (unique_id, place.octet() | OWN_ID)
        };
        let lengths = (u8::try_from(name.len()), u8::try_from(unique_id.len()));
        let (Ok(name_length), Ok(id_length)) = lengths else {
            left_out = true;
            continue;
        };
        let octets = file.len() + FIXED + name.len() + own_id.len() + CHECKSUM;
        if octets as u64 > FILE_OCTETS {
            left_out = true;
            break;
        }
        let Record {
            size,
            modified,
            octets,
            surrogate,
            identity,
        } = record;
        for number in [size, modified, octets, surrogate, identity] {
            file.extend_from_slice(&number.to_le_bytes());
        }
        file.extend_from_slice(&[kind, name_length, id_length]);
        file.extend_from_slice(name.as_bytes());
        file.extend_from_slice(own_id.as_bytes());
    }
    if left_out {
        for place in Place::ALL {
            file[MAGIC.len() + place.at() * DIRECTORY] = 0;
        }
    }
    let checksum = crc32fast::hash(&file);
    file.extend_from_slice(&checksum.to_le_bytes());
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTRUSTED: [Option<Times>; 2] = [None; 2];

    fn names(count: u64) -> Vec<String> {
        let name = |n: u64| format!("17{n:08}.M{n}P1.host:2,S");
        (0..count).map(name).collect()
    }

    fn entries(names: &[String]) -> Vec<Entry<'_>> {
        names
            .iter()
            .zip(0..)
            .map(|(name, n)| Entry {
                unique_id: name.split_once(':').map_or("", |(id, _)| id),
                place: Place::ALL[usize::from(n % 3 == 0)],
                name,
                record: Record {
                    size: n,
                    modified: 1_700_000_000_000_000_000 + n,
                    octets: 2 * n,
                    surrogate: 3 * n,
                    identity: 4 * n,
                },
            })
            .collect()
    }

    fn rendered(entries: &[Entry<'_>]) -> Vec<u8> {
        render(&UNTRUSTED, entries.iter().copied())
    }

    #[test]
    fn what_is_written_is_found_again() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(Index::read(root.path()), Err(Unusable::Missing)));
        let times = [
            None,
            Some(Times {
                modified: 5,
                made: 7,
            }),
        ];
        for count in [0, 1, 1000] {
            let names = names(count);
            let mut expected = entries(&names);
            if let Some(last) = expected.last_mut() {
                // A unique-id that the name does not begin with.
                last.unique_id = "sha256-00";
            }
            write(root.path(), &times, expected.iter().copied()).unwrap();
            let index = Index::read(root.path()).unwrap();
            assert_eq!(index.len() as u64, count);
            assert_eq!(index.times(), &times);
            assert!(index.entries().eq(expected));
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
        assert_eq!(Index::default().entries().count(), 0);
    }

    #[test]
    fn no_cut_and_no_flipped_bit_goes_unnoticed() {
        let whole = rendered(&entries(&names(3)));
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
        let names = names(3);
        let mut mixed = entries(&names);
        mixed.swap(0, 1);
        assert!(Index::parse(rendered(&mixed)).is_none());
        let twice = [mixed[2], mixed[2]];
        assert!(Index::parse(rendered(&twice)).is_none());
    }

    #[test]
    fn a_directory_that_is_not_all_there_is_not_trusted() {
        let long = "x".repeat(256);
        let names = names(1);
        let mut one = entries(&names)[0];
        one.name = &long;
        let time = Some(Times {
            modified: 1,
            made: 1,
        });
        let index = Index::parse(render(&[time; 2], [one].into_iter())).unwrap();
        assert_eq!((index.len(), index.times()), (0, &UNTRUSTED));
    }

    #[test]
    fn merging_keeps_the_order_and_the_newer_record() {
        let names = names(12);
        let all = entries(&names);
        let mut new = all[5..].to_vec();
        new[0].record.octets = 99;
        let merged: Vec<_> = merge(all[1..7].iter().copied(), new.iter().copied()).collect();
        assert_eq!(merged, [&all[1..5], &new[..]].concat());
        assert_eq!(merge([].into_iter(), new.iter().copied()).count(), 7);
    }

    #[test]
    fn what_stands_in_the_way_is_no_index() {
        let root = tempfile::tempdir().unwrap();
        let names = names(1);
        let put = || write(root.path(), &UNTRUSTED, entries(&names).into_iter());
        fs::create_dir(root.path().join(FILE)).unwrap();
        assert!(matches!(Index::read(root.path()), Err(Unusable::Foreign)));
        assert!(put().is_err());
        assert!(!root.path().join(NEXT).exists());
        fs::remove_dir(root.path().join(FILE)).unwrap();
        fs::write(root.path().join("elsewhere"), "mail").unwrap();
        std::os::unix::fs::symlink("elsewhere", root.path().join(NEXT)).unwrap();
        put().unwrap();
        assert_eq!(fs::read(root.path().join("elsewhere")).unwrap(), b"mail");
        assert_eq!(Index::read(root.path()).unwrap().len(), 1);
    }
}
