//! From a checked configuration to what sessions are served with: plugins
//! compiled, given their roles, asked about their settings.
//!
//! A generation never changes once it is built; the next one takes its place,
//! and it lives on until its last session ends. Together with `main` the only
//! room that names [`crate::plugin`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use restante_pop3::Decoy;
use tracing::warn;

use crate::backend::{Accepts, Authenticator};
use crate::config::{self, Config, Place, Problem, Problems};
use crate::metrics::Ledger;
use crate::plugin::{MissingRole, Plugin, Runtime};
use crate::policy::Policy;
use crate::shadow::Shadows;
use crate::tenant::{self, Serving, SessionSettings, Tenant, Tenants};
use crate::tls;

/// The generation that new sessions get.
pub type Current = Arc<RwLock<Arc<Serving>>>;

/// What a reload came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// The number of the generation that new sessions get now.
    pub generation: u64,
    /// How many tenants it has.
    pub tenants: usize,
    /// How many plugins.
    pub plugins: usize,
    /// What is not wrong and yet probably not meant.
    pub warnings: Vec<Problem>,
    /// Keys that have changed and take a restart.
    pub restart: Vec<&'static str>,
    /// How long it took.
    pub took: Duration,
}

/// What new sessions get now.
pub fn current(current: &Current) -> Arc<Serving> {
    // A pointer is stored whole or not at all.
    current
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

/// From now on new sessions get this one.
pub fn swap(current: &Current, next: Serving) {
    *current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
}

/// Builds a generation, or says everything that is in the way of it. Compiles
/// components where they are new: seconds, on the blocking pool. Tenants that
/// were in `previous` keep their count of sessions and what they know of their users' logins. `decoy_secret` as
/// [`Decoy::new`](restante_pop3::Decoy::new) wants it.
pub async fn build(
    config: &Config,
    file: &Path,
    runtime: &Arc<Runtime>,
    decoy_secret: [u8; 32],
    previous: Option<&Serving>,
) -> Result<Serving, Problems> {
    let mut builder = Builder {
        file: file.to_owned(),
        problems: Vec::new(),
    };
    let metrics = runtime.metrics();
    // Labels are given out by name, where there are not enough.
    let names: BTreeSet<_> = config.tenants.iter().map(|tenant| &tenant.name).collect();
    let ledgers: Ledgers = names
        .into_iter()
        .map(|name| (name.clone(), metrics.ledger(name)))
        .collect();
    let decoy = tenant::decoy(&config.server, decoy_secret);
    let plugins = builder.plugins(config, runtime, &decoy, &ledgers).await;
    let mut tenants = Tenants::new();
    for tenant in &config.tenants {
        let trusted = builder.trusted(config, tenant, &plugins);
        if let Some(mut built) = builder.tenant(tenant, &trusted) {
            built.ledger = ledgers[&tenant.name].clone();
            if let Some(old) = previous.and_then(|previous| previous.tenants.named(&tenant.name)) {
                built.sessions = old.sessions.clone();
                built.last_logins = old.last_logins.clone();
            }
            tenants.add(
                Arc::new(built),
                &tenant.domains,
                &tenant.server_names,
                tenant.default,
            );
        }
    }
    let tls = builder.tls(config);
    if builder.problems.is_empty() {
        for tenant in tenants.iter() {
            tenant.ledger.share().set(&tenant.limits.share);
        }
        Ok(Serving {
            tenants,
            tls,
            settings: SessionSettings::new(&config.server, &config.tenants, decoy),
            generation: metrics.next_generation(),
        })
    } else {
        Err(Problems(builder.problems))
    }
}

/// By tenant.
type Ledgers = BTreeMap<String, Arc<Ledger>>;

type Plugins = BTreeMap<String, (Arc<Plugin>, Accepts)>;

struct Builder {
    file: PathBuf,
    problems: Vec<Problem>,
}

impl Builder {
    fn problem(&mut self, place: Option<Place>, what: impl Display, mend: Option<&str>) {
        self.problems.push(Problem {
            file: self.file.clone(),
            place,
            what: what.to_string(),
            mend: mend.map(str::to_owned),
        });
    }

    async fn plugins(
        &mut self,
        config: &Config,
        runtime: &Arc<Runtime>,
        decoy: &Decoy,
        ledgers: &Ledgers,
    ) -> Plugins {
        let mut plugins = Plugins::new();
        let file = self.file.clone();
        for wanted in &config.plugins {
            let (task_runtime, task_plugin) = (runtime.clone(), wanted.clone());
            let task_decoy = decoy.clone();
            let making = move || task_runtime.plugin(&task_plugin, &task_decoy);
            let made = tokio::task::spawn_blocking(making).await;
            match made {
                Ok(Ok(plugin)) => {
                    for words in plugin.ungranted() {
                        let (file, line) = (file.display(), wanted.place.line);
                        warn!("{file}:{line}: [plugin.{}] {words}", wanted.name);
                    }
                    if let Some(user) = config.tenants.iter().find(|one| one.uses(&wanted.name)) {
                        let accepts = self.ask(wanted, &ledgers[&user.name], &plugin).await;
                        plugins.insert(wanted.name.clone(), (plugin, accepts));
                    }
                }
                Ok(Err(error)) => self.problem(
                    Some(wanted.place),
                    format!("[plugin.{}] {error}", wanted.name),
                    None,
                ),
                Err(panic) => self.problem(
                    Some(wanted.place),
                    format!(
                        "[plugin.{}] component: the compiler failed: {panic}",
                        wanted.name
                    ),
                    None,
                ),
            }
        }
        plugins
    }

    /// Lets a plugin look over its settings, and say what it judges. Its answers
    /// hold for every tenant; `ledger` is that of one of them.
    async fn ask(
        &mut self,
        wanted: &config::Plugin,
        ledger: &Arc<Ledger>,
        plugin: &Arc<Plugin>,
    ) -> Accepts {
        match plugin.validate(ledger).await {
            Ok(lines) => {
                for line in lines {
                    self.problem(
                        Some(wanted.place),
                        format!("[plugin.{}.settings] {line}", wanted.name),
                        None,
                    );
                }
            }
            Err(_) => self.failed(wanted, "looks over its settings"),
        }
        plugin.accepts(ledger).await.unwrap_or_else(|_| {
            self.failed(wanted, "says which credentials it accepts");
            Accepts::default()
        })
    }

    fn failed(&mut self, wanted: &config::Plugin, when: &str) {
        self.problem(
            Some(wanted.place),
            format!("[plugin.{}] fails when it {when}", wanted.name),
            Some("the log line above says why"),
        );
    }

    /// Those of the tenant's plugins that are signed as it wants them.
    fn trusted(&mut self, config: &Config, tenant: &config::Tenant, plugins: &Plugins) -> Plugins {
        let mut trusted = Plugins::new();
        for wanted in tenant.plugins().collect::<BTreeSet<_>>() {
            let Some((plugin, accepts)) = plugins.get(wanted) else {
                continue;
            };
            let section = config.plugins.iter().find(|plugin| plugin.name == wanted);
            let demand = section.map(|plugin| config.demand(plugin, Some(tenant)));
            match plugin.trusted(&demand.unwrap_or_default()) {
                Ok(()) => {
                    trusted.insert(wanted.to_owned(), (plugin.clone(), *accepts));
                }
                Err(error) => self.problem(
                    Some(tenant.place),
                    format!("[tenant.{}] plugin `{wanted}`: {error}", tenant.name),
                    None,
                ),
            }
        }
        trusted
    }

    fn tenant(&mut self, tenant: &config::Tenant, plugins: &Plugins) -> Option<Tenant> {
        let authenticators = self.roles(
            tenant,
            &tenant.authenticators,
            plugins,
            |(plugin, accepts)| plugin.authenticator(*accepts),
        );
        let stores = std::slice::from_ref(&tenant.store);
        let store = self
            .roles(tenant, stores, plugins, |(plugin, _)| plugin.store())
            .pop();
        let selectors = self.roles(tenant, &tenant.selectors, plugins, |(plugin, _)| {
            plugin.selector()
        });
        let filters = self.roles(tenant, &tenant.filters, plugins, |(plugin, _)| {
            plugin.filter()
        });
        let admissions = self.roles(tenant, &tenant.admissions, plugins, |(plugin, _)| {
            plugin.admission()
        });
        self.digests(tenant, &authenticators);
        let names = &tenant.shadows;
        let mut shadows = Shadows::new(&tenant.name);
        shadows.authenticators = self.roles(
            tenant,
            &names.authenticators,
            plugins,
            |(plugin, accepts)| Ok(plugin.shadow(plugin.authenticator(*accepts)?)),
        );
        shadows.admissions = self.roles(tenant, &names.admissions, plugins, |(plugin, _)| {
            Ok(plugin.shadow(plugin.admission()?))
        });
        shadows.filters = self.roles(tenant, &names.filters, plugins, |(plugin, _)| {
            Ok(plugin.shadow(plugin.filter()?))
        });
        Some(Tenant {
            selectors,
            filters,
            filter_failure: tenant.filter_failure,
            admissions,
            shadows,
            plaintext_login: tenant.plaintext_login,
            policy: Policy::new(tenant),
            apop: tenant.apop,
            cram_md5: tenant.cram_md5,
            limits: tenant.limits.clone(),
            ..Tenant::new(&tenant.name, authenticators, store?)
        })
    }

    /// What is turned on and nobody can answer for.
    fn digests(&mut self, tenant: &config::Tenant, authenticators: &[Arc<dyn Authenticator>]) {
        let able = authenticators.iter().any(|one| one.accepts().digest);
        for (on, key) in [(tenant.apop, "apop"), (tenant.cram_md5, "cram-md5")] {
            if on && !able && authenticators.len() == tenant.authenticators.len() {
                self.problem(
                    Some(tenant.place),
                    format!(
                        "[tenant.{}] `{key}` is on, and none of its authenticators judges digests",
                        tenant.name
                    ),
                    Some("name one that keeps passwords in the clear, or remove the key"),
                );
            }
        }
    }

    /// The named plugins in a role. One that could not be made was reported
    /// already; one without the role is reported here.
    fn roles<R>(
        &mut self,
        tenant: &config::Tenant,
        names: &[String],
        plugins: &Plugins,
        role: impl Fn(&(Arc<Plugin>, Accepts)) -> Result<R, MissingRole>,
    ) -> Vec<R> {
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            match plugins.get(name).map(&role) {
                Some(Ok(plugin)) => found.push(plugin),
                Some(Err(missing)) => self.problem(
                    Some(tenant.place),
                    format!("[tenant.{}] plugin `{name}`: {missing}", tenant.name),
                    Some("name a plugin that has the role, or another component"),
                ),
                None => {}
            }
        }
        found
    }

    fn tls(&mut self, config: &Config) -> Option<Arc<tls::Contexts>> {
        match tls::contexts(config) {
            Ok(tls) => tls,
            Err(errors) => {
                for error in errors {
                    self.problem(None, error, None);
                }
                None
            }
        }
    }
}
