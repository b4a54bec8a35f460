//! Where the messages are, remembered in a file beside the mbox, so that of an
//! mbox that grew only the end is read.
//!
//! Nothing but the numbers behind the unique-ids of exact copies depends on it: one
//! that is missing, broken, or of another version is as good as none.
//!
//! ```text
//! "restante mbox index 2\n"
//! the mbox when it was read: identity, size, modified: u64; variant: u8
//! how far it was read: u64
//! messages, as they stand in the file: start, content, body, content's end, octets,
//!     octets of the body, received: u64; 1: quoted, 2: internal: u8; copy: u32; digest
//! CRC-32 of all that: u32                       (numbers little-endian)
//! ```

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use restante_guest::files::{self, Reader, Status, reason};
use restante_guest::log;
use restante_guest::mbox::{Message, Variant};

use crate::id::Digest;

const MAGIC: &[u8] = b"restante mbox index 2\n";
/// What of the file comes before the first message.
const HEADER: usize = MAGIC.len() + 4 * 8 + 1;
/// What is told of a message.
const RECORD: usize = 7 * 8 + 1 + 4 + 20;
const CHECKSUM: usize = 4;
/// Octets of the largest file that is read: some 1,600,000 messages, more than a
/// guest can hold.
const FILE_OCTETS: u64 = 128 * 1024 * 1024;

const QUOTED: u8 = 1;
const INTERNAL: u8 = 2;

/// A message of the mbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) start: u64,
    pub(crate) content: u64,
    pub(crate) body: u64,
    pub(crate) content_end: u64,
    pub(crate) octets: u64,
    pub(crate) body_octets: u64,
    pub(crate) received: u64,
    pub(crate) is_quoted: bool,
    /// Where UW IMAP and Dovecot keep their own data: no message, and never touched.
    pub(crate) is_internal: bool,
    /// Which copy it is of messages with one digest, from 1; 0: not yet known.
    pub(crate) copy: u32,
    pub(crate) digest: Digest,
}

impl Entry {
    pub(crate) fn of(message: &Message) -> Entry {
        let Message {
            from_line,
            header,
            body_octets,
            ..
        } = message;
        let is_first = message.start == 0;
        let mut fields = restante_guest::header::fields(header);
        Entry {
            start: message.start,
            content: message.content,
            body: message.body,
            content_end: message.content_end,
            octets: message.octets,
            body_octets: *body_octets,
            received: message.received,
            is_quoted: message.is_quoted,
            is_internal: is_first && fields.any(|field| field.is("X-IMAP")),
            copy: 0,
            digest: Digest::of(from_line, header, *body_octets),
        }
    }
}

/// What is known of an mbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    /// What marked the mbox when it was read.
    pub(crate) of: Mark,
    /// How far it was read.
    pub(crate) end: u64,
    pub(crate) entries: Vec<Entry>,
}

/// What tells whether a file has changed: identity, size, modification time.
pub(crate) type Mark = (u64, u64, u64);

/// What marks a file of this status.
pub(crate) fn mark(status: &Status) -> Mark {
    (status.identity, status.size, status.modified)
}

impl Index {
    /// Whether it is all there is to know of the mbox as it is now.
    pub(crate) fn is_current(&self, status: &Status) -> bool {
        self.of == mark(status) && self.end == status.size
    }

    /// Where the message at this position ends: with the next one, or the file.
    pub(crate) fn end_of(&self, position: usize) -> u64 {
        let next = self.entries.get(position + 1);
        next.map_or(self.end, |next| next.start)
    }

