//! How a plugin's calls go: how long they take and how they fail, by role.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::durations::{DurationTotals, Durations};

/// What plugins are called for. `instantiate` is the making of an instance.
pub(super) const ROLES: [&str; 9] = [
    "instantiate",
    "accepts",
    "admission",
    "authenticator",
    "scram",
    "filter",
    "selector",
    "settings",
    "store",
];

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallFailure {
    /// The guest trapped.
    Trap,
    /// It used up its CPU time.
    CpuTime,
    /// No answer in time.
    TimeOut,
    /// It ran into its limit of memory or tables.
    Memory,
    /// It answered what cannot be.
    Lie,
    /// It was not asked: the plugin rests.
    Resting,
    /// It was not asked: all instances were in use, or its tenant's share was.
    Busy,
    /// It was not asked: what it needs could not be opened.
    Host,
}

impl CallFailure {
    /// All of them.
    pub const ALL: [CallFailure; 8] = [
        CallFailure::Trap,
        CallFailure::CpuTime,
        CallFailure::TimeOut,
        CallFailure::Memory,
        CallFailure::Lie,
        CallFailure::Resting,
        CallFailure::Busy,
        CallFailure::Host,
    ];

    /// As metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            CallFailure::Trap => "trap",
            CallFailure::CpuTime => "cpu_time",
            CallFailure::TimeOut => "timeout",
            CallFailure::Memory => "memory",
            CallFailure::Lie => "invalid_response",
            CallFailure::Resting => "resting",
            CallFailure::Busy => "busy",
            CallFailure::Host => "host",
        }
    }
}

/// What came of asking a shadow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShadowResult {
    /// It said what the live ones said.
    Same,
    /// It said something else.
    Different,
    /// It failed.
    Failed,
    /// It was not asked: too many questions were under way.
    LeftOut,
}

impl ShadowResult {
    /// All of them.
    pub const ALL: [ShadowResult; 4] = [
        ShadowResult::Same,
        ShadowResult::Different,
        ShadowResult::Failed,
        ShadowResult::LeftOut,
    ];

    /// As metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            ShadowResult::Same => "same",
            ShadowResult::Different => "different",
            ShadowResult::Failed => "failed",
            ShadowResult::LeftOut => "left_out",
        }
    }
}

/// One plugin's calls, by its name: they are the same ones after a reload.
#[derive(Debug)]
pub struct PluginCalls {
    name: Arc<str>,
    labelled: bool,
    roles: [RoleCalls; ROLES.len()],
    resting: AtomicU64,
}

#[derive(Debug, Default)]
struct RoleCalls {
    durations: Durations,
    failures: [AtomicU64; CallFailure::ALL.len()],
    shadow: [AtomicU64; ShadowResult::ALL.len()],
}

/// What one role's calls were like until a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct RoleTotals {
    pub(super) durations: DurationTotals,
    pub(super) failures: [u64; CallFailure::ALL.len()],
    pub(super) shadow: [u64; ShadowResult::ALL.len()],
}

/// What a plugin's calls were like until a moment, in the order of [`ROLES`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct CallTotals {
    pub(super) roles: [RoleTotals; ROLES.len()],
    pub(super) resting: u64,
}

impl PluginCalls {
    /// Of a plugin that was never called. Metrics know only those that
    /// [`Metrics::calls`](super::Metrics::calls) makes.
    pub fn new(name: &str) -> Arc<Self> {
        PluginCalls::labelled(name, true)
    }

    pub(super) fn labelled(name: &str, labelled: bool) -> Arc<Self> {
        Arc::new(PluginCalls {
            name: name.into(),
            labelled,
            roles: Default::default(),
            resting: AtomicU64::default(),
        })
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn has_label(&self) -> bool {
        self.labelled
    }

    /// A call took this long, however it ended. `call` is as the log has it:
    /// "store.listing".
    pub fn took(&self, call: &str, time: Duration) {
        self.role(call).durations.took(time);
    }

    /// A call failed, or was not made.
    pub fn failed(&self, call: &str, failure: CallFailure) {
        self.role(call).failures[failure as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// As a shadow in this role it was asked so many times, with this result.
    pub fn shadowed(&self, role: &str, result: ShadowResult, times: u64) {
        self.role(role).shadow[result as usize].fetch_add(times, Ordering::Relaxed);
    }

    /// It rests for one more tenant.
    pub fn rests(&self) {
        self.resting.fetch_add(1, Ordering::Relaxed);
    }

    /// It rests for so many tenants less.
    pub fn rested(&self, tenants: u64) {
        self.resting.fetch_sub(tenants, Ordering::Relaxed);
    }

    fn role(&self, call: &str) -> &RoleCalls {
        let name = call.split('.').next().unwrap_or_default();
        let role = ROLES.iter().position(|role| *role == name);
        debug_assert!(role.is_some(), "{call}");
        &self.roles[role.unwrap_or_default()]
    }

    pub(super) fn totals(&self) -> CallTotals {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CallTotals {
            roles: std::array::from_fn(|at| {
                let role = &self.roles[at];
                RoleTotals {
                    durations: role.durations.totals(),
                    failures: std::array::from_fn(|failure| get(&role.failures[failure])),
                    shadow: std::array::from_fn(|result| get(&role.shadow[result])),
                }
            }),
            resting: get(&self.resting),
        }
    }
}

impl CallTotals {
    pub(super) fn with(self, other: &CallTotals) -> CallTotals {
        CallTotals {
            roles: std::array::from_fn(|at| self.roles[at].with(&other.roles[at])),
            resting: self.resting + other.resting,
        }
    }
}

impl RoleTotals {
    fn with(self, other: &RoleTotals) -> RoleTotals {
        RoleTotals {
            durations: self.durations.with(&other.durations),
            failures: std::array::from_fn(|at| self.failures[at] + other.failures[at]),
            shadow: std::array::from_fn(|at| self.shadow[at] + other.shadow[at]),
        }
    }

    /// Whether there is anything to tell.
    pub(super) fn is_empty(&self) -> bool {
        let counters = self.failures.iter().chain(&self.shadow);
        self.durations.count() == 0 && counters.into_iter().all(|counter| *counter == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_role() {
        let calls = PluginCalls::new("p");
        calls.took("store.open", Duration::from_millis(1));
        calls.took("store.listing", Duration::from_secs(31));
        calls.failed("authenticator.authenticate", CallFailure::Lie);
        let totals = calls.totals();
        let store = &totals.roles[8].durations;
        assert_eq!((store.count(), store.nanoseconds), (2, 31_001_000_000));
        assert_eq!(totals.roles[3].failures[CallFailure::Lie as usize], 1);
        assert_eq!(totals.roles[3].durations.count(), 0);
    }
}
