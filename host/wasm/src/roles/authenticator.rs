//! The role `authenticator`, with `accepts` and `scram` beside it: a fresh
//! instance for each question.

use std::sync::Arc;

use async_trait::async_trait;
use restante_pop3::{DigestAlgorithm, ScramHash, ScramKeys};
use zeroize::Zeroize;

use crate::bindings::exports::restante::plugin::authenticator as wit;
use crate::bindings::exports::restante::plugin::{accepts, scram};
use crate::convert;
use crate::instance::Instance;
use crate::instance::breaker::Caller;
use crate::plugin::Plugin;
use crate::record::form;
use restante_roles::backend::{
    Accepts, Account, Authenticator, Connection, Credentials, Denial, Failure,
};

pub(crate) struct PluginAuthenticator {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) functions: wit::GuestIndices,
    /// None: it does not export the role.
    pub(crate) scram: Option<scram::GuestIndices>,
    pub(crate) accepts: Accepts,
}

#[async_trait]
impl Authenticator for PluginAuthenticator {
    fn accepts(&self) -> Accepts {
        self.accepts
    }

    async fn authenticate(
        &self,
        connection: &Arc<Connection>,
        credentials: &Credentials,
    ) -> Result<Account, Denial> {
        let answer = self.ask(connection, credentials).await;
        answer.map_err(Denial::Failed)?.map_err(Denial::from)
    }

    async fn scram_keys(
        &self,
        connection: &Arc<Connection>,
        user: &str,
        acting_as: Option<&str>,
        hash: ScramHash,
    ) -> Result<(ScramKeys, Option<Account>), Denial> {
        let Some(functions) = &self.scram else {
            return Err(Denial::Unknown);
        };
        let answer = self
            .look_up(functions, connection, user, acting_as, hash)
            .await;
        answer.map_err(Denial::Failed)?
    }
}

impl PluginAuthenticator {
    /// Nobody is refused by what a database said some time ago: if it says something else by
    /// now, the guest decides once more.
    async fn ask(
        &self,
        connection: &Arc<Connection>,
        credentials: &Credentials,
    ) -> Result<Result<Account, wit::Denial>, Failure> {
        let (answer, is_outdated) = self.decide(connection, credentials, true).await?;
        if !is_outdated {
            return Ok(answer);
        }
        let (answer, _) = self.decide(connection, credentials, false).await?;
        Ok(answer)
    }

    /// What the guest says, and whether a refusal rests on an answer that was remembered and
    /// holds no more. `may_recall`: whether it may be told remembered answers.
    async fn decide(
        &self,
        connection: &Arc<Connection>,
        credentials: &Credentials,
        may_recall: bool,
    ) -> Result<(Result<Account, wit::Denial>, bool), Failure> {
        const CALL: &str = "authenticator.authenticate";
        let Some(given) = Given::new(credentials, connection) else {
            // A certificate that was verified for another tenant: nobody's here.
            return Ok((Err(wit::Denial::Rejected), false));
        };
        let caller = Caller::stranger(connection, credentials.user().unwrap_or_default());
        let mut instance = Instance::new(&self.plugin, connection, Some(caller)).await?;
        if let (true, Some(state)) = (may_recall, instance.state()) {
            state.recall.allow();
        }
        let functions = self.functions.clone();
        let (asked, shown) = (convert::connection(connection), Arc::clone(&given));
        let answer = instance
            .ask(
                CALL,
                |store, guest| {
                    Box::pin(async move {
                        let functions = functions.load(&mut *store, guest)?;
                        functions.call_authenticate(store, &asked, &shown.0).await
                    })
                },
                |redactor, answer| {
                    let asked = convert::connection(connection);
                    let asked = form::Authenticate::of(asked, &given.0, redactor);
                    let answer = answer.map(|of| form::decision(of, Some(redactor)));
                    (form::value(asked), answer)
                },
            )
            .await;
        match answer? {
            Ok(account) => Ok((Ok(named(account, &mut instance, CALL)?), false)),
            Err(denial) => {
                let is_outdated = match instance.state() {
                    Some(state) => state.was_told_old_answers().await,
                    None => false,
                };
                Ok((Err(denial), is_outdated))
            }
        }
    }

