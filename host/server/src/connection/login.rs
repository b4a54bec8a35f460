//! From a password to an open maildrop: tenant, authenticators, lock, store,
//! view. Whatever fails on the way refuses the login; nothing lets it through.

mod in_use;
mod refused;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use restante_pop3::{
    Cause, FailedLogin, Login, Refusal, ResponseCode, Retention, ScramHash, ScramKeys, ScramNonce,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info, warn};

use super::end::End;
use super::open::{Exclusive, Open};
use super::refusal::{login_failed, refusal_for};
use super::{Driver, Proving};
use crate::lock::{Holder, Locks};
use crate::penalty::Fingerprint;
use crate::policy::{OfUser, whole_seconds};
use crate::sessions::LiveSession;
use crate::tenant::{SessionPermit, Tenant, Tenants};
use crate::user_names::{Name, ShownName};
use crate::view::{Octets, Verdicts, View};
use refused::{Foreign, Why};
pub(super) use refused::{LoginError, Refused};
use restante_config::Utf8;
use restante_roles::acting::{self, Denied};
use restante_roles::backend::{Account, Authenticator, Connection, Credentials, Failure};
use restante_roles::metrics::LoginResult;
use restante_roles::shadow::Decision;
use restante_roles::shared_holds::SharedHolds;
use restante_roles::turns;

/// What was refused, as the address that it came from is charged for it.
#[derive(Clone, Copy)]
enum Guess {
    /// Something was shown and was wrong; with its fingerprint, if it has one.
    Tried(Option<Fingerprint>),
    /// Nobody looked whether it is right.
    Untried,
}

/// A tenant's answer to a login.
type Answer = Result<(Open, Account), Refused>;

