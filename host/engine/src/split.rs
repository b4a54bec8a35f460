//! Small blobs in one place, large ones in another.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::blobs::{BlobPath, BlobReader, BlobWriter, Blobs, Removal, check_batch};
use crate::problem::Problem;

/// Blobs of which small ones are in one place and large ones in another, which may be far.
///
/// Where a blob is does not depend on what is small now: it is looked for among the small
/// ones first, which is near, and then among the large ones. So the bound may change at any
/// time, and small blobs need nothing of the other place.
#[derive(Debug)]
pub struct SplitBlobs {
    small: Arc<dyn Blobs>,
    large: Arc<dyn Blobs>,
    max_small_octets: u64,
}

impl SplitBlobs {
    /// Blobs of up to `max_small_octets` are written to `small`, all others to `large`.
    /// Looking for one in `small` should cost little. Blobs of `small` that were written
    /// before are found there.
    pub fn new(small: Arc<dyn Blobs>, large: Arc<dyn Blobs>, max_small_octets: u64) -> Self {
        SplitBlobs {
            small,
            large,
            max_small_octets,
        }
    }

    /// Whether it is among the small ones.
    async fn is_small(&self, path: &BlobPath) -> Result<bool, Problem> {
        let found = self.small.read(path, 0, 0).await?;
        Ok(found.is_some())
    }
}

/// The answer of the place for large blobs, where the other one has not found the blob: if
/// that one does not answer, what neither has told is not known to be nowhere.
fn answer<T>(
    small: Result<Option<T>, Problem>,
    large: Result<Option<T>, Problem>,
) -> Result<Option<T>, Problem> {
    match (small, large) {
        (Err(problem), Ok(None)) => Err(problem),
        (_, large) => large,
    }
}

#[async_trait]
impl Blobs for SplitBlobs {
    async fn create(&self, path: &BlobPath, octets: u64) -> Result<Box<dyn BlobWriter>, Problem> {
        if octets <= self.max_small_octets {
            return self.small.create(path, octets).await;
        }
        if self.is_small(path).await? {
            return Err(Problem::exists(path.as_str()));
        }
        self.large.create(path, octets).await
    }

    async fn read(
        &self,
        path: &BlobPath,
        offset: u64,
        length: u32,
    ) -> Result<Option<Bytes>, Problem> {
        match self.small.read(path, offset, length).await {
            small @ (Ok(Some(_)) | Err(Problem::Invalid(_))) => small,
            small => answer(small, self.large.read(path, offset, length).await),
        }
    }

    async fn open(
        &self,
        path: &BlobPath,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Option<Box<dyn BlobReader>>, Problem> {
        match self.small.open(path, offset, length).await {
            small @ (Ok(Some(_)) | Err(Problem::Invalid(_))) => small,
            small => answer(small, self.large.open(path, offset, length).await),
        }
    }

    async fn remove(&self, paths: &[BlobPath]) -> Result<Removal, Problem> {
        check_batch(paths)?;
        // Looked for before they are removed: a removal of each small one in the other place
        // would cost more than all the rest, and would wait for that place where it is away.
        // What was removed here in a turn that was broken off is not in the other place,
        // where there is no harm in removing it once more.
        let (mut small, mut large) = (Vec::new(), Vec::new());
        for path in paths {
            match self.is_small(path).await? {
                true => small.push(path.clone()),
                false => large.push(path.clone()),
            }
        }
        let mut removal = self.small.remove(&small).await?;
        if large.is_empty() {
            return Ok(removal);
        }
        match self.large.remove(&large).await {
            Ok(of_large) => {
                removal.kept.extend(of_large.kept);
                // Of the small ones all were tried, however far it came with the large ones: what
                // is kept is passed by with this batch, or small garbage would wait behind it.
                if of_large.gave_up_after.is_some() {
                    removal.gave_up_after = paths.last().cloned();
                }
            }
            // The small ones are gone all the same.
            Err(problem) => {
                removal.gave_up_after = paths.last().cloned();
                let large = large.into_iter().map(|path| (path, problem.clone()));
                removal.kept.extend(large);
            }
        }
        Ok(removal)
    }
}
