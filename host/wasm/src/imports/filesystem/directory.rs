//! Directories as streams of entries, some at a time: who fills a directory decides how
//! many entries it has, and the host never holds more of them than a batch.

use std::collections::VecDeque;
use std::fs::File;
use std::io;

use rustix::fs::{AtFlags, Dir, FileType, statat};
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorType, DirectoryEntry, ErrorCode};

use crate::instance::errors::code;
use crate::instance::handle::{Handle, entry};
use crate::instance::state::State;
use restante_roles::work::opened::Opened;

/// The interface, in the version that wasmtime-wasi links.
const INTERFACE: &str = "wasi:filesystem/types@0.2.12";
/// Its functions and its resource that take the place of wasmtime-wasi's.
const READ_DIRECTORY: &str = "[method]descriptor.read-directory";
const READ_ENTRY: &str = "[method]directory-entry-stream.read-directory-entry";
const STREAM: &str = "directory-entry-stream";

/// Entries that are read in one place of work.
const BATCH: usize = 64;

/// What is left of a directory.
pub(super) struct DirectoryStream {
    read: VecDeque<Result<DirectoryEntry, ErrorCode>>,
    /// None: reading it was given up.
    directory: Option<Opened<Dir>>,
    is_at_end: bool,
}

/// Takes the place of what is linked already; shadowing is allowed.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut interface = linker.instance(INTERFACE)?;
    let stream = ResourceType::host::<DirectoryStream>();
    interface.resource(STREAM, stream, |mut store, stream| {
        let state: &mut State = store.data_mut();
        let stream: Resource<DirectoryStream> = Resource::new_own(stream);
        state.table.delete(stream)?;
        Ok(())
    })?;
    interface.func_wrap_async(
        READ_DIRECTORY,
        |mut store, (descriptor,): (Resource<Descriptor>,)| {
            Box::new(async move {
                let state: &mut State = store.data_mut();
                match state.stream_directory(&descriptor).await? {
                    Ok(stream) => Ok((Ok(state.table.push(stream)?),)),
                    Err(code) => Ok((Err(code),)),
                }
            })
        },
    )?;
    interface.func_wrap_async(
        READ_ENTRY,
        |mut store, (stream,): (Resource<DirectoryStream>,)| {
            Box::new(async move { Ok((store.data_mut().next_entry(&stream).await?,)) })
        },
    )?;
    Ok(())
}

impl State {
    pub(super) async fn stream_directory(
        &mut self,
        descriptor: &Resource<Descriptor>,
    ) -> wasmtime::Result<Result<DirectoryStream, ErrorCode>> {
        let handle: &Handle = self.table.get(&entry(descriptor))?;
        let directory = match handle.descriptor() {
            Descriptor::Dir(_) => handle.hold(),
            Descriptor::File(_) => return Ok(Err(ErrorCode::NotDirectory)),
        };
        let room = self.work.room().clone();
        let begun = self.work.run(move |_| {
            let permit = room.open_permit()?;
            DirectoryStream::begin(&directory, |opened| room.opened(opened, permit))
        });
        Ok(begun.await.map_err(|error| code(&error)))
    }

    async fn next_entry(
        &mut self,
        stream: &Resource<DirectoryStream>,
    ) -> wasmtime::Result<Result<Option<DirectoryEntry>, ErrorCode>> {
        let left = self.table.get_mut(stream)?;
        if left.read.is_empty()
            && !left.is_at_end
            && let Some(directory) = left.directory.take()
        {
            let reading = self.work.run(move |_| Ok(DirectoryStream::read(directory)));
            match reading.await {
                Ok(read) => *self.table.get_mut(stream)? = read,
                Err(error) => return Ok(Err(code(&error))),
            }
        }
        Ok(self.table.get_mut(stream)?.read.pop_front().transpose())
    }
}

impl DirectoryStream {
    /// From the first entry on. May wait for the disk.
    fn begin(directory: &File, opened: impl FnOnce(Dir) -> Opened<Dir>) -> io::Result<Self> {
        Ok(Self::read(opened(Dir::read_from(directory)?)))
    }

