//! `wasi:filesystem/types`: what a guest does with the files of its grants.
//!
//! Whatever may wait for the disk does so in a place of the tenant's, and keeps it until
//! it is really over, also if its instance is given up meanwhile. The operations
//! themselves are wasmtime-wasi's: its descriptors here work on the thread that asks, and
//! that is one of the tenant's. What opens, lists, streams or changes is done here: see
//! the files below.

mod changing;
mod directory;
mod open;
mod streams;

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use cap_std::fs::Dir;
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::filesystem::{
    self, Descriptor, FsPerms, OpenMode, WasiFilesystemCtx, WasiFilesystemCtxView,
    WasiFilesystemView,
};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry,
    DirectoryEntryStream, ErrorCode, Filesize, Host, HostDescriptor, HostDirectoryEntryStream,
    MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use self::streams::{FileReader, FileWriter, WritePosition};
use crate::instance::errors::code;
use crate::instance::handle::{Handle, HeldFile, entry};
use crate::instance::state::State;
use restante_roles::work::OpenPermit;

/// How wasmtime-wasi is told that a descriptor's operations are done on the thread that
/// asks for them.
const ON_ITS_THREAD: bool = true;

/// Takes the place of what is linked already.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    types::add_to_linker::<State, HasSelf<State>>(linker, |state| state)?;
    directory::add_to_linker(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// A granted directory, which the host has open too and for longer, as guests have it.
pub(crate) fn granted(directory: File, permissions: FsPerms, mode: OpenMode) -> Handle {
    let directory = filesystem::Dir::new(directory, permissions, mode, ON_ITS_THREAD);
    Handle::granted(Descriptor::Dir(directory))
}

impl State {
    /// Has wasmtime-wasi do an operation in a place of the tenant's.
    async fn on_disk<const N: usize, R: Send + 'static>(
        &mut self,
        descriptors: [&Resource<Descriptor>; N],
        operation: impl for<'v> AsyncFnOnce(
            &'v mut WasiFilesystemCtxView<'v>,
            [Resource<Descriptor>; N],
        ) -> FsResult<R>
        + Send
        + 'static,
    ) -> FsResult<R> {
        let mut handles = Vec::with_capacity(N);
        for descriptor in descriptors {
            handles.push(self.handle(descriptor)?.clone());
        }
        let done = self.work.run(move |_| {
            let mut table = ResourceTable::new();
            // The same open files.
            let copies = handles.iter().map(|handle| handle.descriptor().clone());
            let copies: Result<Vec<_>, _> = copies.map(|copy| table.push(copy)).collect();
            let copies = match copies {
                Ok(copies) => copies,
                Err(error) => return Ok(Err(error.into())),
            };
            let copies: [Resource<Descriptor>; N] =
                copies.try_into().expect("there is one for each");
            let mut ctx = WasiFilesystemCtx::default();
            let mut view = WasiFilesystemCtxView {
                ctx: &mut ctx,
                table: &mut table,
            };
            let operation = pin!(operation(&mut view, copies));
            match operation.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(done) => Ok(done),
                Poll::Pending => Ok(Err(FsError::trap(wasmtime::format_err!(
                    "an operation on a file left its thread"
                )))),
            }
        });
        done.await?
    }

    fn handle(&self, descriptor: &Resource<Descriptor>) -> FsResult<&Handle> {
        Ok(self.table.get(&entry(descriptor))?)
    }

    /// The guest has something open.
    fn has_open(&mut self, handle: Handle) -> FsResult<Resource<Descriptor>> {
        let handle = self.table.push(handle)?;
        Ok(Resource::new_own(handle.rep()))
    }

    /// Leave to open something more.
    fn open_permit(&self) -> Result<OpenPermit, ErrorCode> {
        let permit = self.work.room().open_permit();
        permit.map_err(|_| ErrorCode::Busy)
    }

    /// The file that a descriptor stands for, if the guest may write to it.
    fn writable(&self, descriptor: &Resource<Descriptor>) -> FsResult<HeldFile> {
        let handle = self.handle(descriptor)?;
        match handle.descriptor() {
            Descriptor::Dir(_) => Err(ErrorCode::BadDescriptor.into()),
            Descriptor::File(file) if file.perms.write_not_permitted() => {
                Err(ErrorCode::NotPermitted.into())
            }
            Descriptor::File(_) => Ok(handle.hold()),
        }
    }

    fn writer(
        &mut self,
        descriptor: &Resource<Descriptor>,
        position: WritePosition,
    ) -> FsResult<Resource<DynOutputStream>> {
        let file = self.writable(descriptor)?;
        let permit = self.open_permit()?;
        let failures = self.write_failures.clone();
        let writer = FileWriter::new(file, position, self.limits.meter(), failures, permit);
        let writer: DynOutputStream = Box::new(writer);
        Ok(self.table.push(writer)?)
    }
}

