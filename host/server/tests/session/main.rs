//! The whole session loop against the in-memory backend: over real sockets, and
//! over in-memory pipes where the clock has to stand still.
//!
//! Expected octets come from the RFCs and are written out here; nothing is
//! compared with what the server said before.

#![allow(clippy::unwrap_used)]

mod acting;
mod client;
mod crowds;
mod dialogues;
mod ends;
mod in_use;
mod limits;
mod logs;
mod penalties;
mod policy;
mod proxies;
mod retention;
mod retrieval;
mod sasl;
mod shared;
mod surrogates;
mod timers;
mod tls;
mod world;
