//! One side of a copy: a store plugin of the configuration with the maildrop of one account,
//! asked as a session asks it.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use restante_config as config;
use restante_config::Config;
use restante_roles::address::Client;
use restante_roles::backend::{Account, Connection, Failure, FoundMaildrop, Maildrop, Store};
use restante_roles::metrics::{Ledger, Metrics};
use restante_roles::shared_holds::{SharedHold, SharedHolds};
use restante_roles::state_dir::StateDir;
use restante_roles::work::WorkHold;
use restante_server::{shared_holds, tenant};
use restante_wasm::{Compiler, EngineMaildrop, Loaded, Runtime, Services};
use tokio::task::spawn_blocking;

use super::error::CopyError;
use crate::databases::Databases;
use crate::mail_engines::Engines;

/// What has the hold on a maildrop, and under which key.
type KeyedHolds = (Arc<dyn SharedHolds>, String);

/// What plugins are made ready with.
pub(super) struct Workshop<'c> {
    config: &'c Config,
    runtime: Arc<Runtime>,
    databases: Databases,
    services: Services,
}

impl<'c> Workshop<'c> {
    pub(super) async fn new(
        config: &'c Config,
        compiler: Compiler,
        engines: &Engines,
        metrics: Arc<Metrics>,
    ) -> Result<Self, CopyError> {
        let databases = Databases::of(config, None, &metrics).await;
        let state_dir = StateDir::open(&config.server.state_dir);
        let runtime = Runtime::new(
            config.server.limits.instances,
            &state_dir,
            compiler,
            metrics,
        );
        Ok(Workshop {
            config,
            runtime: runtime.map_err(|error| CopyError::new(error.to_string()))?,
            services: Services {
                databases: databases.shared(),
                engines: engines.shared().to_vec(),
            },
            databases,
        })
    }

    /// Makes a plugin ready as the tenant's server would.
    pub(super) async fn party(
        &self,
        section: config::Plugin,
        tenant: &config::Tenant,
        account: &Account,
    ) -> Result<Party, CopyError> {
        let name = section.name.clone();
        let wrong =
            |what: &dyn std::fmt::Display| CopyError::new(format!("[plugin.{name}] {what}"));
        for database in &section.grants.databases {
            if let Some(problem) = self.databases.problem(database) {
                return Err(wrong(&format_args!(
                    "needs [database.{database}]: {problem}"
                )));
            }
        }
        let demand = self.config.demand(&section, Some(tenant));
        // Nobody logs in by these salts.
        let salts = tenant::mock_credentials(&self.config.server, [0; 32]);
        let (runtime, services) = (self.runtime.clone(), self.services.clone());
        let loading = move || runtime.plugin(&section, &salts, &services, None);
        let loaded = spawn_blocking(loading).await;
        let loaded: Loaded = loaded
            .map_err(|panic| wrong(&format_args!("component: the compiler failed: {panic}")))?
            .map_err(|error| wrong(&error))?;
        loaded.trusted(&demand).map_err(|error| wrong(&error))?;
        let ledger = Ledger::new(&tenant.name);
        let problems = loaded.plugin.validate(&ledger).await;
        let problems = problems.map_err(|failure| {
            wrong(&format_args!(
                "fails when it looks over its settings: {failure} (the log lines above say why)"
            ))
        })?;
        if !problems.is_empty() {
            return Err(wrong(&format_args!("settings: {}", problems.join("; "))));
        }
        let store = loaded.plugin.store().map_err(|missing| wrong(&missing))?;
        let place = loaded.plugin.engine_maildrop(&tenant.name, account);
        let place = place.map_err(|failure| wrong(&of_account(account, &failure)))?;
        Ok(Party {
            store,
            place,
            connection: Arc::new(Connection {
                session: "copy".to_owned(),
                tenant: tenant.name.clone(),
                ledger,
                listener: "copy".to_owned(),
                client: Client::at((IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0).into()),
                penalised: false,
                tls: None,
                recording: None,
                hold: WorkHold::default(),
            }),
            account: account.clone(),
            name,
        })
    }
}

/// A plugin that is ready.
pub(super) struct Party {
    pub(super) name: String,
    /// Where its maildrop is, if that is in an engine.
    pub(super) place: Option<EngineMaildrop>,
    store: Arc<dyn Store>,
    connection: Arc<Connection>,
    account: Account,
}

impl Party {
    pub(super) fn error(&self, failure: &Failure) -> CopyError {
        let what = of_account(&self.account, failure);
        CopyError::new(format!("[plugin.{}] {what}", self.name))
    }

    pub(super) async fn find(&self) -> Result<Box<dyn FoundMaildrop>, CopyError> {
        let found = self.store.find(&self.connection, &self.account).await;
        found.map_err(|failure| self.error(&failure))
    }

    /// What has the hold on the maildrop that was found, and under which key; None: nothing
    /// that processes share. `shared`: what all maildrops are held in that have no place of
    /// their own for that.
    pub(super) fn hold_of(
        &self,
        found: &dyn FoundMaildrop,
        tenant: &config::Tenant,
        shared: Option<Arc<dyn SharedHolds>>,
    ) -> Result<Option<KeyedHolds>, CopyError> {
        let own = found.holds();
        let is_engines = own.is_some();
        let Some(holds) = own.or(shared) else {
            return Ok(None);
        };
        let key = found.shared_key().map_err(|failure| self.error(&failure))?;
        let shares = tenant.shares_maildrops;
        let key = tenant::shared_key(&tenant.name, shares, &key, is_engines);
        Ok(Some((holds, key)))
    }

    /// Holds the maildrop, as a session does.
    pub(super) async fn hold(
        &self,
        (holds, key): KeyedHolds,
    ) -> Result<Box<dyn SharedHold>, CopyError> {
        let held = shared_holds::acquire(&*holds, &key, None).await;
        held.map_err(|why| {
            CopyError::new(format!(
                "the maildrop of {:?} in `{}` cannot be held: {why}. Run this again when no session has it, and no other copy",
                self.account.user, self.name
            ))
        })
    }

    /// Opens what was found, as a session does that holds it.
    pub(super) async fn open(
        &self,
        found: Box<dyn FoundMaildrop>,
    ) -> Result<Box<dyn Maildrop>, CopyError> {
        let opened = found.open().await;
        opened.map_err(|failure| self.error(&failure))
    }
}

fn of_account(account: &Account, failure: &Failure) -> String {
    format!(
        "the maildrop of {:?} cannot be used: {failure} (the log lines above say why)",
        account.user
    )
}
