//! Restante, a POP3 server whose policy is WebAssembly components: the crate that
//! knows all others and puts them together.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod correspondence;
pub mod databases;
mod engine_bucket;
pub mod engines;
mod garbage;
pub mod generation;
pub mod generations;
pub mod mail_engines;
mod maildir_settings;
pub mod maildrop_copy;
mod on_demand;
mod reload;
pub mod server;
mod shared_holds;
mod start_error;
pub mod watch;

pub use server::Server;
