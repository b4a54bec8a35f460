//! One tenant: its roles, limits and policy.

use std::sync::Arc;
use std::time::Duration;

use restante_pop3::DigestAlgorithm;

use super::sessions::{SessionCount, SessionPermit, UserPermit};
use crate::policy::{LastLogins, Policy};
use crate::tls;
use crate::unavailable::Unavailable;
use crate::view::ViewPolicy;
use restante_config as config;
use restante_config::{
    FilterFailure, PlaintextLogin, Problem, Scram, TenantLimits, TlsVersion, Utf8, WhenInUse,
};
use restante_roles::address::Client;
use restante_roles::backend::{Accepts, Admission, Authenticator, Filter, Selector, Store};
use restante_roles::metrics::Ledger;
use restante_roles::shadow::Shadows;
use restante_roles::shared_holds::Visit;

/// [`Tenant::shared_key`] for whoever has no more of a tenant than its name and whether it
/// shares maildrops with others.
pub fn shared_key(tenant: &str, shares_maildrops: bool, key: &str, is_engines: bool) -> String {
    // No tenant's name is empty or holds a colon.
    [owner_of(tenant, shares_maildrops, is_engines), key].join(":")
}

fn owner_of(tenant: &str, shares_maildrops: bool, is_engines: bool) -> &str {
    match shares_maildrops && !is_engines {
        true => "",
        false => tenant,
    }
}

/// One tenant's policy.
pub struct Tenant {
    /// As the configuration calls it.
    pub name: String,
    /// Asked in this order; the first that knows the user decides.
    pub authenticators: Vec<Arc<dyn Authenticator>>,
    /// Asked in this order whether a client may talk to us; each has to let it.
    pub admissions: Vec<Arc<dyn Admission>>,
    /// Where the mail is.
    pub store: Arc<dyn Store>,
    /// Each sees the store's whole listing; what any of them hides is hidden.
    pub selectors: Vec<Arc<dyn Selector>>,
    /// Asked in this order for what the ones before it left visible.
    pub filters: Vec<Arc<dyn Filter>>,
    /// What becomes of messages that one of them failed on.
    pub filter_failure: FilterFailure,
    /// Asked beside the others, with answers that change nothing.
    pub shadows: Shadows,
    /// Where a password may travel in the clear.
    pub plaintext_login: PlaintextLogin,
    /// The oldest version of TLS that a login may come through.
    pub tls_minimum: TlsVersion,
    /// EXPIRE and LOGIN-DELAY.
    pub policy: Policy,
    /// What a client of its users gets that has not said UTF8; None: what the server says.
    pub utf8: Option<Utf8>,
    /// SCRAM is offered.
    pub scram: Scram,
    /// APOP is offered, if an authenticator judges digests.
    pub apop: bool,
    /// CRAM-MD5 is offered, likewise.
    pub cram_md5: bool,
    /// Its share of the server.
    pub limits: TenantLimits,
    /// Its maildrops may be those of other tenants that say so too.
    pub shares_maildrops: bool,
    /// The domain of a user's name that has none, in lower case.
    pub default_domain: Option<String>,
    /// What becomes of a session whose user logs in once more.
    pub when_in_use: WhenInUse,
    /// How many sessions it has. Hand the old generation's count to the new one,
    /// or a reload doubles what a tenant may use.
    pub sessions: SessionCount,
    /// When its users logged in last; likewise.
    pub last_logins: LastLogins,
    /// What it has used; likewise.
    pub ledger: Arc<Ledger>,
    /// Why it serves nobody; none where it does.
    pub out: Vec<Problem>,
}

