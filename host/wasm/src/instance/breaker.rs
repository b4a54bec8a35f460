//! Rest for a plugin that fails again and again: its logins are refused at once
//! instead of costing an instance, a time-out and a log line each, and whatever
//! it depends on gets time to recover.
//!
//! ```text
//!           FAILURES in a row             the pause is over
//!   closed ───────────────────▶   open  ───────────────────▶ half-open
//!     ▲                            ▲                             │ one instance
//!     │                            └──── failed: twice as long ──┤
//!     └──────────────────────────────────────────── succeeded ───┘
//! ```
//!
//! Each tenant's failures are counted alone: what one tenant's mail does to a
//! plugin is not felt by another. Nor is what one account's does, or what a stranger
//! makes of its own logins: where it is known for whom the plugin is asked, it rests
//! for those first, and for the whole tenant only if several in a row have failed. Of
//! strangers it is their networks that have to be several, since their names are
//! their own to choose; and what rests is a name from one network, or anybody could
//! have another's account rested. A unit is the life of an instance, since what a
//! plugin says is looked at after its call is over.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;
use tracing::{info, warn};

use restante_roles::backend::{Account, Connection};
use restante_roles::fingerprint::Fingerprint;
use restante_roles::metrics::PluginCalls;

/// Failures in a row until a plugin is rested.
const FAILURES: u32 = 5;

/// Accounts, or strangers' networks, that failed in a row until it rests for the whole
/// tenant.
const MIN_SOURCES: usize = 3;

/// Accounts of a tenant whose failures are remembered; for one more, that which failed
/// least recently is forgotten.
const MAX_ACCOUNTS: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// The first pause; each that follows on a failed trial is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How one plugin does, by tenant.
#[derive(Debug)]
pub(crate) struct Breaker {
    plugin: Arc<str>,
    calls: Arc<PluginCalls>,
    /// Tenants with failures since the last success.
    troubled: Mutex<HashMap<Arc<str>, OfTenant>>,
}

/// For whom a plugin is asked, beyond recognition: names are of any length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    /// What rests.
    who: Fingerprint,
    /// What has to be several until the whole tenant rests.
    source: Fingerprint,
}

impl Caller {
    /// Somebody who is logged in.
    pub(crate) fn account(account: &Account) -> Self {
        let who = Fingerprint::of((&account.user, &account.maildrop));
        Caller { who, source: who }
    }

    /// Somebody who says to be this user.
    pub(crate) fn stranger(connection: &Connection, user: &str) -> Self {
        let network = connection.owner().network();
        Caller {
            who: Fingerprint::of((network, user)),
            source: Fingerprint::of(network),
        }
    }
}

#[derive(Debug)]
struct OfTenant {
    whole: Circuit,
    /// Who failed since the last success; no more than are needed.
    sources: Vec<Fingerprint>,
    /// Failures in a row for nobody in particular.
    nobodys: u32,
    accounts: LruCache<Fingerprint, Circuit>,
}

impl Default for OfTenant {
    fn default() -> Self {
        OfTenant {
            whole: Circuit::default(),
            sources: Vec::new(),
            nobodys: 0,
            // Bounded in `failed`: a bounded one takes all its room at once.
            accounts: LruCache::unbounded(),
        }
    }
}

#[derive(Debug, Default)]
struct Circuit {
    in_a_row: u32,
    /// None: closed.
    rest: Option<OpenCircuit>,
}

impl Circuit {
    fn may_try(&self) -> bool {
        let rest = self.rest.as_ref();
        rest.is_none_or(|rest| !rest.half_open && Instant::now() >= rest.until)
    }

    fn tries(&mut self) {
        if let Some(rest) = &mut self.rest {
            rest.half_open = true;
        }
    }

    fn undecided(&mut self) {
        if let Some(rest) = &mut self.rest {
            rest.half_open = false;
        }
    }

    /// One more failure, which may be enough of them. How long it rests from now on.
    fn failed(&mut self, enough: bool) -> Option<Duration> {
        let pause = match &self.rest {
            None if !enough => return None,
            None => FIRST_PAUSE,
            // Begun before the rest was, and over only now.
            Some(rest) if !rest.half_open => return None,
            Some(rest) => LONGEST_PAUSE.min(rest.pause * 2),
        };
        self.rest = Some(OpenCircuit {
            pause,
            until: Instant::now() + pause,
            half_open: false,
        });
        Some(pause)
    }
}

#[derive(Debug)]
struct OpenCircuit {
    pause: Duration,
    until: Instant,
    /// One instance is being tried.
    half_open: bool,
}

/// Leave to make one instance. What becomes of it is told when this is dropped:
/// nothing, unless it was used or failed.
#[derive(Debug)]
pub(crate) struct Pass {
    breaker: Arc<Breaker>,
    tenant: Arc<str>,
    caller: Option<Caller>,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Unknown,
    Succeeded,
    Failed,
}

impl Breaker {
    pub(crate) fn new(plugin: Arc<str>, calls: Arc<PluginCalls>) -> Arc<Self> {
        Arc::new(Breaker {
            plugin,
            calls,
            troubled: Mutex::default(),
        })
    }

