//! Blobs as files of a directory, which several processes may share.
//!
//! ```text
//! ROOT/tmp/…                being written
//! ROOT/3f/a2/mail%2Fab12    the blob mail/ab12: two levels by the hash of its path
//! ```
//!
//! Nothing below the root leads through a link: each directory on the way is opened below
//! the one before, and a link in its place is an error. A file is written under another
//! name and linked under its own when all of it is on the disk; so it is there whole, or
//! not at all, and none is written over.

mod layout;
mod read;
mod root;
mod work;
mod write;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::blobs::{BlobPath, BlobReader, BlobWriter, Blobs, Removal, check_batch, check_range};
use crate::bounds::{CALL_DEADLINE, MAX_BLOB_CHUNK_BYTES};
use crate::problem::Problem;

use root::Root;
use work::{SYNC_DEADLINE, Work};

/// Blobs as files below a directory.
#[derive(Debug)]
pub struct Files {
    root: Arc<Root>,
    work: Work,
}

impl Files {
    /// Opens the directory at `path`, or makes it in one that is there. Files that were
    /// being written a day ago are removed. May wait for the disk.
    ///
    /// # Errors
    /// If it cannot be opened or made.
    pub fn open(path: &Path) -> Result<Self, Problem> {
        Ok(Files::of(path, Root::open(path)?))
    }

    /// Opens the directory at `path`, in which there may be blobs that something leads to: one
    /// that [`Files::open`] did not make may be what a file system is mounted on that is away.
    /// Otherwise the same.
    ///
    /// # Errors
    /// If it is not there, or cannot be opened: nothing was made then.
    pub fn open_existing(path: &Path) -> Result<Self, Problem> {
        Ok(Files::of(path, Root::open_existing(path)?))
    }

    /// Whether [`Files::open_existing`] would find the directory. Changes nothing.
    ///
    /// # Errors
    /// Why it would not.
    pub fn look(path: &Path) -> Result<(), Problem> {
        Root::open_existing(path).map(drop)
    }

    fn of(path: &Path, root: Root) -> Self {
        root.clear();
        Files {
            work: Work::new(path),
            root: Arc::new(root),
        }
    }
}

#[async_trait]
impl Blobs for Files {
    async fn create(&self, path: &BlobPath, octets: u64) -> Result<Box<dyn BlobWriter>, Problem> {
        let (root, path) = (self.root.clone(), path.clone());
        let begun = (self.work).run(CALL_DEADLINE, move || write::Begun::new(root, path, octets));
        Ok(write::writer(begun.await?, self.work.clone()))
    }

    async fn read(
        &self,
        path: &BlobPath,
        offset: u64,
        length: u32,
    ) -> Result<Option<Bytes>, Problem> {
        let length = (length as usize).min(MAX_BLOB_CHUNK_BYTES);
        let (root, path) = (self.root.clone(), path.clone());
        let read = move || match root.open_blob(&path)? {
            // To the system an offset may be none at all.
            Some(blob) if offset >= blob.octets => Ok(Some(Bytes::new())),
            Some(blob) => root.read(&blob.file, &path, offset, length).map(Some),
            None => Ok(None),
        };
        self.work.run(CALL_DEADLINE, read).await
    }

    async fn open(
        &self,
        path: &BlobPath,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Option<Box<dyn BlobReader>>, Problem> {
        let (root, named) = (self.root.clone(), path.clone());
        let opened = self.work.run(CALL_DEADLINE, move || root.open_blob(&named));
        let Some(blob) = opened.await? else {
            return Ok(None);
        };
        let length = check_range(path, blob.octets, offset, length)?;
        let (root, work) = (self.root.clone(), self.work.clone());
        Ok(Some(read::reader(
            root,
            path.clone(),
            blob.file,
            offset..offset + length,
            work,
        )))
    }

    async fn remove(&self, paths: &[BlobPath]) -> Result<Removal, Problem> {
        check_batch(paths)?;
        let (root, paths) = (self.root.clone(), paths.to_vec());
        self.work
            .run(SYNC_DEADLINE, move || Ok(root.remove(&paths)))
            .await
    }
}
