//! What sections claim: names and addresses, with their places.

use std::net::SocketAddr;

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
