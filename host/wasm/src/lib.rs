//! The plugin host: WebAssembly components behind the traits of
//! [`restante_roles::backend`].
//!
//! The only room that names wasmtime. It knows nothing of sockets or of POP3
//! beyond the octet rules; the session loop knows nothing of it.

mod admission;
mod authenticator;
mod authorities;
mod bindings;
mod breaker;
mod builtin;
mod catalog;
mod changes;
mod compile;
mod config_store;
mod confinement;
mod convert;
mod engine;
mod facts;
mod files;
mod filesystem;
mod filter;
mod grants;
mod http;
mod imports;
mod inspect;
mod instance;
mod linker;
mod listings;
mod logging;
mod maildrop;
mod maildrop_directory;
mod opening;
mod output;
mod passwords;
mod player;
mod recorded;
mod replay;
mod roles;
mod selector;
mod sockets;
mod state;
mod store;
mod tape;
mod told;
mod trust;
mod usage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use restante_pop3::Decoy;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio::sync::Semaphore;
use wasmtime::Engine;

pub use authorities::AuthorityError;
pub use catalog::ComponentError;
pub use compile::{
    COMMAND as COMPILE_COMMAND, CompileError, CompileLimits, Compiler, serve as serve_compiler,
};
pub use confinement::ProcessUser;
pub use imports::{Interface, Need};
pub use inspect::{Difference, Differences, Import, Inspection, inspect};
pub use maildrop_directory::NoSuchUser;
pub use replay::{Comparison, Replayed};
pub use roles::{Role, RoleError};
pub use trust::{TrustError, read_signature, signature_path};

use breaker::Breaker;
use catalog::{Catalog, Compiled};
use grants::Directories;
use instance::Instance;
use listings::Listings;
use restante_config as config;
use restante_config::{Demand, Grants, PluginLimits};
use restante_roles::backend::{
    Accepts, Admission, Authenticator, Failure, Filter, Selector, Store,
};
use restante_roles::metrics::{Ledger, Metrics, PluginCalls};
use restante_roles::shadow::Shadow;
use restante_roles::stamp::Stamp;
use restante_roles::state_dir::StateDir;
use trust::Signed;

/// Problems that a plugin may find in its settings; the rest is left out.
const COMPLAINTS: usize = 100;

/// Why the runtime cannot start.
#[derive(Debug, Error)]
#[error("the WebAssembly runtime cannot start: {0}")]
pub struct RuntimeError(String);

/// A plugin's component that does not play the part it was given.
#[derive(Debug, Error)]
#[error("component {component} does not export the role `{}`", role.name())]
pub struct MissingRole {
    role: Role,
    component: String,
}

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
}