    /// None: the plugin rests.
    pub(crate) fn pass(
        self: &Arc<Self>,
        tenant: &Arc<str>,
        caller: Option<Caller>,
    ) -> Option<Pass> {
        let mut troubled = self.lock();
        if let Some(of_tenant) = troubled.get_mut(tenant) {
            let account = caller.and_then(|caller| of_tenant.accounts.peek_mut(&caller.who));
            let may_try = account.as_ref().is_none_or(|account| account.may_try());
            if !may_try || !of_tenant.whole.may_try() {
                return None;
            }
            of_tenant.whole.tries();
            if let Some(account) = account {
                account.tries();
            }
        }
        Some(Pass {
            breaker: Arc::clone(self),
            tenant: Arc::clone(tenant),
            caller,
            outcome: Outcome::Unknown,
        })
    }

    /// Tenants that it rests for now.
    fn resting(&self) -> usize {
        let troubled = self.lock();
        let resting = |one: &&OfTenant| one.whole.rest.is_some();
        troubled.values().filter(resting).count()
    }

    fn succeeded(&self, tenant: &Arc<str>, caller: Option<Caller>) {
        let mut troubled = self.lock();
        let Some(of_tenant) = troubled.get_mut(tenant) else {
            return;
        };
        if let Some(caller) = caller {
            of_tenant.accounts.pop(&caller.who);
        }
        of_tenant.sources.clear();
        of_tenant.nobodys = 0;
        let whole = std::mem::take(&mut of_tenant.whole);
        if of_tenant.accounts.is_empty() {
            troubled.remove(tenant);
        }
        if whole.rest.is_some() {
            self.calls.rested(1);
            info!(plugin = %self.plugin, %tenant, "plugin works again");
        }
    }

    fn failed(&self, tenant: &Arc<str>, caller: Option<Caller>) {
        let mut troubled = self.lock();
        let of_tenant = troubled.entry(Arc::clone(tenant)).or_default();
        match caller {
            None => of_tenant.nobodys = of_tenant.nobodys.saturating_add(1),
            Some(caller) => {
                let sources = &mut of_tenant.sources;
                if sources.len() < MIN_SOURCES && !sources.contains(&caller.source) {
                    sources.push(caller.source);
                }
                let accounts = &mut of_tenant.accounts;
                let account = accounts.get_or_insert_mut(caller.who, Circuit::default);
                account.in_a_row = account.in_a_row.saturating_add(1);
                if let Some(pause) = account.failed(account.in_a_row >= FAILURES) {
                    warn!(
                        plugin = %self.plugin, %tenant,
                        failures = account.in_a_row, seconds = pause.as_secs(),
                        "one account rests: the plugin failed for it again and again"
                    );
                }
                while accounts.len() > MAX_ACCOUNTS.get() {
                    accounts.pop_lru();
                }
            }
        }
        let whole = &mut of_tenant.whole;
        whole.in_a_row = whole.in_a_row.saturating_add(1);
        let several = of_tenant.sources.len() >= MIN_SOURCES && whole.in_a_row >= FAILURES;
        let rested = whole.rest.is_some();
        if let Some(pause) = whole.failed(several || of_tenant.nobodys >= FAILURES) {
            if !rested {
                self.calls.rests();
            }
            warn!(
                plugin = %self.plugin, %tenant,
                failures = whole.in_a_row, seconds = pause.as_secs(),
                "plugin rests: it failed again and again"
            );
        }
    }