impl<S> Driver<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// None: refused, and the session goes on.
    pub(super) async fn log_in(&mut self, login: Login) -> Result<Option<Open>, End> {
        let started = Instant::now();
        let credentials = match login {
            Login::Credentials(credentials) => credentials,
            Login::Proved { user, .. } => return self.log_in_proved(&user, started).await,
        };
        if let Credentials::Password { secret, .. } | Credentials::Bearer { token: secret, .. } =
            &credentials
        {
            self.passwords.add(&self.known_names, secret.expose());
        }
        let server_name = match &credentials {
            // What RFC 7628 section 3.1 has the host's name for: whose token it is.
            Credentials::Bearer { host, .. } => self.server_name().or(host.as_deref()),
            _ => self.server_name(),
        };
        let server_name = server_name.map(str::to_owned);
        // As the client gave it, which is what the log shows.
        let given = credentials.user().unwrap_or_default().to_owned();
        let user = given.as_str();
        let serving = Arc::clone(&self.serving);
        let tenant = serving.tenants.choose(server_name.as_deref(), user);
        let credentials = Arc::new(match tenant {
            Some(tenant) => credentials.renamed(|name| tenant.name_for_plugins(name)),
            None => credentials,
        });
        let answer = match tenant {
            Some(tenant) => match own(&serving.tenants, tenant, credentials.names()) {
                Ok(()) => self.ask(tenant, &credentials).await,
                Err(refused) => Err(refused.into()),
            },
            None => Err(Refused::credentials(Why::NoTenant).into()),
        };
        match answer {
            Ok((open, account)) => Ok(Some(self.logged_in(open, &account, user))),
            Err(LoginError::End(end)) => Err(end),
            Err(LoginError::Refused(refused)) => {
                self.count_refusal(tenant, refused.why.result());
                let guess = self.guess(&refused.why, &credentials);
                let user = self.shown_name(user);
                drop(credentials);
                self.refuse_login(&user, &refused.why, &refused.refusal, guess, started)
                    .await?;
                Ok(None)
            }
        }
    }

    /// Looks up what SCRAM needs to know of a user. Nobody learns here whether
    /// there is one.
    pub(super) async fn scram_keys(
        &mut self,
        user: &str,
        acting_as: Option<&str>,
        hash: ScramHash,
    ) -> Result<(), End> {
        self.proving = None;
        let serving = Arc::clone(&self.serving);
        let tenant = serving.tenants.choose(self.server_name(), user);
        let given = user;
        let told = |name: &str| match tenant {
            Some(tenant) => tenant.name_for_plugins(name),
            None => name.to_owned(),
        };
        let (user, acting_as) = (told(given), acting_as.map(told));
        let (user, acting_as) = (user.as_str(), acting_as.as_deref());
        if let Some(mock_credentials) = &serving.settings.protocol.mock_credentials {
            // As the tenant's plugins have it, for keys that are made of passwords.
            let name = tenant.map(|tenant| tenant.name.as_str());
            self.session
                .mock_credentials(mock_credentials.of(name), user.to_owned());
        }
        let found = match tenant {
            Some(tenant) => match own(
                &serving.tenants,
                tenant,
                acting_as.into_iter().chain([user]),
            ) {
                Ok(()) => self.look_up(tenant, user, acting_as, hash).await,
                Err(refused) => Err(refused.into()),
            },
            None => Err(Refused::credentials(Why::NoTenant).into()),
        };
        let keys = match found {
            Ok(keys) => Ok(keys),
            Err(LoginError::End(end)) => return Err(end),
            Err(LoginError::Refused(refused)) => {
                // Those without keys go on with mock credentials, and are told at the end.
                let name = self.shown_name(given);
                let why = name.hide_in(refused.why.to_string());
                debug!(user = %name, why, "no SCRAM keys");
                Err(refused.refusal)
            }
        };
        let mut random = [0; 18];
        let keys = match getrandom::fill(&mut random) {
            Ok(()) => keys,
            Err(error) => {
                error!(%error, "the system has no randomness");
                Err(refusal_for(&Failure::internal()))
            }
        };
        let nonce = ScramNonce::from_random(random);
        self.session.scram_keys(keys, &nonce, self.wire.out());
        Ok(())
    }

    /// Whether there is no TLS, or a version of it that the tenant takes.
    fn has_tls_for(&self, tenant: &Tenant) -> bool {
        let tls = self.tls.as_ref();
        tls.is_none_or(|tls| tenant.allows_tls(&tls.version))
    }

    async fn look_up(
        &mut self,
        tenant: &Arc<Tenant>,
        user: &str,
        acting_as: Option<&str>,
        hash: ScramHash,
    ) -> Result<ScramKeys, LoginError> {
        Refused::unless_within_rate(tenant)?;
        if !self.has_tls_for(tenant) {
            return Err(Refused::old_tls().into());
        }
        self.admit(tenant).await?;
        let connection = self.connection(tenant);
        let serving = Arc::clone(&self.serving);
        let penalty = self.penalty();
        let asking = async {
            let _entrance = turns::server().enter(&connection.owner(), penalty).await?;
            let found = scram_keys(tenant, &connection, user, acting_as, hash).await?;
            if let Ok(account) = &found.1 {
                may_serve(&serving.tenants, tenant, account)?;
            }
            Ok(found)
        };
        let found: Result<_, Refused> = self.wire.flush_while(asking).await?;
        let (keys, account) = found?;
        self.proving = Some(Proving {
            tenant: Arc::clone(tenant),
            connection,
            account,
        });
        Ok(keys)
    }

    /// The user has proved to know the password behind the keys that were looked
    /// up last.
    async fn log_in_proved(&mut self, user: &str, started: Instant) -> Result<Option<Open>, End> {
        let proving = self.proving.take().expect("keys come before their proof");
        let ledger = Arc::clone(&proving.tenant.ledger);
        let answer = match proving.account {
            Ok(account) => {
                let tenant = proving.tenant;
                let (connection, at) = (proving.connection, self.desk(&tenant));
                let opening = async {
                    let permit = tenant.permit();
                    open(&tenant, &connection, account, permit, &at).await
                };
                self.wire.flush_while(opening).await?
            }
            Err(denied) => Err(denied.into()),
        };
        match answer {
            Ok((open, account)) => Ok(Some(self.logged_in(open, &account, user))),
            Err(refused) => {
                ledger.login(refused.why.result());
                // The password was right: this is no guess at one.
                let (why, refusal) = (&refused.why, &refused.refusal);
                let user = self.shown_name(user);
                self.refuse_login(&user, why, refusal, Guess::Untried, started)
                    .await?;
                Ok(None)
            }
        }
    }

    /// A login that failed before anybody was asked.
    pub(super) async fn login_failed(&mut self, failed: &FailedLogin) -> Result<(), End> {
        let started = Instant::now();
        let serving = Arc::clone(&self.serving);
        let tenant = match self.proving.take() {
            Some(proving) => Some(proving.tenant),
            None => {
                let user = failed.user.as_deref().unwrap_or_default();
                let chosen = serving.tenants.choose(self.server_name(), user);
                chosen.cloned()
            }
        };
        self.count_refusal(tenant.as_ref(), LoginResult::Rejected);
        let guess = match failed.cause {
            // There is no password to know it again by.
            Cause::Proof => Guess::Tried(None),
            _ => Guess::Untried,
        };
        let user = self.shown_name(failed.user.as_deref().unwrap_or_default());
        self.refuse_login(&user, &failed.cause, &login_failed(), guess, started)
            .await
    }

    /// What the tenant says.
    async fn ask(
        &mut self,
        tenant: &Arc<Tenant>,
        credentials: &Arc<Credentials>,
    ) -> Result<(Open, Account), LoginError> {
        Refused::unless_within_rate(tenant)?;
        if !self.has_tls_for(tenant) {
            return Err(Refused::old_tls().into());
        }
        self.admit(tenant).await?;
        match &**credentials {
            Credentials::Password { .. }
                if !tenant.allows_password(self.tls.is_some(), self.peer.client) =>
            {
                return Err(Refused::in_the_clear().into());
            }
            // It may be another tenant's offer: whose user it is was not known then.
            Credentials::Digest { algorithm, .. } if !tenant.allows_digest(*algorithm) => {
                return Err(Refused::credentials(Why::TurnedOff).into());
            }
            _ => {}
        }
        let connection = self.connection(tenant);
        let at = self.desk(tenant);
        let serving = Arc::clone(&self.serving);
        let penalty = self.penalty();
        let asking = async {
            // Without one it may still get that of an older session of its user's, and
            // whose it is has to be known first.
            let permit = tenant.permit();
            let entrance = turns::server().enter(&connection.owner(), penalty).await?;
            let decided = authenticate(tenant, &connection, credentials).await;
            drop(entrance);
            let decided = decided.and_then(|account| {
                may_serve(&serving.tenants, tenant, &account)?;
                Ok(account)
            });
            let shadows = &tenant.shadows;
            shadows.authenticated(&connection, credentials, || decision(&decided));
            let account = decided?;
            open(tenant, &connection, account, permit, &at).await
        };
        Ok(self.wire.flush_while(asking).await??)
    }

    fn desk(&self, tenant: &Tenant) -> Opening {
        let utf8 = tenant.utf8.unwrap_or(self.serving.settings.utf8);
        let as_surrogates = utf8 == Utf8::Surrogate && !self.session.utf8();
        Opening {
            live: Arc::clone(&self.live),
            locks: self.locks.clone(),
            holds: self.holds.clone(),
            verdicts: Arc::clone(&self.verdicts),
            octets: match as_surrogates {
                true => Octets::Surrogates,
                false => Octets::Stored,
            },
        }
    }

    /// How the log shows the name of a login that failed.
    fn shown_name(&self, user: &str) -> ShownName {
        let setting = self.serving.settings.user_names;
        let is_claimed = self.serving.tenants.is_claimed(user);
        self.known_names
            .shown(user, setting, is_claimed, &self.passwords)
    }

    /// Counts, logs and says to the session what holds for its user. `user`: the name that
    /// the client gave, which may be another than the account's.
    fn logged_in(&mut self, open: Open, account: &Account, user: &str) -> Open {
        for name in [user, &account.user] {
            self.known_names.logged_in(name);
        }
        let listing = open.view.listing();
        let ledger = &open.tenant.ledger;
        ledger.login(LoginResult::Ok);
        self.live.logged_in(ledger.tenant(), &account.user);
        info!(
            tenant = open.tenant.name,
            user = ?Name(&account.user),
            tls = self.tls.as_ref().map_or("", |tls| &tls.version),
            cipher = self.tls.as_ref().map_or("", |tls| &tls.cipher),
            messages = listing.len(),
            octets = listing.total_octets(),
            "login"
        );
        let OfUser {
            expire,
            login_delay,
        } = open.policy;
        open.tenant.last_logins.note(&account.user, login_delay);
        if let Some(hold) = &open.exclusive.hold {
            hold.logged_in();
        }
        // Said after login is what was said before it, in this user's terms.
        let announced = &self.serving.settings.protocol;
        let expire = announced.expire.map(|_| expire.unwrap_or(Retention::Never));
        let login_delay = announced
            .login_delay_seconds
            .map(|_| whole_seconds(login_delay));
        self.session.policy(expire, login_delay);
        open
    }

    async fn refuse_login(
        &mut self,
        user: &ShownName,
        why: &impl fmt::Display,
        refusal: &Refusal,
        guess: Guess,
        started: Instant,
    ) -> Result<(), End> {
        let why = user.hide_in(why.to_string());
        info!(%user, %why, "login failed");
        if refusal.code() == Some(ResponseCode::Auth) {
            let delay = self.failure_delay(guess);
            // Counted from PASS on: how long it took to find out is not to be
            // seen, whether it was a user, a password or a tenant that was wrong.
            // And seen through: who hangs up holds the place of another guess.
            self.wire.flush().await?;
            sleep_until(started + delay).await;
        }
        self.session.refuse_login(refusal, self.wire.out());
        Ok(())
    }

    fn count_refusal(&self, tenant: Option<&Arc<Tenant>>, result: LoginResult) {
        let ledger = tenant.map_or(&self.nobody, |tenant| &tenant.ledger);
        ledger.login(result);
    }

    /// What the latest failed login from the client's address cost, if it counts still.
    pub(super) fn penalty(&self) -> Duration {
        let growth = &self.serving.settings.failure_delay;
        self.penalties.owed(self.peer.client, growth)
    }

    /// How long the answer waits; counts what was a guess.
    fn failure_delay(&self, guess: Guess) -> Duration {
        let client = self.peer.client;
        let growth = &self.serving.settings.failure_delay;
        match guess {
            Guess::Tried(fingerprint) => self.penalties.failed(client, fingerprint, growth),
            Guess::Untried => self.penalties.delay(client, growth),
        }
    }

    /// What a refused login was, as far as guessing goes. The same password or
    /// token again is no other guess.
    fn guess(&self, why: &Why, credentials: &Credentials) -> Guess {
        if matches!(
            why,
            Why::InTheClear | Why::OldTls | Why::TurnedOff | Why::NotAdmitted | Why::TooManyLogins
        ) {
            return Guess::Untried;
        }
        let user = credentials.user().unwrap_or_default();
        let secret = match credentials {
            Credentials::Password { secret, .. } | Credentials::Bearer { token: secret, .. } => {
                secret.expose()
            }
            // Made of a challenge that is never given twice.
            Credentials::Digest { .. } => return Guess::Tried(None),
            // It was verified: there is nothing to guess.
            Credentials::Certificate { .. } => return Guess::Untried,
        };
        Guess::Tried(Some(self.penalties.fingerprint(user, secret)))
    }
}

