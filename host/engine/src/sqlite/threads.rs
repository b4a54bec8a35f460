//! Threads with a connection each that take calls from one queue.
//!
//! A call has a deadline. While it is in the queue it is taken back at its deadline, or
//! when nobody waits for it any more. Once it runs, SQLite gives it up at its deadline,
//! and rolls back; the caller waits for that, so that it knows what became of it.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use tokio::sync::oneshot;
use tokio::time;

use crate::bounds::CALL_DEADLINE;

/// Calls that may wait in one queue.
const MAX_QUEUED: usize = 1024;
/// How long a caller waits, after the deadline, for a call that runs: SQLite gives up
/// at once, unless the disk hangs.
const PATIENCE: Duration = Duration::from_secs(5);
/// Instructions of SQLite's between two looks at the clock: some 10 µs.
const INSTRUCTIONS: i32 = 1000;

const QUEUED: u8 = 0;
const RUNNING: u8 = 1;
const TAKEN_BACK: u8 = 2;

type Work<C> = Box<dyn FnOnce(&mut C) + Send>;

struct Call<C> {
    stage: Arc<AtomicU8>,
    deadline: Instant,
    work: Work<C>,
}

struct Calls<C> {
    queue: VecDeque<Call<C>>,
    is_over: bool,
}

struct Queue<C> {
    calls: Mutex<Calls<C>>,
    some: Condvar,
}

/// What keeps the files of a pool this process's own, until its last thread has ended.
pub(super) type Keep = Arc<dyn std::any::Any + Send + Sync>;

/// Connections to one file, on their threads; `C` is a connection and what goes with it.
pub(super) struct Threads<C> {
    path: PathBuf,
    queue: Arc<Queue<C>>,
    joins: Vec<JoinHandle<()>>,
}

impl<C> std::fmt::Debug for Threads<C> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Threads({:?}, {})", self.path, self.joins.len())
    }
}

impl<C: Send + 'static> Threads<C> {
    /// One for each connection, each of which is watched by its clock.
    ///
    /// # Errors
    /// If the system makes no threads.
    pub(super) fn new(
        path: &Path,
        connections: Vec<(C, Clock)>,
        keep: Option<Keep>,
    ) -> Result<Self, String> {
        let calls = Calls {
            queue: VecDeque::new(),
            is_over: false,
        };
        let queue = Queue {
            calls: Mutex::new(calls),
            some: Condvar::new(),
        };
        let mut threads = Threads {
            path: path.to_owned(),
            queue: Arc::new(queue),
            joins: Vec::new(),
        };
        for (connection, clock) in connections {
            let (queue, keep) = (threads.queue.clone(), keep.clone());
            let serve = move || {
                serve(connection, &queue, &clock);
                drop(keep);
            };
            let join = thread::Builder::new().name("sqlite".into()).spawn(serve);
            let join = join.map_err(|error| {
                let path = path.display();
                format!("{path}: the system makes no thread for it: {error}")
            })?;
            threads.joins.push(join);
        }
        Ok(threads)
    }

    /// The file's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` on one of the connections.
    ///
    /// # Errors
    /// If it did not run or has not ended in time.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut C) -> T + Send + 'static,
    ) -> Result<T, CallError> {
        let path = self.path.display();
        let deadline = Instant::now() + CALL_DEADLINE;
        let (answer, mut answered) = oneshot::channel();
        let ticket = Ticket(Arc::new(AtomicU8::new(QUEUED)));
        let call = Call {
            stage: ticket.0.clone(),
            deadline,
            work: Box::new(move |connection| {
                // Nobody listens any more: it is done nevertheless.
                let _ = answer.send(work(connection));
            }),
        };
        if !self.queue.push(call) {
            return Err(CallError::not_made(format!(
                "{path}: {MAX_QUEUED} calls wait for it already: the disk is too slow for them"
            )));
        }
        let ended =
            || CallError::not_made(format!("{path}: the call ended badly; nothing was changed"));
        match time::timeout_at(deadline.into(), &mut answered).await {
            Ok(answer) => return answer.map_err(|_| ended()),
            Err(_) if ticket.take_back() => {
                return Err(CallError::not_made(format!(
                    "{path}: no connection was free for 5 s, nothing was changed: the statements before it are slow, see whether they lack an index"
                )));
            }
            Err(_) => {}
        }
        match time::timeout(PATIENCE, &mut answered).await {
            Ok(answer) => answer.map_err(|_| ended()),
            Err(_) => Err(CallError {
                text: format!("{path}: the disk does not answer"),
                is_unknown: true,
            }),
        }
    }
}

impl<C> Drop for Threads<C> {
    /// Ends the threads: those that wait at once, one that works when it is done, which
    /// its deadline bounds.
    fn drop(&mut self) {
        self.queue.calls.lock().is_over = true;
        self.queue.some.notify_all();
        for join in self.joins.drain(..) {
            // A thread that panicked has said so.
            let _ = join.join();
        }
    }
}

/// Why a call has no answer, in words for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(super) struct CallError {
    pub(super) text: String,
    /// Whether it changed anything is not known; otherwise it changed nothing.
    pub(super) is_unknown: bool,
}

impl CallError {
    fn not_made(text: String) -> Self {
        CallError {
            text,
            is_unknown: false,
        }
    }
}

/// A call that somebody waits for.
struct Ticket(Arc<AtomicU8>);

impl Ticket {
    /// Whether it will not run.
    fn take_back(&self) -> bool {
        let taken =
            (self.0).compare_exchange(QUEUED, TAKEN_BACK, Ordering::AcqRel, Ordering::Acquire);
        taken.is_ok()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.take_back();
    }
}

