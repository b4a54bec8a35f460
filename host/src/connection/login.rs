//! From a password to an open maildrop: tenant, authenticators, lock, store,
//! view. Whatever fails on the way refuses the login; nothing lets it through.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use restante_pop3::{Cause, FailedLogin, Login, Maildrop, Refusal, ResponseCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info};

use super::refusal::{login_failed, refusal_for};
use super::{Driver, End};
use crate::backend::{Account, Connection, Credentials, Denial, Failure};
use crate::lock::{Guard, Locks};
use crate::penalty::Fingerprint;
use crate::tenant::{SessionPermit, Tenant, UserPermit};
use crate::view::{OpenMaildrop, Verdicts, View};

/// Characters of a user name that are logged.
const LOGGED_CHARACTERS: usize = 128;

/// A session's hold on its maildrop. The order of the fields is the order in
/// which they are let go of: the maildrop, then its lock.
pub(super) struct Open {
    pub(super) maildrop: OpenMaildrop,
    pub(super) view: View,
    _lock: Guard,
    _permits: (SessionPermit, UserPermit),
}

/// Why a login is refused: what the client hears, what the log says.
struct Refused {
    refusal: Refusal,
    why: Why,
}

/// What was refused, as the address that it came from is charged for it.
#[derive(Clone, Copy)]
enum Guess {
    /// Something was shown and was wrong; with its fingerprint, if it has one.
    Tried(Option<Fingerprint>),
    /// Nobody looked whether it is right.
    Untried,
}

enum Why {
    NoTenant,
    InTheClear,
    TooManySessions,
    TooManyOfThisUser,
    Unknown,
    Rejected,
    InUse,
    Failed(Failure),
}

impl<S> Driver<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// None: refused, and the session goes on.
    pub(super) async fn log_in(&mut self, login: Login) -> Result<Option<Open>, End> {
        let started = Instant::now();
        let Login::Password {
            user,
            acting_as,
            secret,
        } = login
        else {
            unreachable!("no other mechanism is offered");
        };
        let attempt = Attempt {
            session: &self.id,
            peer: &self.peer,
            serving: &self.serving,
            locks: &self.locks,
            verdicts: &self.verdicts,
            tls: self.tls.as_ref(),
        };
        let credentials = Credentials::Password {
            user,
            acting_as,
            secret,
        };
        let opened = self.wire.flush_while(attempt.open(&credentials)).await?;
        let refused = match opened {
            Ok((open, account, tenant)) => {
                let listing = open.view.listing();
                info!(
                    tenant = tenant.name,
                    user = ?Name(&account.user),
                    tls = self.tls.as_ref().map_or("", |tls| &tls.version),
                    messages = listing.len(),
                    octets = listing.total_octets(),
                    "login"
                );
                let maildrop = Maildrop::new(Arc::clone(listing));
                self.session.logged_in(maildrop, self.wire.out());
                return Ok(Some(open));
            }
            Err(refused) => refused,
        };
        let Credentials::Password { user, secret, .. } = credentials;
        let guess = match refused.why {
            Why::InTheClear => Guess::Untried,
            _ => Guess::Tried(Some(self.penalties.fingerprint(&user, secret.expose()))),
        };
        drop(secret);
        self.refuse_login(&user, &refused.why, &refused.refusal, guess, started)
            .await?;
        Ok(None)
    }

    /// A login that failed before anybody was asked.
    pub(super) async fn login_failed(&mut self, failed: &FailedLogin) -> Result<(), End> {
        let started = Instant::now();
        let guess = match failed.cause {
            // There is no password to know it again by.
            Cause::Proof => Guess::Tried(None),
            _ => Guess::Untried,
        };
        self.refuse_login(
            failed.user.as_deref().unwrap_or_default(),
            &failed.cause,
            &login_failed(),
            guess,
            started,
        )
        .await
    }

    async fn refuse_login(
        &mut self,
        user: &str,
        why: &impl fmt::Display,
        refusal: &Refusal,
        guess: Guess,
        started: Instant,
    ) -> Result<(), End> {
        info!(user = ?Name(user), %why, "login failed");
        if refusal.code() == Some(ResponseCode::Auth) {
            let delay = self.failure_delay(guess);
            // Counted from PASS on: how long it took to find out is not to be
            // seen, whether it was a user, a password or a tenant that was wrong.
            // And seen through: who hangs up holds the place of another guess.
            self.wire.flush().await?;
            sleep_until(started + delay).await;
        }
        self.session.refuse(refusal, self.wire.out());
        Ok(())
    }

    /// How long the answer waits; counts what was a guess.
    fn failure_delay(&self, guess: Guess) -> Duration {
        let client = self.peer.client.ip();
        let growth = &self.serving.settings.failure_delay;
        match guess {
            Guess::Tried(fingerprint) => self.penalties.failed(client, fingerprint, growth),
            Guess::Untried => self.penalties.delay(client, growth),
        }
    }
}

/// One login, as far as it has to know the connection.
struct Attempt<'a> {
    session: &'a str,
    peer: &'a super::Peer,
    serving: &'a super::Serving,
    locks: &'a Locks,
    verdicts: &'a Verdicts,
    tls: Option<&'a super::Tls>,
}