impl Tenant {
    /// Who decides what its users see of their maildrops.
    pub fn view_policy(&self) -> ViewPolicy<'_> {
        ViewPolicy {
            selectors: &self.selectors,
            filters: &self.filters,
            filter_failure: self.filter_failure,
            shadows: &self.shadows,
        }
    }

    /// One that has what it needs, and of the rest what a configuration without a
    /// word of it has.
    pub fn new(
        name: &str,
        authenticators: Vec<Arc<dyn Authenticator>>,
        store: Arc<dyn Store>,
    ) -> Self {
        Tenant {
            name: name.into(),
            authenticators,
            admissions: Vec::new(),
            store,
            selectors: Vec::new(),
            filters: Vec::new(),
            filter_failure: FilterFailure::Refuse,
            shadows: Shadows::new(name),
            plaintext_login: PlaintextLogin::Loopback,
            tls_minimum: TlsVersion::V1_2,
            policy: Policy::NONE,
            utf8: None,
            scram: Scram::default(),
            apop: false,
            cram_md5: false,
            limits: TenantLimits::default(),
            shares_maildrops: false,
            default_domain: None,
            when_in_use: WhenInUse::default(),
            sessions: SessionCount::default(),
            last_logins: LastLogins::default(),
            ledger: Ledger::new(name),
            out: Vec::new(),
        }
    }

    /// One that can be found and cannot be served: whoever logs in hears that.
    pub fn out(tenant: &config::Tenant, problems: Vec<Problem>) -> Self {
        Tenant {
            plaintext_login: tenant.plaintext_login,
            tls_minimum: tenant.tls_minimum,
            policy: Policy::new(tenant),
            scram: tenant.scram,
            apop: tenant.apop,
            cram_md5: tenant.cram_md5,
            limits: tenant.limits.clone(),
            shares_maildrops: tenant.shares_maildrops,
            out: problems,
            ..Tenant::new(
                &tenant.name,
                vec![Arc::new(Unavailable)],
                Arc::new(Unavailable),
            )
        }
    }

    /// A name that a client gave, as the tenant's plugins are told it: with a domain if
    /// the tenant has one for those without, in lower case and without the DNS's final
    /// dot. What is before the "@" is for the plugins to compare.
    pub fn name_for_plugins(&self, given: &str) -> String {
        match (given.rsplit_once('@'), &self.default_domain) {
            (Some((local, domain)), _) => {
                let domain = domain.trim_end_matches('.').to_ascii_lowercase();
                format!("{local}@{domain}")
            }
            (None, Some(domain)) => format!("{given}@{domain}"),
            (None, None) => given.to_owned(),
        }
    }

    /// May a password of this tenant's users come over a connection like this?
    pub fn allows_password(&self, tls: bool, client: Client) -> bool {
        tls || match self.plaintext_login {
            PlaintextLogin::Always => true,
            PlaintextLogin::Never => false,
            PlaintextLogin::Loopback => client.is_loopback(),
        }
    }

    /// May its users log in through this version of TLS? A handshake knows a tenant by the
    /// server name that the client asks for; who asks for none, or for another's, has shaken
    /// hands as others do.
    pub fn allows_tls(&self, version: &str) -> bool {
        match self.tls_minimum {
            TlsVersion::V1_2 => true,
            TlsVersion::V1_3 => version == tls::TLS_1_3,
        }
    }

    /// Did it turn on what makes such digests: APOP, CRAM-MD5?
    pub fn allows_digest(&self, algorithm: DigestAlgorithm) -> bool {
        match algorithm {
            DigestAlgorithm::Md5 => self.apop,
            DigestAlgorithm::HmacMd5 => self.cram_md5,
        }
    }

    /// What somebody of its authenticators can judge.
    pub(super) fn accepts(&self) -> Accepts {
        let all = self.authenticators.iter();
        all.map(|one| one.accepts())
            .fold(Accepts::default(), |all, one| all | one)
    }

    /// What a maildrop is locked under that its store calls `key`: no tenant waits
    /// for another's users, unless the two have their maildrops in common. `is_engines`: it is
    /// in an engine, where no two tenants have.
    pub fn lock_key(&self, key: &str, is_engines: bool) -> String {
        // No tenant's name is empty or holds a line's end.
        [self.owner_of(is_engines), key].join("\n")
    }

    /// What nodes share the hold on a maildrop under that its store calls `key`, likewise.
    pub fn shared_key(&self, key: &str, is_engines: bool) -> String {
        shared_key(&self.name, self.shares_maildrops, key, is_engines)
    }

    fn owner_of(&self, is_engines: bool) -> &str {
        owner_of(&self.name, self.shares_maildrops, is_engines)
    }

    /// A place for one more session, until the permit is dropped.
    pub fn permit(&self) -> Option<SessionPermit> {
        self.sessions.take(self.limits.sessions)
    }

    /// Whether this user has a session, by canonical name.
    pub fn has_session_of(&self, user: &str) -> bool {
        self.sessions.has(user)
    }

    /// What nodes count of a login of this user, who has a place among those of this server's
    /// already.
    pub fn visit(&self, user: &str, delay: Duration) -> Visit {
        let here = self.sessions.of(user);
        let elsewhere = self.limits.sessions_per_user.saturating_sub(here);
        Visit {
            // No tenant's name is empty or holds a colon.
            visitor: [self.name.as_str(), user].join(":"),
            delay,
            most_elsewhere: u32::try_from(elsewhere).unwrap_or(u32::MAX),
        }
    }

    /// A place for one more session of this user, by canonical name.
    pub fn user_permit(&self, user: &str) -> Option<UserPermit> {
        self.sessions.take_for(user, self.limits.sessions_per_user)
    }
}
