//! From a checked configuration to what sessions are served with: plugins
//! compiled, given their roles, asked about their settings.
//!
//! What is wrong with one tenant's plugins or files is that tenant's alone: a
//! server that starts does so without it ([`Broken::LeftOut`]).
//!
//! A generation never changes once it is built; the next one takes its place,
//! and it lives on until its last session ends. Together with `main` the only
//! room that names [`restante_wasm`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::RwLock;
use restante_pop3::MockCredentials;
use tokio::runtime::{Handle, RuntimeFlavor};
use tracing::{error, warn};

use super::databases::Databases;
use super::mail_engines::Engines;
use super::maildir_settings;
use restante_config as config;
use restante_config::{Config, Owner, Place, Problem, Problems, Scram};
use restante_roles::acting;
use restante_roles::backend::{Accepts, Authenticator};
use restante_roles::metrics::Ledger;
use restante_roles::shadow::Shadows;
use restante_roles::share::ShareLimits;
use restante_server::policy::Policy;
use restante_server::shutdown::Ending;
use restante_server::tenant::{self, Serving, SessionSettings, Tenant, Tenants};
use restante_server::tls;
use restante_wasm::{Loaded, MissingRole, Plugin, Runtime, Services};

/// Who asks a plugin that tenants use already, when a generation is built. No
/// tenant can be called so: names begin with a letter or a digit.
const RELOAD: &str = "_reload";

/// The generation that new sessions get.
pub type Current = Arc<RwLock<Arc<Serving>>>;

/// What becomes of a generation with tenants that cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// It is not built.
    Refused,
    /// They are out, the others serve; it is not built where nobody does.
    LeftOut,
}

/// What new sessions get now.
pub fn current(current: &Current) -> Arc<Serving> {
    // A pointer is stored whole or not at all.
    current.read().clone()
}

/// A tenant's share as the configuration has it.
fn share(limits: &config::ShareLimits) -> ShareLimits {
    ShareLimits {
        logins_per_minute: limits.logins_per_minute,
        instances: limits.instances,
        guest_memory: limits.guest_memory,
        guest_cpu_per_minute: limits.guest_cpu_per_minute,
        host_call_octets_per_minute: limits.host_call_octets_per_minute,
    }
}

/// Runs what takes a while, and lets other tasks go on meanwhile where the runtime can.
fn in_place<R>(work: impl FnOnce() -> R) -> R {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => work(),
        _ => tokio::task::block_in_place(work),
    }
}

/// From now on new sessions get this one. The one before it is given back.
pub fn swap(current: &Current, next: Serving) -> Arc<Serving> {
    let mut current = current.write();
    std::mem::replace(&mut *current, Arc::new(next))
}

/// Generations that sessions still have after another took their place.
#[derive(Default)]
pub struct Retired(Vec<Weak<Serving>>);

impl Retired {
    /// One more; it goes with its last session. With `drain_time` all of them go
    /// when that is over, at the latest.
    pub fn add(&mut self, old: &Arc<Serving>, drain_time: Option<Duration>) {
        let Retired(all) = self;
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(old));
        let Some(drain_time) = drain_time else {
            return;
        };
        for one in all.iter().filter_map(Weak::upgrade) {
            one.ending.begin(drain_time);
        }
    }
}

