//! Everything that is counted, and where it is found by name.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use super::answers::{CacheTotals, CachedAnswers};
use super::calls::{CallTotals, PluginCalls};
use super::engines::{EngineCalls, EngineTotals};
use super::holds::HoldCounts;
use super::ledger::{Ledger, Totals};
use parking_lot::RwLock;

/// Tenants with a label of their own.
pub const LABELLED_TENANTS: usize = 100;

/// Plugins with a label of their own.
pub const LABELLED_PLUGINS: usize = 100;

/// Engines with a label of their own.
pub const LABELLED_ENGINES: usize = 100;

/// Databases with a label of their own.
pub const LABELLED_DATABASES: usize = 100;

/// The label of all tenants, plugins, engines or databases that have none of their own. No tenant can
/// be called so: names begin with a letter or a digit.
pub const OTHER: &str = "_other";

/// The label of logins that no tenant was found for.
pub const NO_TENANT: &str = "_none";

/// Lines of the log that were dropped: a process has one log.
static DROPPED_LOG_LINES: AtomicU64 = AtomicU64::new(0);

/// A line of the log is dropped, since nobody reads it.
pub fn log_line_dropped() {
    DROPPED_LOG_LINES.fetch_add(1, Ordering::Relaxed);
}

/// Lines of the log that were dropped since the process started.
pub fn dropped_log_lines() -> u64 {
    DROPPED_LOG_LINES.load(Ordering::Relaxed)
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    started: Instant,
    started_at: SystemTime,
    tenants: RwLock<Named<Ledger>>,
    plugins: RwLock<Named<PluginCalls>>,
    engines: RwLock<Named<EngineCalls>>,
    databases: RwLock<Named<CachedAnswers>>,
    pub(super) nobody: Arc<Ledger>,
    connections: AtomicU64,
    refused: AtomicU64,
    without_descriptor: AtomicU64,
    most_instances: AtomicU64,
    generation: AtomicU64,
    generations: Arc<AtomicU64>,
    reloads: AtomicU64,
    failed_reloads: AtomicU64,
    memory: ResidentMemory,
    holds: Arc<HoldCounts>,
}

/// Counters by name, and what those left behind whose name is gone.
#[derive(Debug)]
struct Named<T: Counted> {
    live: BTreeMap<Arc<str>, Arc<T>>,
    /// Of those under [`OTHER`] that are gone: a counter must not fall.
    gone: T::Totals,
    labelled: usize,
}

trait Counted {
    type Totals: Copy + Default;
    fn make(name: &str, labelled: bool) -> Arc<Self>;
    fn name(&self) -> &Arc<str>;
    fn has_label(&self) -> bool;
    fn totals(&self) -> Self::Totals;
    fn add(one: Self::Totals, other: &Self::Totals) -> Self::Totals;
}

impl<T: Counted> Named<T> {
    fn new() -> Self {
        Named {
            live: BTreeMap::new(),
            gone: T::Totals::default(),
            labelled: 0,
        }
    }

    fn get(&mut self, name: &str, most: usize) -> Arc<T> {
        if let Some(known) = self.live.get(name) {
            return Arc::clone(known);
        }
        let labelled = self.labelled < most;
        self.labelled += usize::from(labelled);
        let made = T::make(name, labelled);
        self.live.insert(Arc::clone(made.name()), Arc::clone(&made));
        made
    }

    /// Lets go of those that nobody counts for any more.
    fn prune(&mut self) {
        let Named {
            live,
            gone,
            labelled,
        } = self;
        live.retain(|_, one| {
            let held = Arc::strong_count(one) > 1;
            if !held && one.has_label() {
                *labelled -= 1;
            } else if !held {
                *gone = T::add(*gone, &one.totals());
            }
            held
        });
    }

    /// By label: at most the labelled ones and [`OTHER`].
    fn by_label(&self) -> Vec<(Arc<str>, T::Totals)> {
        let mut other = self.gone;
        let mut labelled = Vec::with_capacity(self.labelled + 1);
        for one in self.live.values() {
            if one.has_label() {
                labelled.push((Arc::clone(one.name()), one.totals()));
            } else {
                other = T::add(other, &one.totals());
            }
        }
        labelled.push((OTHER.into(), other));
        labelled
    }
}

