//! A tenant's share of the server: what its logins and its plugins may use at once
//! and in a minute, all sessions together.
//!
//! Budgets are per minute and refill evenly. They know what was used when it is
//! used: a guest that is over is not asked again until the budget has something in
//! it. Nothing here waits but [`Share::place`], and nothing knows what a plugin is.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use tokio::sync::Notify;
use tracing::warn;

use crate::throttle::Complaints;

/// What budgets are for.
const MINUTE: Duration = Duration::from_secs(60);

/// The deepest that a budget goes below zero: what was under way when it was used
/// up is charged, but nobody is shut out for longer than it takes to refill twice.
const DEEPEST: Duration = Duration::from_secs(2 * 60);

/// A limit of the share, as the configuration calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Logins in a minute.
    Logins,
    /// Instances at once.
    Instances,
    /// Linear memory of all of them.
    Memory,
    /// Guests' CPU time in a minute.
    Cpu,
    /// Octets between guests and host in a minute.
    Octets,
}

impl Limit {
    const ALL: usize = 5;

    /// The key of `[tenant.NAME.limits]`.
    pub fn key(self) -> &'static str {
        match self {
            Limit::Logins => "logins-per-minute",
            Limit::Instances => "instances",
            Limit::Memory => "guest-memory",
            Limit::Cpu => "guest-cpu-per-minute",
            Limit::Octets => "host-call-octets-per-minute",
        }
    }
}

/// What bounds a share; the keys of `[tenant.NAME.limits]`. None: as much as the
/// server has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShareLimits {
    /// Logins in a minute, failed ones too.
    pub logins_per_minute: Option<u32>,
    /// Live instances of plugins.
    pub instances: Option<u32>,
    /// Octets of linear memory of all of them.
    pub guest_memory: Option<u64>,
    /// Guests' own computing in a minute.
    pub guest_cpu_per_minute: Option<Duration>,
    /// Octets of mail, files and listings between guests and host in a minute.
    pub host_call_octets_per_minute: Option<u64>,
}

/// One tenant's share: it lives on from generation to generation, with the limits
/// of the newest.
#[derive(Debug)]
pub struct Share {
    began: Instant,
    limits: RwLock<ShareLimits>,
    logins: Budget,
    cpu: Budget,
    octets: Budget,
    instances: AtomicU64,
    freed: Notify,
    complaints: [Complaints; Limit::ALL],
}

impl Default for Share {
    fn default() -> Self {
        Share {
            began: Instant::now(),
            limits: RwLock::default(),
            logins: Budget::default(),
            cpu: Budget::default(),
            octets: Budget::default(),
            instances: AtomicU64::default(),
            freed: Notify::new(),
            complaints: Default::default(),
        }
    }
}

impl Share {
    /// From now on these limits hold, also for what is under way.
    pub fn set(&self, limits: &ShareLimits) {
        // Whole or not at all.
        let mut current = self.limits.write();
        *current = limits.clone();
        drop(current);
        self.freed.notify_waiters();
    }

    fn limits(&self) -> ShareLimits {
        let limits = self.limits.read();
        limits.clone()
    }

    /// One more login, if there may be one now.
    ///
    /// # Errors
    /// At the limit; then nothing is counted.
    pub fn log_in(&self) -> Result<(), Limit> {
        let budget = self.limits().logins_per_minute;
        match budget.and_then(|logins| NonZeroU64::new(logins.into())) {
            Some(logins) if !self.logins.take(logins, self.began.elapsed()) => Err(Limit::Logins),
            _ => Ok(()),
        }
    }

    /// Whether a guest may be asked for anything now.
    ///
    /// # Errors
    /// What it is over.
    pub fn may_run(&self) -> Result<(), Limit> {
        let limits = self.limits();
        let now = self.began.elapsed();
        if limits.guest_cpu_per_minute.is_some() && !self.cpu.has_something(now) {
            return Err(Limit::Cpu);
        }
        if limits.host_call_octets_per_minute.is_some() && !self.octets.has_something(now) {
            return Err(Limit::Octets);
        }
        Ok(())
    }

    /// Octets of memory that live guests may have in all.
    pub fn memory(&self) -> Option<u64> {
        self.limits().guest_memory
    }

    /// A guest ran for this long.
    pub fn ran(&self, time: Duration) {
        if let Some(budget) = self.limits().guest_cpu_per_minute {
            let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            if let Some(budget) = NonZeroU64::new(nanoseconds(budget)) {
                self.cpu
                    .spend(nanoseconds(time), budget, self.began.elapsed());
            }
        }
    }

    /// Octets crossed between a guest and the host.
    pub fn carried(&self, octets: u64) {
        let budget = self.limits().host_call_octets_per_minute;
        if let Some(budget) = budget.and_then(NonZeroU64::new) {
            self.octets.spend(octets, budget, self.began.elapsed());
        }
    }

