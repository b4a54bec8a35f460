//! How the end of the server, or of a generation, is told to everything that runs:
//! once, with the instant until which sessions may finish.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Begins the end.
#[derive(Debug)]
pub struct Trigger {
    until: watch::Sender<Option<Instant>>,
}

/// Learns of the end.
#[derive(Debug, Clone)]
pub struct Signal {
    until: watch::Receiver<Option<Instant>>,
}

/// A trigger and the signal that follows it. A trigger that is dropped unused
/// never ends anything.
pub fn channel() -> (Trigger, Signal) {
    let (sender, receiver) = watch::channel(None);
    (Trigger { until: sender }, Signal { until: receiver })
}

/// An end that is told to those who share what ends.
#[derive(Debug)]
pub struct Ending {
    trigger: Trigger,
    signal: Signal,
}

impl Default for Ending {
    fn default() -> Self {
        let (trigger, signal) = channel();
        Ending { trigger, signal }
    }
}

impl Ending {
    /// As [`Trigger::begin`].
    pub fn begin(&self, grace: Duration) {
        self.trigger.begin(grace);
    }

    /// Whether the grace time is over.
    pub fn is_over(&self) -> bool {
        let until = *self.signal.until.borrow();
        until.is_some_and(|until| Instant::now() >= until)
    }

    /// Returns once it is.
    pub async fn over(&self) {
        self.signal.over().await;
    }

    /// What comes of this while it is not; None: it was, or is now.
    pub async fn unless_over<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        if self.is_over() {
            return None;
        }
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.over() => None,
        }
    }
}

impl Trigger {
    /// Nothing new begins from now on; sessions that are logged in may go on for
    /// `grace`. A second call can only shorten what is left.
    pub fn begin(&self, grace: Duration) {
        let until = Instant::now() + grace;
        self.until.send_modify(|now| {
            *now = Some(now.map_or(until, |earlier| earlier.min(until)));
        });
    }
}

impl Signal {
    /// Whether the end has begun.
    pub fn has_begun(&self) -> bool {
        self.until.borrow().is_some()
    }

    /// Returns once the end has begun.
    pub async fn draining(&self) {
        self.begun().await;
    }

    /// Returns once the grace time is over.
    pub async fn over(&self) {
        let mut until = self.begun().await;
        let mut changes = self.until.clone();
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                Ok(sooner) = changes.wait_for(|now| now.is_some_and(|now| now < until)) => {
                    until = sooner.unwrap_or(until);
                }
            }
        }
    }

    async fn begun(&self) -> Instant {
        let mut changes = self.until.clone();
        let until = changes
            .wait_for(Option::is_some)
            .await
            .map(|until| until.unwrap_or_else(Instant::now));
        match until {
            Ok(until) => until,
            // Nobody is left who could end anything.
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, timeout};

    use super::channel;

    #[tokio::test(start_paused = true)]
    async fn the_grace_time_runs_from_the_beginning_and_can_be_cut() {
        let (trigger, signal) = channel();
        let minute = Duration::from_secs(60);
        assert!(timeout(minute, signal.draining()).await.is_err());

        let start = Instant::now();
        trigger.begin(minute);
        signal.draining().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        let waiting = tokio::spawn({
            let signal = signal.clone();
            async move { signal.over().await }
        });
        tokio::time::sleep(Duration::from_secs(10)).await;
        trigger.begin(Duration::from_secs(1));
        waiting.await.expect("the waiter does not panic");
        assert_eq!(start.elapsed(), Duration::from_secs(11));
        trigger.begin(minute);
        signal.over().await;
        assert_eq!(start.elapsed(), Duration::from_secs(11));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_trigger_ends_nothing() {
        let (trigger, signal) = channel();
        drop(trigger);
        let day = Duration::from_secs(86_400);
        assert!(timeout(day, signal.over()).await.is_err());
    }
}
