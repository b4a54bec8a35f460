//! What of `wasi:filesystem/types` changes directories and files. Done here for the sake
//! of the errors: wasmtime-wasi calls most of them "input/output error", and with them the
//! cause is gone.

use std::fs::File;
use std::io;

use cap_std::fs::Dir;
use rustix::fs::OFlags;
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

use crate::disk::opening;
use crate::instance::errors::code;
use crate::instance::handle::HeldFile;
use crate::instance::state::State;

impl State {
    /// Changes what is in a directory.
    pub(super) async fn in_directory(
        &mut self,
        descriptor: &Resource<Descriptor>,
        change: impl FnOnce(&Dir) -> io::Result<()> + Send + 'static,
    ) -> FsResult<()> {
        let dir = self.writable_directory(descriptor)?;
        let changed = self.work.run(move |_| change(&of(&dir)?));
        Ok(changed.await.map_err(|error| code(&error))?)
    }

    /// The same for something that goes from one directory to another.
    pub(super) async fn in_directories(
        &mut self,
        from: &Resource<Descriptor>,
        to: &Resource<Descriptor>,
        change: impl FnOnce(&Dir, &Dir) -> io::Result<()> + Send + 'static,
    ) -> FsResult<()> {
        let (from, to) = (self.writable_directory(from)?, self.writable_directory(to)?);
        let changed = self.work.run(move |_| change(&of(&from)?, &of(&to)?));
        Ok(changed.await.map_err(|error| code(&error))?)
    }

    /// Changes a file.
    pub(super) async fn in_file<R: Send + 'static>(
        &mut self,
        descriptor: &Resource<Descriptor>,
        change: impl FnOnce(&File) -> io::Result<R> + Send + 'static,
    ) -> FsResult<R> {
        let file = self.writable(descriptor)?;
        let changed = self.work.run(move |_| change(&file));
        Ok(changed.await.map_err(|error| code(&error))?)
    }

    /// Makes a file or a directory last, and tells why a write to it failed.
    pub(super) async fn make_last(
        &mut self,
        descriptor: &Resource<Descriptor>,
        sync: fn(&File) -> io::Result<()>,
    ) -> FsResult<()> {
        let handle = self.handle(descriptor)?;
        let is_directory = matches!(handle.descriptor(), Descriptor::Dir(_));
        let file = handle.hold();
        if let Some(code) = self.write_failures.take(&file) {
            return Err(code.into());
        }
        let synced = self.work.run(move |_| {
            if is_directory {
                // The descriptor may be one that stands for a path only.
                return sync(&opening::open(&of(&file)?, ".", OFlags::RDONLY)?.0);
            }
            sync(&file)
        });
        Ok(synced.await.map_err(|error| code(&error))?)
    }

    /// A directory below which the guest may change things.
    fn writable_directory(&self, descriptor: &Resource<Descriptor>) -> FsResult<HeldFile> {
        let handle = self.handle(descriptor)?;
        match handle.descriptor() {
            Descriptor::File(_) => Err(ErrorCode::NotDirectory.into()),
            Descriptor::Dir(dir) if dir.perms.write_not_permitted() => {
                Err(ErrorCode::NotPermitted.into())
            }
            Descriptor::Dir(_) => Ok(handle.hold()),
        }
    }
}

fn of(directory: &File) -> io::Result<Dir> {
    Ok(Dir::from_std_file(directory.try_clone()?))
}