/// One engine, the compiled components and the instances' places, for the
/// whole process.
pub struct Runtime {
    engine: Engine,
    catalog: Catalog,
    permits: Arc<Semaphore>,
    listings: Listings,
    metrics: Arc<Metrics>,
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
        let failed = |error: wasmtime::Error| RuntimeError(catalog::chain(&error));
        let instances = instances.clamp(1, config::MOST_INSTANCES);
        metrics.set_most_instances(instances);
        let engine = engine::engine(instances).map_err(failed)?;
        let catalog = Catalog::new(engine.clone(), state_dir, compiler).map_err(failed)?;
        Ok(Arc::new(Self {
            engine,
            catalog,
            permits: Arc::new(Semaphore::new(instances as usize)),
            listings: Listings::new(),
            metrics,
        }))
    }

    /// Makes a configured plugin ready. May compile for seconds: not for the
    /// event loop. `salts`: what SCRAM keys are made with that a plugin has none
    /// of its own for. What of `before` is the same goes on as it is: its component
    /// is not even read, and what the plugin did so far is not forgotten.
    pub fn plugin(
        self: &Arc<Self>,
        plugin: &config::Plugin,
        salts: &Decoy,
        before: Option<&Loaded>,
    ) -> Result<Loaded, PluginError> {
        let (compiled, signed) =
            self.catalog
                .load(&plugin.component, plugin.sha256.as_ref(), &plugin.demands)?;
        let authorities = authority_files(&plugin.grants);
        let maildrop_rules = maildrop_directory::Rules::of(&plugin.grants)?;
        if let Some(Loaded { plugin: before, .. }) = before
            && before.is(plugin, &compiled, salts, &authorities)
            && before.maildrop_rules == maildrop_rules
        {
            let plugin = Arc::clone(before);
            return Ok(Loaded { plugin, signed });
        }
        if imports::http(&compiled.imports) && plugin.grants.http.is_empty() {
            return Err(PluginError::HttpNotGranted);
        }
        let http = http::Client::new(&plugin.name, &plugin.grants).map_err(PluginError::Http)?;
        let dialer =
            sockets::Dialer::new(&plugin.name, &plugin.grants).map_err(PluginError::Connect)?;
        let calls = self.metrics.calls(&plugin.name);
        let plugin = Arc::new(Plugin {
            name: plugin.name.as_str().into(),
            source: plugin.component.to_string(),
            identity: identity(&compiled.digest, plugin).into(),
            settings: plugin.settings.clone().into(),
            grants: plugin.grants.clone(),
            maildrop_rules,
            directories: Directories::default(),
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

    fn engine(&self) -> &Engine {
        &self.engine
    }
}

/// A plugin that is ready, and who signed its component.
#[derive(Clone)]
pub struct Loaded {
    /// The plugin.
    pub plugin: Arc<Plugin>,
    signed: Signed,
}

impl Loaded {
    /// Whether its component is signed as a tenant wants it.
    pub fn trusted(&self, demand: &Demand) -> Result<(), TrustError> {
        self.signed.satisfies(demand)
    }
}

/// A component with a name, settings, grants and limits.
pub struct Plugin {
    name: Arc<str>,
    source: String,
    /// Everything that its answers depend on, as a digest.
    identity: Arc<str>,
    settings: Arc<[(String, String)]>,
    grants: Grants,
    /// Of its grants, with the number of the user that they name.
    maildrop_rules: maildrop_directory::Rules,
    directories: Directories,
    limits: PluginLimits,
    /// None: it was granted no origin.
    http: Option<Arc<http::Client>>,
    /// None: it was granted no place to connect to.
    dialer: Option<Arc<sockets::Dialer>>,
    /// The files of authorities that its grants name.
    authorities: Vec<Stamp>,
    salts: Decoy,
    compiled: Arc<Compiled>,
    breaker: Arc<Breaker>,
    calls: Arc<PluginCalls>,
    runtime: Arc<Runtime>,
}

impl Plugin {
    /// It in a role, as a shadow.
    pub fn shadow<R: ?Sized>(&self, role: Arc<R>) -> Shadow<R> {
        Shadow {
            plugin: Arc::clone(&self.name),
            role,
            calls: Arc::clone(&self.calls),
        }
    }

    /// Whether this is what would be made of all that.
    fn is(
        &self,
        wanted: &config::Plugin,
        compiled: &Arc<Compiled>,
        salts: &Decoy,
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
        imports::ungranted(&self.compiled.imports, &self.grants)
    }

    /// The plugin as an authenticator, which judges what [`Plugin::accepts`] said.
    pub fn authenticator(
        self: &Arc<Self>,
        accepts: Accepts,
    ) -> Result<Arc<dyn Authenticator>, MissingRole> {
        match self.compiled.roles.authenticator.clone() {
            Some(functions) => Ok(Arc::new(authenticator::PluginAuthenticator {
                plugin: self.clone(),
                functions,
                scram: self.compiled.roles.scram.clone(),
                accepts,
            })),
            None => Err(self.missing(Role::Authenticator)),
        }
    }

    /// Whether it looks up keys for SCRAM, if not for every user.
    pub fn looks_up_scram_keys(&self) -> bool {
        self.compiled.roles.scram.is_some()
    }

    /// The plugin as a store.
    pub fn store(self: &Arc<Self>) -> Result<Arc<dyn Store>, MissingRole> {
        match self.compiled.roles.store.clone() {
            Some(functions) => Ok(Arc::new(store::PluginStore {
                plugin: self.clone(),
                functions,
            })),
            None => Err(self.missing(Role::Store)),
        }
    }

    /// The plugin as a filter.
    pub fn filter(self: &Arc<Self>) -> Result<Arc<dyn Filter>, MissingRole> {
        match self.compiled.roles.filter.clone() {
            Some(functions) => Ok(Arc::new(filter::PluginFilter {
                plugin: self.clone(),
                functions,
            })),
            None => Err(self.missing(Role::Filter)),
        }
    }

    /// The plugin as a selector.
    pub fn selector(self: &Arc<Self>) -> Result<Arc<dyn Selector>, MissingRole> {
        match self.compiled.roles.selector.clone() {
            Some(functions) => Ok(Arc::new(selector::PluginSelector {
                plugin: self.clone(),
                functions,
            })),
            None => Err(self.missing(Role::Selector)),
        }
    }

    /// The plugin as an admission.
    pub fn admission(self: &Arc<Self>) -> Result<Arc<dyn Admission>, MissingRole> {
        match self.compiled.roles.admission.clone() {
            Some(functions) => Ok(Arc::new(admission::PluginAdmission {
                plugin: self.clone(),
                functions,
            })),
            None => Err(self.missing(Role::Admission)),
        }
    }

    /// Asks the plugin which kinds of credentials it judges. Without the interface
    /// `accepts` it is passwords, and SCRAM where it has that; with it, SCRAM is
    /// still only what the plugin has keys for. `ledger`: whose instance asks.
    pub async fn accepts(self: &Arc<Self>, ledger: &Arc<Ledger>) -> Result<Accepts, Failure> {
        let roles = &self.compiled.roles;
        let scram = roles.scram.is_some();
        let Some(functions) = roles.accepts.clone() else {
            return Ok(Accepts {
                scram_sha1: scram,
                scram_sha256: scram,
                ..Accepts::PASSWORD
            });
        };
        let mut instance = Instance::for_operator(self, ledger).await?;
        let kinds = instance
            .call("accepts.accepts", |store, guest| {
                Box::pin(async move {
                    let functions = functions.load(&mut *store, guest)?;
                    functions.call_accepts(store).await
                })
            })
            .await?;
        let accepts = Accepts::from(kinds);
        if !scram && (accepts.scram_sha1 || accepts.scram_sha256) {
            return Err(instance.lie(
                "accepts.accepts",
                "SCRAM, and the component does not export the interface scram",
            ));
        }
        Ok(accepts)
    }

    /// Asks the plugin itself what is wrong with its settings; one line for
    /// each problem. A plugin without the role `settings` has none. `ledger`:
    /// whose instance asks.
    pub async fn validate(self: &Arc<Self>, ledger: &Arc<Ledger>) -> Result<Vec<String>, Failure> {
        let Some(functions) = self.compiled.roles.settings.clone() else {
            return Ok(Vec::new());
        };
        let mut instance = Instance::for_operator(self, ledger).await?;
        let validated = instance
            .call("settings.validate", |store, guest| {
                Box::pin(async move {
                    let functions = functions.load(&mut *store, guest)?;
                    functions.call_validate(store).await
                })
            })
            .await?;
        let complaints = validated.err().unwrap_or_default();
        Ok(complaints
            .into_iter()
            .take(COMPLAINTS)
            .map(convert::words)
            .collect())
    }

    /// Makes an instance and lets go of it: how long the making took, and how many
    /// octets of memory it had. `ledger`: one that nothing else is counted in.
    pub async fn fresh_instance(
        self: &Arc<Self>,
        ledger: &Arc<Ledger>,
    ) -> Result<(Duration, u64), Failure> {
        let begun = Instant::now();
        let instance = Instance::for_operator(self, ledger).await?;
        let took = begun.elapsed();
        let octets = ledger.totals().memory_octets;
        drop(instance);
        Ok((took, octets))
    }

    fn missing(&self, role: Role) -> MissingRole {
        MissingRole {
            role,
            component: self.source.clone(),
        }
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

/// Two plugins that answer alike have one identity: the same component, the
/// same settings, the same grants.
fn identity(digest: &str, plugin: &config::Plugin) -> String {
    let mut hasher = Sha256::new();
    hasher.update(digest);
    // Debug output of texts is quoted, so two lists never look alike.
    hasher.update(format!("{:?}{:?}", plugin.settings, plugin.grants));
    catalog::hex(&hasher.finalize())
}
