//! Removes the octets of messages that were removed, and of those that never came to be.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use restante_config::Engine;
use restante_engine::{Agreements, GarbageCollector, MAX_BATCH, OWN_PLACE, Problem};
use restante_wasm::MailEngine;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, warn};

use crate::engine_bucket::{self, FirstBucket};

/// From one look for garbage to the next.
const EVERY: Duration = Duration::from_secs(60);
/// From one turn to the next while there is some: sessions come first.
const PAUSE: Duration = Duration::from_millis(100);

/// An engine that is open, and its section.
#[derive(Debug)]
pub(crate) struct Collectable {
    pub(crate) mail: MailEngine,
    pub(crate) agreements: Arc<dyn Agreements>,
    pub(crate) section: Engine,
}

/// Removes garbage as long as somebody has the engine open. Any number of servers may do so at
/// once.
pub(crate) async fn collect(engine: Weak<Collectable>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = None;
    let mut collector = GarbageCollector::default();
    loop {
        ticks.tick().await;
        let Some(engine) = engine.upgrade() else {
            return;
        };
        let kept = round(&mut collector, &engine).await.err();
        // What is away, or cannot be removed, is told once: logins say the rest. What only an
        // operator mends is told also after that.
        let now = kept
            .as_ref()
            .map(|problem| matches!(problem, Problem::Invalid(_)));
        if let (Some(problem), true) = (&kept, now != told) {
            warn!(engine = engine.section.name, %problem, "garbage stays for now");
        }
        told = now;
    }
}

/// Until nothing is left that can be removed. The error is for the operator: the first of those
/// that kept something.
async fn round(collector: &mut GarbageCollector, engine: &Collectable) -> Result<(), Problem> {
    let Collectable {
        mail,
        agreements,
        section,
    } = engine;
    let places = BTreeMap::from([(OWN_PLACE.to_owned(), mail.blobs.clone())]);
    let mut kept = None;
    loop {
        // Another server may have noted a bucket since this one opened the engine. What is in
        // there would be forgotten here without being removed.
        engine_bucket::check(&**agreements, section, FirstBucket::Passed).await?;
        let collected = collector.turn(&*mail.index, &places, MAX_BATCH).await?;
        let (expired, removed) = (collected.expired, collected.removed);
        if expired > 0 || removed > 0 {
            debug!(
                engine = section.name,
                expired, removed, "garbage was removed"
            );
        }
        let is_done = collected.is_done();
        let first = collected.problems.into_iter().next();
        kept = kept.or(first.map(|(_, problem)| problem));
        if is_done {
            return kept.map_or(Ok(()), Err);
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use parking_lot::Mutex;
    use restante_config::EngineKind;
    use restante_engine::memory::{Memory, MemoryBlobs};
    use restante_engine::{
        Acquired, Appended, BlobPath, Blobs as _, Entry, Folder, Holds as _, Limits,
        MailIndex as _, Placed, Retention,
    };

    use super::*;

    /// What servers have noted: one text, whatever it is asked for.
    #[derive(Debug, Default)]
    struct Noted(Mutex<Option<String>>);

    #[async_trait]
    impl Agreements for Noted {
        async fn agreed(&self, _: &str) -> Result<Option<String>, Problem> {
            Ok(self.0.lock().clone())
        }

        async fn agree(&self, _: &str, text: &str) -> Result<String, Problem> {
            let mut noted = self.0.lock();
            Ok(noted.get_or_insert_with(|| text.to_owned()).clone())
        }

        async fn agree_anew(&self, _: &str, text: Option<&str>) -> Result<(), Problem> {
            *self.0.lock() = text.map(str::to_owned);
            Ok(())
        }
    }

    /// An engine in memory, whose garbage is removed.
    struct Site {
        memory: Memory,
        blobs: MemoryBlobs,
        noted: Arc<Noted>,
        _open: Arc<Collectable>,
    }

    impl Site {
        fn new() -> Self {
            let (memory, blobs) = (Memory::new(Retention::default()), MemoryBlobs::default());
            let noted = Arc::new(Noted::default());
            let open = Arc::new(Collectable {
                mail: MailEngine {
                    index: Arc::new(memory.clone()),
                    blobs: Arc::new(blobs.clone()),
                },
                agreements: noted.clone(),
                section: Engine {
                    name: "mail".into(),
                    kind: EngineKind::Embedded {
                        directory: "/mail".into(),
                    },
                    s3: None,
                },
            });
            tokio::spawn(collect(Arc::downgrade(&open)));
            Site {
                memory,
                blobs,
                noted,
                _open: open,
            }
        }

        /// A message of one maildrop.
        async fn kept(&self, placed: &Placed) -> String {
            self.memory.intend(placed).await.unwrap();
            let mut writer = self.blobs.create(&placed.path, 4).await.unwrap();
            writer.write("mail".into()).await.unwrap();
            writer.finish().await.unwrap();
            let entry = Entry {
                unique_id: None,
                octets: 6,
                surrogate: None,
                received: 1,
                name: "b".into(),
                digest: None,
                weight: 4,
            };
            let (folder, free) = (folder(), Limits::default());
            let kept = self.memory.append(&folder, &entry, &free, Some(placed));
            match kept.await {
                Ok(Appended::Kept(id)) => id,
                other => panic!("{other:?}"),
            }
        }

        async fn removed(&self, id: String) {
            let node = self.memory.join("n", "a test").await.unwrap();
            let Ok(Acquired::Held(hold)) = self.memory.acquire("k", &node).await else {
                panic!("it is held");
            };
            let removed = self.memory.remove(&folder(), &[id], &hold).await;
            removed.unwrap();
        }

        async fn is_there(&self, placed: &Placed) -> bool {
            self.blobs.read(&placed.path, 0, 1).await.unwrap().is_some()
        }

        /// Whether it is to be removed.
        async fn is_garbage(&self, placed: &Placed) -> bool {
            let garbage = self.memory.garbage(OWN_PLACE, None, MAX_BATCH).await;
            garbage.unwrap().contains(&placed.path)
        }
    }

    fn folder() -> Folder {
        Folder::new("t", "m", "").unwrap()
    }

    fn placed(path: &str) -> Placed {
        Placed {
            place: OWN_PLACE.into(),
            path: BlobPath::new(path).unwrap(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn octets_of_what_was_removed_are_removed_in_a_while() {
        let (site, placed) = (Site::new(), placed("a/b"));
        let id = site.kept(&placed).await;
        sleep(EVERY * 3).await;
        assert!(site.is_there(&placed).await);
        site.removed(id).await;
        assert!(site.is_there(&placed).await);
        sleep(EVERY * 2).await;
        assert!(!site.is_there(&placed).await);
    }

    /// It may be in that bucket, which this server does not ask.
    #[tokio::test(start_paused = true)]
    async fn no_garbage_is_forgotten_when_another_server_has_noted_a_bucket() {
        let (site, placed) = (Site::new(), placed("a/b"));
        sleep(EVERY * 2).await;
        let id = site.kept(&placed).await;
        site.noted.agree(engine_bucket::NAME, "b/").await.unwrap();
        site.removed(id).await;
        sleep(EVERY * 5).await;
        assert!(site.is_garbage(&placed).await && site.is_there(&placed).await);
        let none = site.noted.agree_anew(engine_bucket::NAME, None).await;
        none.unwrap();
        sleep(EVERY * 2).await;
        assert!(!site.is_garbage(&placed).await && !site.is_there(&placed).await);
    }
}
