//! How long a silent session keeps what a store has awake for it.
//!
//! An instance costs some 50 KiB, of which the pool and the allocator keep a part for
//! the next one; waking it up again costs microseconds. So few sessions may think for
//! long, and where many log in at once those that are silent the longest are let rest:
//! what 10,000 logins leave behind is what a hundred instances need.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::eviction::EvictingSlots;

/// Silence after which a session is idle; clients that are at work answer sooner.
pub(super) const REST_AFTER: Duration = Duration::from_secs(2);

/// Rooms that sessions are silent in. Each has a lock of its own, and none is everybody's.
const ROOMS: usize = 8;

/// Sessions of one room that may be silent at once with a store awake.
const AT_ONCE: usize = 16;

/// The sessions that are silent with a store awake, in the whole process.
#[derive(Debug)]
pub struct Awake {
    rooms: [Arc<EvictingSlots>; ROOMS],
    sessions: AtomicUsize,
}

impl Default for Awake {
    fn default() -> Self {
        Awake {
            rooms: std::array::from_fn(|_| EvictingSlots::new(AT_ONCE)),
            sessions: AtomicUsize::new(0),
        }
    }
}

impl Awake {
    /// Where the next session is silent.
    pub(super) fn room(&self) -> Arc<EvictingSlots> {
        let session = self.sessions.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&self.rooms[session % ROOMS])
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_many_the_longest_silent_rest() {
        let awake = Awake::default();
        let silent: Vec<_> = (0..2 * ROOMS * AT_ONCE)
            .map(|_| awake.room().enter())
            .collect();
        let (early, late) = silent.split_at(ROOMS * AT_ONCE);
        for place in early {
            place.displaced().await;
        }
        for place in late {
            assert!(timeout(REST_AFTER, place.displaced()).await.is_err());
        }
    }
}
