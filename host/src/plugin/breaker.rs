//! Rest for a plugin that fails again and again: its logins are refused at once
//! instead of costing an instance, a time-out and a log line each, and whatever
//! it depends on gets time to recover.
//!
//! ```text
//!           FAILURES in a row             the pause is over
//!  trusted ───────────────────▶ resting ───────────────────▶ on trial
//!     ▲                            ▲                             │ one instance
//!     │                            └──── failed: twice as long ──┤
//!     └──────────────────────────────────────────── succeeded ───┘
//! ```
//!
//! Each tenant's failures are counted alone: what one tenant's mail does to a
//! plugin is not felt by another. A unit is the life of an instance, since what a
//! plugin says is looked at after its call is over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::metrics::PluginCalls;

/// Failures in a row until a plugin is rested.
const FAILURES: u32 = 5;

/// The first pause; each that follows on a failed trial is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How one plugin does, by tenant.
#[derive(Debug)]
pub(super) struct Breaker {
    plugin: Arc<str>,
    calls: Arc<PluginCalls>,
    /// Tenants with failures since the last success.
    troubled: Mutex<HashMap<Arc<str>, Trouble>>,
}

#[derive(Debug, Default)]
struct Trouble {
    in_a_row: u32,
    /// None: trusted still.
    rest: Option<Rest>,
}

#[derive(Debug)]
struct Rest {
    pause: Duration,
    until: Instant,
    /// Somebody is trying.
    on_trial: bool,
}

/// Leave to make one instance. What becomes of it is told when this is dropped:
/// nothing, unless it was used or failed.
#[derive(Debug)]
pub(super) struct Pass {
    breaker: Arc<Breaker>,
    tenant: Arc<str>,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Unknown,
    Succeeded,
    Failed,
}

impl Breaker {
    pub(super) fn new(plugin: Arc<str>, calls: Arc<PluginCalls>) -> Arc<Self> {
        Arc::new(Breaker {
            plugin,
            calls,
            troubled: Mutex::default(),
        })
    }

    /// None: the plugin rests.
    pub(super) fn pass(self: &Arc<Self>, tenant: &Arc<str>) -> Option<Pass> {
        let mut troubled = self.lock();
        if let Some(rest) = troubled.get_mut(tenant).and_then(|one| one.rest.as_mut()) {
            if rest.on_trial || Instant::now() < rest.until {
                return None;
            }
            rest.on_trial = true;
        }
        Some(Pass {
            breaker: Arc::clone(self),
            tenant: Arc::clone(tenant),
            outcome: Outcome::Unknown,
        })
    }

    /// Tenants that it rests for now.
    fn resting(&self) -> usize {
        let troubled = self.lock();
        troubled.values().filter(|one| one.rest.is_some()).count()
    }

    fn succeeded(&self, tenant: &Arc<str>) {
        let trouble = self.lock().remove(tenant);
        if trouble.is_some_and(|trouble| trouble.rest.is_some()) {
            self.calls.rested(1);
            info!(plugin = %self.plugin, %tenant, "plugin works again");
        }
    }

    fn failed(&self, tenant: &Arc<str>) {
        let mut troubled = self.lock();
        let trouble = troubled.entry(Arc::clone(tenant)).or_default();
        trouble.in_a_row = trouble.in_a_row.saturating_add(1);
        let pause = match &trouble.rest {
            None if trouble.in_a_row < FAILURES => return,
            None => FIRST_PAUSE,
            // Begun before the rest was, and over only now.
            Some(rest) if !rest.on_trial => return,
            Some(rest) => LONGEST_PAUSE.min(rest.pause * 2),
        };
        if trouble.rest.is_none() {
            self.calls.rests();
        }
        trouble.rest = Some(Rest {
            pause,
            until: Instant::now() + pause,
            on_trial: false,
        });
        warn!(
            plugin = %self.plugin, %tenant,
            failures = trouble.in_a_row, seconds = pause.as_secs(),
            "plugin rests: it failed again and again"
        );
    }

    fn undecided(&self, tenant: &Arc<str>) {
        if let Some(rest) = self
            .lock()
            .get_mut(tenant)
            .and_then(|one| one.rest.as_mut())
        {
            rest.on_trial = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Trouble>> {
        // Every change leaves whole entries behind: poison means nothing.
        self.troubled.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub(super) fn used(&mut self) {
        if self.outcome == Outcome::Unknown {
            self.outcome = Outcome::Succeeded;
        }
    }

    /// It trapped, was too slow, or lied.
    pub(super) fn failed(&mut self) {
        self.outcome = Outcome::Failed;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        match self.outcome {
            Outcome::Unknown => self.breaker.undecided(&self.tenant),
            Outcome::Succeeded => self.breaker.succeeded(&self.tenant),
            Outcome::Failed => self.breaker.failed(&self.tenant),
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
            breaker.pass(tenant).expect("a pass").failed();
        }
    }

    fn succeed(breaker: &Arc<Breaker>, tenant: &Arc<str>) {
        breaker.pass(tenant).expect("a pass").used();
    }

    #[tokio::test(start_paused = true)]
    async fn five_in_a_row_and_it_rests() {
        let breaker = Breaker::new("p".into(), PluginCalls::new("p"));
        let (one, other) = (tenant("one"), tenant("other"));
        fail(&breaker, &one, FAILURES - 1);
        succeed(&breaker, &one);
        fail(&breaker, &one, FAILURES - 1);
        assert!(breaker.pass(&one).is_some(), "a success in between");
        fail(&breaker, &one, 1);
        assert!(breaker.pass(&one).is_none());
        assert_eq!(breaker.resting(), 1);
        assert!(breaker.pass(&other).is_some(), "not its trouble");
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_until_a_trial_succeeds() {
        let breaker = Breaker::new("p".into(), PluginCalls::new("p"));
        let one = tenant("one");
        fail(&breaker, &one, FAILURES);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let rested = Instant::now();
            while breaker.pass(&one).map(|mut pass| pass.failed()).is_none() {
                tokio::time::advance(Duration::from_millis(500)).await;
            }
            pauses.push(rested.elapsed().as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        tokio::time::advance(LONGEST_PAUSE).await;
        succeed(&breaker, &one);
        assert_eq!(breaker.resting(), 0);
        fail(&breaker, &one, FAILURES - 1);
        assert!(breaker.pass(&one).is_some(), "trusted as before");
    }

    #[tokio::test(start_paused = true)]
    async fn one_tries_and_the_others_wait() {
        let breaker = Breaker::new("p".into(), PluginCalls::new("p"));
        let one = tenant("one");
        fail(&breaker, &one, FAILURES);
        tokio::time::advance(FIRST_PAUSE).await;
        let trial = breaker.pass(&one).expect("on trial");
        assert!(breaker.pass(&one).is_none());
        // Given up half way: the next one tries.
        drop(trial);
        let mut trial = breaker.pass(&one).expect("on trial");
        trial.used();
        trial.failed();
        drop(trial);
        assert!(breaker.pass(&one).is_none(), "a lie is a failure");
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_began_before_the_rest_do_not_make_it_longer() {
        let breaker = Breaker::new("p".into(), PluginCalls::new("p"));
        let one = tenant("one");
        let mut many: Vec<Pass> = (0..20)
            .map(|_| breaker.pass(&one).expect("a pass"))
            .collect();
        many.iter_mut().for_each(Pass::failed);
        drop(many);
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(breaker.pass(&one).is_some());
    }
}
