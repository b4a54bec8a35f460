//! The maildrop of one session, as far as its store's instance may reach it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::disk::grants::Root;
use crate::instance::engines::SharedEngine;
use crate::instance::facts::FolderState;
use restante_engine::{BlobPath, Folder, Hold, Problem, blob_of_maildrop};
use restante_roles::shared_holds::{NotHeld, SharedHold, Visit};

/// What the path of a blob begins with, as a guest names it.
pub(crate) const BLOBS: &str = "/blobs/";

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
pub struct EngineMaildrop {
    engine: Arc<SharedEngine>,
    /// The maildrop itself.
    whole: Folder,
    /// What the session has it by, once it has.
    hold: Arc<OnceLock<Hold>>,
    /// What the engine told of its folders with the hold, until somebody wants to know.
    states: Arc<Mutex<Vec<FolderState>>>,
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
            states: Arc::default(),
        })
    }

    pub(crate) fn engine(&self) -> &Arc<SharedEngine> {
        &self.engine
    }

    /// Its name, among those of its tenant.
    pub fn name(&self) -> &str {
        self.whole.maildrop()
    }

    /// A folder in it that a guest has named; "" is the maildrop itself.
    ///
    /// # Errors
    /// None can be called so.
    pub fn folder(&self, folder: &str) -> Result<Folder, Problem> {
        Folder::new(self.whole.tenant(), self.whole.maildrop(), folder)
    }

    /// The blob that a guest calls `path`.
    ///
    /// # Errors
    /// None can be called so.
    pub fn blob(&self, path: &str) -> Result<BlobPath, Problem> {
        blob_of_maildrop(self.whole.tenant(), self.whole.maildrop(), path)
    }

    /// Takes the hold of a key for the session, and has it bring what these folders of the
    /// maildrop hold. Names that no folder can have bring nothing.
    pub(crate) async fn acquire(
        &self,
        key: &str,
        folders: &[String],
        visit: Option<&Visit>,
    ) -> Result<Box<dyn SharedHold>, NotHeld> {
        let of: Result<Vec<Folder>, Problem> =
            folders.iter().map(|name| self.folder(name)).collect();
        let of = of.unwrap_or_default();
        let taken = self.engine.hold(key, &of, visit).await?;
        // A session has one in its life.
        let _ = self.hold.set(taken.hold);
        let states = of.iter().zip(taken.states.unwrap_or_default());
        let states = states.map(|(folder, summary)| FolderState {
            folder: folder.folder().to_owned(),
            summary,
        });
        *self.states.lock() = states.collect();
        Ok(taken.held)
    }

    /// What the engine told of folders when the session took its hold. Told once: later it may
    /// hold no more.
    pub(crate) fn take_states(&self) -> Vec<FolderState> {
        std::mem::take(&mut *self.states.lock())
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

#[cfg(test)]
mod tests {
    use restante_engine::{Entry, Limits, MailIndex as _, Summary};

    use super::*;
    use crate::instance::testing::TestEngine;

    async fn deliver(engine: &TestEngine, folder: &Folder) {
        let entry = Entry {
            unique_id: None,
            octets: 9,
            surrogate: None,
            received: 7,
            name: "x".into(),
            digest: None,
            weight: 1,
        };
        let free = Limits::default();
        let memory = &engine.memory;
        memory.append(folder, &entry, &free, None).await.unwrap();
    }

    #[tokio::test]
    async fn what_came_with_the_hold_is_told_once() {
        let (engine, shared) = TestEngine::empty();
        let maildrop = EngineMaildrop::new(&shared, "t", "m").unwrap();
        assert!(maildrop.take_states().is_empty(), "nobody has it yet");
        deliver(&engine, &maildrop.folder("").unwrap()).await;
        deliver(&engine, &Folder::new("t", "n", "lists").unwrap()).await;
        let folders = ["lists", ""].map(str::to_owned);
        maildrop.acquire("k", &folders, None).await.ok().unwrap();
        // It is of the moment in which the hold was taken.
        deliver(&engine, &maildrop.folder("").unwrap()).await;
        let one = Summary {
            version: 1,
            messages: 1,
            octets: 9,
        };
        let states = [("lists", Summary::default()), ("", one)];
        let states = states.map(|(folder, summary)| FolderState {
            folder: folder.into(),
            summary,
        });
        assert_eq!(maildrop.clone().take_states(), states);
        assert!(maildrop.take_states().is_empty());
        assert!(maildrop.held().is_some());
    }
}
