//! What a call uses of the processor, and how long it may take.
//!
//! A call into a guest is a future, and all that it has the server do on the event
//! loop happens while that is polled: the guest's own code, and what host functions
//! do for it at once. What is awaited happens between two polls. So each poll is
//! measured, in one place for all host functions, by the CPU time of its thread.
//!
//! The wall clock of a call stands still while it waits for what is the host's own:
//! that the server is busy is no failure of the plugin's. So it does while messages are removed,
//! for a while: the client has to be told whether they are gone.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::Instant as Moment;

use restante_roles::work::thread_time;

/// The meter of one instance.
#[derive(Debug, Default)]
pub(crate) struct Usage(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// CPU time left to the call under way, when its last poll began or ended.
    left: Duration,
    /// What was used and the ledger does not know of yet.
    unbooked: Duration,
    /// The poll under way.
    poll: Option<Begun>,
    /// How long the call under way has waited for the host's own resources.
    waited: Duration,
    /// Since when it does.
    waiting: Option<Moment>,
    /// How long the clock of the call under way has stood still for removals.
    removed: Duration,
    /// Since when it does, and for how long at most.
    removing: Option<(Moment, Duration)>,
}

#[derive(Debug, Clone, Copy)]
struct Begun {
    wall: Instant,
    /// Of the thread.
    cpu: Duration,
}

impl Usage {
    /// A new call begins, with this much CPU time.
    pub(crate) fn begin_call(&self, cpu_time: Duration) {
        let mut inner = self.0.lock();
        inner.left = cpu_time;
        inner.poll = None;
        inner.waited = Duration::ZERO;
        inner.waiting = None;
        inner.removed = Duration::ZERO;
        inner.removing = None;
    }

    /// What was used since this was asked last.
    pub(crate) fn take(&self) -> Duration {
        std::mem::take(&mut self.0.lock().unbooked)
    }

    /// Whether the call under way has used up its CPU time.
    pub(crate) fn exhausted(&self) -> bool {
        let inner = self.0.lock();
        match inner.poll {
            None => inner.left.is_zero(),
            // No thread has used more than has passed, and that is cheaper to ask.
            Some(begun) if begun.wall.elapsed() < inner.left => false,
            Some(begun) => thread_time().saturating_sub(begun.cpu) >= inner.left,
        }
    }

    /// From now on, until this is dropped, the call waits for the host's own resources.
    pub(crate) fn waits(self: &Arc<Self>) -> Waiting {
        self.0.lock().waiting = Some(Moment::now());
        Waiting(Arc::clone(self))
    }

    /// How long the call under way has waited for the host's own resources.
    pub(crate) fn waited(&self) -> Duration {
        let inner = self.0.lock();
        let still = inner
            .waiting
            .map_or(Duration::ZERO, |since| since.elapsed());
        inner.waited + still
    }

    /// From now on, until this is dropped, messages are removed for the call: its clock stands
    /// still meanwhile, for `most` in all of its removals.
    pub(crate) fn removes(self: &Arc<Self>, most: Duration) -> Removing {
        let mut inner = self.0.lock();
        let left = most.saturating_sub(inner.removed);
        let begun = Moment::now();
        inner.removing = Some((begun, left));
        Removing {
            usage: Arc::clone(self),
            begun,
            left,
        }
    }

    /// How long the clock of the call under way has stood still.
    fn stood_still(&self) -> Duration {
        let removed = {
            let inner = self.0.lock();
            let still = inner
                .removing
                .map_or(Duration::ZERO, |(since, left)| since.elapsed().min(left));
            inner.removed + still
        };
        removed + self.waited()
    }

    /// Something is done in the name of the call, on this thread.
    fn measured<R>(&self, work: impl FnOnce() -> R) -> R {
        self.0.lock().poll = Some(Begun {
            wall: Instant::now(),
            cpu: thread_time(),
        });
        let done = work();
        let mut inner = self.0.lock();
        if let Some(begun) = inner.poll.take() {
            let used = thread_time().saturating_sub(begun.cpu);
            inner.left = inner.left.saturating_sub(used);
            inner.unbooked += used;
        }
        done
    }
}

/// A call waits for the host's own resources.
#[derive(Debug)]
#[must_use = "the call waits for as long as it lives"]
pub(crate) struct Waiting(Arc<Usage>);

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut inner = self.0.0.lock();
        if let Some(since) = inner.waiting.take() {
            inner.waited += since.elapsed();
        }
    }
}

/// Messages are removed for a call.
#[derive(Debug)]
#[must_use = "the clock stands still for as long as it lives"]
pub(crate) struct Removing {
    usage: Arc<Usage>,
    begun: Moment,
    left: Duration,
}

impl Removing {
    /// When the clock goes on, be the removal over or not.
    pub(crate) fn end(&self) -> Moment {
        self.begun + self.left
    }

