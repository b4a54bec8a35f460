//! Who holds which maildrop: the exclusive-access lock of RFC 1939 section 4.
//!
//! The lock lives in this process and dies with the session that took it, so
//! there is no stale lock to clean up. What a key stands for is the store's
//! business ([`restante_roles::backend::FoundMaildrop::lock_key`]).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The maildrops that are held, by key. Clones share one set.
#[derive(Debug, Clone, Default)]
pub struct Locks {
    held: Arc<Mutex<HashSet<Arc<str>>>>,
}

impl Locks {
    /// No maildrop is held.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the lock under `key`, or says that somebody else has it: None.
    pub fn try_lock(&self, key: &str) -> Option<Guard> {
        let key: Arc<str> = key.into();
        self.change(|held| held.insert(Arc::clone(&key)))
            .then(|| Guard {
                locks: self.clone(),
                key,
            })
    }

    /// How many maildrops are held.
    pub fn held(&self) -> usize {
        self.change(|held| held.len())
    }

    /// A panic elsewhere cannot leave the set half changed: inserting and
    /// removing are all that happens under the mutex. So poison means nothing.
    fn change<T>(&self, change: impl FnOnce(&mut HashSet<Arc<str>>) -> T) -> T {
        change(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Holds one maildrop until it is dropped.
#[derive(Debug)]
#[must_use = "the maildrop is held for as long as the guard lives"]
pub struct Guard {
    locks: Locks,
    key: Arc<str>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.locks.change(|held| held.remove(&self.key));
    }
}

#[cfg(test)]
mod tests {
    use super::Locks;

    #[test]
    fn one_holder_for_each_key() {
        let locks = Locks::new();
        let first = locks.try_lock("a").expect("nobody holds it");
        assert!(locks.try_lock("a").is_none());
        let other = locks.try_lock("b").expect("another maildrop");
        assert_eq!(locks.held(), 2);
        drop(first);
        assert!(locks.try_lock("a").is_some());
        drop(other);
        assert_eq!(locks.held(), 0);
    }

    #[test]
    fn a_panic_of_the_holder_releases() {
        let locks = Locks::new();
        let theirs = locks.clone();
        let holder = std::thread::spawn(move || {
            let _held = theirs.try_lock("a").expect("nobody holds it");
            panic!("the session dies");
        });
        assert!(holder.join().is_err());
        assert!(locks.try_lock("a").is_some());
    }
}
