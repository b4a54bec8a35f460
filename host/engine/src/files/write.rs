//! A blob that is being written.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::{AtFlags, Mode, OFlags, linkat, openat, unlinkat};
use rustix::io::Errno;

use super::layout;
use super::root::Root;
use super::work::{SYNC_DEADLINE, Work};
use crate::blobs::{BlobPath, BlobWriter};
use crate::bounds::CALL_DEADLINE;
use crate::problem::Problem;
use crate::random;

/// A file that is not under its own name yet. Dropped, it is gone.
pub(super) struct Begun {
    root: Arc<Root>,
    path: BlobPath,
    name: String,
    file: File,
    octets: u64,
    written: u64,
}

impl Begun {
    pub(super) fn new(root: Arc<Root>, path: BlobPath, octets: u64) -> Result<Self, Problem> {
        let name = format!("{:032x}", u128::from_be_bytes(random::octets()?));
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&root.tmp, &name, flags, Mode::RUSR | Mode::WUSR);
        let file = file.map_err(|error| root.problem(&path, &error.into()))?;
        Ok(Begun {
            file: file.into(),
            root,
            path,
            name,
            octets,
            written: 0,
        })
    }

    fn write(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        let written = self.written + chunk.len() as u64;
        if written > self.octets {
            return Err(Problem::more_octets(self.path.as_str(), self.octets));
        }
        let done = self.file.write_all(chunk);
        done.map_err(|error| self.root.problem(&self.path, &error))?;
        self.written = written;
        Ok(())
    }

    fn finish(&self) -> Result<(), Problem> {
        if self.written != self.octets {
            return Err(Problem::fewer_octets(self.path.as_str(), self.octets));
        }
        let spot = layout::spot(&self.path);
        let link = || -> io::Result<bool> {
            self.file.sync_all()?;
            let directory = self.root.find_or_make(&spot)?;
            let (from, to) = (self.name.as_str(), spot.name.as_str());
            match linkat(&self.root.tmp, from, &directory, to, AtFlags::empty()) {
                Ok(()) => {}
                Err(Errno::EXIST) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
            directory.sync_all()?;
            Ok(true)
        };
        match link() {
            Ok(true) => Ok(()),
            Ok(false) => Err(Problem::exists(self.path.as_str())),
            Err(error) => Err(self.root.problem(&self.path, &error)),
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        // Its other name stays, if it has one. What cannot be removed is cleared later.
        let _ = unlinkat(&self.root.tmp, &self.name, AtFlags::empty());
    }
}

/// Writes it with `work`'s threads.
pub(super) fn writer(begun: Begun, work: Work) -> Box<dyn BlobWriter> {
    let begun = Some(begun);
    Box::new(Writer { begun, work })
}

struct Writer {
    /// None: a call is on its way, or one came to nothing.
    begun: Option<Begun>,
    work: Work,
}

/// After a call that failed there is nothing to go on with.
fn over() -> Problem {
    Problem::invalid("the blob's writer has failed before: begin again")
}

#[async_trait]
impl BlobWriter for Writer {
    async fn write(&mut self, chunk: Bytes) -> Result<(), Problem> {
        let mut begun = self.begun.take().ok_or_else(over)?;
        let write = move || begun.write(&chunk).map(|()| begun);
        self.begun = Some(self.work.run(CALL_DEADLINE, write).await?);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), Problem> {
        let begun = self.begun.take().ok_or_else(over)?;
        self.work.run(SYNC_DEADLINE, move || begun.finish()).await
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // To remove its file may wait for the disk.
        if let Some(begun) = self.begun.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn_blocking(move || drop(begun));
        }
    }
}
