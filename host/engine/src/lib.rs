//! Where the host keeps mail that is in no directory of its own, and who holds which
//! maildrop: traits with plain types, and the kinds of engines that implement them.
//!
//! | trait | holds |
//! |---|---|
//! | [`MailIndex`] | what is in each maildrop, in order |
//! | [`Holds`] | who has a maildrop to itself, and since when |
//! | [`Blobs`] | octets under paths |
//! | [`Agreements`] | what the servers of an engine must agree on |
//! | [`Database`] | a database of the operator's, for authenticators |
//!
//! A [`MailIndex`] and the [`Holds`] that guard it are one engine: a removal checks the
//! hold's token in the transaction that removes, so there is no moment between the look
//! and the act. No clock but the engine's own decides anything.
//!
//! No crate but this one names a database driver; this one names none of the others.

mod agreement;
mod blobs;
mod bounds;
mod cluster;
mod database;
pub mod files;
mod garbage;
mod hold;
mod index;
pub mod membership;
pub mod memory;
mod meter;
mod migration;
pub mod names;
pub mod postgres;
mod problem;
mod random;
mod retention;
pub mod s3;
mod scope;
mod split;
pub mod sqlite;
mod thread_time;

pub use agreement::Agreements;
pub use blobs::{BlobPath, BlobReader, BlobWriter, Blobs, Removal, check_batch, check_range};
pub use bounds::{
    ASKING_HOLDER_LASTS, ASKING_LASTS, CALL_DEADLINE, INQUIRY_DEADLINE, MAX_ANSWER_BYTES,
    MAX_BATCH, MAX_BLOB_CHUNK_BYTES, MAX_CALL_BYTES, MAX_CONNECTIONS, MAX_ENTRIES,
    MAX_HOLD_FOLDERS, MAX_MESSAGE_OCTETS, MAX_NAME_OCTETS, MAX_NEWS_ROWS, MAX_REPORT_ROWS,
    MAX_SESSIONS_TOLD, MAX_STATEMENTS, MAX_UNIQUE_ID_OCTETS, REMOVAL_DEADLINE,
};
pub use cluster::{Correspondent, Exchanged, News, NodeSession, Penalty, Report, SessionChoice};
pub use database::{
    Answer, Cell, Column, Columns, Database, Refusal, Statement, Value, Values, check_statements,
};
pub use garbage::{Collected, GarbageCollector};
pub use hold::{Acquired, Hold, Holds, Node, Token, Visit};
pub use index::{
    Appended, DIGEST_BYTES, Difference, Entries, Entry, Folder, Limits, MailIndex, Placed, Summary,
    check_entry, check_not_made_here, check_placed, check_unique_ids, entry_bytes, fresh_epoch,
    made_unique_id,
};
pub use meter::Meter;
pub use migration::{Migration, NO_TABLES, Tables};
pub use problem::Problem;
pub use retention::Retention;
pub use scope::{OWN_PLACE, blob_of_maildrop};
pub use split::SplitBlobs;