impl Host for State {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        let error = self.table.get(&error)?;
        Ok(error.downcast_ref::<io::Error>().map(code))
    }
}

impl HostDescriptor for State {
    async fn advise(
        &mut self,
        fd: Resource<Descriptor>,
        offset: Filesize,
        octets: Filesize,
        advice: Advice,
    ) -> FsResult<()> {
        let advise = async move |wasi: &mut WasiFilesystemCtxView<'_>, [fd]: [_; 1]| {
            wasi.advise(fd, offset, octets, advice).await
        };
        self.on_disk([&fd], advise).await
    }

    async fn sync_data(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        self.make_last(&fd, File::sync_data).await
    }

    /// The kernel knows them of an open file: nothing waits.
    async fn get_flags(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorFlags> {
        let mut table = ResourceTable::new();
        let copy = table.push(self.handle(&fd)?.descriptor().clone())?;
        let mut view = WasiFilesystemCtxView {
            ctx: &mut WasiFilesystemCtx::default(),
            table: &mut table,
        };
        view.get_flags(copy).await
    }

    async fn get_type(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorType> {
        let look =
            async |wasi: &mut WasiFilesystemCtxView<'_>, [fd]: [_; 1]| wasi.get_type(fd).await;
        self.on_disk([&fd], look).await
    }

    async fn set_size(&mut self, fd: Resource<Descriptor>, size: Filesize) -> FsResult<()> {
        self.in_file(&fd, move |file| file.set_len(size)).await
    }

    async fn set_times(
        &mut self,
        fd: Resource<Descriptor>,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        let set = async move |wasi: &mut WasiFilesystemCtxView<'_>, [fd]: [_; 1]| {
            wasi.set_times(fd, accessed, modified).await
        };
        self.on_disk([&fd], set).await
    }

    async fn read(
        &mut self,
        fd: Resource<Descriptor>,
        octets: Filesize,
        offset: Filesize,
    ) -> FsResult<(Vec<u8>, bool)> {
        let read = async move |wasi: &mut WasiFilesystemCtxView<'_>, [fd]: [_; 1]| {
            wasi.read(fd, octets, offset).await
        };
        let (octets, is_end) = self.on_disk([&fd], read).await?;
        self.limits.carried(octets.len());
        Ok((octets, is_end))
    }

    async fn write(
        &mut self,
        fd: Resource<Descriptor>,
        octets: Vec<u8>,
        offset: Filesize,
    ) -> FsResult<Filesize> {
        self.limits.carried(octets.len());
        let write = move |file: &File| file.write_at(&octets, offset);
        Ok(self.in_file(&fd, write).await? as Filesize)
    }

    /// What guests reach is in [`mod@directory`]: wasmtime-wasi's stream has all entries at
    /// once, however many there are.
    async fn read_directory(
        &mut self,
        _: Resource<Descriptor>,
    ) -> FsResult<Resource<DirectoryEntryStream>> {
        Err(ErrorCode::Unsupported.into())
    }

    async fn sync(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        self.make_last(&fd, File::sync_all).await
    }

    async fn create_directory_at(
        &mut self,
        fd: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        self.in_directory(&fd, move |dir| dir.create_dir(path))
            .await
    }

    async fn stat(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorStat> {
        let look = async |wasi: &mut WasiFilesystemCtxView<'_>, [fd]: [_; 1]| wasi.stat(fd).await;
        self.on_disk([&fd], look).await
    }

    async fn stat_at(
        &mut self,
        fd: Resource<Descriptor>,
        how: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        let look = async move |wasi: &mut WasiFilesystemCtxView<'_>, [fd]: [_; 1]| {
            wasi.stat_at(fd, how, path).await
        };
        self.on_disk([&fd], look).await
    }

    async fn set_times_at(
        &mut self,
        fd: Resource<Descriptor>,
        how: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        if how.contains(PathFlags::SYMLINK_FOLLOW) {
            return self.set_times_of(&fd, path, accessed, modified).await;
        }
        // Of a link itself, which nothing has to be opened for.
        let set = async move |wasi: &mut WasiFilesystemCtxView<'_>, [fd]: [_; 1]| {
            wasi.set_times_at(fd, how, path, accessed, modified).await
        };
        self.on_disk([&fd], set).await
    }

    async fn link_at(
        &mut self,
        fd: Resource<Descriptor>,
        how: PathFlags,
        path: String,
        other: Resource<Descriptor>,
        other_path: String,
    ) -> FsResult<()> {
        if how.contains(PathFlags::SYMLINK_FOLLOW) {
            return Err(ErrorCode::Invalid.into());
        }
        let link = move |from: &Dir, to: &Dir| from.hard_link(path, to, other_path);
        self.in_directories(&fd, &other, link).await
    }

    async fn open_at(
        &mut self,
        fd: Resource<Descriptor>,
        how: PathFlags,
        path: String,
        create: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let follow = how.contains(PathFlags::SYMLINK_FOLLOW);
        let opened = self.open(&fd, follow, path, create, flags).await?;
        self.has_open(opened)
    }

    fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.table.delete(entry(&fd))?;
        Ok(())
    }

    async fn readlink_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<String> {
        let read = async move |wasi: &mut WasiFilesystemCtxView<'_>, [fd]: [_; 1]| {
            wasi.readlink_at(fd, path).await
        };
        self.on_disk([&fd], read).await
    }

    async fn remove_directory_at(
        &mut self,
        fd: Resource<Descriptor>,
        path: String,
    ) -> FsResult<()> {
        self.in_directory(&fd, move |dir| dir.remove_dir(path))
            .await
    }

    async fn rename_at(
        &mut self,
        fd: Resource<Descriptor>,
        path: String,
        other: Resource<Descriptor>,
        other_path: String,
    ) -> FsResult<()> {
        let rename = move |from: &Dir, to: &Dir| from.rename(path, to, other_path);
        self.in_directories(&fd, &other, rename).await
    }

    async fn symlink_at(
        &mut self,
        fd: Resource<Descriptor>,
        target: String,
        path: String,
    ) -> FsResult<()> {
        let link = async move |wasi: &mut WasiFilesystemCtxView<'_>, [fd]: [_; 1]| {
            wasi.symlink_at(fd, target, path).await
        };
        self.on_disk([&fd], link).await
    }

    async fn unlink_file_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.in_directory(&fd, move |dir| dir.remove_file(path))
            .await
    }

    fn read_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynInputStream>> {
        let handle = self.handle(&fd)?;
        let file = match handle.descriptor() {
            Descriptor::File(_) => handle.hold(),
            Descriptor::Dir(_) => return Err(ErrorCode::IsDirectory.into()),
        };
        let permit = self.open_permit()?;
        let reader = FileReader::new(file, offset, self.limits.meter(), permit);
        let reader: DynInputStream = Box::new(reader);
        Ok(self.table.push(reader)?)
    }

    fn write_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.writer(&fd, WritePosition::At(offset))
    }

    fn append_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
    ) -> FsResult<Resource<DynOutputStream>> {
        self.writer(&fd, WritePosition::End)
    }

    async fn is_same_object(
        &mut self,
        one: Resource<Descriptor>,
        other: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        let compare = async |wasi: &mut WasiFilesystemCtxView<'_>, [one, other]: [_; 2]| {
            let same = wasi.is_same_object(one, other).await;
            same.map_err(FsError::trap)
        };
        Ok(self.on_disk([&one, &other], compare).await?)
    }

    async fn metadata_hash(&mut self, fd: Resource<Descriptor>) -> FsResult<MetadataHashValue> {
        let look =
            async |wasi: &mut WasiFilesystemCtxView<'_>, [fd]: [_; 1]| wasi.metadata_hash(fd).await;
        self.on_disk([&fd], look).await
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Resource<Descriptor>,
        how: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        let look = async move |wasi: &mut WasiFilesystemCtxView<'_>, [fd]: [_; 1]| {
            wasi.metadata_hash_at(fd, how, path).await
        };
        self.on_disk([&fd], look).await
    }
}

/// Of streams that no guest has: see [`mod@directory`].
impl HostDirectoryEntryStream for State {
    async fn read_directory_entry(
        &mut self,
        _: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        Err(ErrorCode::BadDescriptor.into())
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        HostDirectoryEntryStream::drop(&mut self.filesystem(), stream)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
