//! Engines in this process's memory, for tests: what they hold is gone with it.

mod blobs;
mod cluster;
mod folder;
mod holds;
mod index;
mod state;

pub use blobs::MemoryBlobs;
pub use index::Memory;