    /// The next batch. May wait for the disk.
    fn read(mut directory: Opened<Dir>) -> Self {
        let mut read = VecDeque::new();
        let mut is_at_end = false;
        while read.len() < BATCH && !is_at_end {
            match entry_of(&mut directory) {
                None => is_at_end = true,
                Some(Ok(Some(entry))) => read.push_back(Ok(entry)),
                Some(Ok(None)) => {}
                Some(Err(code)) => read.push_back(Err(code)),
            }
        }
        DirectoryStream {
            read,
            directory: Some(directory),
            is_at_end,
        }
    }
}

/// The next entry, if there is one; nothing in it for the directory itself and the one
/// above.
fn entry_of(directory: &mut Dir) -> Option<Result<Option<DirectoryEntry>, ErrorCode>> {
    let entry = match directory.read()? {
        Ok(entry) => entry,
        Err(error) => return Some(Err(code(&error.into()))),
    };
    let name = entry.file_name();
    if matches!(name.to_bytes(), b"." | b"..") {
        return Some(Ok(None));
    }
    let kind = match entry.file_type() {
        // Not every file system says it here.
        FileType::Unknown => {
            let about = (directory.fd()).and_then(|it| statat(it, name, AtFlags::SYMLINK_NOFOLLOW));
            about.map_or(FileType::Unknown, |about| {
                FileType::from_raw_mode(about.st_mode)
            })
        }
        kind => kind,
    };
    Some(match name.to_str() {
        Ok(name) => Ok(Some(DirectoryEntry {
            type_: descriptor_type(kind),
            name: name.to_owned(),
        })),
        Err(_) => Err(ErrorCode::IllegalByteSequence),
    })
}

fn descriptor_type(kind: FileType) -> DescriptorType {
    match kind {
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::Directory => DescriptorType::Directory,
        FileType::Symlink => DescriptorType::SymbolicLink,
        FileType::Fifo => DescriptorType::Fifo,
        FileType::Socket => DescriptorType::Socket,
        FileType::CharacterDevice => DescriptorType::CharacterDevice,
        FileType::BlockDevice => DescriptorType::BlockDevice,
        FileType::Unknown => DescriptorType::Unknown,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use restante_roles::metrics::Ledger;
    use restante_roles::work::WorkRoom;

    #[test]
    fn each_entry_comes_once_and_no_more_than_a_batch_is_held() {
        let root = tempfile::tempdir().unwrap();
        let files = 2 * BATCH + 7;
        for number in 0..files {
            File::create(root.path().join(number.to_string())).unwrap();
        }
        std::fs::create_dir(root.path().join("directory")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.path().join("link")).unwrap();
        let odd = std::ffi::OsStr::from_bytes(b"\xff");
        File::create(root.path().join(odd)).unwrap();
        let room = WorkRoom::new(Ledger::new("t"));
        let permit = room.open_permit().unwrap();
        let directory = File::open(root.path()).unwrap();
        let stream = DirectoryStream::begin(&directory, |opened| room.opened(opened, permit));
        let mut stream = stream.unwrap();
        let (mut names, mut odd) = (BTreeSet::new(), 0);
        loop {
            assert!(stream.read.len() <= BATCH);
            for entry in stream.read.drain(..) {
                let Ok(entry) = entry else {
                    odd += 1;
                    continue;
                };
                let expected = match &*entry.name {
                    "directory" => DescriptorType::Directory,
                    "link" => DescriptorType::SymbolicLink,
                    _ => DescriptorType::RegularFile,
                };
                assert_eq!(entry.type_, expected, "{}", entry.name);
                assert!(names.insert(entry.name));
            }
            if stream.is_at_end {
                break;
            }
            stream = DirectoryStream::read(stream.directory.take().unwrap());
        }
        assert_eq!((names.len(), odd), (files + 2, 1));
    }
}
