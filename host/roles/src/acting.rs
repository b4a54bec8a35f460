//! Who acts as another user: a client that shows one user's password and asks for
//! another user's mail (SASL's authorization identity, RFC 4422 section 3.4.1).
//!
//! Whether it may is an authenticator's to judge, if its tenant lets it (`acting-as` in
//! the configuration). Every other authenticator is asked who the client is, and not
//! told of anybody else: what it answers holds where that is whom the client asked
//! for. So one that would take no notice lets nobody in as another.

use std::sync::Arc;

use async_trait::async_trait;
use restante_pop3::{ScramHash, ScramKeys};

use crate::backend::{Accepts, Account, Authenticator, Connection, Credentials, Denial};

/// Why nobody is logged in.
#[derive(Debug)]
pub enum Denied {
    /// By the authenticator's word.
    Denial(Denial),
    /// The credentials are another user's than the client asks for, and the
    /// authenticator is not let judge that.
    ActingAs,
}

impl From<Denial> for Denied {
    fn from(denial: Denial) -> Self {
        Denied::Denial(denial)
    }
}

/// The same authenticator, which its tenant lets judge who may act as another.
pub fn judge(authenticator: Arc<dyn Authenticator>) -> Arc<dyn Authenticator> {
    Arc::new(Judge(authenticator))
}

struct Judge(Arc<dyn Authenticator>);

#[async_trait]
impl Authenticator for Judge {
    fn accepts(&self) -> Accepts {
        self.0.accepts()
    }

    fn judges_acting_as(&self) -> bool {
        true
    }

    async fn authenticate(
        &self,
        connection: &Arc<Connection>,
        credentials: &Credentials,
    ) -> Result<Account, Denial> {
        self.0.authenticate(connection, credentials).await
    }

    async fn scram_keys(
        &self,
        connection: &Arc<Connection>,
        user: &str,
        acting_as: Option<&str>,
        hash: ScramHash,
    ) -> Result<(ScramKeys, Option<Account>), Denial> {
        self.0.scram_keys(connection, user, acting_as, hash).await
    }
}

/// What the authenticator says of the credentials, and of nobody but their owner
/// unless it judges that.
///
/// # Errors
/// Its denial, or that the client asks for another user's account.
pub async fn authenticate(
    authenticator: &dyn Authenticator,
    connection: &Arc<Connection>,
    credentials: &Credentials,
) -> Result<Account, Denied> {
    let other = match authenticator.judges_acting_as() {
        true => None,
        false => credentials.without_acting_as(),
    };
    let Some((own, other)) = other else {
        return Ok(authenticator.authenticate(connection, credentials).await?);
    };
    let account = authenticator.authenticate(connection, &own).await?;
    only(account, other)
}

/// A user's keys for SCRAM, and the account to log in with their proof, likewise.
///
/// # Errors
/// The authenticator's denial: it has no keys.
pub async fn scram_keys(
    authenticator: &dyn Authenticator,
    connection: &Arc<Connection>,
    user: &str,
    acting_as: Option<&str>,
    hash: ScramHash,
) -> Result<(ScramKeys, Result<Account, Denied>), Denial> {
    let (told, other) = match authenticator.judges_acting_as() {
        true => (acting_as, None),
        false => (None, acting_as),
    };
    let (keys, account) = authenticator
        .scram_keys(connection, user, told, hash)
        .await?;
    let account = account.ok_or(Denied::Denial(Denial::Rejected));
    let account = match other {
        Some(other) => account.and_then(|account| only(account, other)),
        None => account,
    };
    Ok((keys, account))
}

/// The account, if it is that of the user who was asked for. In any case: it is the
/// client's own, whatever it calls it.
fn only(account: Account, asked: &str) -> Result<Account, Denied> {
    match account.user.eq_ignore_ascii_case(asked) {
        true => Ok(account),
        false => Err(Denied::ActingAs),
    }
}
