//! Restante, a POP3 server whose policy is WebAssembly components: the crate that
//! knows all others and puts them together.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod generation;
pub mod generations;
pub mod log;
mod maildir_settings;
mod reload;
pub mod server;
mod start_error;
pub mod watch;

pub use server::Server;
