//! What the host implements for guests, a file for each interface. Each stands on
//! [`State`](crate::instance::state::State), and no part of that knows any of them.

mod blobs;
mod config_store;
mod database;
mod engine;
mod files;
mod filesystem;
mod hold;
mod http;
pub(crate) mod linker;
mod logging;
mod mail_index;
mod maildrop;
mod passwords;
mod preopens;
mod sockets;
