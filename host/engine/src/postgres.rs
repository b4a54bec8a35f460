//! Engines on PostgreSQL, 15 or later, for any number of nodes.
//!
//! Every call is one statement, which is one transaction: none stays open while a node
//! is away, and nothing is left in a session, so that a pooler may stand between.
//! Statements can be sent again and change nothing then (schema.sql); when an answer is
//! lost, that is how the node finds out what became of its call. A connection on which
//! anything went wrong is thrown away.

mod agreement;
mod blobs;
mod calls;
mod cluster;
mod counted;
mod database;
mod failure;
mod gathered;
mod holds;
mod index;
mod mine;
mod pool;
mod rows;
mod schema;
mod settings;
mod uuid;

pub use agreement::agreed;
pub use blobs::PostgresBlobs;
pub use database::PostgresDatabase;
pub use index::Postgres;
pub use schema::pending_migration;
pub use settings::Settings;
