//! Whose policy a session follows: server name or domain → tenant, with its
//! roles and limits.
//!
//! A tenant is made when a generation is built and never changes; only its
//! count of live sessions does.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use restante_pop3::{Decoy, DigestAlgorithm, Discovery, Language, Mechanism, Mechanisms};

use crate::clock::Clock;
use crate::names::ServerNames;
use crate::outage::Outage;
use crate::penalty::Growth;
use crate::policy::{self, LastLogins, Policy};
use crate::shutdown::Ending;
use crate::tls::{self, Contexts};
use crate::view::ViewPolicy;
use restante_config as config;
use restante_config::{
    FilterFailure, PlaintextLogin, Problem, Scram, TenantLimits, TlsVersion, UserNames, Utf8,
    WhenInUse,
};
use restante_roles::address::Client;
use restante_roles::backend::{Accepts, Admission, Authenticator, Filter, Selector, Store};
use restante_roles::fingerprint::Fingerprint;
use restante_roles::metrics::{GenerationMark, Ledger};
use restante_roles::recording::Recorder;
use restante_roles::shadow::Shadows;

/// Octets of a SCRAM salt, as nearly everybody makes them.
const SCRAM_SALT_OCTETS: usize = 16;

/// What SCRAM shows of users whom nobody knows; `secret` is [`Decoy::new`]'s.
pub fn decoy(server: &config::Server, secret: [u8; 32]) -> Decoy {
    Decoy::new(secret, server.scram_iterations, SCRAM_SALT_OCTETS)
}

/// What new sessions are served with. A session keeps the one it began with.
pub struct Serving {
    /// Everybody's policy.
    pub tenants: Tenants,
    /// For implicit TLS and STLS; None: there is no certificate.
    pub tls: Option<Arc<Contexts>>,
    /// What holds for every session.
    pub settings: SessionSettings,
    /// Its number, and that it lives.
    pub generation: GenerationMark,
    /// When its sessions have to go, once another has taken its place.
    pub ending: Ending,
    /// Who records sessions, if any are.
    pub recorder: Option<Arc<Recorder>>,
}

/// What holds for every session, whoever's it is.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// The protocol's own: greeting, capabilities, limits.
    pub protocol: Arc<restante_pop3::Settings>,
    /// From accept to login as a whole.
    pub login_timeout: Duration,
    /// From the last command to the end (RFC 1939 section 3, autologout timer).
    pub autologout: Duration,
    /// For a TLS handshake.
    pub handshake_timeout: Duration,
    /// For the client to take one more octet.
    pub write_timeout: Duration,
    /// What a client gets that has not said UTF8.
    pub utf8: Utf8,
    /// From PASS to the answer that the login failed.
    pub failure_delay: Growth,
    /// The server's name, as APOP and CRAM-MD5 put it in their challenges.
    pub hostname: Arc<str>,
    /// Which names of failed logins stand in the log.
    pub user_names: UserNames,
    /// What the time was when the server started.
    pub clock: Clock,
}

impl SessionSettings {
    /// As the configuration has them; `decoy` as [`decoy`] makes it.
    pub fn new(server: &config::Server, tenants: &[config::Tenant], decoy: Decoy) -> Self {
        let (expire, login_delay_seconds) = policy::announced(tenants);
        let limits = &server.limits;
        let mut protocol = restante_pop3::Settings {
            greeting: format!("{} POP3 server ready", server.hostname),
            implementation: server
                .implementation
                .then(|| concat!("restante-", env!("CARGO_PKG_VERSION")).to_owned()),
            // Whose user the client is, is not known when it is offered.
            utf8: tenants
                .iter()
                .filter_map(|tenant| tenant.utf8)
                .chain([server.utf8])
                .any(|utf8| utf8 != Utf8::Off),
            language: Some(Language::English),
            expire,
            login_delay_seconds,
            decoy: Some(decoy),
            discovery: Discovery {
                scope: server.oauth.scope.clone(),
                openid_configuration: server.oauth.configuration.clone(),
            },
            ..restante_pop3::Settings::default()
        };
        protocol.limits.line_octets = limits.line;
        protocol.limits.bad_commands_before_login = limits.bad_commands_before_login;
        protocol.limits.bad_commands_after_login = limits.bad_commands_after_login;
        protocol.limits.login_failures = limits.login_failures;
        SessionSettings {
            protocol: Arc::new(protocol),
            login_timeout: limits.login_timeout,
            autologout: limits.autologout,
            handshake_timeout: limits.handshake_timeout,
            write_timeout: limits.write_timeout,
            utf8: server.utf8,
            failure_delay: Growth {
                first: limits.failure_delay,
                longest: limits.max_failure_delay,
                decay: limits.failure_decay,
            },
            hostname: server.hostname.as_str().into(),
            user_names: server.log.user_names,
            clock: Clock::at_start(),
        }
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
            ..Tenant::new(&tenant.name, vec![Arc::new(Outage)], Arc::new(Outage))
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
    fn accepts(&self) -> Accepts {
        let all = self.authenticators.iter();
        all.map(|one| one.accepts())
            .fold(Accepts::default(), |all, one| all | one)
    }

    /// What a maildrop is locked under that its store calls `key`: no tenant waits
    /// for another's users, unless the two have their maildrops in common.
    pub fn lock_key(&self, key: &str) -> String {
        // No tenant's name is empty or holds a line's end.
        let owner = match self.shares_maildrops {
            true => "",
            false => &*self.name,
        };
        [owner, key].join("\n")
    }

    /// A place for one more session, until the permit is dropped.
    pub fn permit(&self) -> Option<SessionPermit> {
        self.sessions.take(self.limits.sessions)
    }

    /// A place for one more session of this user, by canonical name.
    pub fn user_permit(&self, user: &str) -> Option<UserPermit> {
        self.sessions.take_for(user, self.limits.sessions_per_user)
    }
}

/// How many sessions a tenant has. Clones share one count.
#[derive(Debug, Clone, Default)]
pub struct SessionCount {
    live: Arc<AtomicUsize>,
    /// By user; nobody is in here with none.
    users: Arc<Mutex<HashMap<Fingerprint, usize>>>,
}

impl SessionCount {
    /// How many there are.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    fn take(&self, limit: usize) -> Option<SessionPermit> {
        let more = |live| (live < limit).then_some(live + 1);
        self.live
            .try_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        Some(SessionPermit {
            count: self.clone(),
        })
    }

