//! Whether a store answers, remembered: while it does not, one request at a time waits to find
//! out, and no other waits at all. So a store that is silent takes none of the places that what
//! is elsewhere needs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{Mutex, MutexGuard};

/// What is known of a store by how requests went.
#[derive(Debug, Default)]
pub(super) struct Contact {
    /// Requests that were answered, so far.
    answered: AtomicU64,
    /// None was since one has waited in vain.
    is_away: AtomicBool,
    /// Whoever has it finds out whether the store is back.
    probe: Mutex<()>,
}

/// Leave to make a request, to be kept until it is over.
pub(super) struct Leave<'a> {
    _probe: Option<MutexGuard<'a, ()>>,
}

impl Contact {
    /// Whether the last that is known is that nothing answered.
    pub(super) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    /// None: the store is away, and another request is finding out whether it is back.
    pub(super) fn ask_leave(&self) -> Option<Leave<'_>> {
        if !self.is_away() {
            return Some(Leave { _probe: None });
        }
        let probe = self.probe.try_lock().ok()?;
        Some(Leave {
            _probe: Some(probe),
        })
    }

    /// A request was answered, whatever the answer is.
    pub(super) fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.is_away.store(false, Ordering::Relaxed);
    }

    /// How many were so far, for [`Contact::unanswered`].
    pub(super) fn answers(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// A request has waited in vain, or could not even connect. `before`: how many were answered
    /// when it began; if others were since, it is the request that is slow and not the store.
    pub(super) fn unanswered(&self, before: u64) {
        if self.answers() == before {
            self.is_away.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_a_store_is_away_one_request_at_a_time_asks_it() {
        let contact = Contact::default();
        let before = contact.answers();
        let (one, other) = (contact.ask_leave(), contact.ask_leave());
        assert!(one.is_some() && other.is_some());
        contact.unanswered(before);
        let probe = contact.ask_leave().unwrap();
        assert!(contact.ask_leave().is_none());
        // Whatever became of it: the next one asks.
        drop(probe);
        let probe = contact.ask_leave().unwrap();
        contact.answered();
        assert!(contact.ask_leave().is_some() && !contact.is_away());
        drop(probe);
    }

    #[test]
    fn a_store_that_answers_others_is_not_away() {
        let contact = Contact::default();
        let before = contact.answers();
        contact.answered();
        contact.unanswered(before);
        assert!(!contact.is_away());
    }
}
