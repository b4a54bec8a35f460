//! Work that may wait for the disk or the resolver, on threads of its own.
//!
//! Each piece has an owner. It holds a place of its tenant's from before it begins
//! until it is really over, also when nobody waits for it any more: a tenant whose
//! disk does not answer runs out of its own places, not of everybody's threads. It is
//! told to end when its time is over or its caller gone, and what it computed
//! meanwhile is charged to its tenant. Knows nothing of what the work is.

mod hold;
mod open;
pub mod opened;
mod places;

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

pub use hold::WorkHold;
pub use open::{MAX_TENANT_OPEN, OpenPermit, TenantOpen};
pub use places::{MAX_BLOCKING_THREADS, MAX_PLACES, MAX_TENANT_PLACES, TenantPlaces};

/// How long work may take that no call of a plugin's sets a time for.
pub const MAX_WORK_TIME: Duration = Duration::from_secs(60);

/// Why there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WorkError {
    /// No place came free in time.
    #[error(
        "all places for work of the tenant's on this host are taken: perhaps a disk or a resolver does not answer"
    )]
    Busy,
    /// As much is open as may be.
    #[error(
        "the guests of the tenant have 4,096 files, streams and connections open, the most there may be: see whether a plugin keeps them open, or a disk does not answer"
    )]
    Open,
    /// It was not done in time.
    #[error("it was not done in time: perhaps the disk or the resolver is slow")]
    Late,
    /// Its session has given back what its work has to hold.
    #[error("the session is over, and its maildrop is given back")]
    Over,
    /// It panicked, or the server ends.
    #[error("the host failed")]
    Failed,
}

impl From<WorkError> for io::Error {
    fn from(error: WorkError) -> Self {
        let kind = match error {
            WorkError::Busy | WorkError::Open => io::ErrorKind::ResourceBusy,
            WorkError::Late => io::ErrorKind::TimedOut,
            WorkError::Over | WorkError::Failed => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

/// Whose work it is: who has the places, and is charged.
pub trait WorkOwner: fmt::Debug + Send + Sync {
    /// What the log calls it.
    fn name(&self) -> &str;

    /// Its places.
    fn places(&self) -> &TenantPlaces;

    /// Its requests over the network that may be under way at once.
    fn requests(&self) -> &Arc<Semaphore>;

    /// What its guests have open.
    fn open(&self) -> &TenantOpen;

    /// Its work has computed for this long.
    fn charge(&self, time: Duration);
}

/// One tenant's places for work.
#[derive(Debug, Clone)]
pub struct WorkRoom {
    owner: Arc<dyn WorkOwner>,
    hold: WorkHold,
}

impl WorkRoom {
    /// The places of a tenant, which is its [`Ledger`](crate::metrics::Ledger).
    pub fn new(owner: Arc<dyn WorkOwner>) -> Self {
        let hold = WorkHold::default();
        WorkRoom { owner, hold }
    }

    /// What a piece of work of another place has to keep until it is over.
    ///
    /// # Errors
    /// [`WorkError::Over`]
    pub fn held(&self) -> Result<Option<Arc<dyn Any + Send + Sync>>, WorkError> {
        self.hold.take().map_err(|_| WorkError::Over)
    }

    /// The fence of what its work holds: larger than that of each holder before, among all
    /// processes. It stays when the hold is given back, since None says that no other process
    /// takes part: this process alone knows of the hold, or nothing was held yet.
    pub fn fence(&self) -> Option<u64> {
        self.hold.fence()
    }

    /// The same for a session's work, all of which holds this until it is over.
    #[must_use]
    pub fn holding(self, hold: WorkHold) -> Self {
        WorkRoom { hold, ..self }
    }

    /// The owner's turn for a request over the network: what else asks for the same
    /// service has turns left.
    pub async fn request(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(self.owner.requests()).acquire_owned().await.ok()
    }

    /// What was computed for the owner elsewhere, for this long.
    pub fn charge(&self, time: Duration) {
        self.owner.charge(time);
    }

    /// Does work on a thread where waiting is no harm, until `deadline`.
    ///
    /// # Errors
    /// No place, no time, or no result. The work may go on then, if it is in the
    /// middle of a call of the system's; it keeps its place as long.
    pub async fn run<R: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce(&Stop) -> R + Send + 'static,
    ) -> Result<R, WorkError> {
        // Before it waits for a place: from here on it is under way.
        let held = self.hold.take().map_err(|_| WorkError::Over)?;
        let place = places::server().take(self.owner.places());
        let Ok(place) = timeout_at(deadline, place).await else {
            return Err(WorkError::Busy);
        };
        let stop = Stop::new(deadline);
        // Set also when this future is dropped half way.
        let _gone = Gone(stop.clone());
        let owner = Arc::clone(&self.owner);
        let working = tokio::task::spawn_blocking(move || {
            // Given back last.
            let _held = held;
            let _place = place;
            let _charge = Charge::begin(move |time| owner.charge(time));
            work(&stop)
        });
        match timeout_at(deadline, working).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err(WorkError::Failed),
            Err(_) => Err(WorkError::Late),
        }
    }

    /// The same for work that may fail as the system's calls do.
    ///
    /// # Errors
    /// The work's own, and those of [`run`](Self::run).
    pub async fn run_io<R: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce(&Stop) -> io::Result<R> + Send + 'static,
    ) -> io::Result<R> {
        self.run(deadline, work).await?
    }
}

/// Tells work when it is to end. What goes on for long looks at it again and again.
#[derive(Debug, Clone)]
pub struct Stop {
    gone: Arc<AtomicBool>,
    deadline: std::time::Instant,
}

