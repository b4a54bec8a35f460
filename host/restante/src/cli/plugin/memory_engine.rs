//! An engine in memory with nothing in it, for plugins that are tried and whose maildrops are
//! in an engine.

use std::sync::Arc;

use async_trait::async_trait;
use restante_engine::memory::{Memory, MemoryBlobs};
use restante_engine::{Folder, Problem, Retention};
use restante_roles::metrics::EngineCalls;
use restante_roles::shared_holds::NotHeld;
use restante_wasm::{CallPlaces, EngineAccess, EnginePlaces, MailEngine, SharedEngine, TakenHold};

#[derive(Debug)]
struct InMemory(MailEngine);

#[async_trait]
impl EngineAccess for InMemory {
    async fn open(&self) -> Result<MailEngine, Problem> {
        Ok(self.0.clone())
    }

    async fn hold(&self, _: &str, _: &[Folder]) -> Result<TakenHold, NotHeld> {
        let why = "where plugins are tried nobody else has a maildrop, and nobody holds one";
        Err(NotHeld::Unavailable(why.into()))
    }
}

/// One that grants call `name`.
pub(super) fn engine(name: &str) -> Arc<SharedEngine> {
    let engine = MailEngine {
        index: Arc::new(Memory::new(Retention::default())),
        blobs: Arc::new(MemoryBlobs::default()),
    };
    let index = CallPlaces {
        at_once: 1,
        has_one_writer: false,
    };
    let places = EnginePlaces { index, blobs: None };
    let access = Arc::new(InMemory(engine));
    SharedEngine::new(
        name,
        "memory".into(),
        access,
        places,
        EngineCalls::new(name),
    )
}
