//! TOML text becomes a checked [`Config`].
//!
//! Defaults, units and the wording of every complaint about a configuration
//! file live in this room and nowhere else: what leaves it needs no further
//! validating. It knows TOML and the file system's directory entries; it knows
//! nothing of sockets, of certificates' contents, or of what a component
//! exports. The reference of keys is docs/configuration.md, and a test holds
//! the two together.

mod admin;
mod check;
mod claims;
mod disk;
mod domain;
mod endpoint;
mod include;
pub mod keys;
mod maildrops;
mod model;
mod name;
mod origin;
mod problem;
mod read;
mod read_database;
mod read_engine;
mod read_listener;
mod read_maildrop;
mod read_plugin;
mod read_postgres;
mod read_s3;
mod read_signing;
mod read_tenant;
mod section;
mod server;
pub mod signature;
pub mod template;
mod units;
mod values;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use restante_pop3::Retention;

pub use endpoint::Endpoint;
pub use model::*;
pub use origin::HttpOrigin;
pub use problem::{Place, Problem, Problems};
pub use server::{
    Admin, AdminAddress, Identity, Log, LogFormat, OAuth, Pem, Server, ServerLimits, Signing,
    UserNames, Utf8,
};

/// Most octets of linear memory that a plugin's `memory` can grant.
pub const MOST_MEMORY: u64 = 1024 * 1024 * 1024;

/// Most `instances`: each reserves 4 GiB of address space for a memory, and a
/// process has 128 TiB of it.
pub const MOST_INSTANCES: u32 = keys::MAX_INSTANCES;

impl Config {
    /// Reads and checks a file and those that it includes; relative paths start at
    /// the folder of the file that they stand in.
    ///
    /// # Errors
    /// Every problem of the file, in the order of its lines: a file that
    /// cannot be read or is no TOML, and else all that is wrong in it. What is
    /// wrong with the files of plugins and tenants alone is in
    /// [`absent`](Config::absent).
    pub fn load(path: &Path) -> Result<Config, Problems> {
        let text = disk::read_text(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        read::config(&text, path, folder, disk::DISK)
    }

    /// Checks a text; `name_for_messages` is where it came from, and relative
    /// paths in it start at `base_dir`. What it includes is not read.
    ///
    /// # Errors
    /// Every problem of the text, in the order of its lines.
    pub fn parse(
        text: &str,
        name_for_messages: &Path,
        base_dir: &Path,
    ) -> Result<Config, Problems> {
        read::config(text, name_for_messages, base_dir, disk::ALONE)
    }
}

/// A duration as the configuration writes it: a whole number and its unit.
pub fn duration(text: &str) -> Option<Duration> {
    units::duration(text).ok()
}

/// How long messages stay, as the configuration writes it: "never", or whole days.
pub fn retention(text: &str) -> Option<Retention> {
    units::retention(text)
}

impl Default for PluginLimits {
    fn default() -> Self {
        section::without_a_word(&keys::PLUGIN_LIMITS, read_plugin::limits)
    }
}

impl Default for TenantLimits {
    fn default() -> Self {
        section::without_a_word(&keys::TENANT_LIMITS, read_tenant::tenant_limits)
    }
}

impl Default for ServerLimits {
    fn default() -> Self {
        section::without_a_word(&keys::SERVER_LIMITS, read::server_limits)
    }
}
