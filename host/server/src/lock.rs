//! Who holds which maildrop: the exclusive-access lock of RFC 1939 section 4.
//!
//! The lock lives in this process, and is given back when the session that took it is
//! over and so is the host's work for it: a call of the system's that hangs goes on
//! without its session, and may be one that removes. So there is no stale lock to clean
//! up. What a key stands for is the store's
//! business ([`restante_roles::backend::FoundMaildrop::lock_key`]).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::sessions::{EndedBy, LiveSession};
use crate::tenant::SessionPermit;

/// The maildrops that are held, by key. Clones share one set.
#[derive(Debug, Clone, Default)]
pub struct Locks {
    held: Arc<Mutex<HashMap<Arc<str>, Held>>>,
}

/// Who has a maildrop, or wants it.
#[derive(Debug)]
pub struct Holder {
    /// Its connection.
    pub session: Arc<LiveSession>,
    /// The tenant of its user.
    pub tenant: Arc<str>,
    /// The user's canonical name.
    pub user: String,
}

impl Holder {
    /// Whether both are sessions of one user.
    pub fn is_same_user(&self, other: &Holder) -> bool {
        self.tenant == other.tenant && self.user == other.user
    }
}

/// A lock that somebody else has.
#[derive(Debug, Clone)]
pub struct Held {
    holder: Arc<Holder>,
    /// Its sender is dropped with the lock.
    released: watch::Receiver<()>,
    /// For the one that may wait.
    waiting: Arc<Semaphore>,
    /// The holder's place among its tenant's sessions: it has it as long as the lock, and
    /// then the one that waits for that may have it.
    place: Arc<Mutex<Option<SessionPermit>>>,
}

impl Held {
    /// Who has it.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// The place of the one that may wait for it. None: another one waits, and who comes
    /// later need not hold places of its tenant's meanwhile.
    pub fn wait(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.waiting).try_acquire_owned().ok()
    }

    /// The place that this holder had among its tenant's sessions, for whoever has its lock
    /// now. None: it had none that it held with the lock.
    pub fn inherit(self, _guard: &Guard) -> Option<SessionPermit> {
        // A permit is there or not.
        let mut place = self.place.lock();
        place.take()
    }

    /// Returns once this holder has it no more.
    pub async fn released(&mut self) {
        while self.released.changed().await.is_ok() {}
    }
}

impl Locks {
    /// No maildrop is held.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the lock under `key`.
    ///
    /// # Errors
    /// When somebody has it.
    pub fn try_lock(&self, key: &str, holder: &Arc<Holder>) -> Result<Guard, Held> {
        let key: Arc<str> = key.into();
        self.change(|held| match held.entry(Arc::clone(&key)) {
            Entry::Occupied(held) => Err(held.get().clone()),
            Entry::Vacant(free) => {
                let (holds, released) = watch::channel(());
                let place = Arc::default();
                free.insert(Held {
                    holder: Arc::clone(holder),
                    released,
                    waiting: Arc::new(Semaphore::new(1)),
                    place: Arc::clone(&place),
                });
                Ok(Guard {
                    locks: self.clone(),
                    key,
                    place,
                    _holds: holds,
                })
            }
        })
    }

    /// Ends the session that has the lock under `key`, if it is still this one: it may
    /// have given it back, and be about something else by now.
    pub fn end_holder(&self, key: &str, held: &Held, by: EndedBy) {
        self.change(|all| {
            let current = all.get(key);
            if current.is_some_and(|current| Arc::ptr_eq(&current.holder, &held.holder)) {
                held.holder.session.end(by);
            }
        });
    }

    /// How many maildrops are held.
    pub fn held(&self) -> usize {
        self.change(|held| held.len())
    }

    /// A panic elsewhere cannot leave the map half changed: inserting and
    /// removing are all that happens under the mutex.
    fn change<T>(&self, change: impl FnOnce(&mut HashMap<Arc<str>, Held>) -> T) -> T {
        change(&mut self.held.lock())
    }
}

/// Holds one maildrop until it is dropped.
#[derive(Debug)]
#[must_use = "the maildrop is held for as long as the guard lives"]
pub struct Guard {
    locks: Locks,
    key: Arc<str>,
    place: Arc<Mutex<Option<SessionPermit>>>,
    /// Dropped after the lock was given back: those who wait for it find it free.
    _holds: watch::Sender<()>,
}