    fn take_for(&self, user: &str, limit: usize) -> Option<UserPermit> {
        let user = Fingerprint::of(user);
        let mut users = self.users();
        let live = users.get(&user).copied().unwrap_or(0);
        if live >= limit {
            return None;
        }
        users.insert(user, live + 1);
        Some(UserPermit {
            count: self.clone(),
            user,
        })
    }

    /// Poison means nothing: no step of a change can panic half way.
    fn users(&self) -> MutexGuard<'_, HashMap<Fingerprint, usize>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One session's place among its tenant's.
#[derive(Debug)]
#[must_use = "the place is taken for as long as the permit lives"]
pub struct SessionPermit {
    count: SessionCount,
}

impl Drop for SessionPermit {
    fn drop(&mut self) {
        self.count.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One session's place among its user's.
#[derive(Debug)]
#[must_use = "the place is taken for as long as the permit lives"]
pub struct UserPermit {
    count: SessionCount,
    user: Fingerprint,
}

impl Drop for UserPermit {
    fn drop(&mut self) {
        let mut users = self.count.users();
        if let Some(live) = users.get_mut(&self.user) {
            *live -= 1;
            if *live == 0 {
                users.remove(&self.user);
            }
        }
    }
}

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

/// What clients are offered to log in with, as far as the tenants go; what the
/// channel allows of it, the session decides.
#[derive(Debug, Clone, Copy, Default)]
pub struct Offer {
    /// Every mechanism that somebody can answer for.
    answered: Mechanisms,
    /// SCRAM's, where somebody judges passwords and has no keys: clients like SCRAM
    /// better, and would lock such users out.
    withheld: Mechanisms,
    /// APOP.
    pub apop: bool,
    /// USER and PASS over TLS, from this machine in the clear, from anywhere in
    /// the clear.
    password: [bool; 3],
}

impl Offer {
    fn of(tenant: &Tenant) -> Self {
        let accepts = tenant.accepts();
        let withheld = Mechanism::ALL
            .into_iter()
            .filter(|mechanism| {
                let has_keys = |one: Accepts| match mechanism {
                    Mechanism::ScramSha1 | Mechanism::ScramSha1Plus => {
                        one.scram_sha1 && tenant.scram != Scram::Off
                    }
                    // On: those without keys cannot log in with it, and the tenant knows.
                    Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => match tenant.scram {
                        Scram::Auto => one.scram_sha256,
                        Scram::On => true,
                        Scram::Off => false,
                    },
                    _ => true,
                };
                let mut all = tenant.authenticators.iter().map(|one| one.accepts());
                all.any(|one| one.password && !has_keys(one))
            })
            .collect();
        let answered = Mechanism::ALL
            .into_iter()
            .filter(|mechanism| match mechanism {
                Mechanism::Plain | Mechanism::Login => accepts.password,
                Mechanism::ScramSha1 | Mechanism::ScramSha1Plus => {
                    accepts.scram_sha1 && tenant.scram != Scram::Off
                }
                Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => {
                    accepts.scram_sha256 && tenant.scram != Scram::Off
                }
                Mechanism::External => accepts.certificate,
                Mechanism::OAuthBearer | Mechanism::XOAuth2 => accepts.bearer,
                Mechanism::CramMd5 => accepts.digest && tenant.cram_md5,
            })
            .collect();
        let loopback = tenant.plaintext_login != PlaintextLogin::Never;
        let always = tenant.plaintext_login == PlaintextLogin::Always;
        Offer {
            answered,
            withheld,
            apop: accepts.digest && tenant.apop,
            password: [true, loopback, always].map(|allowed| allowed && accepts.password),
        }
    }

    /// The mechanisms.
    pub fn mechanisms(&self) -> Mechanisms {
        self.answered
            .iter()
            .filter(|mechanism| !self.withheld.contains(*mechanism))
            .collect()
    }

    /// Whether a password may come over a connection like this.
    pub fn password(&self, tls: bool, client: Client) -> bool {
        let [over_tls, from_here, from_anywhere] = self.password;
        (tls && over_tls) || from_anywhere || (from_here && client.is_loopback())
    }

    fn with(self, other: Offer) -> Offer {
        let both = |one: Mechanisms, other: Mechanisms| one.iter().chain(other.iter()).collect();
        Offer {
            answered: both(self.answered, other.answered),
            withheld: both(self.withheld, other.withheld),
            apop: self.apop | other.apop,
            password: std::array::from_fn(|at| self.password[at] | other.password[at]),
        }
    }
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
    fn claimant(&self, name: &str) -> Option<&Arc<Tenant>> {
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

#[cfg(test)]
mod tests;
