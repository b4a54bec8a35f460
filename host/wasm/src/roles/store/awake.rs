//! The instance that a session's maildrop is open in.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use wasmtime::component::ResourceAny;

use crate::bindings::exports::restante::plugin::store as wit;
use crate::disk::grants::Root;
use crate::instance::Instance;

/// An instance that has opened the maildrop.
pub(super) struct Awake {
    pub(super) instance: Instance,
    pub(super) functions: wit::Guest,
    pub(super) maildrop: ResourceAny,
    /// Tells the session's instances apart.
    pub(super) number: u64,
}

/// The session's instance, shared with the readers that came out of it. None:
/// it rests, or has failed; the next call makes another.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) awake: tokio::sync::Mutex<Option<Awake>>,
    /// Readers that nobody pulls at any more, still held by the guest, with the
    /// number of their instance.
    pub(super) done: Mutex<Vec<(u64, ResourceAny)>>,
    pub(super) instances: AtomicU64,
    /// The maildrop's directory, for as long as an instance lives. None: it is not
    /// open, or there is none.
    pub(super) root: Mutex<Option<Arc<Root>>>,
}

pub(super) type AwakeGuard<'a> = tokio::sync::MappedMutexGuard<'a, Awake>;

impl Shared {
    pub(super) fn root(&self) -> parking_lot::MutexGuard<'_, Option<Arc<Root>>> {
        // It is replaced whole.
        self.root.lock()
    }

    pub(super) fn take_done(&self) -> Vec<(u64, ResourceAny)> {
        // Nothing in the list can be half done.
        std::mem::take(&mut *self.done.lock())
    }
}