impl Counted for Ledger {
    type Totals = Totals;
    fn make(name: &str, labelled: bool) -> Arc<Self> {
        Ledger::labelled(name, labelled)
    }
    fn name(&self) -> &Arc<str> {
        self.tenant()
    }
    fn has_label(&self) -> bool {
        self.has_label()
    }
    fn totals(&self) -> Totals {
        self.totals()
    }
    fn add(one: Totals, other: &Totals) -> Totals {
        one.with(other)
    }
}

impl Counted for PluginCalls {
    type Totals = CallTotals;
    fn make(name: &str, labelled: bool) -> Arc<Self> {
        PluginCalls::labelled(name, labelled)
    }
    fn name(&self) -> &Arc<str> {
        self.name()
    }
    fn has_label(&self) -> bool {
        self.has_label()
    }
    fn totals(&self) -> CallTotals {
        self.totals()
    }
    fn add(one: CallTotals, other: &CallTotals) -> CallTotals {
        one.with(other)
    }
}

impl Counted for EngineCalls {
    type Totals = EngineTotals;
    fn make(name: &str, labelled: bool) -> Arc<Self> {
        EngineCalls::labelled(name, labelled)
    }
    fn name(&self) -> &Arc<str> {
        self.name()
    }
    fn has_label(&self) -> bool {
        self.has_label()
    }
    fn totals(&self) -> EngineTotals {
        self.totals()
    }
    fn add(one: EngineTotals, other: &EngineTotals) -> EngineTotals {
        one.with(other)
    }
}

impl Counted for CachedAnswers {
    type Totals = CacheTotals;
    fn make(name: &str, labelled: bool) -> Arc<Self> {
        CachedAnswers::labelled(name, labelled)
    }
    fn name(&self) -> &Arc<str> {
        self.name()
    }
    fn has_label(&self) -> bool {
        self.has_label()
    }
    fn totals(&self) -> CacheTotals {
        self.totals()
    }
    fn add(one: CacheTotals, other: &CacheTotals) -> CacheTotals {
        one.with(other)
    }
}

impl Metrics {
    /// Of a server that starts now.
    pub fn new() -> Arc<Self> {
        Arc::new(Metrics {
            started: Instant::now(),
            started_at: SystemTime::now(),
            tenants: RwLock::new(Named::new()),
            plugins: RwLock::new(Named::new()),
            engines: RwLock::new(Named::new()),
            databases: RwLock::new(Named::new()),
            nobody: Ledger::new(NO_TENANT),
            connections: AtomicU64::default(),
            refused: AtomicU64::default(),
            without_descriptor: AtomicU64::default(),
            most_instances: AtomicU64::default(),
            generation: AtomicU64::default(),
            generations: Arc::default(),
            reloads: AtomicU64::default(),
            failed_reloads: AtomicU64::default(),
            memory: ResidentMemory::new(),
            holds: Arc::default(),
        })
    }

    /// The tenant's ledger: the one that its last generation had, or a new one.
    pub fn ledger(&self, tenant: &str) -> Arc<Ledger> {
        let mut tenants = self.tenants.write();
        tenants.get(tenant, LABELLED_TENANTS)
    }

    /// The plugin's calls, likewise.
    pub fn calls(&self, plugin: &str) -> Arc<PluginCalls> {
        let mut plugins = self.plugins.write();
        plugins.get(plugin, LABELLED_PLUGINS)
    }

    /// The engine's calls, likewise.
    pub fn engine(&self, engine: &str) -> Arc<EngineCalls> {
        let mut engines = self.engines.write();
        engines.get(engine, LABELLED_ENGINES)
    }

    /// What is remembered of the database's answers, likewise.
    pub fn database(&self, database: &str) -> Arc<CachedAnswers> {
        let mut databases = self.databases.write();
        databases.get(database, LABELLED_DATABASES)
    }

