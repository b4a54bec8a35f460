//! Blobs in a table, in parts. What is smaller than a part takes one statement.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::calls::{self, Parameter};
use super::index::Postgres;
use super::pool::Pool;
use super::rows::{odd, signed, unsigned};
use super::uuid::Uuid;
use crate::blobs::{BlobPath, BlobReader, BlobWriter, Blobs, Removal, check_batch, check_range};
use crate::bounds::{CALL_DEADLINE, MAX_BLOB_CHUNK_BYTES, MAX_CONNECTIONS};
use crate::problem::Problem;

/// Octets of a part, but for the last one of a blob.
const PART_OCTETS: usize = 256 << 10;

/// The connections of an index, as far as blobs may have them.
#[derive(Debug, Clone)]
struct Lane {
    pool: Arc<Pool>,
    permits: Arc<Semaphore>,
}

impl Lane {
    /// [`calls::call`], once a connection may be taken for it.
    async fn call(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Problem> {
        // The semaphore is never closed.
        let Ok(_permit) = timeout(CALL_DEADLINE, self.permits.acquire()).await else {
            return Err(Problem::Unavailable(format!(
                "{}: too many calls are under way: it is too slow",
                self.pool.name()
            )));
        };
        calls::call(&self.pool, sql, parameters).await
    }
}

/// Blobs of one place, in the database of an index.
#[derive(Debug)]
pub struct PostgresBlobs {
    lane: Lane,
    place: String,
}

impl PostgresBlobs {
    /// The place of this name. What was begun there and not finished is removed by
    /// [`crate::MailIndex::expire`] of the same database.
    ///
    /// # Errors
    /// [`Problem::Invalid`]: the name is none.
    pub fn new(index: &Postgres, place: &str) -> Result<Self, Problem> {
        Self::with_connections(index, place, MAX_CONNECTIONS)
    }

    /// The same, with so many of the index's connections at once.
    ///
    /// # Errors
    /// [`Problem::Invalid`]: the name is none.
    pub fn with_connections(
        index: &Postgres,
        place: &str,
        connections: usize,
    ) -> Result<Self, Problem> {
        crate::names::check("the place's name", place)?;
        Ok(Self {
            lane: Lane {
                pool: index.pool.clone(),
                permits: Arc::new(Semaphore::new(connections)),
            },
            place: place.to_owned(),
        })
    }

    /// The upload that has its octets, and how many they are.
    async fn find(&self, path: &BlobPath) -> Result<Option<(Uuid, u64)>, Problem> {
        let sql = "select uuid_send(upload), octets from restante.blob
            where place = $1 and path = $2";
        let path = path.as_str();
        let parameters: [Parameter<'_>; 2] = [(&self.place, Type::TEXT), (&path, Type::TEXT)];
        let rows = self.lane.call(sql, &parameters).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let upload: &[u8] = row
            .try_get(0)
            .map_err(|error| odd(&self.lane.pool, &error))?;
        let octets: i64 = row
            .try_get(1)
            .map_err(|error| odd(&self.lane.pool, &error))?;
        let upload = upload.try_into().unwrap_or_default();
        Ok(Some((Uuid(upload), unsigned(octets))))
    }

    async fn exists(&self, path: &BlobPath) -> Result<bool, Problem> {
        self.find(path).await.map(|found| found.is_some())
    }
}

#[async_trait]
impl Blobs for PostgresBlobs {
    async fn create(&self, path: &BlobPath, octets: u64) -> Result<Box<dyn BlobWriter>, Problem> {
        let is_large = octets > PART_OCTETS as u64;
        // What is small is told when it finishes, in the one statement that it takes.
        if is_large && self.exists(path).await? {
            return Err(Problem::exists(path.as_str()));
        }
        let upload = Uuid::new()?;
        if is_large {
            let sql = "select restante.begin_upload($1)";
            self.lane.call(sql, &[(&upload, Type::UUID)]).await?;
        }
        Ok(Box::new(Writer {
            lane: self.lane.clone(),
            place: self.place.clone(),
            path: path.clone(),
            upload,
            octets,
            left: octets,
            part: 0,
            buffer: BytesMut::new(),
            is_large,
        }))
    }

    async fn read(
        &self,
        path: &BlobPath,
        offset: u64,
        length: u32,
    ) -> Result<Option<Bytes>, Problem> {
        let Some((upload, octets)) = self.find(path).await? else {
            return Ok(None);
        };
        let length = u64::from(length).min(MAX_BLOB_CHUNK_BYTES as u64);
        let mut reader = Reader {
            lane: self.lane.clone(),
            path: path.clone(),
            upload,
            octets: 0,
            offset,
            left: octets.saturating_sub(offset).min(length),
            buffer: Bytes::new(),
        };
        let mut whole = BytesMut::new();
        loop {
            let chunk = reader.read(MAX_BLOB_CHUNK_BYTES).await?;
            if chunk.is_empty() {
                return Ok(Some(whole.freeze()));
            }
            whole.extend_from_slice(&chunk);
        }
    }

