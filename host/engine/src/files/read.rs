//! A blob that is read part by part.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::root::Root;
use super::work::Work;
use crate::blobs::{BlobPath, BlobReader};
use crate::bounds::{CALL_DEADLINE, MAX_BLOB_CHUNK_BYTES};
use crate::problem::Problem;

/// Reads this range of the file.
pub(super) fn reader(
    root: Arc<Root>,
    path: BlobPath,
    file: File,
    range: Range<u64>,
    work: Work,
) -> Box<dyn BlobReader> {
    let octets = range.end - range.start;
    let file = Arc::new(file);
    Box::new(Reader {
        root,
        path,
        file,
        left: range,
        octets,
        work,
    })
}

struct Reader {
    root: Arc<Root>,
    path: BlobPath,
    file: Arc<File>,
    left: Range<u64>,
    octets: u64,
    work: Work,
}

#[async_trait]
impl BlobReader for Reader {
    fn octets(&self) -> u64 {
        self.octets
    }

    async fn read(&mut self, limit: usize) -> Result<Bytes, Problem> {
        let left = self.left.end - self.left.start;
        let length = limit.min(MAX_BLOB_CHUNK_BYTES);
        let length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        if length == 0 {
            return Ok(Bytes::new());
        }
        let (root, path, file) = (self.root.clone(), self.path.clone(), self.file.clone());
        let offset = self.left.start;
        let read = move || root.read(&file, &path, offset, length);
        let bytes = self.work.run(CALL_DEADLINE, read).await?;
        if bytes.len() < length {
            return Err(Problem::unavailable(format!(
                "blob {:?} became shorter while it was read: another program has changed it",
                self.path
            )));
        }
        self.left.start += length as u64;
        Ok(bytes)
    }
}
