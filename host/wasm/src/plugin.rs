//! Plugins that are ready: a component with a name, settings, grants and limits, and
//! the engine that all have in common.

use std::sync::Arc;

use restante_pop3::MockCredentials;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio::sync::Semaphore;
use wasmtime::Engine;

use crate::component::catalog::{Catalog, Compiled, ComponentError};
use crate::component::compile::Compiler;
use crate::component::trust::{Signed, TrustError};
use crate::component::{chain, engine, hex, needs};
use crate::disk::authorities::AuthorityError;
use crate::disk::grants::Directories;
use crate::disk::maildrop_directory::{self, NoSuchUser};
use crate::instance::breaker::Breaker;
use crate::instance::databases::SharedDatabase;
use crate::instance::engines::SharedEngine;
use crate::instance::{http, sockets};
use crate::record::tape::Subject;
use crate::roles::store::cache::Listings;
use restante_config as config;
use restante_config::{Demand, Grants, MaildropGrant, PluginLimits};
use restante_roles::metrics::{Metrics, PluginCalls};
use restante_roles::shadow::Shadow;
use restante_roles::stamp::Stamp;
use restante_roles::state_dir::StateDir;

/// Why the runtime cannot start.
#[derive(Debug, Error)]
#[error("the WebAssembly runtime cannot start: {0}")]
pub struct RuntimeError(String);

/// Why a configured plugin cannot be put to work.
#[derive(Debug, Error)]
pub enum PluginError {
    /// Its component.
    #[error("component: {0}")]
    Component(#[from] ComponentError),
    /// It sends HTTP requests, and was not told where to.
    #[error(
        "component: it imports wasi:http, which is granted origin by origin: http = [\"https://idp.example.org\"] in its grants"
    )]
    HttpNotGranted,
    /// What was granted to it.
    #[error("grants: http: {0}")]
    Http(AuthorityError),
    /// Likewise.
    #[error("grants: connect: {0}")]
    Connect(AuthorityError),
    /// Likewise.
    #[error("grants: maildrop-owner: {0}")]
    MaildropOwner(#[from] NoSuchUser),
    /// Likewise.
    #[error("grants: databases: there is no [database.{0}]")]
    Database(String),
    /// Likewise.
    #[error(
        "grants: maildrop: this server was started without [engine.{0}]: restart it, since engines are opened once"
    )]
    Engine(String),
}

/// One engine, the compiled components and the instances' places, for the
/// whole process.
pub struct Runtime {
    pub(crate) engine: Engine,
    pub(crate) catalog: Catalog,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) listings: Listings,
    pub(crate) metrics: Arc<Metrics>,
}

