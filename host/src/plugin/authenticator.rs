//! The role `authenticator`: a fresh instance for each question.

use std::sync::Arc;

use async_trait::async_trait;
use zeroize::Zeroize;

use super::bindings::exports::restante::plugin::authenticator as wit;
use super::instance::Instance;
use super::{Plugin, convert};
use crate::backend::{Account, Authenticator, Connection, Credentials, Denial, Failure};

pub(super) struct PluginAuthenticator {
    pub(super) plugin: Arc<Plugin>,
    pub(super) functions: wit::GuestIndices,
}

#[async_trait]
impl Authenticator for PluginAuthenticator {
    async fn authenticate(
        &self,
        connection: &Arc<Connection>,
        credentials: &Credentials,
    ) -> Result<Account, Denial> {
        let answer = self.ask(connection, credentials).await;
        answer.map_err(Denial::Failed)?.map_err(Denial::from)
    }
}

impl PluginAuthenticator {
    async fn ask(
        &self,
        connection: &Arc<Connection>,
        credentials: &Credentials,
    ) -> Result<Result<Account, wit::Denial>, Failure> {
        let mut instance = Instance::new(&self.plugin, &connection.tenant, None).await?;
        let functions = self.functions.clone();
        let connection = convert::connection(connection);
        let credentials = Given(match credentials {
            Credentials::Password {
                user,
                acting_as,
                secret,
            } => wit::Credentials::Password(wit::Password {
                user: user.clone(),
                acting_as: acting_as.clone(),
                secret: secret.expose().to_owned(),
            }),
        });
        let answer = instance
            .call("authenticator.authenticate", |store, guest| {
                Box::pin(async move {
                    let functions = functions.load(&mut *store, guest)?;
                    functions
                        .call_authenticate(store, &connection, &credentials.0)
                        .await
                })
            })
            .await?;
        match answer {
            Ok(account) if account.user.is_empty() || account.maildrop.is_empty() => Err(instance
                .lie(
                    "authenticator.authenticate",
                    "an account without a user or a maildrop",
                )),
            Ok(account) => Ok(Ok(account.into())),
            Err(denial) => Ok(Err(denial)),
        }
    }
}

/// Credentials in the contract's form, wiped when they are done with.
struct Given(wit::Credentials);

impl Drop for Given {
    fn drop(&mut self) {
        if let wit::Credentials::Password(password) = &mut self.0 {
            password.secret.zeroize();
        }
    }
}
