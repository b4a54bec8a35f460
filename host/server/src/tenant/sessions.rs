//! How many sessions a tenant and its users have.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};
use restante_roles::fingerprint::Fingerprint;

/// How many sessions a tenant has. Clones share one count.
#[derive(Debug, Clone, Default)]
pub struct SessionCount {
    live: Arc<AtomicUsize>,
    /// By user; nobody is in here with none.
    users: Arc<Mutex<HashMap<Fingerprint, usize>>>,
}

impl SessionCount {
    /// How many there are.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    pub(super) fn take(&self, limit: usize) -> Option<SessionPermit> {
        let more = |live| (live < limit).then_some(live + 1);
        self.live
            .try_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()?;
        Some(SessionPermit {
            count: self.clone(),
        })
    }

    /// Whether this user has one.
    pub(super) fn has(&self, user: &str) -> bool {
        self.users().contains_key(&Fingerprint::of(user))
    }

    /// How many this user has.
    pub(super) fn of(&self, user: &str) -> usize {
        let users = self.users();
        users.get(&Fingerprint::of(user)).copied().unwrap_or(0)
    }

    pub(super) fn take_for(&self, user: &str, limit: usize) -> Option<UserPermit> {
        let user = Fingerprint::of(user);
        let mut users = self.users();
        let live = users.get(&user).copied().unwrap_or(0);
        if live >= limit {
            return None;
        }
        users.insert(user, live + 1);
        Some(UserPermit {
            count: self.clone(),
            user,
        })
    }
    pub(super) fn users(&self) -> MutexGuard<'_, HashMap<Fingerprint, usize>> {
        self.users.lock()
    }
}

/// One session's place among its tenant's.
#[derive(Debug)]
#[must_use = "the place is taken for as long as the permit lives"]
pub struct SessionPermit {
    count: SessionCount,
}

impl Drop for SessionPermit {
    fn drop(&mut self) {
        self.count.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One session's place among its user's.
#[derive(Debug)]
#[must_use = "the place is taken for as long as the permit lives"]
pub struct UserPermit {
    count: SessionCount,
    user: Fingerprint,
}

impl Drop for UserPermit {
    fn drop(&mut self) {
        let mut users = self.count.users();
        if let Some(live) = users.get_mut(&self.user) {
            *live -= 1;
            if *live == 0 {
                users.remove(&self.user);
            }
        }
    }
}
