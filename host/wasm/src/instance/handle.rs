//! What stands in an instance's table for a descriptor. Knows nothing of instances.

use std::fs::File;
use std::ops::Deref;
use std::sync::Arc;

use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;

use restante_roles::work::opened::Opened;

/// A file or a directory that a guest has open. Clones share it.
#[derive(Clone)]
pub(crate) struct Handle(Arc<Open>);

enum Open {
    /// By the guest. The last holder has it closed where waiting is no harm.
    ByGuest(Opened<Descriptor>),
    /// By the host, which has it open beside the guest: closing it here ends nothing.
    Granted(Descriptor),
}

/// The file or directory itself, as long as it is needed for an operation.
#[derive(Clone)]
pub(crate) struct HeldFile {
    /// Dropped first, so that it never is the last one.
    file: Arc<File>,
    _handle: Handle,
}

impl Handle {
    pub(crate) fn opened(descriptor: Opened<Descriptor>) -> Self {
        Handle(Arc::new(Open::ByGuest(descriptor)))
    }

    pub(crate) fn granted(descriptor: Descriptor) -> Self {
        Handle(Arc::new(Open::Granted(descriptor)))
    }

    /// As wasmtime-wasi has it.
    pub(crate) fn descriptor(&self) -> &Descriptor {
        match &*self.0 {
            Open::ByGuest(descriptor) => descriptor,
            Open::Granted(descriptor) => descriptor,
        }
    }

    pub(crate) fn hold(&self) -> HeldFile {
        let file = match self.descriptor() {
            Descriptor::File(file) => &file.file,
            Descriptor::Dir(dir) => &dir.dir,
        };
        HeldFile {
            file: Arc::clone(file),
            _handle: self.clone(),
        }
    }
}

impl Deref for HeldFile {
    type Target = Arc<File>;

    fn deref(&self) -> &Arc<File> {
        &self.file
    }
}

/// The table's entry behind a handle of WASI's `descriptor`.
pub(crate) fn entry(descriptor: &Resource<Descriptor>) -> Resource<Handle> {
    match descriptor.owned() {
        true => Resource::new_own(descriptor.rep()),
        false => Resource::new_borrow(descriptor.rep()),
    }
}