    fn undecided(&self, tenant: &Arc<str>, caller: Option<Caller>) {
        if let Some(of_tenant) = self.lock().get_mut(tenant) {
            of_tenant.whole.undecided();
            if let Some(caller) = caller
                && let Some(account) = of_tenant.accounts.peek_mut(&caller.who)
            {
                account.undecided();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, OfTenant>> {
        // Every change leaves whole entries behind.
        self.troubled.lock()
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        // Its plugin is gone, or another one by the same name has its place.
        self.calls.rested(self.resting() as u64);
    }
}

impl Pass {
    /// The plugin answered; what it said may still turn out a lie.
    pub(crate) fn used(&mut self) {
        if self.outcome == Outcome::Unknown {
            self.outcome = Outcome::Succeeded;
        }
    }

    /// It trapped, was too slow, or lied.
    pub(crate) fn failed(&mut self) {
        self.outcome = Outcome::Failed;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        match self.outcome {
            Outcome::Unknown => self.breaker.undecided(&self.tenant, self.caller),
            Outcome::Succeeded => self.breaker.succeeded(&self.tenant, self.caller),
            Outcome::Failed => self.breaker.failed(&self.tenant, self.caller),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> Arc<str> {
        name.into()
    }

    fn fail(breaker: &Arc<Breaker>, tenant: &Arc<str>, times: u32) {
        for _ in 0..times {
            breaker.pass(tenant, None).expect("a pass").failed();
        }
    }

    fn succeed(breaker: &Arc<Breaker>, tenant: &Arc<str>) {
        breaker.pass(tenant, None).expect("a pass").used();
    }

    #[tokio::test(start_paused = true)]
    async fn five_in_a_row_and_it_rests() {
        let breaker = Breaker::new("p".into(), PluginCalls::new("p"));
        let (one, other) = (tenant("one"), tenant("other"));
        fail(&breaker, &one, FAILURES - 1);
        succeed(&breaker, &one);
        fail(&breaker, &one, FAILURES - 1);
        assert!(breaker.pass(&one, None).is_some(), "a success in between");
        fail(&breaker, &one, 1);
        assert!(breaker.pass(&one, None).is_none());
        assert_eq!(breaker.resting(), 1);
        assert!(breaker.pass(&other, None).is_some(), "not its trouble");
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_until_a_trial_succeeds() {
        let breaker = Breaker::new("p".into(), PluginCalls::new("p"));
        let one = tenant("one");
        fail(&breaker, &one, FAILURES);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let rested = Instant::now();
            while breaker
                .pass(&one, None)
                .map(|mut pass| pass.failed())
                .is_none()
            {
                tokio::time::advance(Duration::from_millis(500)).await;
            }
            pauses.push(rested.elapsed().as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        tokio::time::advance(LONGEST_PAUSE).await;
        succeed(&breaker, &one);
        assert_eq!(breaker.resting(), 0);
        fail(&breaker, &one, FAILURES - 1);
        assert!(breaker.pass(&one, None).is_some(), "trusted as before");
    }

    #[tokio::test(start_paused = true)]
    async fn one_tries_and_the_others_wait() {
        let breaker = Breaker::new("p".into(), PluginCalls::new("p"));
        let one = tenant("one");
        fail(&breaker, &one, FAILURES);
        tokio::time::advance(FIRST_PAUSE).await;
        let trial = breaker.pass(&one, None).expect("on trial");
        assert!(breaker.pass(&one, None).is_none());
        // Given up half way: the next one tries.
        drop(trial);
        let mut trial = breaker.pass(&one, None).expect("on trial");
        trial.used();
        trial.failed();
        drop(trial);
        assert!(breaker.pass(&one, None).is_none(), "a lie is a failure");
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_began_before_the_rest_do_not_make_it_longer() {
        let breaker = Breaker::new("p".into(), PluginCalls::new("p"));
        let one = tenant("one");
        let mut many: Vec<Pass> = (0..20)
            .map(|_| breaker.pass(&one, None).expect("a pass"))
            .collect();
        many.iter_mut().for_each(Pass::failed);
        drop(many);
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(breaker.pass(&one, None).is_some());
    }

    fn caller(who: u64, source: u64) -> Option<Caller> {
        Some(Caller {
            who: Fingerprint::of(who),
            source: Fingerprint::of(source),
        })
    }

    fn fail_for(breaker: &Arc<Breaker>, tenant: &Arc<str>, caller: Option<Caller>, times: u32) {
        for _ in 0..times {
            breaker.pass(tenant, caller).expect("a pass").failed();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_account_rests_alone() {
        let breaker = Breaker::new("p".into(), PluginCalls::new("p"));
        let one = tenant("one");
        let large = caller(1, 1);
        fail_for(&breaker, &one, large, FAILURES);
        assert!(breaker.pass(&one, large).is_none());
        let mut seconds = 0;
        while seconds < 600 {
            tokio::time::advance(Duration::from_secs(1)).await;
            seconds += 1;
            if let Some(mut pass) = breaker.pass(&one, large) {
                pass.failed();
            }
            assert!(breaker.pass(&one, caller(2, 2)).is_some(), "{seconds} s");
        }
        assert_eq!(breaker.resting(), 0);
        tokio::time::advance(LONGEST_PAUSE).await;
        breaker.pass(&one, large).expect("a pass").used();
        assert!(breaker.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn several_accounts_in_a_row_are_the_tenants() {
        let breaker = Breaker::new("p".into(), PluginCalls::new("p"));
        let one = tenant("one");
        for who in [1, 2, 1, 2, 3] {
            assert_eq!(breaker.resting(), 0);
            fail_for(&breaker, &one, caller(who, who), 1);
        }
        assert_eq!(breaker.resting(), 1);
        assert!(breaker.pass(&one, caller(4, 4)).is_none());
        tokio::time::advance(FIRST_PAUSE).await;
        breaker.pass(&one, caller(4, 4)).expect("on trial").used();
        assert_eq!(breaker.resting(), 0);
        // Names that one stranger chooses are not several.
        for who in 10..50 {
            fail_for(&breaker, &one, caller(who, 9), 1);
        }
        assert_eq!(breaker.resting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn accounts_are_remembered_within_bounds() {
        let breaker = Breaker::new("p".into(), PluginCalls::new("p"));
        let one = tenant("one");
        for who in 0..2 * MAX_ACCOUNTS.get() as u64 {
            fail_for(&breaker, &one, caller(who, 1), 1);
        }
        let accounts = breaker.lock().get(&one).map(|one| one.accounts.len());
        assert_eq!(accounts, Some(MAX_ACCOUNTS.get()));
    }
}
