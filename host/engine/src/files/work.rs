//! Work that waits for the disk: on the runtime's threads for that, so much at once, and
//! nobody waits for it longer than its deadline.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time;

use crate::bounds::MAX_CONNECTIONS;
use crate::meter::Meter;
use crate::problem::Problem;
use crate::thread_time::Stretch;

/// For what waits until octets are on the disk: a large file takes its time.
pub(super) const SYNC_DEADLINE: Duration = Duration::from_secs(60);

/// A directory's share of the runtime's threads.
#[derive(Debug, Clone)]
pub(super) struct Work {
    path: PathBuf,
    permits: Arc<Semaphore>,
}

impl Work {
    pub(super) fn new(path: &Path) -> Self {
        Work {
            path: path.to_owned(),
            permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        }
    }

    /// Runs it on a thread that may wait. What is given up goes on, and keeps its place.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        deadline: Duration,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let path = self.path.display();
        let run = async {
            let permit = self.permits.clone().acquire_owned().await;
            let meter = Meter::of_task();
            let done = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                let _stretch = Stretch::begin(|time| meter.charge(time));
                work()
            });
            done.await.map_err(|error| {
                Problem::unavailable(format!("{path}: work on it ended badly: {error}"))
            })?
        };
        let late = || {
            let seconds = deadline.as_secs();
            Problem::unavailable(format!(
                "{path}: the disk did not answer within {seconds} s: see the kernel's log"
            ))
        };
        time::timeout(deadline, run).await.map_err(|_| late())?
    }
}
