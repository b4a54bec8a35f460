//! How the calls of an engine go that sessions make for their maildrops.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::durations::{DurationTotals, Durations};

/// What an engine is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineCall {
    /// What a folder holds, in short.
    State,
    /// All of a folder.
    Read,
    /// What came and went in it.
    Changes,
    /// To remove some of it.
    Remove,
    /// To open a message's octets.
    OpenBlob,
    /// The next of them.
    ReadBlob,
}

impl EngineCall {
    /// All of them.
    pub const ALL: [EngineCall; 6] = [
        EngineCall::State,
        EngineCall::Read,
        EngineCall::Changes,
        EngineCall::Remove,
        EngineCall::OpenBlob,
        EngineCall::ReadBlob,
    ];

    /// As a label has it.
    pub fn name(self) -> &'static str {
        match self {
            EngineCall::State => "state",
            EngineCall::Read => "read",
            EngineCall::Changes => "changes",
            EngineCall::Remove => "remove",
            EngineCall::OpenBlob => "open_blob",
            EngineCall::ReadBlob => "read_blob",
        }
    }
}

/// How such a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineFailure {
    /// The engine did not answer, or not in time, and nothing was changed.
    Unavailable,
    /// It did not answer, and nobody knows whether a change was made.
    Unknown,
    /// The session did not hold its maildrop any more.
    Lost,
    /// It was asked for what cannot be.
    Invalid,
}

impl EngineFailure {
    /// All of them.
    pub const ALL: [EngineFailure; 4] = [
        EngineFailure::Unavailable,
        EngineFailure::Unknown,
        EngineFailure::Lost,
        EngineFailure::Invalid,
    ];

    /// As a label has it.
    pub fn name(self) -> &'static str {
        match self {
            EngineFailure::Unavailable => "unavailable",
            EngineFailure::Unknown => "unknown",
            EngineFailure::Lost => "lost",
            EngineFailure::Invalid => "invalid",
        }
    }
}

/// One engine's calls, by its name.
#[derive(Debug)]
pub struct EngineCalls {
    name: Arc<str>,
    labelled: bool,
    calls: [Durations; EngineCall::ALL.len()],
    failures: [AtomicU64; EngineFailure::ALL.len()],
}

/// What an engine's calls were like until a moment, in the order of [`EngineCall::ALL`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct EngineTotals {
    pub(super) calls: [DurationTotals; EngineCall::ALL.len()],
    pub(super) failures: [u64; EngineFailure::ALL.len()],
}

impl EngineCalls {
    /// Of an engine that was never called. Metrics know only those that
    /// [`Metrics::engine`](super::Metrics::engine) makes.
    pub fn new(name: &str) -> Arc<Self> {
        EngineCalls::labelled(name, true)
    }

    pub(super) fn labelled(name: &str, labelled: bool) -> Arc<Self> {
        Arc::new(EngineCalls {
            name: name.into(),
            labelled,
            calls: Default::default(),
            failures: Default::default(),
        })
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn has_label(&self) -> bool {
        self.labelled
    }

    /// A call took this long, however it ended.
    pub fn took(&self, call: EngineCall, time: Duration) {
        self.calls[call as usize].took(time);
    }

    /// A call failed.
    pub fn failed(&self, failure: EngineFailure) {
        self.failures[failure as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often calls failed like this.
    pub fn failures(&self, failure: EngineFailure) -> u64 {
        self.failures[failure as usize].load(Ordering::Relaxed)
    }

    pub(super) fn totals(&self) -> EngineTotals {
        EngineTotals {
            calls: std::array::from_fn(|at| self.calls[at].totals()),
            failures: EngineFailure::ALL.map(|failure| self.failures(failure)),
        }
    }
}

impl EngineTotals {
    pub(super) fn with(self, other: &EngineTotals) -> EngineTotals {
        EngineTotals {
            calls: std::array::from_fn(|at| self.calls[at].with(&other.calls[at])),
            failures: std::array::from_fn(|at| self.failures[at] + other.failures[at]),
        }
    }

    /// Whether there is anything to tell.
    pub(super) fn is_empty(&self) -> bool {
        *self == EngineTotals::default()
    }
}