    /// None: there is none, or none that can be used.
    pub(crate) fn load(path: &Path, variant: Variant) -> Option<Index> {
        match Index::read(path, variant) {
            Ok(index) => index,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                log::info!("{} cannot be read: {}", path.display(), reason(&error));
                None
            }
        }
    }

    fn read(path: &Path, variant: Variant) -> io::Result<Option<Index>> {
        let mut reader = Reader::open(path)?;
        let size = reader.status().size;
        let records = size.checked_sub((HEADER + CHECKSUM) as u64);
        let records = records.filter(|octets| octets % RECORD as u64 == 0);
        let Some(records) = records.filter(|_| size <= FILE_OCTETS) else {
            return Ok(None);
        };
        let mut checksum = crc32fast::Hasher::new();
        let mut header = [0; HEADER];
        reader.read_exact(&mut header)?;
        checksum.update(&header);
        let Some(known) = header.strip_prefix(MAGIC) else {
            return Ok(None);
        };
        let mut known = Numbers(known);
        let of = (known.u64(), known.u64(), known.u64());
        if known.u8() != variant_octet(variant) {
            return Ok(None);
        }
        let end = known.u64();
        let count = usize::try_from(records / RECORD as u64).unwrap_or(0);
        let mut entries = Vec::with_capacity(count);
        let mut record = [0; RECORD];
        for _ in 0..count {
            reader.read_exact(&mut record)?;
            checksum.update(&record);
            entries.push(parse(&record));
        }
        let mut told = [0; CHECKSUM];
        reader.read_exact(&mut told)?;
        let is_whole = u32::from_le_bytes(told) == checksum.finalize();
        Ok(is_whole.then_some(Index { of, end, entries }))
    }

    /// Writes it, and does without where that cannot be done.
    pub(crate) fn save(&self, path: &Path, variant: Variant) {
        let mut next = path.to_owned().into_os_string();
        next.push(".new");
        let next = Path::new(&next);
        // Not made to last: after a crash it is the old one, the new one, or a broken
        // one, which is as good as none.
        let written = self.write(next, variant);
        let written = written.and_then(|()| fs::rename(next, path));
        if let Err(error) = written {
            log::warn!(
                "{} cannot be written, going on without: {}",
                path.display(),
                reason(&error)
            );
            let _ = fs::remove_file(next);
        }
    }

    fn write(&self, path: &Path, variant: Variant) -> io::Result<()> {
        // What has the name already may be a link to mail: it is never written through.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        let mut out = BufWriter::with_capacity(256 * 1024, file);
        let written = self.write_to(&mut out, variant);
        written.map_err(|error| files::cause(out.get_ref(), error))
    }

    fn write_to(&self, out: &mut impl Write, variant: Variant) -> io::Result<()> {
        let mut checksum = crc32fast::Hasher::new();
        let mut put = |octets: &[u8]| {
            checksum.update(octets);
            out.write_all(octets)
        };
        let mut header = MAGIC.to_vec();
        let (identity, size, modified) = self.of;
        for number in [identity, size, modified] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        header.push(variant_octet(variant));
        header.extend_from_slice(&self.end.to_le_bytes());
        put(&header)?;
        let mut record = Vec::with_capacity(RECORD);
        for entry in &self.entries {
            record.clear();
            render(entry, &mut record);
            put(&record)?;
        }
        out.write_all(&checksum.finalize().to_le_bytes())?;
        out.flush()
    }
}

fn render(entry: &Entry, record: &mut Vec<u8>) {
    let numbers = [
        entry.start,
        entry.content,
        entry.body,
        entry.content_end,
        entry.octets,
        entry.body_octets,
        entry.received,
    ];
    for number in numbers {
        record.extend_from_slice(&number.to_le_bytes());
    }
    let quoted = if entry.is_quoted { QUOTED } else { 0 };
    let internal = if entry.is_internal { INTERNAL } else { 0 };
    record.push(quoted | internal);
    record.extend_from_slice(&entry.copy.to_le_bytes());
    record.extend_from_slice(&entry.digest.0);
}

fn parse(record: &[u8; RECORD]) -> Entry {
    let mut numbers = Numbers(record);
    let [
        start,
        content,
        body,
        content_end,
        octets,
        body_octets,
        received,
    ] = std::array::from_fn(|_| numbers.u64());
    let flags = numbers.u8();
    Entry {
        start,
        content,
        body,
        content_end,
        octets,
        body_octets,
        received,
        is_quoted: flags & QUOTED != 0,
        is_internal: flags & INTERNAL != 0,
        copy: u32::from_le_bytes(numbers.take()),
        digest: Digest(numbers.take()),
    }
}

/// Takes numbers from the front of octets of a fixed length.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (front, rest) = self.0.split_first_chunk().expect("the length is fixed");
        self.0 = rest;
        *front
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn u8(&mut self) -> u8 {
        let [octet] = self.take();
        octet
    }
}

fn variant_octet(variant: Variant) -> u8 {
    match variant {
        Variant::Mboxrd => 2,
        Variant::Mboxcl2 => 3,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use restante_guest::testing;

    #[test]
    fn what_is_written_is_found_again_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        testing::set_maildrop(folder.path());
        let path = folder.path().join("index");
        assert_eq!(Index::load(&path, Variant::Mboxo), None);
        let entry = Entry {
            start: 1,
            content: 2,
            body: 3,
            content_end: 4,
            octets: 5,
            body_octets: 6,
            received: 7,
            is_quoted: true,
            is_internal: false,
            copy: 8,
            digest: Digest([9; 20]),
        };
        let internal = Entry {
            is_quoted: false,
            is_internal: true,
            ..entry
        };
        for entries in [vec![], vec![entry], vec![internal, entry, entry]] {
            let index = Index {
                of: (1, 2, 3),
                end: 4,
                entries,
            };
            index.save(&path, Variant::Mboxrd);
            assert_eq!(Index::load(&path, Variant::Mboxrd), Some(index));
            assert_eq!(Index::load(&path, Variant::Mboxo), None);
        }
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(Index::load(&path, Variant::Mboxrd), None, "{length}");
        }
        for octet in 0..whole.len() {
            let mut broken = whole.clone();
            broken[octet] ^= 1;
            fs::write(&path, &broken).unwrap();
            assert_eq!(Index::load(&path, Variant::Mboxrd), None, "{octet}");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(Index::load(&path, Variant::Mboxrd), None);
        let index = Index {
            of: (1, 2, 3),
            end: 4,
            entries: Vec::new(),
        };
        index.save(&path, Variant::Mboxrd);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