/// What a maildrop is opened with beside its tenant.
struct Opening {
    live: Arc<LiveSession>,
    locks: Locks,
    holds: Option<Arc<dyn SharedHolds>>,
    verdicts: Arc<Verdicts>,
    octets: Octets,
}

/// The account's maildrop, locked and open.
async fn open(
    tenant: &Arc<Tenant>,
    connection: &Arc<Connection>,
    account: Account,
    permit: Option<SessionPermit>,
    at: &Opening,
) -> Answer {
    debug!(user = ?Name(&account.user), maildrop = ?Name(&account.maildrop), "authenticated");
    if permit.is_none() && !tenant.has_session_of(&account.user) {
        return Err(Refused::too_many_sessions());
    }
    let policy = tenant.policy.of(&account);
    if let Some(wait) = tenant.last_logins.wait(&account.user) {
        return Err(Failure::LoginDelay(whole_seconds(wait)).into());
    }
    let found = tenant.store.find(connection, &account).await?;
    let holder = Arc::new(Holder {
        session: Arc::clone(&at.live),
        tenant: Arc::clone(tenant.ledger.tenant()),
        user: account.user.clone(),
    });
    // Holds that the store's engine keeps are what that engine removes by.
    let own = found.holds();
    let key = tenant.lock_key(found.lock_key(), own.is_some());
    let (lock, inherited) = in_use::lock(&at.locks, &key, &holder, tenant)
        .await
        .ok_or_else(Refused::in_use)?;
    // The place of the session that had the maildrop is its successor's: were it free for a
    // moment, another user might have it, and this one would have no session at all.
    let permit = permit.or(inherited).or_else(|| tenant.permit());
    lock.keep(permit.ok_or_else(Refused::too_many_sessions)?);
    // After the lock: the session that had it until now counts no more.
    let users = tenant
        .user_permit(&account.user)
        .ok_or_else(Refused::too_many_of_this_user)?;
    let hold = match own.as_ref().or(at.holds.as_ref()) {
        Some(holds) => {
            let key = tenant.shared_key(&found.shared_key()?, own.is_some());
            let visit = tenant.visit(&account.user, policy.login_delay);
            let held = in_use::acquire(&**holds, &key, &visit, &holder, tenant).await?;
            at.live.holds(&key, held.fence());
            Some(held)
        }
        None => None,
    };
    let fence = hold.as_ref().map(|hold| hold.fence());
    // What the host does for this session may go on when it is over.
    let exclusive = Arc::new(Exclusive { hold, lock });
    connection.hold.hold(&exclusive, fence);
    let maildrop = found.open().await?;
    let maildrop = Arc::new(Mutex::new(maildrop));
    let view = View::new(
        &tenant.view_policy(),
        connection,
        &account,
        &maildrop,
        &at.verdicts,
        at.octets,
    )
    .await?;
    let open = Open {
        maildrop,
        view,
        tenant: Arc::clone(tenant),
        policy,
        retrieved: HashSet::new(),
        _permit: users,
        _entry: tenant.ledger.session(),
        exclusive,
    };
    Ok((open, account))
}