impl Stop {
    /// Work that nobody has given up.
    pub fn new(deadline: Instant) -> Self {
        Stop {
            gone: Arc::default(),
            deadline: deadline.into_std(),
        }
    }

    /// Whether the work may go on.
    ///
    /// # Errors
    /// Its time is over, or nobody waits for it.
    pub fn check(&self) -> io::Result<()> {
        match self.is_set() {
            true => Err(WorkError::Late.into()),
            false => Ok(()),
        }
    }

    /// Whether the work is to end.
    pub fn is_set(&self) -> bool {
        self.gone.load(Ordering::Relaxed) || std::time::Instant::now() >= self.deadline
    }
}

/// Says that the caller is gone.
struct Gone(Stop);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.gone.store(true, Ordering::Relaxed);
    }
}

/// Charges what this thread computes until it is dropped, however that comes.
pub struct Charge<F: Fn(Duration)> {
    to: F,
    began: Duration,
}

impl<F: Fn(Duration)> Charge<F> {
    /// From now on.
    pub fn begin(to: F) -> Self {
        Charge {
            to,
            began: thread_time(),
        }
    }
}

impl<F: Fn(Duration)> Drop for Charge<F> {
    fn drop(&mut self) {
        (self.to)(thread_time().saturating_sub(self.began));
    }
}

/// CPU time that this thread has used so far.
pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::metrics::Ledger;

    /// Far more than anything here takes.
    const LONG: Duration = Duration::from_secs(60);

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    fn long() -> Instant {
        Instant::now() + LONG
    }

    #[tokio::test]
    async fn place_is_kept_until_the_work_is_over_though_nobody_waits() {
        let ledger = Ledger::new("t");
        let room = WorkRoom::new(ledger.clone());
        let (let_go, mut held) = (Vec::new(), Vec::new());
        let mut let_go = let_go;
        for _ in 0..MAX_TENANT_PLACES {
            let (free, wait) = mpsc::channel::<()>();
            let_go.push(free);
            // As a disk that does not answer: it cannot look at the flag.
            held.push(room.run(soon(), move |_| wait.recv().is_ok()).await);
        }
        assert!(held.iter().all(|ended| *ended == Err(WorkError::Late)));
        assert_eq!(room.run(soon(), |_| ()).await, Err(WorkError::Busy));
        let neighbour = WorkRoom::new(Ledger::new("u"));
        assert_eq!(neighbour.run(long(), |_| 7).await, Ok(7));
        drop(let_go.pop());
        assert_eq!(room.run(long(), |_| 8).await, Ok(8));
    }

    #[tokio::test]
    async fn work_holds_what_its_session_held_until_it_is_over() {
        let (hold, guard) = (WorkHold::default(), Arc::new(()));
        let room = WorkRoom::new(Ledger::new("t")).holding(hold.clone());
        assert_eq!(room.run(long(), |_| 7).await, Ok(7), "there is no lock yet");
        assert_eq!(room.fence(), None);
        hold.hold(&guard, Some(7));
        // What comes later says nothing.
        hold.hold(&Arc::new(()), Some(8));
        assert_eq!(room.fence(), Some(7));
        let gone = Arc::downgrade(&guard);
        let (free, wait) = mpsc::channel::<()>();
        // As a disk that does not answer: its caller gives up, and it goes on.
        let hung = room.run(soon(), move |_| wait.recv().is_ok()).await;
        assert_eq!(hung, Err(WorkError::Late));
        // The session ends.
        drop(guard);
        assert!(gone.upgrade().is_some(), "its work is under way");
        drop(free);
        while gone.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(room.run(long(), |_| 8).await, Err(WorkError::Over));
        assert_eq!(
            room.fence(),
            Some(7),
            "it would look as if nobody else had it"
        );
    }

    #[tokio::test]
    async fn work_hears_that_its_caller_is_gone() {
        let room = WorkRoom::new(Ledger::new("t"));
        let (begun, began) = tokio::sync::oneshot::channel();
        let (end, ended) = mpsc::channel();
        let caller = tokio::spawn(async move {
            room.run(long(), move |stop| {
                let _ = begun.send(());
                while !stop.is_set() {
                    std::thread::yield_now();
                }
                let _ = end.send(stop.check().is_err());
            })
            .await
        });
        began.await.unwrap();
        caller.abort();
        let told = tokio::task::spawn_blocking(move || ended.recv_timeout(LONG));
        assert_eq!(told.await.unwrap(), Ok(true));
    }

    #[tokio::test]
    async fn work_hears_that_its_time_is_over() {
        let room = WorkRoom::new(Ledger::new("t"));
        let (end, ended) = mpsc::channel();
        let late = room.run(soon(), move |stop| {
            while !stop.is_set() {
                std::thread::yield_now();
            }
            let _ = end.send(());
        });
        assert!(matches!(late.await, Err(WorkError::Late) | Ok(())));
        assert_eq!(ended.recv_timeout(LONG), Ok(()));
    }

    #[tokio::test]
    async fn what_work_computes_is_its_tenants() {
        let ledger = Ledger::new("t");
        let least = Duration::from_millis(20);
        let busy = move |_: &Stop| {
            let began = thread_time();
            while thread_time() - began < least {
                std::hint::spin_loop();
            }
        };
        let room = WorkRoom::new(ledger.clone());
        assert_eq!(room.run(long(), busy).await, Ok(()));
        let used = ledger.totals().guest_cpu_nanoseconds;
        assert!(u128::from(used) >= least.as_nanos(), "{used}");
    }
}
