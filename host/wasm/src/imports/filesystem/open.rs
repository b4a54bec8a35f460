//! What of `wasi:filesystem/types` opens a file: the way of [`opening`].
//!
//! To open a FIFO waits for whoever opens its other end, for ever. A guest cannot make a
//! FIFO, but a tenant with an account on the mail server can put one into a maildrop, in
//! the middle of it all.

use std::fs::{File, FileTimes};
use std::io;
use std::time::{Duration, SystemTime};

use cap_std::fs::Dir;
use rustix::fs::OFlags;
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::{self, Descriptor, FsPerms, OpenMode};
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags,
};

use super::ON_ITS_THREAD;
use crate::disk::opening;
use crate::instance::errors::code;
use crate::instance::handle::{Handle, HeldFile};
use crate::instance::state::State;

/// What is asked of an open, as the system takes it.
#[derive(Clone, Copy)]
struct Wanted {
    flags: OFlags,
    mode: OpenMode,
    is_directory: bool,
}

impl Wanted {
    fn new(follow: bool, create: OpenFlags, flags: DescriptorFlags) -> Result<Self, ErrorCode> {
        let synchronized = DescriptorFlags::FILE_INTEGRITY_SYNC
            | DescriptorFlags::DATA_INTEGRITY_SYNC
            | DescriptorFlags::REQUESTED_WRITE_SYNC;
        if flags.intersects(synchronized) {
            return Err(ErrorCode::Unsupported);
        }
        let is_directory = create.contains(OpenFlags::DIRECTORY);
        let makes = OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::TRUNCATE;
        if is_directory && create.intersects(makes) {
            return Err(ErrorCode::Invalid);
        }
        let writes = flags.contains(DescriptorFlags::WRITE);
        let mut mode = OpenMode::empty();
        // What is not opened for writing is for reading, or the system would not
        // open it.
        if flags.contains(DescriptorFlags::READ) || !writes {
            mode |= OpenMode::READ;
        }
        if writes || create.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE) {
            mode |= OpenMode::WRITE;
        }
        let mut wanted = match (
            mode.contains(OpenMode::READ),
            mode.contains(OpenMode::WRITE),
        ) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            _ => OFlags::RDONLY,
        };
        wanted.set(OFlags::NOFOLLOW, !follow);
        wanted.set(OFlags::TRUNC, create.contains(OpenFlags::TRUNCATE));
        if create.contains(OpenFlags::CREATE) {
            wanted |= OFlags::CREATE;
            wanted.set(OFlags::EXCL, create.contains(OpenFlags::EXCLUSIVE));
        }
        Ok(Wanted {
            flags: wanted,
            mode,
            is_directory,
        })
    }
}

impl State {
    pub(super) async fn open(
        &mut self,
        descriptor: &Resource<Descriptor>,
        follow: bool,
        path: String,
        create: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Handle> {
        let (dir, permissions) = self.opened_directory(descriptor)?;
        let wanted = Wanted::new(follow, create, flags)?;
        if permissions.write_not_permitted() && wanted.mode.contains(OpenMode::WRITE) {
            return Err(ErrorCode::NotPermitted.into());
        }
        let permit = self.open_permit()?;
        let room = self.work.room().clone();
        let opened = self.work.run(move |_| {
            let dir = Dir::from_std_file(dir.try_clone()?);
            let (opened, about) = opening::open(&dir, &path, wanted.flags)?;
            let mode = wanted.mode;
            let descriptor = if about.is_dir() {
                let dir = filesystem::Dir::new(opened, permissions, mode, ON_ITS_THREAD);
                Descriptor::Dir(dir)
            } else {
                let file = filesystem::File::new(opened, permissions, mode, ON_ITS_THREAD);
                Descriptor::File(file)
            };
            // Whoever is left to drop it from now on does not close it.
            Ok(room.opened(descriptor, permit))
        });
        let opened = opened.await.map_err(|error| code(&error))?;
        match (&*opened, wanted.is_directory) {
            (Descriptor::File(_), true) => Err(ErrorCode::NotDirectory.into()),
            _ => Ok(Handle::opened(opened)),
        }
    }

    /// Sets times of what is under a path, through links.
    pub(super) async fn set_times_of(
        &mut self,
        descriptor: &Resource<Descriptor>,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        let times = times(accessed, modified)?;
        let (dir, permissions) = self.opened_directory(descriptor)?;
        if permissions.write_not_permitted() {
            return Err(ErrorCode::NotPermitted.into());
        }
        let set = self.work.run(move |_| {
            let dir = Dir::from_std_file(dir.try_clone()?);
            open_for_times(&dir, &path)?.set_times(times)
        });
        Ok(set.await.map_err(|error| code(&error))?)
    }

    /// The directory behind a descriptor, and what may be done below it.
    fn opened_directory(
        &mut self,
        descriptor: &Resource<Descriptor>,
    ) -> FsResult<(HeldFile, FsPerms)> {
        let handle = self.handle(descriptor)?;
        match handle.descriptor() {
            Descriptor::Dir(dir) => Ok((handle.hold(), dir.perms)),
            Descriptor::File(_) => Err(ErrorCode::NotDirectory.into()),
        }
    }
}

/// Times can be set on what is open for writing, or for reading if that may not be.
fn open_for_times(dir: &Dir, path: &str) -> io::Result<File> {
    use rustix::io::Errno;
    match opening::open(dir, path, OFlags::WRONLY) {
        Ok((file, _)) => Ok(file),
        Err(error)
            if matches!(
                Errno::from_io_error(&error),
                Some(Errno::ACCESS | Errno::ISDIR)
            ) =>
        {
            Ok(opening::open(dir, path, OFlags::RDONLY)?.0)
        }
        Err(error) => Err(error),
    }
}

/// What is not to be changed is left out.
fn times(accessed: NewTimestamp, modified: NewTimestamp) -> Result<FileTimes, ErrorCode> {
    let time = |of| match of {
        NewTimestamp::NoChange => Ok(None),
        NewTimestamp::Now => Ok(Some(SystemTime::now())),
        NewTimestamp::Timestamp(at) => Duration::from_secs(at.seconds)
            .checked_add(Duration::from_nanos(at.nanoseconds.into()))
            .and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since))
            .map(Some)
            .ok_or(ErrorCode::Overflow),
    };
    let mut times = FileTimes::new();
    if let Some(accessed) = time(accessed)? {
        times = times.set_accessed(accessed);
    }
    if let Some(modified) = time(modified)? {
        times = times.set_modified(modified);
    }
    Ok(times)
}
