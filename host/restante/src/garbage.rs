//! Removes the octets of messages that were removed, and of those that never came to be.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Duration;

use restante_engine::{GarbageCollector, MAX_BATCH, OWN_PLACE};
use restante_wasm::MailEngine;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, warn};

/// From one look for garbage to the next.
const EVERY: Duration = Duration::from_secs(60);
/// From one turn to the next while there is some: sessions come first.
const PAUSE: Duration = Duration::from_millis(100);

/// Removes garbage as long as somebody has the engine open, which is called `name`. Any number
/// of servers may do so at once.
pub(crate) async fn collect(engine: Weak<MailEngine>, name: String) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_away = false;
    let mut collector = GarbageCollector::default();
    loop {
        ticks.tick().await;
        let Some(engine) = engine.upgrade() else {
            return;
        };
        let problem = turns(&mut collector, &engine, &name).await.err();
        // What is away, or cannot be removed, is told once: logins say the rest.
        if let (Some(problem), false) = (&problem, was_away) {
            warn!(engine = name, problem, "garbage stays for now");
        }
        was_away = problem.is_some();
    }
}

/// Until nothing is left that can be removed. The error is for the operator: the first of those
/// that kept something.
async fn turns(
    collector: &mut GarbageCollector,
    engine: &MailEngine,
    name: &str,
) -> Result<(), String> {
    let places = BTreeMap::from([(OWN_PLACE.to_owned(), engine.blobs.clone())]);
    let mut problem = None;
    loop {
        let collected = collector.turn(&*engine.index, &places, MAX_BATCH).await;
        let collected = collected.map_err(|problem| problem.to_string())?;
        let (expired, removed) = (collected.expired, collected.removed);
        if expired > 0 || removed > 0 {
            debug!(engine = name, expired, removed, "garbage was removed");
        }
        let is_done = collected.is_done();
        let kept = collected.problems.into_iter().next();
        problem = problem.or(kept.map(|(_, problem)| problem.to_string()));
        if is_done {
            return problem.map_or(Ok(()), Err);
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use restante_engine::memory::{Memory, MemoryBlobs};
    use restante_engine::{
        Acquired, Appended, BlobPath, Blobs as _, Entry, Folder, Holds as _, Limits,
        MailIndex as _, Placed, Retention,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn octets_of_what_was_removed_are_removed_in_a_while() {
        let (memory, blobs) = (Memory::new(Retention::default()), MemoryBlobs::default());
        let engine = Arc::new(MailEngine {
            index: Arc::new(memory.clone()),
            blobs: Arc::new(blobs.clone()),
        });
        tokio::spawn(collect(Arc::downgrade(&engine), "mail".into()));
        let placed = Placed {
            place: OWN_PLACE.into(),
            path: BlobPath::new("a/b").unwrap(),
        };
        memory.intend(&placed).await.unwrap();
        let mut writer = blobs.create(&placed.path, 4).await.unwrap();
        writer.write("mail".into()).await.unwrap();
        writer.finish().await.unwrap();
        let folder = Folder::new("t", "m", "").unwrap();
        let entry = Entry {
            unique_id: None,
            octets: 6,
            surrogate: None,
            received: 1,
            name: "b".into(),
            digest: None,
            weight: 4,
        };
        let free = Limits::default();
        let kept = memory.append(&folder, &entry, &free, Some(&placed)).await;
        let Ok(Appended::Kept(id)) = kept else {
            panic!("{kept:?}");
        };
        let is_there = async || blobs.read(&placed.path, 0, 1).await.unwrap().is_some();
        sleep(EVERY * 3).await;
        assert!(is_there().await);
        let node = memory.join("n", "a test").await.unwrap();
        let Ok(Acquired::Held(hold)) = memory.acquire("k", &node).await else {
            panic!("it is held");
        };
        memory.remove(&folder, &[id], &hold).await.unwrap();
        assert!(is_there().await);
        sleep(EVERY * 2).await;
        assert!(!is_there().await);
    }
}
