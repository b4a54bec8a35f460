//! Who pays for what a call computes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::thread_time::charged;

tokio::task_local! {
    /// Who pays for the calls of a task.
    static PAYER: Meter;
}

/// Hears of the processor time that a call takes on threads other than its caller's: whoever
/// asks is charged for it, also where nobody waits for the answer any more.
#[derive(Clone)]
pub struct Meter(Arc<dyn Fn(Duration) + Send + Sync>);

impl Meter {
    /// Hands on each stretch of time once.
    pub fn new(charge: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        Meter(Arc::new(charge))
    }

    /// Charges nobody.
    pub fn nobody() -> Self {
        Meter::new(|_| {})
    }

    /// So much was used.
    pub fn charge(&self, time: Duration) {
        (self.0)(time);
    }

    /// Charges what a future computes, which must be no part of what is charged already: each
    /// of its polls, and what an engine's calls in it have done on other threads.
    pub async fn pay_for<F: Future>(&self, future: F) -> F::Output {
        PAYER.scope(self.clone(), self.each_poll(future)).await
    }

    /// Who pays for the calls of this task: nobody, if nobody was named.
    pub(crate) fn of_task() -> Self {
        PAYER
            .try_with(Meter::clone)
            .unwrap_or_else(|_| Meter::nobody())
    }

    /// Charges each poll of a future, which must be no part of what is charged already.
    pub async fn each_poll<F: Future>(&self, future: F) -> F::Output {
        charged(|time| self.charge(time), future).await
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Meter")
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::index::{Folder, MailIndex};
    use crate::migration::Tables;
    use crate::retention::Retention;
    use crate::sqlite::Sqlite;

    /// What a thread of the engine's does is its caller's, and nobody else's.
    #[tokio::test]
    async fn what_an_index_computes_elsewhere_is_paid_for_by_who_asks() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mail.sqlite");
        let index = Sqlite::open(&path, Retention::default(), Tables::Made).unwrap();
        let folder = Folder::new("t", "m", "").unwrap();
        let threads = Arc::new(Mutex::new(Vec::new()));
        let heard = threads.clone();
        let meter = Meter::new(move |_| heard.lock().push(std::thread::current().id()));
        meter.pay_for(index.state(&folder)).await.unwrap();
        let here = std::thread::current().id();
        let elsewhere = || threads.lock().iter().filter(|id| **id != here).count();
        assert_eq!(elsewhere(), 1);
        index.state(&folder).await.unwrap();
        assert_eq!(elsewhere(), 1);
    }
}