impl Runtime {
    /// Starts the engine. `instances`: how many may live at once; `state_dir`:
    /// where compiled components are kept; `compiler`: who compiles them;
    /// `metrics`: where it is counted how plugins do.
    pub fn new(
        instances: u32,
        state_dir: &StateDir,
        compiler: Compiler,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, RuntimeError> {
        Self::with(instances, state_dir, compiler, metrics, Listings::new())
    }

    /// The same, but no listing is remembered from one session to the next: each asks its
    /// store for all of it.
    pub fn without_listings(
        instances: u32,
        state_dir: &StateDir,
        compiler: Compiler,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, RuntimeError> {
        Self::with(instances, state_dir, compiler, metrics, Listings::none())
    }

    fn with(
        instances: u32,
        state_dir: &StateDir,
        compiler: Compiler,
        metrics: Arc<Metrics>,
        listings: Listings,
    ) -> Result<Arc<Self>, RuntimeError> {
        let failed = |error: wasmtime::Error| RuntimeError(chain(&error));
        let instances = instances.clamp(1, config::MOST_INSTANCES);
        metrics.set_most_instances(instances);
        let engine = engine::engine(instances).map_err(failed)?;
        let catalog = Catalog::new(engine.clone(), state_dir, compiler).map_err(failed)?;
        Ok(Arc::new(Self {
            engine,
            catalog,
            permits: Arc::new(Semaphore::new(instances as usize)),
            listings,
            metrics,
        }))
    }

    /// Makes a configured plugin ready. May compile for seconds: not for the
    /// event loop. `salts`: what SCRAM keys are made with that a plugin has none
    /// of its own for. What of `before` is the same goes on as it is: its component
    /// is not even read, and what the plugin did so far is not forgotten. `services`: all
    /// that may be granted.
    pub fn plugin(
        self: &Arc<Self>,
        plugin: &config::Plugin,
        salts: &MockCredentials,
        services: &Services,
        before: Option<&Loaded>,
    ) -> Result<Loaded, PluginError> {
        let (compiled, signed) =
            self.catalog
                .load(&plugin.component, plugin.sha256.as_ref(), &plugin.demands)?;
        let authorities = authority_files(&plugin.grants);
        let maildrop_rules = maildrop_directory::Rules::of(&plugin.grants)?;
        let databases = granted_databases(&plugin.grants, &services.databases)?;
        let engine = granted_engine(&plugin.grants, &services.engines)?;
        if let Some(Loaded { plugin: before, .. }) = before
            && before.is(plugin, &compiled, salts, &authorities)
            && before.maildrop_rules == maildrop_rules
            && same(&before.databases, &databases)
            && same(before.engine.as_slice(), engine.as_slice())
        {
            let plugin = Arc::clone(before);
            return Ok(Loaded { plugin, signed });
        }
        if needs::http(&compiled.imports) && plugin.grants.http.is_empty() {
            return Err(PluginError::HttpNotGranted);
        }
        let http = http::Client::new(&plugin.name, &plugin.grants).map_err(PluginError::Http)?;
        let dialer =
            sockets::Dialer::new(&plugin.name, &plugin.grants).map_err(PluginError::Connect)?;
        let calls = self.metrics.calls(&plugin.name);
        let plugin = Arc::new(Plugin {
            name: plugin.name.as_str().into(),
            source: plugin.component.to_string(),
            identity: identity(&compiled.digest, plugin, &databases, engine.as_ref()).into(),
            settings: plugin.settings.clone().into(),
            grants: plugin.grants.clone(),
            maildrop_rules,
            directories: Directories::default(),
            databases,
            engine,
            limits: plugin.limits.clone(),
            http,
            dialer,
            authorities,
            salts: salts.clone(),
            compiled,
            breaker: Breaker::new(plugin.name.as_str().into(), calls.clone()),
            calls,
            runtime: self.clone(),
        });
        Ok(Loaded { plugin, signed })
    }

    /// Where it is counted how plugins do.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }
}

/// What plugins may be granted of the operator's beside the machine's files.
#[derive(Debug, Clone, Default)]
pub struct Services {
    /// Databases that may be asked.
    pub databases: Vec<Arc<SharedDatabase>>,
    /// Engines that maildrops may be in.
    pub engines: Vec<Arc<SharedEngine>>,
}

/// A plugin that is ready, and who signed its component.
#[derive(Clone)]
pub struct Loaded {
    /// The plugin.
    pub plugin: Arc<Plugin>,
    pub(crate) signed: Signed,
}

impl Loaded {
    /// Whether its component is signed as a tenant wants it.
    pub fn trusted(&self, demand: &Demand) -> Result<(), TrustError> {
        self.signed.satisfies(demand)
    }
}

/// A component with a name, settings, grants and limits.
pub struct Plugin {
    pub(crate) name: Arc<str>,
    pub(crate) source: String,
    /// Everything that its answers depend on, as a digest.
    pub(crate) identity: Arc<str>,
    pub(crate) settings: Arc<[(String, String)]>,
    pub(crate) grants: Grants,
    /// Of its grants, with the number of the user that they name.
    pub(crate) maildrop_rules: maildrop_directory::Rules,
    pub(crate) directories: Directories,
    /// Those of its grants.
    pub(crate) databases: Arc<[Arc<SharedDatabase>]>,
    /// The one that its maildrops are in, if they are in any.
    pub(crate) engine: Option<Arc<SharedEngine>>,
    pub(crate) limits: PluginLimits,
    /// None: it was granted no origin.
    pub(crate) http: Option<Arc<http::Client>>,
    /// None: it was granted no place to connect to.
    pub(crate) dialer: Option<Arc<sockets::Dialer>>,
    /// The files of authorities that its grants name.
    pub(crate) authorities: Vec<Stamp>,
    pub(crate) salts: MockCredentials,
    pub(crate) compiled: Arc<Compiled>,
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) calls: Arc<PluginCalls>,
    pub(crate) runtime: Arc<Runtime>,
}

impl Plugin {
    /// It, as recordings name it.
    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject {
            plugin: &self.name,
            component: &self.source,
            digest: &self.compiled.digest,
            settings: &self.settings,
        }
    }

