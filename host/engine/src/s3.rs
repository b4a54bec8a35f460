//! Blobs as objects of a store that speaks S3's API.
//!
//! Stores differ in what they do beyond the least: so nothing is asked of one but PUT,
//! GET of a range and DELETE of one object. No condition on a request is trusted (some
//! answer "200" to `If-None-Match` and write over), no listing, and, where the operator
//! says so, not even that what was acknowledged is there.
//!
//! Each request is a short one: a blob is read in ranges of at most
//! [`MAX_BLOB_CHUNK_BYTES`], so no slow client keeps a connection, and a range that fails
//! is asked for once more.

mod answer;
mod client;
mod credentials;
mod keys;
mod settings;
mod tls;
mod upload;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::JoinSet;

use crate::blobs::{BlobPath, BlobReader, BlobWriter, Blobs, check_batch, check_range};
use crate::bounds::MAX_BLOB_CHUNK_BYTES;
use crate::problem::Problem;

use client::Client;

pub use settings::S3Settings;

/// Objects that one call removes at the same time.
const REMOVALS: usize = 8;

/// Blobs in a bucket.
#[derive(Debug, Clone)]
pub struct S3 {
    client: Arc<Client>,
}

impl S3 {
    /// Reads the files that the settings name, and asks nobody yet.
    ///
    /// # Errors
    /// [`Problem::Invalid`]: what is wrong with the settings or with the files.
    pub fn new(settings: &S3Settings) -> Result<Self, Problem> {
        let client = Arc::new(Client::new(settings)?);
        Ok(S3 { client })
    }
}

#[async_trait]
impl Blobs for S3 {
    async fn create(&self, path: &BlobPath, octets: u64) -> Result<Box<dyn BlobWriter>, Problem> {
        upload::begin(self.client.clone(), path, octets).await
    }

    async fn read(
        &self,
        path: &BlobPath,
        offset: u64,
        length: u32,
    ) -> Result<Option<Bytes>, Problem> {
        let length = (length as usize).min(MAX_BLOB_CHUNK_BYTES);
        let part = self.client.get(path, offset, length).await?;
        Ok(part.map(|part| part.bytes))
    }

    async fn open(
        &self,
        path: &BlobPath,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Option<Box<dyn BlobReader>>, Problem> {
        let first = length.unwrap_or(u64::MAX).min(MAX_BLOB_CHUNK_BYTES as u64);
        let Some(part) = self.client.get(path, offset, first as usize).await? else {
            return Ok(None);
        };
        let octets = check_range(path, part.total, offset, length)?;
        Ok(Some(Box::new(Reader {
            client: self.client.clone(),
            path: path.clone(),
            offset,
            end: offset + octets,
            octets,
            total: part.total,
            ahead: part.bytes,
        })))
    }

    async fn remove(&self, paths: &[BlobPath]) -> Result<(), Problem> {
        check_batch(paths)?;
        let mut removals = JoinSet::new();
        // Once each: what some stores do with two at the same time is their own.
        let paths: BTreeSet<&BlobPath> = paths.iter().collect();
        for path in paths {
            while removals.len() >= REMOVALS {
                ended(removals.join_next().await)?;
            }
            let (client, path) = (self.client.clone(), path.clone());
            removals.spawn(async move { client.delete(&path).await });
        }
        while !removals.is_empty() {
            ended(removals.join_next().await)?;
        }
        Ok(())
    }
}

/// What came of one removal.
fn ended(
    removal: Option<Result<Result<(), Problem>, tokio::task::JoinError>>,
) -> Result<(), Problem> {
    match removal {
        Some(Ok(removed)) => removed,
        Some(Err(error)) => Err(Problem::unavailable(format!(
            "a removal ended badly: {error}"
        ))),
        None => Ok(()),
    }
}

/// A blob that is read range by range.
struct Reader {
    client: Arc<Client>,
    path: BlobPath,
    /// Of what is told next.
    offset: u64,
    end: u64,
    octets: u64,
    /// Of the whole blob.
    total: u64,
    /// What is at `offset`, as far as it was asked for.
    ahead: Bytes,
}

#[async_trait]
impl BlobReader for Reader {
    fn octets(&self) -> u64 {
        self.octets
    }

    async fn read(&mut self, limit: usize) -> Result<Bytes, Problem> {
        let left = self.end - self.offset;
        if left == 0 || limit == 0 {
            return Ok(Bytes::new());
        }
        if self.ahead.is_empty() {
            let length = left.min(MAX_BLOB_CHUNK_BYTES as u64) as usize;
            let part = self.client.get(&self.path, self.offset, length).await?;
            let part = part.filter(|part| part.total == self.total && !part.bytes.is_empty());
            let Some(part) = part else {
                return Err(Problem::unavailable(format!(
                    "{}: blob {:?} is gone or another one while it is read",
                    self.client.name(),
                    self.path
                )));
            };
            self.ahead = part.bytes;
        }
        let bytes = self.ahead.split_to(limit.min(self.ahead.len()));
        self.offset += bytes.len() as u64;
        Ok(bytes)
    }
}
