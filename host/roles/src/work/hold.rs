//! What work may not outlive: a session's lock on its maildrop.
//!
//! A call of the system's that hangs goes on when the session that wanted it is long
//! over. As long as it does, the maildrop is that session's: a removal that is under way
//! must not run beside the next holder.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

/// What is held by each piece of work of a session while it is under way. Clones share it.
/// Holds nothing until it is told what.
#[derive(Clone, Default)]
pub struct WorkHold(Arc<OnceLock<Fenced>>);

/// What is held, and its fence.
struct Fenced {
    held: Weak<Held>,
    fence: Option<u64>,
}

/// Dropped when the last piece of work is over, and the session.
pub(super) type Held = dyn Any + Send + Sync;

/// The session is over, and what it held is given back.
#[derive(Debug)]
pub(super) struct Released;

impl WorkHold {
    /// From now on each piece of work holds this until it is over, and none begins any
    /// more when it is gone. `fence`: larger than that of what was held there before, among
    /// all processes; None where this process alone knows of it. It is told once; later ones
    /// say nothing.
    pub fn hold<T: Send + Sync + 'static>(&self, held: &Arc<T>, fence: Option<u64>) {
        let held: Weak<T> = Arc::downgrade(held);
        let _ = self.0.set(Fenced { held, fence });
    }

    /// The fence of what is held, or was: with the one of before, a change that comes too late is
    /// refused by whoever has seen a larger one. None: it has none, or nothing was held yet.
    pub(super) fn fence(&self) -> Option<u64> {
        self.0.get()?.fence
    }

    /// For a piece of work that is to begin. None: there is nothing to hold.
    pub(super) fn take(&self) -> Result<Option<Arc<Held>>, Released> {
        match self.0.get() {
            None => Ok(None),
            Some(of) => of.held.upgrade().map(Some).ok_or(Released),
        }
    }
}

impl fmt::Debug for WorkHold {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.0.get().map(|of| of.held.strong_count() > 0);
        out.debug_tuple("WorkHold").field(&held).finish()
    }
}
