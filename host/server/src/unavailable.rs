//! What a tenant has in place of its roles when they cannot be put to work: whoever
//! logs in is told that it is not his password, and to come again.
//!
//! Knows of nothing but the traits that it stands in for.

use std::sync::Arc;

use async_trait::async_trait;
use restante_pop3::{ScramHash, ScramKeys};

use restante_roles::backend::{
    Accepts, Account, Authenticator, Connection, Credentials, Denial, Failure, FoundMaildrop, Store,
};

/// Plays every role that a login needs, and fails in it.
#[derive(Debug, Clone, Copy)]
pub struct Unavailable;

fn failure() -> Failure {
    Failure::Temporary("this service is out of order for now, try again later".into())
}

#[async_trait]
impl Authenticator for Unavailable {
    /// Whatever a client likes to show: each way to log in ends with the answer.
    fn accepts(&self) -> Accepts {
        Accepts {
            password: true,
            digest: true,
            scram_sha1: true,
            scram_sha256: true,
            bearer: true,
            certificate: true,
        }
    }

    async fn authenticate(
        &self,
        _connection: &Arc<Connection>,
        _credentials: &Credentials,
    ) -> Result<Account, Denial> {
        Err(Denial::Failed(failure()))
    }

    async fn scram_keys(
        &self,
        _connection: &Arc<Connection>,
        _user: &str,
        _acting_as: Option<&str>,
        _hash: ScramHash,
    ) -> Result<(ScramKeys, Option<Account>), Denial> {
        Err(Denial::Failed(failure()))
    }
}

#[async_trait]
impl Store for Unavailable {
    async fn find(
        &self,
        _connection: &Arc<Connection>,
        _account: &Account,
    ) -> Result<Box<dyn FoundMaildrop>, Failure> {
        Err(failure())
    }
}