/// What shadows are compared with.
fn decision(decided: &Result<Account, Refused>) -> Decision {
    match decided {
        Ok(account) => Decision::Account(account.clone()),
        Err(refused) if matches!(refused.why, Why::Failed(_)) => Decision::Failed,
        Err(_) => Decision::Denied,
    }
}

/// Nobody is asked about names that are another tenant's.
fn own<'n>(
    tenants: &Tenants,
    tenant: &Tenant,
    mut names: impl Iterator<Item = &'n str>,
) -> Result<(), Refused> {
    match names.all(|name| tenants.may_ask(tenant, name)) {
        true => Ok(()),
        false => Err(Refused::credentials(Why::Foreign(Foreign::Name))),
    }
}

/// What an authenticator answers leads to nobody's mail but its tenant's.
fn may_serve(tenants: &Tenants, tenant: &Tenant, account: &Account) -> Result<(), Refused> {
    if tenants.may_serve(tenant, &account.user) {
        return Ok(());
    }
    warn!(
        tenant = tenant.name, user = ?Name(&account.user),
        "an authenticator named an account of a domain that is not its tenant's"
    );
    Err(Refused::credentials(Why::Foreign(Foreign::Account)))
}

/// The first authenticator that knows the user decides.
async fn authenticate(
    tenant: &Tenant,
    connection: &Arc<Connection>,
    credentials: &Credentials,
) -> Result<Account, Refused> {
    if let Credentials::Certificate { .. } = credentials {
        let tls = connection.tls.as_ref();
        let known = tls.is_some_and(|tls| tls.client_certificate.is_some());
        if !known {
            // Verified for another tenant: to this one it says nothing.
            return Err(Refused::credentials(Why::Rejected));
        }
    }
    let able = |one: &&Arc<dyn Authenticator>| one.accepts().takes(credentials);
    for authenticator in tenant.authenticators.iter().filter(able) {
        match acting::authenticate(&**authenticator, connection, credentials).await {
            Ok(account) => return Ok(account),
            Err(denial) => Refused::unless_unknown(denial)?,
        }
    }
    Err(Refused::credentials(Why::Unknown))
}

/// The keys of the first authenticator that knows the user.
async fn scram_keys(
    tenant: &Tenant,
    connection: &Arc<Connection>,
    user: &str,
    acting_as: Option<&str>,
    hash: ScramHash,
) -> Result<(ScramKeys, Result<Account, Denied>), Refused> {
    let able = |one: &&Arc<dyn Authenticator>| one.accepts().scram(hash);
    for authenticator in tenant.authenticators.iter().filter(able) {
        let looked_up = acting::scram_keys(&**authenticator, connection, user, acting_as, hash);
        match looked_up.await {
            Ok(found) => return Ok(found),
            Err(denial) => Refused::unless_unknown(denial)?,
        }
    }
    Err(Refused::credentials(Why::Unknown))
}
