//! How long an engine remembers what is over.

use std::time::Duration;

/// How long what is over is remembered, by the engine's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// After it was appended, a message of the same digest is a duplicate.
    pub duplicates: Duration,
    /// After it was removed, [`crate::MailIndex::changes`] can tell of it.
    pub changes: Duration,
    /// After it was intended, a blob without an entry becomes garbage.
    pub intents: Duration,
    /// After its last heartbeat ([`crate::Holds::beat`]), a node's holds are free.
    pub term: Duration,
}

impl Retention {
    /// How often a node's heartbeat should come: five times in a term.
    pub fn heartbeat(&self) -> Duration {
        self.term / 5
    }
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Retention {
            duplicates: 7 * DAY,
            changes: 7 * DAY,
            intents: Duration::from_secs(60 * 60),
            term: Duration::from_secs(10),
        }
    }
}
