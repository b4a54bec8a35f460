//! Blobs as objects of a store that speaks S3's API.
//!
//! Stores differ in what they do beyond the least: so nothing is asked of one but PUT, HEAD,
//! GET of a range and DELETE of one object. No condition on a request is trusted (some
//! answer "200" to `If-None-Match` and write over), no listing, and, where the operator
//! says so, not even that what was acknowledged is there.
//!
//! Each request is a short one: a blob is read in ranges of at most
//! `MAX_RANGE_BYTES`, so no slow client keeps a connection, and a range that fails
//! is asked for once more. While a store does not answer, one request at a time asks whether
//! it is back, and all others fail at once (`contact`).

mod answer;
mod client;
mod contact;
mod credentials;
mod keys;
mod settings;
mod tls;
mod upload;

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::{JoinError, JoinSet};

use crate::blobs::{BlobPath, BlobReader, BlobWriter, Blobs, Removal, check_batch, check_range};
use crate::bounds::MAX_BLOB_CHUNK_BYTES;
use crate::problem::Problem;

use client::{Client, MAX_RANGE_BYTES};

pub use credentials::S3Credentials;
pub use settings::S3Settings;

/// Objects that one call removes at the same time: of [`crate::MAX_CONNECTIONS`] requests so
/// many are for removals.
pub const MAX_REMOVALS: usize = 4;
/// If so many removals fail with none between that succeeds, the others are not tried: each
/// may take [`crate::CALL_DEADLINE`].
const MAX_FAILED_REMOVALS: usize = 8;
/// What [`S3::probe`] asks for. Nothing is ever there: an engine's paths begin otherwise.
const PROBE: &str = "restante-probe";

/// Blobs in a bucket.
#[derive(Debug, Clone)]
pub struct S3 {
    client: Arc<Client>,
}

impl S3 {
    /// Reads the file of authorities, if the settings name one, and asks nobody yet.
    ///
    /// # Errors
    /// [`Problem::Invalid`]: what is wrong with the settings or with the files.
    pub fn new(settings: &S3Settings) -> Result<Self, Problem> {
        let client = Arc::new(Client::new(settings)?);
        Ok(S3 { client })
    }

    /// Asks for an object that is not there: the bucket can be reached, and the key may read
    /// in it. Nothing is written.
    ///
    /// # Errors
    /// What the store answers instead, or that it does not.
    pub async fn probe(&self) -> Result<(), Problem> {
        let path = BlobPath::new(PROBE)?;
        self.client.get(&path, 0, 1).await.map(drop)
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
        let first = length.unwrap_or(u64::MAX).min(MAX_RANGE_BYTES as u64);
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

    async fn remove(&self, paths: &[BlobPath]) -> Result<Removal, Problem> {
        check_batch(paths)?;
        let mut removal = Removal::default();
        let mut removals: JoinSet<Deletion> = JoinSet::new();
        // Once each: what some stores do with two at the same time is their own.
        let mut named = HashSet::new();
        let (mut failed, mut last) = (0, None);
        let mut left = paths.iter();
        for path in left.by_ref() {
            last = Some(path);
            if named.insert(path) {
                while removals.len() >= MAX_REMOVALS {
                    ended(removals.join_next().await, &mut removal, &mut failed)?;
                }
                let (client, path) = (self.client.clone(), path.clone());
                removals.spawn(async move {
                    let deleted = client.delete(&path).await;
                    (path, deleted)
                });
            }
            if failed >= MAX_FAILED_REMOVALS {
                break;
            }
        }
        while !removals.is_empty() {
            ended(removals.join_next().await, &mut removal, &mut failed)?;
        }
        let untried: Vec<&BlobPath> = left.filter(|path| !named.contains(path)).collect();
        let why = removal.kept.last().map(|(_, problem)| problem.clone());
        if let (Some(why), false) = (why, untried.is_empty()) {
            removal.gave_up_after = last.cloned();
            let untried = untried.into_iter().map(|path| (path.clone(), why.clone()));
            removal.kept.extend(untried);
        }
        Ok(removal)
    }
}

/// An object, and what came of its removal.
type Deletion = (BlobPath, Result<(), Problem>);

/// Notes what came of one removal, and how many have failed since one succeeded.
fn ended(
    ended: Option<Result<Deletion, JoinError>>,
    removal: &mut Removal,
    failed: &mut usize,
) -> Result<(), Problem> {
    match ended {
        Some(Ok((_, Ok(())))) => *failed = 0,
        Some(Ok((path, Err(problem)))) => {
            *failed += 1;
            removal.kept.push((path, problem));
        }
        Some(Err(error)) => {
            let text = format!("a removal ended badly: {error}");
            return Err(Problem::unavailable(text));
        }
        None => {}
    }
    Ok(())
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
            let length = left.min(MAX_RANGE_BYTES as u64) as usize;
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
