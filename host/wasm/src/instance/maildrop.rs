//! The maildrop of one session, as far as its store's instance may reach it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;

use crate::disk::grants::Root;
use crate::instance::engines::SharedEngine;
use restante_engine::{BlobPath, Folder, Hold, Problem, blob_of_maildrop};
use restante_roles::shared_holds::{NotHeld, SharedHold, SharedHolds};

/// What a store's instance has for a maildrop.
#[derive(Default)]
pub(crate) enum SessionMaildrop {
    /// Nothing.
    #[default]
    None,
    /// A directory.
    Directory(Arc<Root>),
    /// What an engine keeps.
    Engine(EngineMaildrop),
}

impl SessionMaildrop {
    /// The one or the other.
    pub(crate) fn parts(self) -> (Option<Arc<Root>>, Option<EngineMaildrop>) {
        match self {
            SessionMaildrop::None => (None, None),
            SessionMaildrop::Directory(root) => (Some(root), None),
            SessionMaildrop::Engine(maildrop) => (None, Some(maildrop)),
        }
    }
}

impl From<Option<Arc<Root>>> for SessionMaildrop {
    fn from(root: Option<Arc<Root>>) -> Self {
        root.map_or(SessionMaildrop::None, SessionMaildrop::Directory)
    }
}

/// A maildrop of an engine, for one session: whose it is is the host's word, and a guest names
/// folders and blobs in it alone.
#[derive(Debug, Clone)]
pub(crate) struct EngineMaildrop {
    engine: Arc<SharedEngine>,
    /// The maildrop itself.
    whole: Folder,
    /// What the session has it by, once it has.
    hold: Arc<OnceLock<Hold>>,
}

impl EngineMaildrop {
    /// # Errors
    /// It cannot be called so.
    pub(crate) fn new(
        engine: &Arc<SharedEngine>,
        tenant: &str,
        name: &str,
    ) -> Result<Self, Problem> {
        Ok(EngineMaildrop {
            engine: engine.clone(),
            whole: Folder::new(tenant, name, "")?,
            hold: Arc::default(),
        })
    }

    pub(crate) fn engine(&self) -> &Arc<SharedEngine> {
        &self.engine
    }

    /// Its name, among those of its tenant.
    pub(crate) fn name(&self) -> &str {
        self.whole.maildrop()
    }

    /// A folder in it that a guest has named; "" is the maildrop itself.
    ///
    /// # Errors
    /// None can be called so.
    pub(crate) fn folder(&self, folder: &str) -> Result<Folder, Problem> {
        Folder::new(self.whole.tenant(), self.whole.maildrop(), folder)
    }

    /// The blob that a guest calls `path`.
    ///
    /// # Errors
    /// None can be called so.
    pub(crate) fn blob(&self, path: &str) -> Result<BlobPath, Problem> {
        blob_of_maildrop(self.whole.tenant(), self.whole.maildrop(), path)
    }

    /// What the engine's index checks before it removes. None: nobody has it.
    pub(crate) fn held(&self) -> Option<Hold> {
        self.hold.get().cloned()
    }
}

/// As the configuration would name it.
impl fmt::Display for EngineMaildrop {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "engine:{}/{}", self.engine.name(), self.name())
    }
}

#[async_trait]
impl SharedHolds for EngineMaildrop {
    async fn acquire(&self, key: &str) -> Result<Box<dyn SharedHold>, NotHeld> {
        let (held, hold) = self.engine.hold(key).await?;
        // A session has one in its life.
        let _ = self.hold.set(hold);
        Ok(held)
    }
}
