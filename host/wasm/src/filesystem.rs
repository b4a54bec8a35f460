//! `wasi:filesystem/types`, where the ready-made host side can be held up.
//!
//! To open a FIFO waits for whoever opens its other end, for ever, and holds a
//! thread of the blocking pool that all tenants share. A guest cannot make a FIFO,
//! but a tenant with an account on the mail server can put one into a maildrop, in the
//! middle of it all. So what opens is done here, the way of [`opening`].

use std::fs::{File, FileTimes};
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cap_std::fs::Dir;
use rustix::fs::OFlags;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::filesystem::{self, Descriptor, FsPerms, OpenMode, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, ErrorCode, Host, HostDescriptor, NewTimestamp, OpenFlags, PathFlags,
};

use super::opening;
use super::state::State;

/// The interface, in the version that wasmtime-wasi links.
const INTERFACE: &str = "wasi:filesystem/types@0.2.12";
/// The functions that take the place of wasmtime-wasi's.
const OPEN_AT: &str = "[method]descriptor.open-at";
const SET_TIMES_AT: &str = "[method]descriptor.set-times-at";

type OpenParameters = (
    Resource<Descriptor>,
    PathFlags,
    String,
    OpenFlags,
    DescriptorFlags,
);
type TimesParameters = (
    Resource<Descriptor>,
    PathFlags,
    String,
    NewTimestamp,
    NewTimestamp,
);

/// Takes the place of what is linked already.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut interface = linker.instance(INTERFACE)?;
    interface.func_wrap_async(
        OPEN_AT,
        |mut store, (descriptor, how, path, create, flags): OpenParameters| {
            Box::new(async move {
                let state: &mut State = store.data_mut();
                let follow = how.contains(PathFlags::SYMLINK_FOLLOW);
                let opened = state.open_at(&descriptor, follow, path, create, flags);
                match opened.await? {
                    Ok(opened) => Ok((Ok(state.table.push(opened)?),)),
                    Err(code) => Ok((Err(code),)),
                }
            })
        },
    )?;
    interface.func_wrap_async(
        SET_TIMES_AT,
        |mut store, (descriptor, how, path, accessed, modified): TimesParameters| {
            Box::new(async move {
                let state: &mut State = store.data_mut();
                if how.contains(PathFlags::SYMLINK_FOLLOW) {
                    let set = match times(accessed, modified) {
                        Ok(times) => state.set_times_at(&descriptor, path, times).await?,
                        Err(code) => Err(code),
                    };
                    return Ok((set,));
                }
                // Of a link itself, which nothing has to be opened for.
                let mut wasi = state.filesystem();
                let set = HostDescriptor::set_times_at(
                    &mut wasi, descriptor, how, path, accessed, modified,
                );
                match set.await {
                    Ok(()) => Ok((Ok(()),)),
                    Err(error) => Ok((Err(wasi.convert_error_code(error)?),)),
                }
            })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// What is asked of an open, as the system takes it.
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
    async fn open_at(
        &mut self,
        descriptor: &Resource<Descriptor>,
        follow: bool,
        path: String,
        create: OpenFlags,
        flags: DescriptorFlags,
    ) -> wasmtime::Result<Result<Descriptor, ErrorCode>> {
        let (dir, permissions) = match self.directory(descriptor)? {
            Ok(found) => found,
            Err(code) => return Ok(Err(code)),
        };
        let wanted = match Wanted::new(follow, create, flags) {
            Ok(wanted) => wanted,
            Err(code) => return Ok(Err(code)),
        };
        if permissions.write_not_permitted() && wanted.mode.contains(OpenMode::WRITE) {
            return Ok(Err(ErrorCode::NotPermitted));
        }
        let flags = wanted.flags;
        let opened = self.work.run(move |_| {
            let dir = Dir::from_std_file(dir.try_clone()?);
            opening::open(&dir, &path, flags)
        });
        let (opened, about) = match opened.await {
            Ok(opened) => opened,
            Err(error) => return self.refused(error).map(Err),
        };
        let mode = wanted.mode;
        Ok(match (about.is_dir(), wanted.is_directory) {
            (true, _) => {
                let dir = filesystem::Dir::new(opened, permissions, mode, false);
                Ok(Descriptor::Dir(dir))
            }
            (false, true) => Err(ErrorCode::NotDirectory),
            (false, false) => {
                let file = filesystem::File::new(opened, permissions, mode, false);
                Ok(Descriptor::File(file))
            }
        })
    }

    async fn set_times_at(
        &mut self,
        descriptor: &Resource<Descriptor>,
        path: String,
        times: FileTimes,
    ) -> wasmtime::Result<Result<(), ErrorCode>> {
        let (dir, permissions) = match self.directory(descriptor)? {
            Ok(found) => found,
            Err(code) => return Ok(Err(code)),
        };
        if permissions.write_not_permitted() {
            return Ok(Err(ErrorCode::NotPermitted));
        }
        let set = self.work.run(move |_| {
            let dir = Dir::from_std_file(dir.try_clone()?);
            open_for_times(&dir, &path)?.set_times(times)
        });
        match set.await {
            Ok(()) => Ok(Ok(())),
            Err(error) => self.refused(error).map(Err),
        }
    }

    /// The directory behind a descriptor, and what may be done below it.
    fn directory(
        &mut self,
        descriptor: &Resource<Descriptor>,
    ) -> wasmtime::Result<Result<(Arc<File>, FsPerms), ErrorCode>> {
        Ok(match self.ctx().table.get(descriptor)? {
            Descriptor::Dir(dir) => Ok((dir.dir.clone(), dir.perms)),
            Descriptor::File(_) => Err(ErrorCode::NotDirectory),
        })
    }

    /// What the guest hears of it.
    fn refused(&mut self, error: io::Error) -> wasmtime::Result<ErrorCode> {
        match opening::is_neither(&error) {
            true => Ok(ErrorCode::NotPermitted),
            false => self.filesystem().convert_error_code(error.into()),
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