impl<'a> Attempt<'a> {
    async fn open(
        self,
        credentials: &Credentials,
    ) -> Result<(Open, Account, &'a Arc<Tenant>), Refused> {
        let Credentials::Password { user, .. } = credentials;
        // A proxy that names one had the client's own handshake.
        let asked_here = self.tls.and_then(|tls| tls.server_name.as_deref());
        let server_name = self.peer.server_name.as_deref().or(asked_here);
        let tenant = self
            .serving
            .tenants
            .choose(server_name, user)
            .ok_or_else(|| Refused::credentials(Why::NoTenant))?;
        if !tenant.allows_password(self.tls.is_some(), self.peer.client.ip()) {
            return Err(Refused::in_the_clear());
        }
        let permit = tenant.permit().ok_or_else(Refused::too_many_sessions)?;
        let connection = Arc::new(Connection {
            session: self.session.to_owned(),
            tenant: tenant.name.clone(),
            listener: self.peer.listener.to_string(),
            client: self.peer.client,
            tls: self.tls.cloned(),
        });
        let account = authenticate(tenant, &connection, credentials).await?;
        debug!(user = ?Name(&account.user), maildrop = ?Name(&account.maildrop), "authenticated");

        let users = tenant
            .user_permit(&account.user)
            .ok_or_else(Refused::too_many_of_this_user)?;
        let key = tenant.store.lock_key(&connection, &account).await?;
        let lock = self.locks.try_lock(&key).ok_or_else(Refused::in_use)?;
        let maildrop = tenant.store.open(&connection, &account).await?;
        let maildrop = Arc::new(Mutex::new(maildrop));
        let view = View::new(tenant, &connection, &account, &maildrop, self.verdicts).await;
        let open = Open {
            maildrop,
            view: view?,
            _lock: lock,
            _permits: (permit, users),
        };
        Ok((open, account, tenant))
    }
}

/// The first authenticator that knows the user decides.
async fn authenticate(
    tenant: &Tenant,
    connection: &Arc<Connection>,
    credentials: &Credentials,
) -> Result<Account, Refused> {
    for authenticator in &tenant.authenticators {
        match authenticator.authenticate(connection, credentials).await {
            Ok(account) => return Ok(account),
            Err(Denial::Unknown) => {}
            Err(Denial::Rejected) => return Err(Refused::credentials(Why::Rejected)),
            Err(Denial::Failed(failure)) => return Err(failure.into()),
        }
    }
    Err(Refused::credentials(Why::Unknown))
}

impl Refused {
    fn credentials(why: Why) -> Self {
        Refused {
            refusal: login_failed(),
            why,
        }
    }

    fn in_the_clear() -> Self {
        Refused {
            refusal: Refusal::new(
                Some(ResponseCode::Auth),
                "no plaintext login without TLS for this user",
            ),
            why: Why::InTheClear,
        }
    }

    fn too_many_sessions() -> Self {
        Refused {
            refusal: Refusal::new(
                Some(ResponseCode::SysTemp),
                "too many sessions, try again later",
            ),
            why: Why::TooManySessions,
        }
    }

    fn too_many_of_this_user() -> Self {
        Refused {
            refusal: Refusal::new(
                Some(ResponseCode::InUse),
                "this user has too many sessions, end one of them first",
            ),
            why: Why::TooManyOfThisUser,
        }
    }

    fn in_use() -> Self {
        Refused {
            refusal: Refusal::new(
                Some(ResponseCode::InUse),
                "another session has this maildrop open",
            ),
            why: Why::InUse,
        }
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Refused {
            refusal: refusal_for(&failure),
            why: Why::Failed(failure),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::NoTenant => out.write_str("no tenant has such users"),
            Why::InTheClear => out.write_str("plaintext login without TLS"),
            Why::TooManySessions => out.write_str("the tenant has too many sessions"),
            Why::TooManyOfThisUser => out.write_str("the user has too many sessions"),
            Why::Unknown => out.write_str("unknown user"),
            Why::Rejected => out.write_str("wrong credentials"),
            Why::InUse => out.write_str("maildrop in use"),
            // Quoted: parts of it may have come from anywhere.
            Why::Failed(failure) => write!(out, "{:?}", failure.to_string()),
        }
    }
}

/// A name from outside, fit for a log line: quoted, control characters escaped,
/// cut.
struct Name<'a>(&'a str);

impl fmt::Debug for Name<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(LOGGED_CHARACTERS);
        match end {
            Some((end, _)) => write!(out, "{:?}…", &self.0[..end]),
            None => write!(out, "{:?}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_forge_log_lines() {
        let name = format!("{:?}", Name("a\r\nlogin user=\"b\"\x1b[2J\u{202e}"));
        assert_eq!(name, r#""a\r\nlogin user=\"b\"\u{1b}[2J\u{202e}""#);
        let long = "ä".repeat(500);
        let logged = format!("{:?}", Name(&long));
        assert_eq!(logged.chars().count(), LOGGED_CHARACTERS + 3);
    }
}