    async fn look_up(
        &self,
        functions: &scram::GuestIndices,
        connection: &Arc<Connection>,
        user: &str,
        acting_as: Option<&str>,
        hash: ScramHash,
    ) -> Result<Result<(ScramKeys, Option<Account>), Denial>, Failure> {
        const CALL: &str = "scram.lookup";
        let caller = Caller::stranger(connection, user);
        let mut instance = Instance::new(&self.plugin, connection, Some(caller)).await?;
        let functions = functions.clone();
        let asked = convert::connection(connection);
        let (name, other) = (user.to_owned(), acting_as.map(str::to_owned));
        let wanted = match hash {
            ScramHash::Sha1 => scram::Hash::Sha1,
            ScramHash::Sha256 => scram::Hash::Sha256,
        };
        let answer = instance
            .ask(
                CALL,
                |store, guest| {
                    Box::pin(async move {
                        let functions = functions.load(&mut *store, guest)?;
                        functions
                            .call_lookup(store, &asked, &name, other.as_deref(), wanted)
                            .await
                    })
                },
                |redactor, answer| {
                    let asked = convert::connection(connection);
                    let asked = form::Lookup::of(asked, user, acting_as, hash);
                    let answer = answer.map(|of| form::keys(of, Some(redactor)));
                    (form::value(asked), answer)
                },
            )
            .await;
        let mut found = match answer? {
            Ok(found) => found,
            Err(denial) => return Ok(Err(denial.into())),
        };
        let keys = ScramKeys::new(
            hash,
            &found.salt,
            found.iterations,
            &found.stored_key,
            &found.server_key,
        );
        found.stored_key.zeroize();
        found.server_key.zeroize();
        let keys = keys.map_err(|error| instance.lie(CALL, error))?;
        let account = found
            .account
            .map(|account| named(account, &mut instance, CALL));
        Ok(Ok((keys, account.transpose()?)))
    }
}

/// Octets of an account: user, maildrop and attributes.
const ACCOUNT: usize = 64 << 10;

/// An account that the limits, the locks and the store can go by.
fn named(
    account: wit::Account,
    instance: &mut Instance,
    call: &'static str,
) -> Result<Account, Failure> {
    // First of all: from here on its secrets are overwritten, whatever becomes of it.
    let account = Account::from(account);
    if account.user.is_empty() || account.maildrop.is_empty() {
        return Err(instance.lie(call, "an account without a user or a maildrop"));
    }
    if account.octets() > ACCOUNT {
        let what = format!(
            "an account of {} octets, more than {ACCOUNT}",
            account.octets()
        );
        return Err(instance.lie(call, what));
    }
    Ok(account)
}

/// Credentials in the contract's form, wiped when they are done with.
struct Given(wit::Credentials);

impl Given {
    /// None: they are the certificate of a connection that has none.
    fn new(credentials: &Credentials, connection: &Connection) -> Option<Arc<Self>> {
        Some(Arc::new(Given(match credentials {
            Credentials::Password {
                user,
                acting_as,
                secret,
            } => wit::Credentials::Password(wit::Password {
                user: user.clone(),
                acting_as: acting_as.clone(),
                secret: secret.expose().to_owned(),
            }),
            Credentials::Digest {
                user,
                algorithm,
                challenge,
                response,
            } => wit::Credentials::Digest(wit::Digest {
                user: user.clone(),
                algorithm: match algorithm {
                    DigestAlgorithm::Md5 => wit::DigestAlgorithm::Md5,
                    DigestAlgorithm::HmacMd5 => wit::DigestAlgorithm::HmacMd5,
                },
                challenge: challenge.clone(),
                response: response.clone(),
            }),
            Credentials::Bearer { user, token, .. } => wit::Credentials::Bearer(wit::Bearer {
                user: user.clone(),
                token: token.expose().to_owned(),
            }),
            Credentials::Certificate { acting_as } => {
                let tls = connection.tls.as_ref()?;
                let certificate = tls.client_certificate.as_ref()?;
                wit::Credentials::Certificate(wit::Certificate {
                    acting_as: acting_as.clone(),
                    der: certificate.der.clone(),
                })
            }
        })))
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        match &mut self.0 {
            wit::Credentials::Password(password) => password.secret.zeroize(),
            wit::Credentials::Bearer(bearer) => bearer.token.zeroize(),
            wit::Credentials::Digest(_) | wit::Credentials::Certificate(_) => {}
        }
    }
}

impl From<accepts::Kinds> for Accepts {
    fn from(kinds: accepts::Kinds) -> Self {
        Accepts {
            password: kinds.contains(accepts::Kinds::PASSWORD),
            digest: kinds.contains(accepts::Kinds::DIGEST),
            bearer: kinds.contains(accepts::Kinds::BEARER),
            certificate: kinds.contains(accepts::Kinds::CERTIFICATE),
            scram_sha1: kinds.contains(accepts::Kinds::SCRAM_SHA1),
            scram_sha256: kinds.contains(accepts::Kinds::SCRAM_SHA256),
        }
    }
}
