//! What is open for a guest, and where it is closed.
//!
//! To close a file may wait for the disk as any other operation may: a network file system
//! writes back what is left, and the last close of a large file that was unlinked frees
//! its blocks. So the last holder does not close it, wherever it is dropped: it goes to a
//! queue of the tenant's, which is worked off in one of the tenant's places.

use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use tokio::runtime::Handle;
use tracing::warn;

use super::{Charge, MAX_TENANT_OPEN, OpenPermit, WorkError, WorkRoom, places};
use crate::throttle::Complaints;

/// Something that is open. When it is dropped it is closed in a place of its tenant's, and
/// counts as open until then.
pub struct Opened<T: Send + 'static> {
    /// None: it is being dropped.
    open: Option<T>,
    permit: Option<OpenPermit>,
    room: WorkRoom,
}

impl WorkRoom {
    /// Leave to open one thing more.
    ///
    /// # Errors
    /// The owner has as much open as it may have ([`MAX_TENANT_OPEN`]).
    pub fn open_permit(&self) -> Result<OpenPermit, WorkError> {
        static COMPLAINTS: LazyLock<Complaints> = LazyLock::new(Complaints::default);
        let permit = self.owner.open().permit();
        if permit.is_none()
            && let Some(left_out) = COMPLAINTS.line()
        {
            warn!(
                tenant = self.owner.name(),
                limit = MAX_TENANT_OPEN,
                left_out,
                "{}",
                WorkError::Open
            );
        }
        permit.ok_or(WorkError::Open)
    }

    /// Something was opened with this leave.
    pub fn opened<T: Send + 'static>(&self, open: T, permit: OpenPermit) -> Opened<T> {
        Opened {
            open: Some(open),
            permit: Some(permit),
            room: self.clone(),
        }
    }

    /// Drops it in a place of the owner's, as soon as there is one.
    pub(crate) fn close(&self, open: Box<dyn Send>) {
        // Without a runtime nobody waits for this thread.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if self.owner.open().push(open) {
            let room = self.clone();
            runtime.spawn(async move {
                let place = places::server().take(room.owner.places()).await;
                tokio::task::spawn_blocking(move || {
                    let _place = place;
                    let _charge = Charge::begin(|time| room.owner.charge(time));
                    while let Some(open) = room.owner.open().pop() {
                        // What panics keeps nothing else open.
                        let _ = catch_unwind(AssertUnwindSafe(|| drop(open)));
                    }
                });
            });
        }
    }
}

impl<T: Send + 'static> Deref for Opened<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.open.as_ref().expect("it is there until it is dropped")
    }
}

impl<T: Send + 'static> DerefMut for Opened<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.open.as_mut().expect("it is there until it is dropped")
    }
}

impl<T: Send + 'static> Drop for Opened<T> {
    fn drop(&mut self) {
        // In this order: what is closed, and then counts no more.
        self.room
            .close(Box::new((self.open.take(), self.permit.take())));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc;
    use std::thread::{self, ThreadId};
    use std::time::Duration;

    use super::*;
    use crate::metrics::Ledger;
    use crate::work::{MAX_TENANT_PLACES, WorkOwner};

    /// Far more than anything here takes.
    const LONG: Duration = Duration::from_secs(60);

    /// A file whose close waits until it is let go, as on a disk that does not answer.
    struct Hung {
        closes: tokio::sync::mpsc::UnboundedSender<ThreadId>,
        wait: mpsc::Receiver<()>,
    }

    impl Drop for Hung {
        fn drop(&mut self) {
            let _ = self.closes.send(thread::current().id());
            let _ = self.wait.recv();
        }
    }

    #[tokio::test]
    async fn what_is_dropped_is_closed_elsewhere_in_a_place_and_counts_until_then() {
        let ledger = Ledger::new("t");
        let room = WorkRoom::new(ledger.clone());
        let (closes, mut closed) = tokio::sync::mpsc::unbounded_channel();
        let mut let_go = Vec::new();
        let all: Vec<_> = std::iter::repeat_with(|| {
            let (go_on, wait) = mpsc::channel();
            let_go.push(go_on);
            let closes = closes.clone();
            room.opened(Hung { closes, wait }, room.open_permit().unwrap())
        })
        .take(MAX_TENANT_OPEN)
        .collect();
        assert_eq!(room.open_permit().unwrap_err(), WorkError::Open);
        let neighbour = WorkRoom::new(Ledger::new("u"));
        assert!(neighbour.open_permit().is_ok());
        // On the only thread of this runtime: were one closed here, it would hang.
        drop(all);
        let thread = closed.recv().await.unwrap();
        assert_ne!(thread, thread::current().id());
        assert!(room.open_permit().is_err(), "none is really closed");
        // However many wait to be closed, they have one place.
        let mut held = Vec::new();
        for _ in 1..MAX_TENANT_PLACES {
            held.push(places::server().take(WorkOwner::places(&*ledger)).await);
        }
        let_go.remove(0);
        assert!(closed.recv().await.is_some());
        let permit = room.open_permit().unwrap();
        drop((let_go, permit));
        for _ in 2..MAX_TENANT_OPEN {
            assert!(closed.recv().await.is_some());
        }
        let all_of = tokio::time::timeout(LONG, async {
            while WorkOwner::open(&*ledger).left() < MAX_TENANT_OPEN {
                tokio::task::yield_now().await;
            }
        });
        assert!(all_of.await.is_ok());
    }
}
