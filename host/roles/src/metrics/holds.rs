//! What is counted of holds that several servers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Why a hold was not to be had, or was not in force any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldFailure {
    /// Another node had it when a login asked.
    InUse,
    /// It was not known whether it was free, or still in force.
    Unavailable,
    /// It was lost before messages were to be removed.
    Lost,
}

impl HoldFailure {
    /// All of them.
    pub const ALL: [HoldFailure; 3] = [
        HoldFailure::InUse,
        HoldFailure::Unavailable,
        HoldFailure::Lost,
    ];

    /// As a label has it.
    pub fn name(self) -> &'static str {
        match self {
            HoldFailure::InUse => "in_use",
            HoldFailure::Unavailable => "unavailable",
            HoldFailure::Lost => "lost",
        }
    }
}

/// Counters of holds; all are 0 where none are shared.
#[derive(Debug, Default)]
pub struct HoldCounts {
    held: AtomicU64,
    failures: [AtomicU64; HoldFailure::ALL.len()],
    engines_away: AtomicU64,
    news_dropped: AtomicU64,
    news_failures: AtomicU64,
}

/// Whether one engine answers for holds, as it is counted while this lives.
#[derive(Debug)]
pub struct Presence {
    counts: Arc<HoldCounts>,
    is_away: AtomicBool,
}

impl Presence {
    /// It answers, as far as anybody knows.
    pub fn new(counts: &Arc<HoldCounts>) -> Self {
        Presence {
            counts: Arc::clone(counts),
            is_away: AtomicBool::new(false),
        }
    }

    /// Whether logins are refused because it does not answer.
    pub fn set_away(&self, is_away: bool) {
        let away = &self.counts.engines_away;
        match (self.is_away.swap(is_away, Ordering::Relaxed), is_away) {
            (false, true) => away.fetch_add(1, Ordering::Relaxed),
            (true, false) => away.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.set_away(false);
    }
}

impl HoldCounts {
    /// One more is held.
    pub fn acquired(&self) {
        self.held.fetch_add(1, Ordering::Relaxed);
    }

    /// One is held no more.
    pub fn released(&self) {
        self.held.fetch_sub(1, Ordering::Relaxed);
    }

    /// One was not to be had, or not in force.
    pub fn failed(&self, why: HoldFailure) {
        self.failures[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many are held.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// How often that happened.
    pub fn failures(&self, why: HoldFailure) -> u64 {
        self.failures[why as usize].load(Ordering::Relaxed)
    }

    /// So much of what nodes tell one another of failed logins was dropped.
    pub fn dropped_news(&self, more: u64) {
        self.news_dropped.fetch_add(more, Ordering::Relaxed);
    }

    /// How much that is.
    pub fn news_dropped(&self) -> u64 {
        self.news_dropped.load(Ordering::Relaxed)
    }

    /// Nodes could not tell one another anything with a heartbeat.
    pub fn news_failed(&self) {
        self.news_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that happened.
    pub fn news_failures(&self) -> u64 {
        self.news_failures.load(Ordering::Relaxed)
    }

    /// How many engines do not answer for holds.
    pub fn engines_away(&self) -> u64 {
        self.engines_away.load(Ordering::Relaxed)
    }
}