    /// Where logins are counted that no tenant was found for.
    pub fn nobody(&self) -> &Arc<Ledger> {
        &self.nobody
    }

    /// What is counted of shared holds.
    pub fn holds(&self) -> &Arc<HoldCounts> {
        &self.holds
    }

    /// Every tenant and what it used, by name; not bounded as labels are.
    pub fn tenants(&self) -> Vec<(Arc<str>, Totals)> {
        let mut tenants = self.tenants.write();
        tenants.prune();
        let of = |ledger: &Arc<Ledger>| (Arc::clone(ledger.tenant()), ledger.totals());
        tenants.live.values().map(of).collect()
    }

    /// A client connected.
    pub fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// A client was turned away at a limit of connections.
    pub fn turned_away(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection could not be accepted for want of a file descriptor.
    pub fn without_descriptor(&self) {
        self.without_descriptor.fetch_add(1, Ordering::Relaxed);
    }

    /// How many instances may live at once.
    pub fn set_most_instances(&self, instances: u32) {
        self.most_instances
            .store(instances.into(), Ordering::Relaxed);
    }

    /// A generation is built; it lives until the mark is dropped.
    pub fn next_generation(&self) -> GenerationMark {
        self.generations.fetch_add(1, Ordering::Relaxed);
        GenerationMark {
            number: self.generation.fetch_add(1, Ordering::Relaxed) + 1,
            live: Arc::clone(&self.generations),
        }
    }

    /// Somebody asked for a reload.
    pub fn reloaded(&self, done: bool) {
        let counter = if done {
            &self.reloads
        } else {
            &self.failed_reloads
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The process and its numbers.
    pub fn status(&self) -> Status {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut all = Totals::default();
        for (_, totals) in self.tenants() {
            all = all.with(&totals);
        }
        Status {
            started_at: self.started_at,
            uptime_seconds: self.started.elapsed().as_secs(),
            connections: get(&self.connections),
            refused: get(&self.refused),
            without_descriptor: get(&self.without_descriptor),
            log_lines_dropped: dropped_log_lines(),
            instances: all.instances,
            most_instances: get(&self.most_instances),
            guest_memory_octets: all.memory_octets,
            resident_octets: self.memory.octets(),
            generations: get(&self.generations),
            reloads: get(&self.reloads),
            failed_reloads: get(&self.failed_reloads),
        }
    }

    pub(super) fn labelled_tenants(&self) -> Vec<(Arc<str>, Totals)> {
        let mut tenants = self.tenants.write();
        tenants.prune();
        tenants.by_label()
    }

    pub(super) fn labelled_engines(&self) -> Vec<(Arc<str>, EngineTotals)> {
        let mut engines = self.engines.write();
        engines.prune();
        engines.by_label()
    }

    pub(super) fn labelled_databases(&self) -> Vec<(Arc<str>, CacheTotals)> {
        let mut databases = self.databases.write();
        databases.prune();
        databases.by_label()
    }

    pub(super) fn labelled_plugins(&self) -> Vec<(Arc<str>, CallTotals)> {
        let mut plugins = self.plugins.write();
        plugins.prune();
        plugins.by_label()
    }
}

/// The server's own numbers at one moment.
#[derive(Debug, Clone)]
pub struct Status {
    /// When the server started.
    pub started_at: SystemTime,
    /// How long ago that is, in whole seconds.
    pub uptime_seconds: u64,
    /// Connections since then.
    pub connections: u64,
    /// Those that were turned away at a limit.
    pub refused: u64,
    /// How often one could not be accepted for want of a file descriptor.
    pub without_descriptor: u64,
    /// Lines of the log that nobody read in time.
    pub log_lines_dropped: u64,
    /// Plugins' instances that live.
    pub instances: u64,
    /// How many may.
    pub most_instances: u64,
    /// Linear memory of the live ones, in octets.
    pub guest_memory_octets: u64,
    /// Memory of the process, in octets; 0 where the system does not tell.
    pub resident_octets: u64,
    /// Generations that live: the current one, and those of older sessions.
    pub generations: u64,
    /// Reloads that were carried out.
    pub reloads: u64,
    /// Reloads that changed nothing.
    pub failed_reloads: u64,
}

/// Counts a generation for as long as it lives.
#[derive(Debug, Default)]
pub struct GenerationMark {
    number: u64,
    live: Arc<AtomicU64>,
}

impl GenerationMark {
    /// Which one it is, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for GenerationMark {
    fn drop(&mut self) {
        // One that no metrics know of was never counted.
        if self.number > 0 {
            self.live.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The process's resident memory (proc(5), statm: in pages). The file stays open: it is
/// asked for when there are no descriptors left, too.
#[derive(Debug)]
struct ResidentMemory(Option<File>);

impl ResidentMemory {
    /// Octets of the two first numbers of statm, at most.
    const STATM_OCTETS: usize = 64;

    fn new() -> Self {
        ResidentMemory(File::open("/proc/self/statm").ok())
    }

    /// 0 where the system does not tell.
    fn octets(&self) -> u64 {
        let ResidentMemory(Some(statm)) = self else {
            return 0;
        };
        let mut text = [0; Self::STATM_OCTETS];
        let read = statm.read_at(&mut text, 0).unwrap_or(0);
        let pages = str::from_utf8(&text[..read])
            .ok()
            .and_then(|statm| statm.split_whitespace().nth(1)?.parse::<u64>().ok());
        pages.unwrap_or(0) * rustix::param::page_size() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::super::LoginResult;
    use super::*;

    #[test]
    fn labels_are_bounded_and_nothing_is_lost_of_the_others() {
        let metrics = Metrics::new();
        let names: Vec<String> = (0..LABELLED_TENANTS + 50)
            .map(|n| format!("t{n:04}"))
            .collect();
        let mut ledgers: Vec<_> = names.iter().map(|name| metrics.ledger(name)).collect();
        for ledger in &ledgers {
            ledger.login(LoginResult::Ok);
        }
        let labelled = metrics.labelled_tenants();
        assert_eq!(labelled.len(), LABELLED_TENANTS + 1);
        assert_eq!(&*labelled[0].0, "t0000");
        let (name, other) = labelled.last().unwrap();
        assert_eq!((&**name, other.logins(LoginResult::Ok)), (OTHER, 50));
        assert_eq!(metrics.tenants().len(), names.len());

        // Whoever leaves takes nothing from the sum of the others.
        ledgers.truncate(LABELLED_TENANTS + 10);
        assert_eq!(metrics.tenants().len(), LABELLED_TENANTS + 10);
        let labelled = metrics.labelled_tenants();
        assert_eq!(labelled.last().unwrap().1.logins(LoginResult::Ok), 50);

        // A place that comes free is given to the next newcomer.
        ledgers.remove(0);
        assert_eq!(metrics.labelled_tenants().len(), LABELLED_TENANTS);
        let newcomer = metrics.ledger("zz");
        newcomer.login(LoginResult::Failed);
        let labelled = metrics.labelled_tenants();
        assert_eq!(&*labelled[LABELLED_TENANTS - 1].0, "zz");
    }

    #[test]
    fn ledger_of_a_name_stays_while_anybody_counts_in_it() {
        let metrics = Metrics::new();
        let first = metrics.ledger("t");
        first.login(LoginResult::Ok);
        let again = metrics.ledger("t");
        drop(first);
        assert_eq!(metrics.tenants().len(), 1);
        assert_eq!(again.totals().logins(LoginResult::Ok), 1);
    }

    #[test]
    fn generations_are_counted_until_they_are_dropped() {
        let metrics = Metrics::new();
        let first = metrics.next_generation();
        let second = metrics.next_generation();
        assert_eq!((first.number(), second.number()), (1, 2));
        assert_eq!(metrics.status().generations, 2);
        drop(first);
        drop(GenerationMark::default());
        assert_eq!(metrics.status().generations, 1);
    }
}
