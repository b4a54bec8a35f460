//! Holds whose holders are gone, until the engine knows.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::bounds::CALL_DEADLINE;
use crate::hold::{Hold, Holds};
use crate::problem::Problem;

/// Calls at once: fewer than an engine has connections, so that logins have some.
const AT_ONCE: usize = 4;

/// A hold to be given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Return {
    pub(super) hold: Hold,
    /// Somebody had logged in.
    pub(super) is_login: bool,
}

impl Return {
    /// Tells the engine.
    pub(super) async fn give_back(&self, holds: &dyn Holds) -> Result<(), Problem> {
        match self.is_login {
            true => holds.release_login(&self.hold).await,
            false => holds.release(&self.hold).await,
        }
    }
}

/// What is to be given back. There are never more than there were sessions.
#[derive(Debug, Default)]
pub(super) struct Returns {
    waiting: Mutex<Waiting>,
    added: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// One for each key: it was acquired for one holder at a time.
    by_key: HashMap<String, Return>,
    /// Whose turn it is; a key that is not in `by_key` any more has none. One that could
    /// not be given back comes last, so it keeps the others from nothing.
    turns: VecDeque<String>,
    is_over: bool,
}

impl Returns {
    /// With a task that gives back, until this is dropped or over. After a failure it rests
    /// for `pause`.
    pub(super) fn begin(holds: Arc<dyn Holds>, pause: Duration) -> Arc<Self> {
        let returns = Arc::new(Returns::default());
        tokio::spawn(give_back(Arc::downgrade(&returns), holds, pause));
        returns
    }

    /// To be given back.
    pub(super) fn add(&self, returned: Return) {
        let mut waiting = self.waiting.lock();
        if !waiting.is_over {
            let key = returned.hold.key.clone();
            if waiting.by_key.insert(key.clone(), returned).is_none() {
                waiting.turns.push_back(key);
            }
            self.added.notify_one();
        }
    }

    /// Somebody else gives this one back, be it under way already: to give it back twice
    /// does no harm.
    pub(super) fn take(&self, key: &str) -> Option<Return> {
        self.waiting.lock().by_key.remove(key)
    }

    /// All of them are free without being given back.
    pub(super) fn end(&self) {
        *self.waiting.lock() = Waiting {
            is_over: true,
            ..Waiting::default()
        };
        self.added.notify_one();
    }

    /// The engine knows.
    fn done(&self, returned: &Return) {
        let mut waiting = self.waiting.lock();
        let key = &returned.hold.key;
        if waiting.by_key.get(key) == Some(returned) {
            waiting.by_key.remove(key);
        }
    }

    /// Some of them, which stay here until the engine knows, and come last the next time;
    /// none: it is over.
    fn some(&self) -> Option<Vec<Return>> {
        let mut waiting = self.waiting.lock();
        if waiting.is_over {
            return None;
        }
        let Waiting { by_key, turns, .. } = &mut *waiting;
        let mut some: Vec<Return> = Vec::new();
        for _ in 0..turns.len() {
            if some.len() == AT_ONCE {
                break;
            }
            let key = turns.pop_front();
            if let Some(returned) = key.and_then(|key| by_key.get(&key)).cloned() {
                turns.push_back(returned.hold.key.clone());
                some.push(returned);
            }
        }
        Some(some)
    }
}

async fn give_back(returns: Weak<Returns>, holds: Arc<dyn Holds>, pause: Duration) {
    loop {
        let Some(all) = returns.upgrade() else { return };
        let Some(some) = all.some() else { return };
        if some.is_empty() {
            // Not for ever: nobody may be left who could add one.
            let _ = timeout(pause, all.added.notified()).await;
            continue;
        }
        let mut calls = JoinSet::new();
        for returned in some {
            let holds = holds.clone();
            calls.spawn(async move {
                let released = timeout(CALL_DEADLINE, returned.give_back(&*holds)).await;
                matches!(released, Ok(Ok(()))).then_some(returned)
            });
        }
        let mut has_failed = false;
        while let Some(ended) = calls.join_next().await {
            match ended {
                Ok(Some(returned)) => all.done(&returned),
                Ok(None) | Err(_) => has_failed = true,
            }
        }
        drop(all);
        if has_failed {
            sleep(pause).await;
        }
    }
}
