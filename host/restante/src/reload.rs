//! Reloads when a file of the configuration has changed on disk.

use std::sync::Arc;
use std::time::Instant;

use restante_server::admin::Reload;
use tokio::task;
use tokio::time::sleep;
use tracing::{error, info};

use crate::generations::Generations;
use crate::watch::{INTERVAL, Watched, pause};

/// Goes on for as long as it is polled. A change counts once it has been the same
/// for an interval: a file that is still being written makes no noise. What was
/// tried and is wrong is not tried again until something changes.
pub(crate) async fn watch(generations: Arc<Generations>) {
    let mut changed: Option<Watched> = None;
    let mut next = INTERVAL;
    loop {
        sleep(next).await;
        if !generations.config().server.watch {
            (changed, next) = (None, INTERVAL);
            continue;
        }
        let known = generations.watched();
        let began = Instant::now();
        let now = match task::spawn_blocking({
            let known = Arc::clone(&known);
            move || known.now()
        })
        .await
        {
            Ok(now) => now,
            Err(error) => {
                error!(%error, "files of the configuration are no longer watched");
                return;
            }
        };
        next = pause(began.elapsed());
        if now == *known {
            changed = None;
        } else if changed.as_ref() == Some(&now) {
            changed = None;
            info!("files of the configuration have changed on disk");
            // Its answer is in the log.
            let _ = generations.reload().await;
        } else {
            changed = Some(now);
        }
    }
}
