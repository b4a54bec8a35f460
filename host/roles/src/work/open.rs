//! What the guests of a tenant have open: how much there may be of it, and what of it
//! waits to be closed. What waits counts as open still, which bounds the queue.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Files, directories, streams of both, and connections that the guests of one tenant may
/// have open, in all its sessions together.
pub const MAX_TENANT_OPEN: usize = 4096;

/// What one tenant has open.
pub struct TenantOpen {
    permits: Arc<Semaphore>,
    closing: Mutex<Closing>,
}

#[derive(Default)]
struct Closing {
    waiting: VecDeque<Box<dyn Send>>,
    /// Somebody works it off.
    is_served: bool,
}

/// One of what a tenant may have open, until it is dropped.
#[derive(Debug)]
#[must_use = "it counts as open for as long as this lives"]
pub struct OpenPermit {
    _permit: OwnedSemaphorePermit,
}

impl Default for TenantOpen {
    fn default() -> Self {
        TenantOpen {
            permits: Arc::new(Semaphore::new(MAX_TENANT_OPEN)),
            closing: Mutex::default(),
        }
    }
}

impl fmt::Debug for TenantOpen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TenantOpen")
            .field("permits", &self.permits)
            .finish_non_exhaustive()
    }
}

impl TenantOpen {
    /// None: it has as much open as it may have.
    pub(super) fn permit(&self) -> Option<OpenPermit> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        Some(OpenPermit { _permit: permit })
    }

    /// How many permits are left.
    #[cfg(test)]
    pub(super) fn left(&self) -> usize {
        self.permits.available_permits()
    }

    /// True: nobody works the queue off, so the caller has to see to it.
    pub(super) fn push(&self, open: Box<dyn Send>) -> bool {
        let mut closing = self.lock();
        closing.waiting.push_back(open);
        !mem::replace(&mut closing.is_served, true)
    }

    /// None: the queue is empty, and nobody works it off any more.
    pub(super) fn pop(&self) -> Option<Box<dyn Send>> {
        let mut closing = self.lock();
        let next = closing.waiting.pop_front();
        closing.is_served = next.is_some();
        next
    }

    fn lock(&self) -> MutexGuard<'_, Closing> {
        // Nothing is dropped, and nothing else can panic, under the mutex.
        self.closing.lock()
    }
}
