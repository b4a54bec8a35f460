//! A maildrop is found, for its lock and its hold, before the store is asked anything.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tracing::{error, warn};

use super::PluginMaildrop;
use super::awake::Shared;
use super::cache::{AccountKey, Key};
use super::hold::EngineHolds;
use super::place::Place;
use crate::bindings::exports::restante::plugin::store as wit;
use crate::disk::grants::{MaildropPlace, Root, maildrop_place};
use crate::disk::maildrop_directory::{Found, MaildropDirectory, MaildropError};
use crate::instance::maildrop::EngineMaildrop;
use crate::plugin::Plugin;
use restante_config::template::AccountPath;
use restante_roles::backend::{Account, Connection, Failure, FoundMaildrop, Maildrop, Store};
use restante_roles::shared_holds::SharedHolds;

pub(crate) struct PluginStore {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) functions: wit::GuestIndices,
}

/// What is at a place, and what its lock is taken under.
struct Located {
    place: Place,
    lock_key: String,
    /// Of a directory.
    root: Option<Arc<Root>>,
}

/// Where the grants of a plugin lead for an account.
enum Granted {
    /// The plugin was granted no maildrop.
    Nowhere,
    Directory(AccountPath),
    Engine(EngineMaildrop),
}

impl Plugin {
    fn granted(&self, tenant: &str, account: &Account) -> Result<Granted, Failure> {
        let none = |error: &dyn std::fmt::Display| {
            warn!(
                plugin = %self.name, tenant, user = ?account.user, %error,
                "the maildrop grant does not expand for this account"
            );
            Failure::Permanent("this account has no maildrop".into())
        };
        let place = maildrop_place(&self.grants, tenant, account);
        match (place.map_err(|error| none(&error))?, &self.engine) {
            (Some(MaildropPlace::Directory(path)), _) => Ok(Granted::Directory(path)),
            (Some(MaildropPlace::Engine(name)), Some(engine)) => {
                let maildrop = EngineMaildrop::new(engine, tenant, &name);
                Ok(Granted::Engine(maildrop.map_err(|problem| none(&problem))?))
            }
            // Without its engine no plugin is made ready.
            (None | Some(MaildropPlace::Engine(_)), _) => Ok(Granted::Nowhere),
        }
    }

    /// The maildrop that sessions of this account have, if the plugin's maildrops are in an
    /// engine. Nothing is asked or opened.
    ///
    /// # Errors
    /// The account has no maildrop; the log says why.
    pub fn engine_maildrop(
        &self,
        tenant: &str,
        account: &Account,
    ) -> Result<Option<EngineMaildrop>, Failure> {
        match self.granted(tenant, account)? {
            Granted::Engine(maildrop) => Ok(Some(maildrop)),
            Granted::Nowhere | Granted::Directory(_) => Ok(None),
        }
    }
}

impl PluginStore {
    async fn locate(&self, connection: &Connection, account: &Account) -> Result<Located, Failure> {
        let plugin = &self.plugin;
        match plugin.granted(&connection.tenant, account)? {
            Granted::Directory(path) => self.directory(connection, path).await,
            Granted::Engine(maildrop) => Ok(Located {
                lock_key: maildrop.to_string(),
                place: Place::Engine(maildrop),
                root: None,
            }),
            Granted::Nowhere => {
                let parts = [&connection.tenant, &*plugin.name, &account.maildrop];
                Ok(Located {
                    lock_key: parts.join("\n"),
                    place: Place::Elsewhere,
                    root: None,
                })
            }
        }
    }

    async fn directory(
        &self,
        connection: &Connection,
        path: AccountPath,
    ) -> Result<Located, Failure> {
        let rules = self.plugin.maildrop_rules.clone();
        let directory = MaildropDirectory { path, rules };
        let found = directory.find(&connection.work()).await;
        if matches!(
            found,
            Ok(Found::Nothing(_))
                | Err(MaildropError::Missing
                    | MaildropError::Empty
                    | MaildropError::NoPrefix(_)
                    | MaildropError::NoMarker(_)
                    | MaildropError::Dangling(_))
        ) {
            connection.ledger.found_no_maildrop();
        }
        let found = found.map_err(|error| {
            self.plugin
                .unopened(&connection.tenant, &directory.path, &error)
        })?;
        let lock_key = directory.lock_key(&found);
        let (root, identity) = match found {
            Found::Directory(opened, identity) => (Some(opened), Some(identity)),
            Found::Nothing(_) => (None, None),
        };
        Ok(Located {
            place: Place::Directory(directory, identity),
            lock_key,
            root,
        })
    }
}

#[async_trait]
impl Store for PluginStore {
    async fn find(
        &self,
        connection: &Arc<Connection>,
        account: &Account,
    ) -> Result<Box<dyn FoundMaildrop>, Failure> {
        let Located {
            place,
            lock_key,
            root,
        } = self.locate(connection, account).await?;
        let key = Key {
            identity: self.plugin.identity.clone(),
            tenant: connection.tenant.clone(),
            path: place.shown(),
            account: AccountKey::of(account).ok_or_else(|| {
                error!("the system has no randomness: the login is refused");
                Failure::Temporary("no randomness".into())
            })?,
        };
        let shared = Shared {
            root: Mutex::new(root),
            ..Shared::default()
        };
        let maildrop = PluginMaildrop {
            plugin: self.plugin.clone(),
            functions: self.functions.clone(),
            shared: Arc::new(shared),
            key,
            place,
            account: account.clone(),
            connection: connection.clone(),
            known: None,
            listed: None,
        };
        Ok(Box::new(PluginFound { maildrop, lock_key }))
    }
}

struct PluginFound {
    maildrop: PluginMaildrop,
    lock_key: String,
}

#[async_trait]
impl FoundMaildrop for PluginFound {
    fn lock_key(&self) -> &str {
        &self.lock_key
    }

    fn shared_key(&self) -> Result<String, Failure> {
        let maildrop = &self.maildrop;
        match &maildrop.place {
            Place::Elsewhere => {
                let plugin = &*maildrop.plugin.name;
                let parts = [&maildrop.key.tenant, plugin, &maildrop.account.maildrop];
                Ok(parts.join(":"))
            }
            Place::Directory(directory, _) => {
                let root = maildrop.shared.root().clone();
                directory.shared_key(root.as_deref()).map_err(|error| {
                    let plugin = &maildrop.plugin;
                    plugin.unopened(&maildrop.key.tenant, &directory.path, &error)
                })
            }
            // Paths begin with "/".
            Place::Engine(maildrop) => Ok(maildrop.name().to_owned()),
        }
    }

    fn holds(&self) -> Option<Arc<dyn SharedHolds>> {
        let PluginMaildrop {
            plugin,
            key,
            place,
            connection,
            ..
        } = &self.maildrop;
        match place {
            Place::Elsewhere | Place::Directory(..) => None,
            Place::Engine(maildrop) => Some(Arc::new(EngineHolds {
                maildrop: maildrop.clone(),
                plugin: plugin.clone(),
                key: key.clone(),
                room: connection.work(),
                is_recorded: connection.recording.is_some(),
            })),
        }
    }

    /// Nothing is asked where it is known what the guest would say.
    async fn open(self: Box<Self>) -> Result<Box<dyn Maildrop>, Failure> {
        let mut maildrop = self.maildrop;
        maildrop.known = maildrop.recall_known();
        if maildrop.known.is_none() {
            drop(maildrop.awake().await?);
        }
        Ok(Box::new(maildrop))
    }
}
