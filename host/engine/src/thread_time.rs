//! Processor time of the thread that is at work.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What this thread has used so far.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanoseconds)
}

/// Charges what is used until it is dropped, however that comes.
pub(crate) struct Stretch<F: Fn(Duration)> {
    begun: Duration,
    charge: F,
}

impl<F: Fn(Duration)> Stretch<F> {
    pub(crate) fn begin(charge: F) -> Self {
        let begun = used();
        Stretch { begun, charge }
    }
}

impl<F: Fn(Duration)> Drop for Stretch<F> {
    fn drop(&mut self) {
        (self.charge)(used().saturating_sub(self.begun));
    }
}

/// Charges each poll of a future.
pub(crate) async fn charged<F: Future>(charge: impl Fn(Duration), future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let _stretch = Stretch::begin(&charge);
        future.as_mut().poll(context)
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn each_poll_is_charged_and_waiting_is_not() {
        let charged_time = Cell::new(Duration::ZERO);
        let add = |time| charged_time.set(charged_time.get() + time);
        let goal = Duration::from_millis(20);
        charged(add, async {
            for _ in 0..2 {
                let begun = used();
                while used().saturating_sub(begun) < goal {}
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        })
        .await;
        assert!(charged_time.get() >= 2 * goal, "{charged_time:?}");
        assert!(charged_time.get() < 10 * goal, "{charged_time:?}");
    }
}
