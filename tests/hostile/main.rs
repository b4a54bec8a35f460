//! One hostile guest for each way to be hostile. For each: what its client is
//! told, the line of the log that the operator reads, and that the clients of a
//! second tenant, who were collecting their mail in the same process all the while,
//! saw no error and waited for nobody.
//!
//! Compilers are attacked in tests/server/trust.rs; what a reload is fed, in tests/server/reload.rs
//! and tests/server/bad_input.rs.
#![allow(clippy::unwrap_used, reason = "tests")]

mod acting;
mod admission;
mod arena;
mod breaker;
mod computing;
mod filters;
mod hashing;
mod listing;
mod mail;
mod maildrops;
mod output;
mod paths;
mod secrets;
mod security;
mod shadows;
mod shares;
mod sockets;
mod tenants;
mod unread_log;
mod words;
