//! Bounds that hold for every kind of engine, with their units.

use std::time::Duration;

/// How long a call may take, its wait in a queue included.
pub const CALL_DEADLINE: Duration = Duration::from_secs(5);
/// How long an engine tries to find out what became of a change whose answer was lost. Whoever
/// promotes a standby needs some of it.
pub const INQUIRY_DEADLINE: Duration = Duration::from_secs(30);
/// How long a removal may take: by then every engine has told what came of it, or that nobody
/// knows.
pub const REMOVAL_DEADLINE: Duration = CALL_DEADLINE
    .saturating_add(INQUIRY_DEADLINE)
    .saturating_add(Duration::from_secs(5));
/// Octets of a name: a tenant's, a maildrop's, a folder's, an entry's, a blob's path, a
/// hold's key.
pub const MAX_NAME_OCTETS: usize = 1024;
/// Octets of a unique-id (RFC 1939 section 7).
pub const MAX_UNIQUE_ID_OCTETS: usize = 70;
/// Entries of one folder.
pub const MAX_ENTRIES: u64 = 2_000_000;
/// Octets of a message, of its surrogate, and what it may weigh. So many of
/// [`MAX_ENTRIES`] still fit into an `i64`.
pub const MAX_MESSAGE_OCTETS: u64 = 1 << 40;
/// Bytes of an answer: of the columns of a folder, and of those of a query. A folder never
/// grows beyond it ([`crate::entry_bytes`]), so that what is in it can always be read.
pub const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// Bytes of a part of a blob that is read or written at once.
pub const MAX_BLOB_CHUNK_BYTES: usize = 1 << 20;
/// Folders whose state a hold brings.
pub const MAX_HOLD_FOLDERS: usize = 8;
/// Connections to one engine.
pub const MAX_CONNECTIONS: usize = 16;
/// Rows that a worker takes up at once.
pub const MAX_BATCH: u32 = 1000;
/// Statements of one change of a database.
pub const MAX_STATEMENTS: usize = 1000;
/// Bytes of the texts and parameters of one call to a database.
pub const MAX_CALL_BYTES: usize = 16 << 20;
/// Rows of each kind that a node tells others with one heartbeat.
pub const MAX_REPORT_ROWS: usize = 1000;
/// Rows that a node is told with one heartbeat.
pub const MAX_NEWS_ROWS: usize = 4000;
/// Sessions of other nodes that are told at once.
pub const MAX_SESSIONS_TOLD: usize = 100_000;
/// How long a node that does not hear of it is asked to end sessions: whoever asked is told that
/// they end within a few seconds.
pub const ASKING_LASTS: Duration = Duration::from_secs(60);
/// The same for the session that holds what a login wants. Shorter than the login waits, by what a
/// session needs to give its hold back: none is ended for a login that is refused all the same.
pub const ASKING_HOLDER_LASTS: Duration = Duration::from_secs(4);