    /// It in a role, as a shadow.
    pub fn shadow<R: ?Sized>(&self, role: Arc<R>) -> Shadow<R> {
        Shadow {
            plugin: Arc::clone(&self.name),
            role,
            calls: Arc::clone(&self.calls),
        }
    }

    /// Whether it looks up keys for SCRAM, if not for every user.
    pub fn looks_up_scram_keys(&self) -> bool {
        self.compiled.roles.scram.is_some()
    }

    /// Whether this is what would be made of all that.
    fn is(
        &self,
        wanted: &config::Plugin,
        compiled: &Arc<Compiled>,
        salts: &MockCredentials,
        authorities: &[Stamp],
    ) -> bool {
        Arc::ptr_eq(&self.compiled, compiled)
            && *self.name == *wanted.name
            && self.source == wanted.component.to_string()
            && *self.settings == *wanted.settings
            && self.grants == wanted.grants
            && self.limits == wanted.limits
            && self.salts == *salts
            && self.authorities == authorities
            && authorities.iter().all(Stamp::is_settled)
    }

    /// What its component asks for and was not granted, in words; it is let in
    /// all the same, and each use is answered "not permitted".
    pub fn ungranted(&self) -> Vec<String> {
        needs::ungranted(&self.compiled.imports, &self.grants)
    }

    /// Whether its component asks for a maildrop in an engine, and was granted none.
    pub fn lacks_engine(&self) -> bool {
        needs::lacks_engine(&self.compiled.imports, &self.grants)
    }
}

/// The files of authorities that grants name, as they are now.
fn authority_files(grants: &Grants) -> Vec<Stamp> {
    let files = [&grants.http_authorities, &grants.connect_authorities];
    files
        .into_iter()
        .flatten()
        .map(|file| Stamp::of(file))
        .collect()
}

/// The engine that these grants name, if they name one.
fn granted_engine(
    grants: &Grants,
    all: &[Arc<SharedEngine>],
) -> Result<Option<Arc<SharedEngine>>, PluginError> {
    let Some(name) = grants.maildrop.as_ref().and_then(MaildropGrant::engine) else {
        return Ok(None);
    };
    let found = all.iter().find(|engine| engine.name() == name);
    let engine = found.ok_or_else(|| PluginError::Engine(name.to_owned()))?;
    Ok(Some(engine.clone()))
}

/// The databases that these grants name.
fn granted_databases(
    grants: &Grants,
    all: &[Arc<SharedDatabase>],
) -> Result<Arc<[Arc<SharedDatabase>]>, PluginError> {
    let names = grants.databases.iter();
    let found = names.map(|name| {
        let found = all.iter().find(|database| database.name() == name);
        found
            .cloned()
            .ok_or_else(|| PluginError::Database(name.clone()))
    });
    found.collect()
}

fn same<T>(some: &[Arc<T>], others: &[Arc<T>]) -> bool {
    let mut pairs = some.iter().zip(others);
    some.len() == others.len() && pairs.all(|(one, other)| Arc::ptr_eq(one, other))
}

/// Two plugins that answer alike have one identity: the same component, the
/// same settings, the same grants.
fn identity(
    digest: &str,
    plugin: &config::Plugin,
    databases: &[Arc<SharedDatabase>],
    engine: Option<&Arc<SharedEngine>>,
) -> String {
    let mut hasher = Sha256::new();
    hasher.update(digest);
    // Debug output of texts is quoted, so two lists never look alike.
    hasher.update(format!("{:?}{:?}", plugin.settings, plugin.grants));
    let places = databases.iter().map(|database| database.place());
    hasher.update(format!("{:?}", places.collect::<Vec<_>>()));
    hasher.update(format!("{:?}", engine.map(|engine| engine.place())));
    hex(&hasher.finalize())
}
