//! Which tenant a client is served as.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::offer::Offer;
use super::one::Tenant;
use crate::names::ServerNames;

/// The tenants and the names that lead to them. Names count in any case.
#[derive(Default)]
pub struct Tenants {
    all: HashMap<String, Arc<Tenant>>,
    by_server_name: ServerNames<Arc<Tenant>>,
    by_domain: HashMap<String, Arc<Tenant>>,
    /// Names of tenants that claim domains: they serve no other ones.
    with_domains: HashSet<String>,
    default: Option<Arc<Tenant>>,
    /// Of all tenants together.
    offer: Offer,
}

impl Tenants {
    /// No tenant: every login fails.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tenant under the names that the configuration gives it; that no
    /// two share one was checked there.
    pub fn add(
        &mut self,
        tenant: Arc<Tenant>,
        domains: &[String],
        server_names: &[String],
        default: bool,
    ) {
        if !domains.is_empty() {
            self.with_domains.insert(tenant.name.clone());
        }
        for domain in domains {
            self.by_domain
                .insert(domain.to_lowercase(), Arc::clone(&tenant));
        }
        for name in server_names {
            self.by_server_name.insert(name, Arc::clone(&tenant));
        }
        if default {
            self.default = Some(Arc::clone(&tenant));
        }
        // What nobody answers for now is not worth an offer to the others' users.
        if tenant.out.is_empty() {
            self.offer = self.offer.with(Offer::of(&tenant));
        }
        self.all.insert(tenant.name.clone(), tenant);
    }

    /// Every tenant.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.all.values()
    }

    /// The names of those that serve nobody, in order.
    pub fn out(&self) -> Vec<&str> {
        let out = self.iter().filter(|tenant| !tenant.out.is_empty());
        let mut names: Vec<_> = out.map(|tenant| tenant.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// The one of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<Tenant>> {
        self.all.get(name)
    }

    /// Whose user this is: the tenant of the TLS server name (exact, then
    /// wildcard for one label), else of the domain of the user name, else the
    /// default one.
    pub fn choose(&self, server_name: Option<&str>, user: &str) -> Option<&Arc<Tenant>> {
        self.of_server_name(server_name)
            .or_else(|| {
                let domain = domain(user)?;
                self.by_domain.get(&domain)
            })
            .or(self.default.as_ref())
    }

    /// May this tenant's plugins be asked about a name that a client gave? Not
    /// where the name's domain is another tenant's, whatever led here.
    pub fn may_ask(&self, tenant: &Tenant, name: &str) -> bool {
        self.claimant(name)
            .is_none_or(|claimant| claimant.name == tenant.name)
    }

    /// May this tenant serve an account of this name, whoever made it up? Of names
    /// with a domain only those of its own domains, or, where it has none, of
    /// domains that nobody claims.
    pub fn may_serve(&self, tenant: &Tenant, user: &str) -> bool {
        match self.claimant(user) {
            Some(claimant) => claimant.name == tenant.name,
            None => !self.with_domains.contains(&tenant.name) || domain(user).is_none(),
        }
    }

    /// Does the name end in a domain that a tenant claims?
    pub fn is_claimed(&self, name: &str) -> bool {
        self.claimant(name).is_some()
    }

    /// Whose domain the name has, if it has one that is claimed.
    pub(super) fn claimant(&self, name: &str) -> Option<&Arc<Tenant>> {
        self.by_domain.get(&domain(name)?)
    }

    /// Whose client this is before it says who it is: the tenant of the server name,
    /// or the default one where no user's domain leads to another.
    pub fn certain(&self, server_name: Option<&str>) -> Option<&Arc<Tenant>> {
        self.of_server_name(server_name).or_else(|| {
            let default = self.default.as_ref()?;
            let mut by_domain = self.by_domain.values();
            by_domain
                .all(|tenant| Arc::ptr_eq(tenant, default))
                .then_some(default)
        })
    }

    /// The tenant that a server name alone leads to.
    fn of_server_name(&self, server_name: Option<&str>) -> Option<&Arc<Tenant>> {
        server_name.and_then(|name| self.by_server_name.find(name))
    }

    /// What the greeting and CAPA go by: the policy of the server name's tenant;
    /// without one, whatever some tenant offers, since it is not known yet whose
    /// user the client is.
    pub fn offer(&self, server_name: Option<&str>) -> Offer {
        let tenant = self.of_server_name(server_name);
        tenant.map_or(self.offer, |tenant| Offer::of(tenant))
    }
}

/// What stands behind the last "@" of a name, as domains are compared: in any case,
/// with or without the DNS's final dot.
fn domain(name: &str) -> Option<String> {
    let (_, domain) = name.rsplit_once('@')?;
    Some(domain.trim_end_matches('.').to_lowercase())
}