/// Builds a generation, or says everything that is in the way of it. Compiles
/// components where they are new: seconds, on the blocking pool. Tenants that
/// were there `before` keep their count of sessions and what they know of their
/// users' logins, and plugins that have not changed go on. `engines` are the server's, which
/// a generation leaves as they are. `mock_secret` as
/// [`MockCredentials::new`](restante_pop3::MockCredentials::new) wants it.
pub async fn build(
    config: &Config,
    runtime: &Arc<Runtime>,
    engines: &Engines,
    mock_secret: [u8; 32],
    before: Option<Before<'_>>,
    broken: Broken,
) -> Result<(Serving, Plugins), Problems> {
    let mut builder = Builder {
        config,
        sections: (config.plugins.iter())
            .map(|plugin| (plugin.name.as_str(), plugin))
            .collect(),
        problems: Vec::new(),
    };
    for absent in &config.absent {
        let owner = Some(absent.owner.clone());
        builder.problems.push((owner, absent.problem.clone()));
    }
    let metrics = runtime.metrics();
    // Labels are given out by name, where there are not enough.
    let names: BTreeSet<_> = config.tenants.iter().map(|tenant| &tenant.name).collect();
    let ledgers: Ledgers = names
        .into_iter()
        .map(|name| (name.clone(), metrics.ledger(name)))
        .collect();
    let mock_credentials = tenant::mock_credentials(&config.server, mock_secret);
    let plugins = builder
        .plugins(
            runtime,
            engines,
            &mock_credentials,
            &ledgers,
            before.map(|before| before.plugins),
        )
        .await;
    let mut built = Vec::with_capacity(config.tenants.len());
    for tenant in &config.tenants {
        let trusted = builder.trusted(tenant, &plugins);
        built.push(builder.tenant(tenant, &trusted));
    }
    let tls = builder.tls();
    let problems = builder.of_tenants(broken)?;
    let mut tenants = Tenants::new();
    for (configured, (built, problems)) in
        config.tenants.iter().zip(built.into_iter().zip(problems))
    {
        let mut tenant = match built {
            Some(built) if problems.is_empty() => built,
            _ => Tenant::out(configured, problems),
        };
        tenant.ledger = ledgers[&configured.name].clone();
        if let Some(old) = before.and_then(|before| before.serving.tenants.named(&tenant.name)) {
            tenant.sessions = old.sessions.clone();
            tenant.last_logins = old.last_logins.clone();
        }
        let Tenant {
            ref name, ref out, ..
        } = tenant;
        if !out.is_empty() {
            error!(
                tenant = name,
                "tenant is out: its clients are refused until you fix the problems and reload the configuration"
            );
        }
        tenants.add(
            Arc::new(tenant),
            &configured.domains,
            &configured.server_names,
            configured.default,
        );
    }
    for tenant in tenants.iter() {
        tenant.ledger.share().set(&share(&tenant.limits.share));
    }
    let serving = Serving {
        tenants,
        tls,
        settings: SessionSettings::new(&config.server, &config.tenants, mock_credentials),
        generation: metrics.next_generation(),
        ending: Ending::default(),
        recorder: None,
    };
    Ok((serving, plugins))
}

/// By tenant.
type Ledgers = BTreeMap<String, Arc<Ledger>>;

/// The plugins of a generation, to build the next one with.
#[derive(Default)]
pub struct Plugins {
    ready: HashMap<String, Ready>,
    databases: Arc<Databases>,
}

impl Plugins {
    /// The databases that they were granted.
    pub fn databases(&self) -> &Arc<Databases> {
        &self.databases
    }
}

/// The generation that is to be followed.
#[derive(Clone, Copy)]
pub struct Before<'g> {
    /// What it serves with.
    pub serving: &'g Serving,
    /// Its plugins.
    pub plugins: &'g Plugins,
}

struct Ready {
    loaded: Loaded,
    /// Whether some tenant uses it; if none does, it was asked nothing.
    used: bool,
    accepts: Accepts,
}

/// Those of a tenant, by name.
type Trusted<'p> = BTreeMap<&'p str, &'p Ready>;

struct Builder<'c> {
    config: &'c Config,
    /// Each `[plugin.NAME]`, by name.
    sections: HashMap<&'c str, &'c config::Plugin>,
    /// With whose they are; None: everybody's.
    problems: Vec<(Option<Owner>, Problem)>,
}

