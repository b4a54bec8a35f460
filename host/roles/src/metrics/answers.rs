//! What is counted of databases' answers that are remembered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How it went to look for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheLookup {
    /// It was remembered.
    Hit,
    /// It was not, or too long ago: the database was asked.
    Miss,
}

impl CacheLookup {
    /// All of them.
    pub const ALL: [CacheLookup; 2] = [CacheLookup::Hit, CacheLookup::Miss];

    /// As a label has it.
    pub fn name(self) -> &'static str {
        match self {
            CacheLookup::Hit => "hit",
            CacheLookup::Miss => "miss",
        }
    }
}

/// What is remembered of one database's answers, by its name. Those of several generations are
/// added up.
#[derive(Debug)]
pub struct CachedAnswers {
    name: Arc<str>,
    labelled: bool,
    lookups: [AtomicU64; CacheLookup::ALL.len()],
    bytes: AtomicU64,
}

/// The same at a moment, in the order of [`CacheLookup::ALL`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct CacheTotals {
    pub(super) lookups: [u64; CacheLookup::ALL.len()],
    pub(super) bytes: u64,
}

impl CachedAnswers {
    /// Of a database that was never asked. Metrics know only those that
    /// [`Metrics::database`](super::Metrics::database) makes.
    pub fn new(name: &str) -> Arc<Self> {
        CachedAnswers::labelled(name, true)
    }

    pub(super) fn labelled(name: &str, labelled: bool) -> Arc<Self> {
        Arc::new(CachedAnswers {
            name: name.into(),
            labelled,
            lookups: Default::default(),
            bytes: AtomicU64::default(),
        })
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn has_label(&self) -> bool {
        self.labelled
    }

    /// Somebody looked for an answer.
    pub fn looked_up(&self, how: CacheLookup) {
        self.lookups[how as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often that went like this.
    pub fn lookups(&self, how: CacheLookup) -> u64 {
        self.lookups[how as usize].load(Ordering::Relaxed)
    }

    /// What is remembered took `before` bytes, and takes `now`.
    pub fn resized(&self, before: u64, now: u64) {
        // Whatever the order of several, their sum is right.
        self.bytes
            .fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Bytes that are remembered.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn totals(&self) -> CacheTotals {
        CacheTotals {
            lookups: CacheLookup::ALL.map(|how| self.lookups(how)),
            bytes: self.bytes(),
        }
    }
}

impl CacheTotals {
    pub(super) fn with(self, other: &CacheTotals) -> CacheTotals {
        CacheTotals {
            lookups: std::array::from_fn(|at| self.lookups[at] + other.lookups[at]),
            bytes: self.bytes + other.bytes,
        }
    }

    /// Whether there is anything to tell.
    pub(super) fn is_empty(&self) -> bool {
        *self == CacheTotals::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Current, Metrics};

    /// A reload may leave two databases of one name for a while.
    #[test]
    fn caches_of_one_name_are_added_up_and_told() {
        let metrics = Metrics::new();
        let (old, new) = (metrics.database("users"), metrics.database("users"));
        old.resized(0, 700);
        new.resized(0, 500);
        old.looked_up(CacheLookup::Hit);
        new.looked_up(CacheLookup::Hit);
        new.looked_up(CacheLookup::Miss);
        old.resized(700, 0);
        let current = Current {
            generation: 1,
            tenants: 1,
            tenants_out: 0,
        };
        let text = metrics.exposition(0, current).unwrap();
        for line in [
            r#"restante_database_cache_lookups_total{database="users",result="hit"} 2"#,
            r#"restante_database_cache_lookups_total{database="users",result="miss"} 1"#,
            r#"restante_database_cache_bytes{database="users"} 500"#,
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
    }
}
