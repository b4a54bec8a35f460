//! Places of which there are so many, where the oldest makes room for the newest:
//! for connections on which nobody is logged in yet, for silent sessions that keep a store
//! awake, and for connections to the admin address that have not shown its token.
//!
//! Turning new connections away at the limit would let whoever opens connections and
//! says nothing keep everybody out for as long as the login timer runs. A client
//! that means it logs in within a moment and is gone from here long before it is
//! the oldest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Everybody who waits.
#[derive(Debug)]
pub struct EvictingSlots {
    limit: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    /// By arrival.
    waiting: BTreeMap<u64, Slot>,
}

#[derive(Debug)]
struct Slot {
    since: Instant,
    displaced: Arc<Notify>,
}

impl EvictingSlots {
    /// Has `limit` places, at least one.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(EvictingSlots {
            limit: limit.max(1),
            inner: Mutex::default(),
        })
    }

    /// Takes a place; where there is none, that of who waits longest.
    pub fn enter(self: &Arc<Self>) -> Place {
        let displaced = Arc::new(Notify::new());
        let mut inner = self.inner.lock();
        while inner.waiting.len() >= self.limit
            && let Some((_, oldest)) = inner.waiting.pop_first()
        {
            oldest.displaced.notify_one();
        }
        let number = inner.next;
        inner.next += 1;
        let waiting = Slot {
            since: Instant::now(),
            displaced: Arc::clone(&displaced),
        };
        inner.waiting.insert(number, waiting);
        drop(inner);
        Place {
            room: Arc::clone(self),
            number,
            displaced,
        }
    }

    /// The place of who waits longest is nobody's now, if that is so long already: where
    /// something else than places is scarce. Says whether there was one.
    pub fn make_room(&self, after: Duration) -> bool {
        let mut inner = self.inner.lock();
        match inner.waiting.first_entry() {
            Some(oldest) if oldest.get().since.elapsed() >= after => {
                oldest.remove().displaced.notify_one();
                true
            }
            _ => false,
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.inner.lock().waiting.len()
    }
}

/// A place in a [`EvictingSlots`], until it is dropped or given to somebody else.
#[derive(Debug)]
pub struct Place {
    room: Arc<EvictingSlots>,
    number: u64,
    displaced: Arc<Notify>,
}

impl Place {
    /// Returns once the place is somebody else's.
    pub async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.inner.lock().waiting.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::{EvictingSlots, Place};

    async fn is_displaced(place: &Place) -> bool {
        timeout(Duration::from_secs(1), place.displaced())
            .await
            .is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_makes_room() {
        let room = EvictingSlots::new(2);
        let first = room.enter();
        let second = room.enter();
        let third = room.enter();
        assert!(is_displaced(&first).await);
        assert!(!is_displaced(&second).await);
        assert_eq!(room.waiting(), 2);
        drop((first, third));
        assert_eq!(room.waiting(), 1);
        let fourth = room.enter();
        assert!(!is_displaced(&second).await);
        drop((second, fourth));
        assert_eq!(room.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_waited_long_makes_room_where_something_else_is_scarce() {
        let room = EvictingSlots::new(10);
        let patience = Duration::from_secs(5);
        assert!(!room.make_room(patience));
        let first = room.enter();
        sleep(Duration::from_secs(4)).await;
        let second = room.enter();
        assert!(!room.make_room(patience), "the first may still log in");
        sleep(Duration::from_secs(1)).await;
        assert!(room.make_room(patience));
        assert!(is_displaced(&first).await);
        assert!(!room.make_room(patience), "the second came later");
        assert_eq!(room.waiting(), 1);
        assert!(!is_displaced(&second).await);
    }
}