impl<C> Queue<C> {
    /// Whether there was room.
    fn push(&self, call: Call<C>) -> bool {
        let mut calls = self.calls.lock();
        if calls.queue.len() >= MAX_QUEUED {
            // Calls that were taken back keep no place.
            let waits = |call: &Call<C>| call.stage.load(Ordering::Acquire) == QUEUED;
            calls.queue.retain(waits);
            if calls.queue.len() >= MAX_QUEUED {
                return false;
            }
        }
        calls.queue.push_back(call);
        drop(calls);
        self.some.notify_one();
        true
    }

    /// None: it is over.
    fn pop(&self) -> Option<Call<C>> {
        let mut calls = self.calls.lock();
        loop {
            if calls.is_over {
                return None;
            }
            match calls.queue.pop_front() {
                Some(call) => return Some(call),
                None => self.some.wait(&mut calls),
            }
        }
    }
}

fn serve<C>(mut connection: C, queue: &Queue<C>, clock: &Clock) {
    while let Some(call) = queue.pop() {
        let begun =
            (call.stage).compare_exchange(QUEUED, RUNNING, Ordering::AcqRel, Ordering::Acquire);
        if begun.is_err() {
            continue;
        }
        clock.set(call.deadline);
        // A panic is this program's fault. It rolls back, was told to the log, and leaves
        // the connection for the next call.
        let work = AssertUnwindSafe(|| (call.work)(&mut connection));
        let _ = panic::catch_unwind(work);
        clock.stop();
    }
}

/// When SQLite gives up what it does.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    started: Instant,
    /// Nanoseconds since `started`.
    deadline: Arc<AtomicU64>,
}

impl Clock {
    /// Without a deadline.
    pub(super) fn new() -> Self {
        Clock {
            started: Instant::now(),
            deadline: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }

    /// What the connection does ends at the deadline.
    pub(super) fn watch(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let clock = self.clone();
        connection.progress_handler(INSTRUCTIONS, Some(move || clock.is_late()))
    }

    /// Whether the call under way has used up its time.
    pub(super) fn is_late(&self) -> bool {
        nanoseconds(self.started.elapsed()) > self.deadline.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, deadline: Instant) {
        let deadline = deadline.saturating_duration_since(self.started);
        (self.deadline).store(nanoseconds(deadline), Ordering::Relaxed);
    }

    fn stop(&self) {
        self.deadline.store(u64::MAX, Ordering::Relaxed);
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn threads() -> Threads<u32> {
        Threads::new(Path::new("/x/mail"), vec![(0, Clock::new())], None).unwrap()
    }

    /// A call that keeps the thread until the sender is dropped.
    async fn blocked(threads: &Arc<Threads<u32>>) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel::<()>();
        let (begin, begun) = oneshot::channel();
        let kept = threads.clone();
        tokio::spawn(async move {
            let wait = move |_: &mut u32| {
                begin.send(()).unwrap();
                released.recv().unwrap_err();
            };
            kept.call(wait).await
        });
        begun.await.unwrap();
        release
    }

    #[tokio::test]
    async fn a_panic_is_one_call_s() {
        let threads = threads();
        let told = threads.call(|_| panic!("a bug")).await;
        let told: Result<(), CallError> = told;
        assert!(told.is_err_and(|error| error.text.contains("/x/mail: the call ended badly")));
        assert_eq!(threads.call(|state| *state + 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_call_that_nobody_waits_for_is_not_made() {
        let threads = Arc::new(threads());
        let release = blocked(&threads).await;
        let mut given_up = Box::pin(threads.call(|state| *state += 1));
        let in_queue = time::timeout(Duration::from_millis(20), &mut given_up).await;
        in_queue.unwrap_err();
        drop(given_up);
        drop(release);
        assert_eq!(threads.call(|state| *state).await, Ok(0));
    }

    #[tokio::test]
    async fn a_call_that_waits_for_too_long_is_not_made() {
        let threads = Arc::new(threads());
        let release = blocked(&threads).await;
        // From here on time passes as fast as somebody waits for it.
        time::pause();
        let told = threads.call(|state| *state += 1).await;
        assert!(told.is_err_and(|error| error.text.contains("no connection was free for 5 s")));
        drop(release);
        // Calls time out at once until the thread has taken notice, and are not made either.
        let state = loop {
            match threads.call(|state| *state).await {
                Ok(state) => break state,
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(1)),
            }
        };
        assert_eq!(state, 0);
    }

    #[tokio::test]
    async fn a_call_that_hangs_is_not_waited_for_without_end() {
        let threads = Arc::new(threads());
        let (release, released) = mpsc::channel::<()>();
        let (begin, begun) = oneshot::channel();
        let hang = move |_: &mut u32| {
            begin.send(()).unwrap();
            released.recv().unwrap_err();
        };
        let kept = threads.clone();
        let call = tokio::spawn(async move { kept.call(hang).await });
        begun.await.unwrap();
        time::pause();
        let told = call.await.unwrap();
        let error = told.unwrap_err();
        assert!(error.is_unknown, "{error}");
        drop(release);
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_given_up_calls_keep_no_place() {
        let threads = Arc::new(threads());
        let release = blocked(&threads).await;
        let mut calls: Vec<_> = (0..MAX_QUEUED)
            .map(|_| Box::pin(threads.call(|state| *state += 1)))
            .collect();
        for call in &mut calls {
            let once = time::timeout(Duration::ZERO, call).await;
            once.unwrap_err();
        }
        let told = threads.call(|_| ()).await;
        assert!(told.is_err_and(|error| error.text.contains("1024 calls wait for it already")));
        drop(calls.pop());
        let mut last = Box::pin(threads.call(|state| *state));
        time::timeout(Duration::ZERO, &mut last).await.unwrap_err();
        drop(release);
        assert_eq!(last.await, Ok(MAX_QUEUED as u32 - 1));
    }
}