impl Builder<'_> {
    fn problem(&mut self, owner: Owner, place: Place, what: impl Display, mend: Option<&str>) {
        let problem = Problem {
            file: self.config.files[place.file].clone(),
            place: Some(place),
            what: what.to_string(),
            mend: mend.map(str::to_owned),
        };
        self.problems.push((Some(owner), problem));
    }

    fn problem_of_plugin(
        &mut self,
        plugin: &config::Plugin,
        what: impl Display,
        mend: Option<&str>,
    ) {
        let owner = Owner::Plugin(plugin.name.clone());
        self.problem(owner, plugin.place, what, mend);
    }

    fn problem_of_tenant(
        &mut self,
        tenant: &config::Tenant,
        what: impl Display,
        mend: Option<&str>,
    ) {
        let owner = Owner::Tenant(tenant.name.clone());
        let what = format!("[tenant.{}] {what}", tenant.name);
        self.problem(owner, tenant.place, what, mend);
    }

    /// What keeps each tenant from being served, in the configuration's order; all
    /// of it at once, where nothing is to be built with that.
    fn of_tenants(self, broken: Broken) -> Result<Vec<Vec<Problem>>, Problems> {
        let mut of: HashMap<&Owner, Vec<&Problem>> = HashMap::new();
        let mut common = false;
        for (owner, problem) in &self.problems {
            match owner {
                Some(owner) => of.entry(owner).or_default().push(problem),
                None => common = true,
            }
        }
        let all: Vec<Vec<Problem>> = self
            .config
            .tenants
            .iter()
            .map(|tenant| {
                let used: BTreeSet<_> = tenant.plugins().collect();
                let used = used.into_iter().map(|name| Owner::Plugin(name.to_owned()));
                let owners = used.chain([Owner::Tenant(tenant.name.clone())]);
                let problems = owners.filter_map(|owner| of.get(&owner)).flatten();
                problems.map(|problem| (*problem).clone()).collect()
            })
            .collect();
        let nobody_serves = all.iter().all(|problems| !problems.is_empty());
        let refused = match broken {
            Broken::Refused => !self.problems.is_empty(),
            Broken::LeftOut => common || nobody_serves,
        };
        if refused {
            let problems = self.problems.into_iter().map(|(_, problem)| problem);
            return Err(Problems(problems.collect()));
        }
        for (_, problem) in &self.problems {
            error!("{}", problem.one_line());
        }
        Ok(all)
    }

    async fn plugins(
        &mut self,
        runtime: &Arc<Runtime>,
        engines: &Engines,
        mock_credentials: &MockCredentials,
        ledgers: &Ledgers,
        before: Option<&Plugins>,
    ) -> Plugins {
        let known = before.map(|before| &*before.databases);
        let databases = Databases::of(self.config, known, runtime.metrics()).await;
        let services = Services {
            databases: databases.shared(),
            engines: engines.shared().to_vec(),
        };
        let mut plugins = HashMap::new();
        let mut users: HashMap<&str, &config::Tenant> = HashMap::new();
        for tenant in &self.config.tenants {
            for name in tenant.plugins() {
                users.entry(name).or_insert(tenant);
            }
        }
        let absent: BTreeSet<&Owner> = self.config.absent.iter().map(|one| &one.owner).collect();
        for wanted in &self.config.plugins {
            if absent.contains(&Owner::Plugin(wanted.name.clone())) {
                continue;
            }
            let before = before.and_then(|before| before.ready.get(&wanted.name));
            if self.lacks_a_database(wanted, &databases) {
                continue;
            }
            let services = services.clone();
            let loading = self.load(wanted, runtime, mock_credentials, services, before);
            let Some(loaded) = loading.await else {
                continue;
            };
            let tenants = &self.config.tenants;
            let unsuited = in_place(|| maildir_settings::unsuited(wanted, tenants));
            for words in loaded.plugin.ungranted().into_iter().chain(unsuited) {
                let place = wanted.place;
                let (file, line) = (self.config.files[place.file].display(), place.line);
                warn!("{file}:{line}: [plugin.{}] {words}", wanted.name);
            }
            let user = users.get(wanted.name.as_str());
            let accepts = match user {
                Some(user) => {
                    let known = before.filter(|before| {
                        before.used && Arc::ptr_eq(&before.loaded.plugin, &loaded.plugin)
                    });
                    let known = known.map(|before| before.accepts);
                    let ledger = &ledgers[&user.name];
                    self.ask(wanted, &loaded.plugin, ledger, known).await
                }
                None => Accepts::default(),
            };
            let used = user.is_some();
            let ready = Ready {
                loaded,
                used,
                accepts,
            };
            plugins.insert(wanted.name.clone(), ready);
        }
        Plugins {
            ready: plugins,
            databases: Arc::new(databases),
        }
    }

    /// Notes what keeps it from the databases that it is granted.
    fn lacks_a_database(&mut self, wanted: &config::Plugin, databases: &Databases) -> bool {
        let mut lacks = false;
        for name in &wanted.grants.databases {
            if let Some(problem) = databases.problem(name) {
                lacks = true;
                let what = format!(
                    "[plugin.{}] needs [database.{name}]: {problem}",
                    wanted.name
                );
                self.problem_of_plugin(wanted, what, None);
            }
        }
        lacks
    }

    async fn load(
        &mut self,
        wanted: &config::Plugin,
        runtime: &Arc<Runtime>,
        mock_credentials: &MockCredentials,
        services: Services,
        before: Option<&Ready>,
    ) -> Option<Loaded> {
        let (runtime, plugin, mock_credentials) =
            (runtime.clone(), wanted.clone(), mock_credentials.clone());
        let before = before.map(|before| before.loaded.clone());
        let loading =
            move || runtime.plugin(&plugin, &mock_credentials, &services, before.as_ref());
        let what = match tokio::task::spawn_blocking(loading).await {
            Ok(Ok(loaded)) => return Some(loaded),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("component: the compiler failed: {panic}"),
        };
        self.problem_of_plugin(wanted, format!("[plugin.{}] {what}", wanted.name), None);
        None
    }

    /// Lets a plugin look over its settings, and say what it judges. Its answers
    /// hold for every tenant; `ledger` is that of one of them. `known` is what the
    /// same plugin said for the generation before: it holds on if it cannot be
    /// asked now, and no tenant's account with the plugin is touched.
    async fn ask(
        &mut self,
        wanted: &config::Plugin,
        plugin: &Arc<Plugin>,
        ledger: &Arc<Ledger>,
        known: Option<Accepts>,
    ) -> Accepts {
        let ledger = match known {
            Some(_) => &Ledger::new(RELOAD),
            None => ledger,
        };
        match plugin.validate(ledger).await {
            Ok(lines) => {
                for line in lines {
                    let what = format!("[plugin.{}.settings] {line}", wanted.name);
                    self.problem_of_plugin(wanted, what, None);
                }
            }
            Err(_) if known.is_some() => {}
            Err(_) => self.failed(wanted, "looks over its settings"),
        }
        match (plugin.accepts(ledger, known).await, known) {
            (Ok(accepts), _) => accepts,
            (Err(_), Some(known)) => known,
            (Err(_), None) => {
                self.failed(wanted, "says which credentials it accepts");
                Accepts::default()
            }
        }
    }

    fn failed(&mut self, wanted: &config::Plugin, when: &str) {
        self.problem_of_plugin(
            wanted,
            format!("[plugin.{}] fails when it {when}", wanted.name),
            Some("the log line above says why"),
        );
    }

    /// Those of the tenant's plugins that are signed as it wants them.
    fn trusted<'p>(&mut self, tenant: &config::Tenant, plugins: &'p Plugins) -> Trusted<'p> {
        let mut trusted = Trusted::new();
        for wanted in tenant.plugins().collect::<BTreeSet<_>>() {
            let Some((name, ready)) = plugins.ready.get_key_value(wanted) else {
                continue;
            };
            let section = self.sections.get(wanted);
            let demand = section.map(|plugin| self.config.demand(plugin, Some(tenant)));
            match ready.loaded.trusted(&demand.unwrap_or_default()) {
                Ok(()) => {
                    trusted.insert(name, ready);
                }
                Err(error) => {
                    self.problem_of_tenant(tenant, format!("plugin `{wanted}`: {error}"), None);
                }
            }
        }
        trusted
    }

    fn tenant(&mut self, tenant: &config::Tenant, plugins: &Trusted<'_>) -> Option<Tenant> {
        let authenticator = |name: &str, ready: &Ready| {
            let plugin = &ready.loaded.plugin;
            let mut accepts = ready.accepts;
            // The plugin has not named it where one user has no keys.
            accepts.scram_sha256 |= tenant.scram == Scram::On && plugin.looks_up_scram_keys();
            let role = plugin.authenticator(accepts)?;
            Ok(match tenant.acting_as.contains(name) {
                true => acting::judge(role),
                false => role,
            })
        };
        let authenticators = self.roles(tenant, &tenant.authenticators, plugins, authenticator);
        let stores = std::slice::from_ref(&tenant.store);
        let store = self
            .roles(tenant, stores, plugins, |_, ready| {
                ready.loaded.plugin.store()
            })
            .pop();
        let selectors = self.roles(tenant, &tenant.selectors, plugins, |_, ready| {
            ready.loaded.plugin.selector()
        });
        let filters = self.roles(tenant, &tenant.filters, plugins, |_, ready| {
            ready.loaded.plugin.filter()
        });
        let admissions = self.roles(tenant, &tenant.admissions, plugins, |_, ready| {
            ready.loaded.plugin.admission()
        });
        self.digests(tenant, &authenticators);
        self.scram(tenant, &authenticators);
        let names = &tenant.shadows;
        let mut shadows = Shadows::new(&tenant.name);
        shadows.authenticators =
            self.roles(tenant, &names.authenticators, plugins, |name, ready| {
                Ok(ready.loaded.plugin.shadow(authenticator(name, ready)?))
            });
        shadows.admissions = self.roles(tenant, &names.admissions, plugins, |_, ready| {
            let plugin = &ready.loaded.plugin;
            Ok(plugin.shadow(plugin.admission()?))
        });
        shadows.filters = self.roles(tenant, &names.filters, plugins, |_, ready| {
            let plugin = &ready.loaded.plugin;
            Ok(plugin.shadow(plugin.filter()?))
        });
        Some(Tenant {
            selectors,
            filters,
            filter_failure: tenant.filter_failure,
            admissions,
            shadows,
            plaintext_login: tenant.plaintext_login,
            tls_minimum: tenant.tls_minimum,
            policy: Policy::new(tenant),
            utf8: tenant.utf8,
            scram: tenant.scram,
            apop: tenant.apop,
            cram_md5: tenant.cram_md5,
            limits: tenant.limits.clone(),
            shares_maildrops: tenant.shares_maildrops,
            default_domain: tenant.default_domain.clone(),
            when_in_use: tenant.when_in_use,
            ..Tenant::new(&tenant.name, authenticators, store?)
        })
    }

    /// What is turned on and nobody can answer for.
    fn digests(&mut self, tenant: &config::Tenant, authenticators: &[Arc<dyn Authenticator>]) {
        let able = authenticators.iter().any(|one| one.accepts().digest);
        for (on, key) in [(tenant.apop, "apop"), (tenant.cram_md5, "cram-md5")] {
            if on && !able && authenticators.len() == tenant.authenticators.len() {
                self.problem_of_tenant(
                    tenant,
                    format!("`{key}` is on, and none of its authenticators judges digests"),
                    Some("name one that keeps passwords in the clear, or remove the key"),
                );
            }
        }
    }

    /// The same for SCRAM.
    fn scram(&mut self, tenant: &config::Tenant, authenticators: &[Arc<dyn Authenticator>]) {
        let able = authenticators.iter().any(|one| one.accepts().scram_sha256);
        let all = authenticators.len() == tenant.authenticators.len();
        if tenant.scram == Scram::On && !able && all {
            self.problem_of_tenant(
                tenant,
                "`scram` is on, and none of its authenticators looks up keys for it",
                Some("name one that does, such as `builtin:passwd-file`, or remove the key"),
            );
        }
    }

    /// The named plugins in a role. One that could not be made was reported
    /// already; one without the role is reported here.
    fn roles<R>(
        &mut self,
        tenant: &config::Tenant,
        names: &[String],
        plugins: &Trusted<'_>,
        role: impl Fn(&str, &Ready) -> Result<R, MissingRole>,
    ) -> Vec<R> {
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            match plugins.get(name.as_str()).map(|ready| role(name, ready)) {
                Some(Ok(plugin)) => found.push(plugin),
                Some(Err(missing)) => self.problem_of_tenant(
                    tenant,
                    format!("plugin `{name}`: {missing}"),
                    Some("name a plugin that has the role, or another component"),
                ),
                None => {}
            }
        }
        found
    }

    fn tls(&mut self) -> Option<Arc<tls::Contexts>> {
        // Thousands of files, perhaps.
        let tls::Built {
            contexts,
            errors,
            warnings,
        } = in_place(|| tls::contexts(self.config));
        for (tenant, what) in warnings {
            match tenant {
                Some(tenant) => {
                    let file = self.config.files[tenant.place.file].display();
                    let (line, name) = (tenant.place.line, &tenant.name);
                    warn!("{file}:{line}: [tenant.{name}] {what}");
                }
                None => warn!("{}: [server] {what}", self.config.files[0].display()),
            }
        }
        let absent: BTreeSet<&PathBuf> = self.config.absent.iter().map(|one| &one.path).collect();
        for (tenant, error) in errors {
            // What is not there was said already.
            if error
                .path()
                .is_some_and(|path| absent.contains(&path.to_owned()))
            {
                continue;
            }
            match tenant {
                Some(tenant) => self.problem_of_tenant(tenant, error, None),
                None => self.problems.push((
                    None,
                    Problem {
                        file: self.config.files[0].clone(),
                        place: None,
                        what: error.to_string(),
                        mend: None,
                    },
                )),
            }
        }
        contexts
    }
}
