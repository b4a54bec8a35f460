//! What sections claim: names and addresses, with their places.

use std::net::SocketAddr;

use super::disk::Wanted;
use super::section::Located;

/// What the readers saw, with its places, whether or not the section it came
/// from was good: a problem in a plugin does not make its name unknown.
#[derive(Default)]
pub(super) struct Claims {
    /// How many listeners there are.
    pub(super) listeners: usize,
    /// Addresses to listen on, and who says so.
    pub(super) addresses: Vec<(Located<SocketAddr>, String)>,
    /// Listeners that speak TLS.
    pub(super) tls: Vec<Located<String>>,
    /// Every engine's name, where it is defined, and whether it is for one process.
    pub(super) engines: Vec<(Located<String>, bool)>,
    /// Where each of them is, in words in which no two places are alike.
    pub(super) engine_places: Vec<(Located<String>, String)>,
    /// Every engine with a bucket, and which part of which bucket it is, in words in which no
    /// two are alike.
    pub(super) buckets: Vec<(Located<String>, String)>,
    /// Every engine's name, where a plugin is granted maildrops in it, and whose `maildrop`
    /// that is.
    pub(super) engine_grants: Vec<(Located<String>, String)>,
    /// Every database's name, where it is defined.
    pub(super) databases: Vec<Located<String>>,
    /// Every database's name, where a plugin is granted it, and whose `databases` they are.
    pub(super) database_grants: Vec<(Located<String>, String)>,
    /// The files that databases name.
    pub(super) database_files: Vec<DatabaseFile>,
    /// Where holds are kept, if that is said and not this process's memory.
    pub(super) holds: Option<Located<String>>,
    /// This server's name, where it is said.
    pub(super) node: Option<Located<String>>,
    /// Whether anything has a certificate.
    pub(super) certificates: bool,
    /// Every plugin's name, where it is defined.
    pub(super) plugins: Vec<Located<String>>,
    /// Every plugin's name, where a tenant uses it.
    pub(super) uses: Vec<Located<String>>,
    /// Every tenant.
    pub(super) tenants: Vec<TenantClaims>,
}

/// What a tenant claims for itself.
pub(super) struct TenantClaims {
    pub(super) name: Located<String>,
    pub(super) domains: Vec<Located<String>>,
    pub(super) default_domain: Option<Located<String>>,
    pub(super) server_names: Vec<Located<String>>,
    pub(super) default: Option<Located<bool>>,
}

impl TenantClaims {
    pub(super) fn title(&self) -> String {
        format!("[tenant.{}]", self.name.value.escape_debug())
    }

    pub(super) fn nobody_reaches_it(&self) -> bool {
        self.domains.is_empty() && self.server_names.is_empty()
    }
}

/// A file without which nobody can be granted a database.
pub(super) struct DatabaseFile {
    /// The name of the database.
    pub(super) database: String,
    /// What messages call the file.
    pub(super) role: &'static str,
    pub(super) wanted: Wanted,
    pub(super) path: Located<std::path::PathBuf>,
}
