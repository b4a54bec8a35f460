//! Engines on SQLite: an index with its holds in one file for one process, and a database
//! of the operator's.
//!
//! SQLite's calls wait for the disk, so none is made on a thread of the runtime: each
//! connection has a thread of its own, which takes calls from a bounded queue.

mod aborted;
mod agreement;
mod database;
mod failure;
mod functions;
mod holds;
mod index;
mod lock_file;
mod parameters;
mod refusal;
mod rows;
mod schema;
mod threads;
mod tokens;
mod writes;

pub use agreement::agreed;
pub use database::SqliteDatabase;
pub use index::Sqlite;
pub use schema::{has_no_tables, pending_migration};
