//! What is told to an index and by it.

use crate::blobs::BlobPath;
use crate::names;
use crate::problem::Problem;

/// Bytes of a digest: SHA-256.
pub const DIGEST_BYTES: usize = 32;

/// A folder of a maildrop of a tenant, by their names, checked: at most
/// [`crate::MAX_NAME_OCTETS`] each and no control characters. The maildrop itself is the
/// folder "".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Folder {
    tenant: String,
    maildrop: String,
    folder: String,
}

impl Folder {
    /// # Errors
    /// [`Problem::Invalid`]: which name is wrong, and why.
    pub fn new(tenant: &str, maildrop: &str, folder: &str) -> Result<Self, Problem> {
        names::check("the tenant's name", tenant)?;
        names::check("the maildrop's name", maildrop)?;
        if !folder.is_empty() {
            names::check("the folder's name", folder)?;
        }
        Ok(Folder {
            tenant: tenant.into(),
            maildrop: maildrop.into(),
            folder: folder.into(),
        })
    }

    /// Name of the tenant.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// Name of the maildrop, among those of the tenant.
    pub fn maildrop(&self) -> &str {
        &self.maildrop
    }

    /// "" or the name of a folder in the maildrop.
    pub fn folder(&self) -> &str {
        &self.folder
    }
}

/// What a folder holds, in short.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Grows by one with every change; 0: nothing was ever in it.
    pub version: u64,
    /// How many entries there are.
    pub messages: u64,
    /// Octets of all of them.
    pub octets: u64,
}

/// A message on its way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// 1 to [`crate::MAX_UNIQUE_ID_OCTETS`] of 0x21..0x7E, for mail that had one before. None: one is made
    /// that was never used.
    pub unique_id: Option<String>,
    /// As a client gets it.
    pub octets: u64,
    /// As a client gets it that has not said UTF8, where that differs (RFC 6856).
    pub surrogate: Option<u64>,
    /// Seconds since the Unix epoch.
    pub received: u64,
    /// The path of its octets, and what the store likes: 1 to [`crate::MAX_NAME_OCTETS`], no NUL.
    pub name: String,
    /// What tells an attempt to deliver the same once more.
    pub digest: Option<[u8; DIGEST_BYTES]>,
    /// What counts against [`Limits::weight`].
    pub weight: u64,
}

/// Where an entry's octets were placed: by which engine, and under which path of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Placed {
    /// Name of the engine, as the configuration has it: 1 to [`crate::MAX_NAME_OCTETS`].
    pub place: String,
    /// The path there.
    pub path: BlobPath,
}

/// What a folder may hold. None: no limit but [`crate::MAX_ENTRIES`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of all weights together.
    pub weight: Option<u64>,
    /// How many entries.
    pub messages: Option<u64>,
}

/// What came of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It lasts, under this unique-id.
    Kept(String),
    /// One of this digest came lately ([`crate::Retention::duplicates`]), whether it is
    /// still here or not. Nothing was changed.
    Duplicate,
    /// It would be more than the limits, than [`crate::MAX_ENTRIES`], or more than can be read at
    /// once ([`crate::entry_bytes`]). Nothing was changed.
    Full,
}

/// Entries in the order in which they came, as columns of the same length. Texts have a
/// NUL after each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    /// Packed.
    pub unique_ids: String,
    /// As clients get them.
    pub octets: Vec<u64>,
    /// Seconds since the Unix epoch.
    pub received: Vec<u64>,
    /// Packed.
    pub names: String,
    /// Positions from 0, rising, and the octets of those that have a surrogate.
    pub surrogates: Vec<(u32, u64)>,
    /// The folder's, when it was read.
    pub version: u64,
}

/// What came and went since a version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Unique-ids, packed, in the order in which they went; those that came since and
    /// went again are not among them.
    pub gone: String,
    /// What came and is there.
    pub came: Entries,
}