    /// A place for one more instance, as soon as there is one.
    pub async fn place(self: &Arc<Self>) -> Place {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // From here on nothing that is freed is missed.
            freed.as_mut().enable();
            let most = self.limits().instances.map_or(u64::MAX, u64::from);
            let more = |live| (live < most).then_some(live + 1);
            if self
                .instances
                .try_update(Ordering::Relaxed, Ordering::Relaxed, more)
                .is_ok()
            {
                return Place {
                    share: Arc::clone(self),
                };
            }
            freed.await;
        }
    }

    /// The line for the operator, seldom enough not to fill a log.
    pub fn complain(&self, tenant: &str, limit: Limit) {
        if let Some(left_out) = self.complaints[limit as usize].line() {
            warn!(
                tenant,
                limit = limit.key(),
                left_out,
                "the tenant has used up its share; see [tenant.NAME.limits]"
            );
        }
    }
}

/// One instance's place among its tenant's.
#[derive(Debug)]
#[must_use = "the place is taken for as long as it lives"]
pub struct Place {
    share: Arc<Share>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.share.instances.fetch_sub(1, Ordering::Relaxed);
        self.share.freed.notify_one();
    }
}

/// So much in a minute, which refills evenly.
#[derive(Debug, Default)]
struct Budget {
    /// When it is full again, in nanoseconds since the share began; in the past: it
    /// is full. Empty is what is full in a minute.
    full_at: AtomicU64,
}

impl Budget {
    /// Takes one, if it is there.
    fn take(&self, a_minute: NonZeroU64, now: Duration) -> bool {
        let now = nanoseconds(now);
        let cost = cost(1, a_minute);
        let next = |full_at: u64| {
            let next = full_at.max(now).saturating_add(cost);
            // The division rounds: a whole minute's worth is never short by that.
            (next <= now + nanoseconds(MINUTE)).then_some(next)
        };
        let taken = self
            .full_at
            .try_update(Ordering::Relaxed, Ordering::Relaxed, next);
        taken.is_ok()
    }

    fn spend(&self, amount: u64, a_minute: NonZeroU64, now: Duration) {
        let now = nanoseconds(now);
        let cost = cost(amount, a_minute);
        let deepest = now + nanoseconds(DEEPEST);
        self.full_at
            .update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
                full_at.max(now).saturating_add(cost).min(deepest)
            });
    }

    fn has_something(&self, now: Duration) -> bool {
        let empty = nanoseconds(now) + nanoseconds(MINUTE);
        self.full_at.load(Ordering::Relaxed) < empty
    }
}

/// How long it takes until this much has refilled, in nanoseconds.
fn cost(amount: u64, a_minute: NonZeroU64) -> u64 {
    let cost = u128::from(amount) * MINUTE.as_nanos() / u128::from(a_minute.get());
    u64::try_from(cost).unwrap_or(u64::MAX)
}

/// Of a server that runs for less than 584 years.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 4)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn budget_gives_a_minutes_worth_at_once_and_then_evenly() {
        let budget = Budget::default();
        let six = NonZeroU64::new(6).unwrap();
        let taken = |now| (0..100).filter(|_| budget.take(six, now)).count();
        assert_eq!(taken(seconds(1000)), 6);
        assert_eq!(taken(seconds(1009)), 0);
        assert_eq!(taken(seconds(1010)), 1);
        assert_eq!(taken(seconds(1040)), 3);
        assert_eq!(taken(seconds(9000)), 6, "what is not used is not kept");
    }

    #[test]
    fn what_is_spent_over_the_budget_is_paid_back_but_not_for_ever() {
        let budget = Budget::default();
        let hundred = NonZeroU64::new(100).unwrap();
        budget.spend(99, hundred, seconds(1));
        assert!(budget.has_something(seconds(1)));
        budget.spend(51, hundred, seconds(1));
        assert!(!budget.has_something(seconds(30)));
        assert!(budget.has_something(seconds(32)));
        budget.spend(u64::MAX, hundred, seconds(1000));
        assert!(!budget.has_something(seconds(1059)));
        assert!(budget.has_something(seconds(1061)));
    }

    #[test]
    fn without_limits_nothing_is_refused() {
        let share = Share::default();
        share.carried(u64::MAX);
        share.ran(seconds(1 << 40));
        assert_eq!(share.may_run(), Ok(()));
        assert_eq!(share.log_in(), Ok(()));
        assert_eq!(share.memory(), None);
    }

    #[tokio::test]
    async fn place_is_waited_for_until_one_is_free_or_there_are_more() {
        let share = Arc::new(Share::default());
        let mut limits = ShareLimits {
            instances: Some(1),
            ..ShareLimits::default()
        };
        share.set(&limits);
        let first = share.place().await;
        let waiting = tokio::spawn({
            let share = share.clone();
            async move { share.place().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        let second = waiting.await.unwrap();
        limits.instances = Some(2);
        share.set(&limits);
        drop((share.place().await, second));
        assert_eq!(share.instances.load(Ordering::Relaxed), 0);
    }
}