    /// How long it has stood still.
    pub(crate) fn stood_still(&self) -> Duration {
        self.begun.elapsed().min(self.left)
    }
}

impl Drop for Removing {
    fn drop(&mut self) {
        let mut inner = self.usage.0.lock();
        if let Some((since, left)) = inner.removing.take() {
            inner.removed += since.elapsed().min(left);
        }
    }
}

/// Makes a call, and measures it. None: it took longer than `wall_time`, without the time for
/// which its clock stood still.
pub(crate) async fn measured<R>(
    usage: &Usage,
    wall_time: Duration,
    call: impl Future<Output = R>,
) -> Option<R> {
    let started = Moment::now();
    let mut call = pin!(call);
    let mut over = pin!(tokio::time::sleep_until(started + wall_time));
    poll_fn(|context| {
        if let Poll::Ready(done) = usage.measured(|| call.as_mut().poll(context)) {
            return Poll::Ready(Some(done));
        }
        let deadline = started + wall_time + usage.stood_still();
        if Moment::now() >= deadline {
            return Poll::Ready(None);
        }
        if over.deadline() != deadline {
            over.as_mut().reset(deadline);
        }
        if over.as_mut().poll(context).is_ready() {
            // Over since the look at the clock: once more.
            context.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SOME: Duration = Duration::from_millis(20);

    /// Uses the processor for this long.
    fn compute(time: Duration) {
        let began = thread_time();
        while thread_time() - began < time {}
    }

    #[tokio::test]
    async fn what_is_done_counts_and_what_is_awaited_does_not() {
        let usage = Usage::default();
        usage.begin_call(SOME * 3);
        let call = async {
            compute(SOME);
            assert!(!usage.exhausted());
            tokio::time::sleep(SOME * 10).await;
            assert!(!usage.exhausted(), "it has only waited");
            compute(SOME * 2);
            // Without an end of the poll.
            usage.exhausted()
        };
        assert_eq!(measured(&usage, SOME * 1000, call).await, Some(true));
        assert!(usage.exhausted());
        let used = usage.take();
        assert!((SOME * 3..SOME * 10).contains(&used), "{used:?}");
        assert_eq!(usage.take(), Duration::ZERO);
        usage.begin_call(SOME);
        assert!(!usage.exhausted());
    }

    #[tokio::test]
    async fn a_thread_that_sleeps_has_used_nothing() {
        let usage = Usage::default();
        usage.begin_call(SOME);
        let call = async {
            std::thread::sleep(SOME * 2);
            usage.exhausted()
        };
        assert_eq!(measured(&usage, SOME * 1000, call).await, Some(false));
        assert!(usage.take() < SOME);
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_has_used_what_it_used() {
        let usage = Usage::default();
        usage.begin_call(SOME);
        let call = async {
            compute(SOME * 2);
            std::future::pending::<()>().await;
        };
        let given_up = tokio::time::timeout(SOME, measured(&usage, SOME * 1000, call)).await;
        assert!(given_up.is_err());
        assert!(usage.exhausted());
        assert!(usage.take() >= SOME * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wall_clock_stands_still_while_the_host_is_waited_for() {
        let usage = Arc::new(Usage::default());
        let second = Duration::from_secs(1);
        let began = Moment::now();
        let call = async {
            tokio::time::sleep(second).await;
            let waiting = usage.waits();
            tokio::time::sleep(second * 60).await;
            drop(waiting);
            tokio::time::sleep(second * 60).await;
        };
        assert_eq!(measured(&usage, second * 5, call).await, None);
        let took = began.elapsed();
        assert!((second * 65..second * 66).contains(&took), "{took:?}");
    }

    /// All removals of a call have so much of it together.
    #[tokio::test(start_paused = true)]
    async fn the_wall_clock_stands_still_for_removals_and_not_without_end() {
        let usage = Arc::new(Usage::default());
        let second = Duration::from_secs(1);
        let most = second * 40;
        let began = Moment::now();
        let call = async {
            let removing = usage.removes(most);
            tokio::time::sleep(second * 30).await;
            assert!((second * 30..second * 31).contains(&removing.stood_still()));
            drop(removing);
            let removing = usage.removes(most);
            let left = removing.end().saturating_duration_since(Moment::now());
            assert!((second * 9..=second * 10).contains(&left), "{left:?}");
            tokio::time::sleep(second * 60).await;
        };
        assert_eq!(measured(&usage, second * 5, call).await, None);
        let took = began.elapsed();
        assert!((second * 45..second * 46).contains(&took), "{took:?}");
        assert_eq!(usage.waited(), Duration::ZERO);
        usage.begin_call(SOME);
        assert_eq!(usage.stood_still(), Duration::ZERO);
    }
}
