//! The hold on a maildrop in an engine, which brings what a remembered listing rests on: if it
//! is as it was, the login needs nothing more of the engine, and no instance.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::cache::Key;
use crate::instance::facts::Facts;
use crate::instance::maildrop::EngineMaildrop;
use crate::plugin::Plugin;
use restante_engine::Meter;
use restante_roles::shared_holds::{NotHeld, SharedHold, SharedHolds, Successor, Visit};
use restante_roles::work::WorkRoom;

/// How a session takes the hold on its maildrop.
pub(super) struct EngineHolds {
    pub(super) maildrop: EngineMaildrop,
    pub(super) plugin: Arc<Plugin>,
    pub(super) key: Key,
    /// Who pays for what the host computes meanwhile.
    pub(super) room: WorkRoom,
    /// All that a store asks is in its recording, so nothing is known before.
    pub(super) is_recorded: bool,
}

impl EngineHolds {
    /// The folders that the remembered listing rests on. Without one there are none, and the
    /// hold is a hold alone.
    fn folders(&self) -> Vec<String> {
        if self.is_recorded {
            return Vec::new();
        }
        let told = self.plugin.runtime.listings.recall(&self.key);
        let facts = told.and_then(|told| told.facts);
        let folders = facts.as_ref().map(Facts::folders);
        folders.into_iter().flatten().map(str::to_owned).collect()
    }
}

impl fmt::Debug for EngineHolds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("EngineHolds")
            .field(&self.maildrop)
            .finish()
    }
}

#[async_trait]
impl SharedHolds for EngineHolds {
    async fn acquire(&self, key: &str) -> Result<Box<dyn SharedHold>, NotHeld> {
        self.take(key, None).await
    }

    async fn acquire_for(&self, key: &str, visit: &Visit) -> Result<Box<dyn SharedHold>, NotHeld> {
        self.take(key, Some(visit)).await
    }

    async fn ask_holder(&self, node: &str, key: &str, successor: &Successor) -> bool {
        let engine = self.maildrop.engine();
        engine.ask_holder(node, key, successor).await
    }
}

impl EngineHolds {
    async fn take(&self, key: &str, visit: Option<&Visit>) -> Result<Box<dyn SharedHold>, NotHeld> {
        // Looked up at the moment that counts: another session may have had the maildrop
        // until now.
        let folders = self.folders();
        let room = self.room.clone();
        let meter = Meter::new(move |time| room.charge(time));
        let acquiring = self.maildrop.acquire(key, &folders, visit);
        meter.pay_for(acquiring).await
    }
}