    async fn open(
        &self,
        path: &BlobPath,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Option<Box<dyn BlobReader>>, Problem> {
        let Some((upload, octets)) = self.find(path).await? else {
            return Ok(None);
        };
        let left = check_range(path, octets, offset, length)?;
        Ok(Some(Box::new(Reader {
            lane: self.lane.clone(),
            path: path.clone(),
            upload,
            octets: left,
            offset,
            left,
            buffer: Bytes::new(),
        })))
    }

    async fn remove(&self, paths: &[BlobPath]) -> Result<Removal, Problem> {
        check_batch(paths)?;
        let paths: Vec<_> = paths.iter().map(BlobPath::as_str).collect();
        let sql = "select restante.remove_blobs($1, $2)";
        let parameters: [Parameter<'_>; 2] =
            [(&self.place, Type::TEXT), (&paths, Type::TEXT_ARRAY)];
        self.lane.call(sql, &parameters).await?;
        Ok(Removal::default())
    }
}

struct Writer {
    lane: Lane,
    place: String,
    path: BlobPath,
    upload: Uuid,
    octets: u64,
    left: u64,
    /// The next one's number.
    part: i32,
    /// Less than a part, after each call.
    buffer: BytesMut,
    is_large: bool,
}

impl Writer {
    async fn write_part(&mut self, octets: &[u8]) -> Result<(), Problem> {
        let sql = "select restante.write_part($1, $2, $3)";
        let parameters: [Parameter<'_>; 3] = [
            (&self.upload, Type::UUID),
            (&self.part, Type::INT4),
            (&octets, Type::BYTEA),
        ];
        let rows = self.lane.call(sql, &parameters).await?;
        let written = first::<bool>(&self.lane.pool, &rows)?;
        self.part += 1;
        written.then_some(()).ok_or_else(|| too_slow(&self.path))
    }
}

#[async_trait]
impl BlobWriter for Writer {
    async fn write(&mut self, chunk: Bytes) -> Result<(), Problem> {
        let left = self.left.checked_sub(chunk.len() as u64);
        self.left = left.ok_or_else(|| Problem::more_octets(self.path.as_str(), self.octets))?;
        self.buffer.extend_from_slice(&chunk);
        while self.is_large && self.buffer.len() >= PART_OCTETS {
            let part = self.buffer.split_to(PART_OCTETS);
            self.write_part(&part).await?;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), Problem> {
        if self.left > 0 {
            return Err(Problem::fewer_octets(self.path.as_str(), self.octets));
        }
        let rest = std::mem::take(&mut self.buffer);
        if self.is_large && !rest.is_empty() {
            self.write_part(&rest).await?;
        }
        let only = (!self.is_large).then_some(&rest[..]);
        let (path, octets) = (self.path.as_str(), signed(self.octets));
        let sql = "select restante.finish_blob($1, $2, $3, $4, $5)";
        let parameters: [Parameter<'_>; 5] = [
            (&self.place, Type::TEXT),
            (&path, Type::TEXT),
            (&self.upload, Type::UUID),
            (&octets, Type::INT8),
            (&only, Type::BYTEA),
        ];
        let rows = self.lane.call(sql, &parameters).await?;
        match first::<&str>(&self.lane.pool, &rows)? {
            "finished" => Ok(()),
            "there" => Err(Problem::exists(path)),
            _ => Err(too_slow(&self.path)),
        }
    }
}

struct Reader {
    lane: Lane,
    path: BlobPath,
    upload: Uuid,
    octets: u64,
    /// Of the first octet that is not in the buffer yet.
    offset: u64,
    /// How many are to be read, those in the buffer included.
    left: u64,
    buffer: Bytes,
}

impl Reader {
    /// The rest of the part that the offset is in, as far as it is to be read.
    async fn fetch(&mut self) -> Result<(), Problem> {
        let part = i32::try_from(self.offset / PART_OCTETS as u64).unwrap_or(i32::MAX);
        let within = self.offset % PART_OCTETS as u64;
        let (from, most) = (within as i32 + 1, self.left.min(PART_OCTETS as u64) as i32);
        let sql = "select substring(octets from $3 for $4) from restante.part
            where upload = $1 and part = $2";
        let parameters: [Parameter<'_>; 4] = [
            (&self.upload, Type::UUID),
            (&part, Type::INT4),
            (&from, Type::INT4),
            (&most, Type::INT4),
        ];
        let rows = self.lane.call(sql, &parameters).await?;
        let octets: &[u8] = match rows.is_empty() {
            true => &[],
            false => first(&self.lane.pool, &rows)?,
        };
        if octets.is_empty() {
            return Err(Problem::Unavailable(format!(
                "blob path {} was removed while it was read",
                self.path
            )));
        }
        self.offset += octets.len() as u64;
        self.buffer = Bytes::copy_from_slice(octets);
        Ok(())
    }
}

#[async_trait]
impl BlobReader for Reader {
    fn octets(&self) -> u64 {
        self.octets
    }

    async fn read(&mut self, limit: usize) -> Result<Bytes, Problem> {
        if self.left == 0 {
            return Ok(Bytes::new());
        }
        if self.buffer.is_empty() {
            self.fetch().await?;
        }
        let taken = self.buffer.split_to(self.buffer.len().min(limit));
        self.left -= taken.len() as u64;
        Ok(taken)
    }
}

/// The one value of an answer.
fn first<'a, T: tokio_postgres::types::FromSql<'a>>(
    pool: &Pool,
    rows: &'a [Row],
) -> Result<T, Problem> {
    let row = rows.first();
    let row =
        row.ok_or_else(|| Problem::Unavailable(format!("{}: an answer has no row", pool.name())))?;
    row.try_get(0).map_err(|error| odd(pool, &error))
}

fn too_slow(path: &BlobPath) -> Problem {
    Problem::Unavailable(format!(
        "blob path {path}: it took so long to write that its parts were removed, or a fail-over lost some"
    ))
}
