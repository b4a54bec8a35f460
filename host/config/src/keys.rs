//! Every key of the configuration file as data: what it is called, what it may be, what
//! it is without a word, whether it takes a restart, and what it means.
//!
//! The readers take ranges and defaults from here; the tables of
//! docs/configuration.md and `restante config --keys` are made of it.

mod key;
mod places;
mod plugin;
mod server;
mod tenant;

pub use key::{Default, Key, Kind, MAX_INSTANCES, Table};
pub use places::{DATABASE, ENGINE, ENGINE_S3, LISTENER};
pub use plugin::{DIRECTORY, PLUGIN, PLUGIN_GRANTS, PLUGIN_LIMITS};
pub use server::{SERVER, SERVER_LIMITS, SERVER_LOG};
pub use tenant::{AUTHENTICATOR, LISTED, TENANT, TENANT_LIMITS};

/// All of them, in the order in which they are documented.
pub const TABLES: [&Table; 15] = [
    &SERVER,
    &SERVER_LOG,
    &SERVER_LIMITS,
    &ENGINE,
    &ENGINE_S3,
    &DATABASE,
    &LISTENER,
    &PLUGIN,
    &PLUGIN_GRANTS,
    &DIRECTORY,
    &PLUGIN_LIMITS,
    &TENANT,
    &AUTHENTICATOR,
    &LISTED,
    &TENANT_LIMITS,
];