impl Guard {
    /// The holder's place among its tenant's sessions, which it has as long as the lock.
    pub fn keep(&self, permit: SessionPermit) {
        let mut place = self.place.lock();
        *place = Some(permit);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.locks.change(|held| held.remove(&self.key));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use restante_roles::address::Client;
    use restante_roles::metrics::Ledger;
    use restante_roles::work::{Stop, WorkHold, WorkRoom};

    use super::*;
    use crate::sessions::Sessions;

    fn holder(user: &str) -> Arc<Holder> {
        let client = Client::at(([192, 0, 2, 1], 4000).into());
        let listed = Sessions::new().begin(user, &"pop3".into(), client, 1);
        Arc::new(Holder {
            session: Arc::clone(listed.session()),
            tenant: "t".into(),
            user: user.into(),
        })
    }

    #[test]
    fn one_holder_for_each_key() {
        let (locks, ada) = (Locks::new(), holder("ada"));
        let first = locks.try_lock("a", &ada).expect("nobody holds it");
        let held = locks.try_lock("a", &holder("bob")).expect_err("ada has it");
        assert_eq!(held.holder().user, "ada");
        let other = locks.try_lock("b", &ada).expect("another maildrop");
        assert_eq!(locks.held(), 2);
        drop(first);
        assert!(locks.try_lock("a", &ada).is_ok());
        drop(other);
        assert_eq!(locks.held(), 0);
    }

    #[test]
    fn a_panic_of_the_holder_releases() {
        let locks = Locks::new();
        let theirs = locks.clone();
        let ended = std::thread::spawn(move || {
            let _held = theirs
                .try_lock("a", &holder("ada"))
                .expect("nobody holds it");
            panic!("the session ends");
        });
        assert!(ended.join().is_err());
        assert!(locks.try_lock("a", &holder("bob")).is_ok());
    }

    #[test]
    fn one_waits_for_a_holder_and_the_others_hear_at_once_that_it_is_in_use() {
        let locks = Locks::new();
        let _guard = locks.try_lock("a", &holder("ada")).expect("it is free");
        let held = || locks.try_lock("a", &holder("bob")).expect_err("ada has it");
        let first = held().wait().expect("nobody waits yet");
        assert!(held().wait().is_none());
        drop(first);
        assert!(held().wait().is_some());
    }

    /// As on a disk that does not answer, which nobody can end a call to.
    #[tokio::test]
    async fn maildrop_is_held_until_work_of_the_session_that_had_it_is_over() {
        let (locks, bob) = (Locks::new(), holder("bob"));
        let guard = locks.try_lock("a", &holder("ada")).expect("it is free");
        let (guard, hold) = (Arc::new(guard), WorkHold::default());
        hold.hold(&guard, None);
        let room = WorkRoom::new(Ledger::new("t")).holding(hold);
        let (free, wait) = std::sync::mpsc::channel::<()>();
        let (begun, began) = tokio::sync::oneshot::channel();
        let session = tokio::spawn(async move {
            let _guard = guard;
            let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
            let removing = move |_: &Stop| {
                let _ = begun.send(());
                wait.recv().is_ok()
            };
            room.run(deadline, removing).await
        });
        began.await.expect("it has begun");
        // A later login takes it over.
        session.abort();
        assert!(session.await.is_err());
        let mut held = locks.try_lock("a", &bob).expect_err("ada's work goes on");
        let moment = Duration::from_millis(20);
        assert!(timeout(moment, held.released()).await.is_err());
        drop(free);
        held.released().await;
        assert!(locks.try_lock("a", &bob).is_ok());
    }

    #[test]
    fn who_has_given_a_maildrop_back_is_not_ended_for_it() {
        let (locks, ada, bob) = (Locks::new(), holder("ada"), holder("bob"));
        let guard = locks.try_lock("a", &ada).expect("it is free");
        let held = locks.try_lock("a", &bob).expect_err("ada has it");
        drop(guard);
        locks.end_holder("a", &held, EndedBy::ClientGone);
        assert_eq!(ada.session.ended_by(), None);
        let _guard = locks.try_lock("a", &ada).expect("it is free");
        locks.end_holder("a", &held, EndedBy::ClientGone);
        assert_eq!(ada.session.ended_by(), Some(&EndedBy::ClientGone));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_holder_finds_the_lock_free() {
        let (locks, bob) = (Locks::new(), holder("bob"));
        let guard = locks.try_lock("a", &holder("ada")).expect("it is free");
        let mut held = locks.try_lock("a", &bob).expect_err("ada has it");
        let minute = Duration::from_secs(60);
        assert!(timeout(minute, held.released()).await.is_err());
        drop(guard);
        assert!(timeout(minute, held.released()).await.is_ok());
        assert!(locks.try_lock("a", &bob).is_ok());
    }
}
