//! Blobs in memory.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use crate::blobs::{BlobPath, BlobReader, BlobWriter, Blobs, Removal, check_batch, check_range};
use crate::bounds::MAX_BLOB_CHUNK_BYTES;
use crate::problem::Problem;

type Table = Arc<Mutex<HashMap<BlobPath, Bytes>>>;

/// Blobs in memory. Clones share what they hold.
#[derive(Debug, Clone, Default)]
pub struct MemoryBlobs {
    blobs: Table,
}

impl MemoryBlobs {
    /// Removes what is under these paths, however many they are.
    pub fn forget<'a>(&self, paths: impl Iterator<Item = &'a BlobPath>) {
        let mut blobs = self.blobs.lock();
        for path in paths {
            blobs.remove(path);
        }
    }

    fn find(&self, path: &BlobPath) -> Option<Bytes> {
        self.blobs.lock().get(path).cloned()
    }
}

#[async_trait]
impl Blobs for MemoryBlobs {
    async fn create(&self, path: &BlobPath, octets: u64) -> Result<Box<dyn BlobWriter>, Problem> {
        Ok(Box::new(Writer {
            blobs: self.blobs.clone(),
            path: path.clone(),
            octets,
            written: BytesMut::new(),
        }))
    }

    async fn read(
        &self,
        path: &BlobPath,
        offset: u64,
        length: u32,
    ) -> Result<Option<Bytes>, Problem> {
        let part = |blob: Bytes| {
            let start = offset.min(blob.len() as u64) as usize;
            let length = (length as usize).min(MAX_BLOB_CHUNK_BYTES);
            blob.slice(start..blob.len().min(start + length))
        };
        Ok(self.find(path).map(part))
    }

    async fn open(
        &self,
        path: &BlobPath,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Option<Box<dyn BlobReader>>, Problem> {
        let Some(blob) = self.find(path) else {
            return Ok(None);
        };
        let length = check_range(path, blob.len() as u64, offset, length)?;
        let start = offset as usize;
        let left = blob.slice(start..start + length as usize);
        Ok(Some(Box::new(Reader {
            octets: length,
            left,
        })))
    }

    async fn remove(&self, paths: &[BlobPath]) -> Result<Removal, Problem> {
        check_batch(paths)?;
        self.forget(paths.iter());
        Ok(Removal::default())
    }
}

struct Writer {
    blobs: Table,
    path: BlobPath,
    octets: u64,
    written: BytesMut,
}

#[async_trait]
impl BlobWriter for Writer {
    async fn write(&mut self, chunk: Bytes) -> Result<(), Problem> {
        if (self.written.len() + chunk.len()) as u64 > self.octets {
            return Err(Problem::more_octets(self.path.as_str(), self.octets));
        }
        self.written.extend_from_slice(&chunk);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), Problem> {
        if self.written.len() as u64 != self.octets {
            return Err(Problem::fewer_octets(self.path.as_str(), self.octets));
        }
        let mut blobs = self.blobs.lock();
        if blobs.contains_key(&self.path) {
            return Err(Problem::exists(self.path.as_str()));
        }
        blobs.insert(self.path.clone(), self.written.freeze());
        Ok(())
    }
}

struct Reader {
    octets: u64,
    left: Bytes,
}

#[async_trait]
impl BlobReader for Reader {
    fn octets(&self) -> u64 {
        self.octets
    }

    async fn read(&mut self, limit: usize) -> Result<Bytes, Problem> {
        let length = limit.min(MAX_BLOB_CHUNK_BYTES).min(self.left.len());
        Ok(self.left.split_to(length))
    }
}
