//! What is in each maildrop, in order. The octets are elsewhere ([`crate::Blobs`]); an
//! entry has the path.
//!
//! Of numbers there is one kind. A folder's *version* counts its changes, and the
//! *number* of an entry is the version that its append made: entries in the order of
//! their numbers are in the order in which they came, and those that came after version
//! v are those of a number beyond v.

mod checks;
// What [`crate::Holds`] tells is of these, and knows nothing of an index.
pub(crate) mod types;

use std::fmt;

use async_trait::async_trait;

use crate::blobs::BlobPath;
use crate::hold::Hold;
use crate::problem::Problem;
use crate::random;

pub use checks::{check_entry, check_not_made_here, check_placed, check_unique_ids, entry_bytes};
pub use types::{
    Appended, DIGEST_BYTES, Difference, Entries, Entry, Folder, Limits, Placed, Summary,
};

/// The index of all maildrops of an engine. Calls for a folder take effect in one order,
/// and what was told is never older than what was told before.
#[async_trait]
pub trait MailIndex: Send + Sync + fmt::Debug {
    /// What a folder holds, in short. One that was never written to is empty.
    async fn state(&self, folder: &Folder) -> Result<Summary, Problem>;

    /// All of a folder.
    async fn read(&self, folder: &Folder) -> Result<Entries, Problem>;

    /// What came and went since `version`. None: that cannot be told, since it is longer
    /// ago than [`crate::Retention::changes`], more than [`crate::MAX_ANSWER_BYTES`], or
    /// the folder was never of that version.
    async fn changes(&self, folder: &Folder, version: u64) -> Result<Option<Difference>, Problem>;

    /// Says, before a blob is written, that it will be: if no entry comes of it in
    /// [`crate::Retention::intents`], the blob becomes garbage. Lasts when it returns.
    ///
    /// # Errors
    /// [`Problem::Invalid`] if the same was said before, or the path is garbage.
    async fn intend(&self, placed: &Placed) -> Result<(), Problem>;

    /// Adds an entry behind all others; it lasts when this returns. Nobody has to hold the
    /// maildrop. `placed` is where its octets are, and the intent of it is gone with the
    /// append: so no two entries have one blob, and none has one that becomes garbage.
    ///
    /// If several answers apply, it is the first of these: the entry is not as it has to be
    /// ([`Problem::Invalid`]), [`Appended::Duplicate`], [`Appended::Full`], and the errors
    /// below.
    ///
    /// # Errors
    /// [`Problem::Invalid`] if its unique-id is in the folder or could be made there later
    /// ([`check_not_made_here`]), or if `placed` was not intended.
    async fn append(
        &self,
        folder: &Folder,
        entry: &Entry,
        limits: &Limits,
        placed: Option<&Placed>,
    ) -> Result<Appended, Problem>;

    /// Removes all of these entries or none, if the hold is in force; it lasts when this
    /// returns. Their blobs become garbage. Removing none changes nothing, and checks the
    /// hold.
    ///
    /// # Errors
    /// [`Problem::Lost`] if the hold is not in force; otherwise [`Problem::Invalid`] if
    /// one of them is not there or is named twice; [`Problem::Unknown`] if it cannot be
    /// found out what became of it.
    async fn remove(
        &self,
        folder: &Folder,
        unique_ids: &[String],
        hold: &Hold,
    ) -> Result<(), Problem>;

    /// Makes garbage of intents that are too old, and forgets removals and digests that
    /// are: at most `limit` of each, up to [`crate::MAX_BATCH`]. Tells how many in all; 0:
    /// nothing is left to do.
    async fn expire(&self, limit: u32) -> Result<u64, Problem>;

    /// Blobs of this place that nothing leads to any more, in the order of their paths and
    /// from the first after `after` on: at most `limit`, up to [`crate::MAX_BATCH`]. They are
    /// told again until they are forgotten.
    async fn garbage(
        &self,
        place: &str,
        after: Option<&BlobPath>,
        limit: u32,
    ) -> Result<Vec<BlobPath>, Problem>;

    /// These were removed from this place: at most [`crate::MAX_BATCH`]. What is no garbage
    /// is no problem.
    async fn forget_garbage(&self, place: &str, paths: &[BlobPath]) -> Result<(), Problem>;
}

/// What unique-ids begin with that are made in a folder: random, of 48 bits, so that a
/// folder that is made anew repeats none of before.
///
/// # Errors
/// [`Problem::Unavailable`] if the system has no random numbers.
pub fn fresh_epoch() -> Result<u64, Problem> {
    let octets: [u8; 8] = random::octets()?;
    Ok(u64::from_be_bytes(octets) >> 16)
}

/// The unique-id of an entry that brought none: both in hexadecimal.
pub fn made_unique_id(epoch: u64, number: u64) -> String {
    format!("{epoch:x}.{number:x}")
}
