//! An index in a database that nodes share.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::calls::{Parameter, call, settle};
use super::mine::Mine;
use super::pool::Pool;
use super::rows::{self, signed, unsigned};
use super::schema;
use super::settings::Settings;
use super::uuid::Uuid;
use crate::blobs::{BlobPath, check_batch};
use crate::bounds::{MAX_ANSWER_BYTES, MAX_BATCH, MAX_CONNECTIONS, MAX_ENTRIES};
use crate::hold::Hold;
use crate::index::{
    Appended, Difference, Entries, Entry, Folder, Limits, MailIndex, Placed, Summary, check_entry,
    check_placed, check_unique_ids, fresh_epoch,
};
use crate::migration::Tables;
use crate::names;
use crate::problem::Problem;
use crate::retention::Retention;

/// An index and its holds in a PostgreSQL database.
#[derive(Debug)]
pub struct Postgres {
    pub(super) pool: Arc<Pool>,
    /// One connection that no tenant's calls wait in front of: a heartbeat that comes late
    /// makes the node look as if it were gone.
    pub(super) heartbeats: Arc<Pool>,
    pub(super) retention: Retention,
    pub(super) mine: Mine,
}

impl Postgres {
    /// Connects, and makes the tables where there are none. `migrate`: those of an older
    /// version may be changed ([`crate::postgres::pending_migration`]).
    ///
    /// # Errors
    /// [`Problem::Invalid`] if the settings or the version of the tables are not as they
    /// have to be; [`Problem::Unavailable`] if nobody answers. Reads files.
    pub async fn open(
        settings: &Settings,
        retention: Retention,
        tables: Tables,
    ) -> Result<Self, Problem> {
        let pool = Pool::new(settings, MAX_CONNECTIONS - 1)?;
        schema::prepare(&pool, tables).await?;
        Ok(Self {
            pool,
            heartbeats: Pool::new(settings, 1)?,
            retention,
            mine: Mine::default(),
        })
    }

    pub(super) fn one<'a>(&self, rows: &'a [Row]) -> Result<&'a Row, Problem> {
        rows.first().ok_or_else(|| {
            Problem::Unavailable(format!("{}: an answer has no row", self.pool.name()))
        })
    }

    pub(super) fn odd(&self, error: &tokio_postgres::Error) -> Problem {
        rows::odd(&self.pool, error)
    }

    /// The two texts that tell what came of a change.
    fn outcome<'a>(&self, rows: &'a [Row]) -> Result<(&'a str, Option<&'a str>), Problem> {
        let row = self.one(rows)?;
        let texts = || Ok((row.try_get(0)?, row.try_get(1)?));
        texts().map_err(|error| self.odd(&error))
    }
}

#[async_trait]
impl MailIndex for Postgres {
    async fn state(&self, folder: &Folder) -> Result<Summary, Problem> {
        let found = rows::find(&self.pool, folder).await?;
        Ok(found.map(|found| found.summary).unwrap_or_default())
    }

    async fn read(&self, folder: &Folder) -> Result<Entries, Problem> {
        match rows::find(&self.pool, folder).await? {
            Some(found) => rows::entries(&self.pool, &found).await,
            None => Ok(Entries::default()),
        }
    }

    async fn changes(&self, folder: &Folder, version: u64) -> Result<Option<Difference>, Problem> {
        match rows::find(&self.pool, folder).await? {
            Some(found) => rows::changes(&self.pool, &found, version).await,
            None => Ok((version == 0).then(Difference::default)),
        }
    }

    async fn intend(&self, placed: &Placed) -> Result<(), Problem> {
        check_placed(placed)?;
        let (place, path) = (placed.place.as_str(), placed.path.as_str());
        let name = Uuid::new()?;
        let sql = "select restante.intend($1, $2, $3)";
        let parameters: [Parameter<'_>; 3] = [
            (&place, Type::TEXT),
            (&path, Type::TEXT),
            (&name, Type::UUID),
        ];
        let rows = call(&self.pool, sql, &parameters).await?;
        let taken: bool = self
            .one(&rows)?
            .try_get(0)
            .map_err(|error| self.odd(&error))?;
        taken
            .then_some(())
            .ok_or_else(|| Problem::in_use(place, path))
    }

    async fn append(
        &self,
        folder: &Folder,
        entry: &Entry,
        limits: &Limits,
        placed: Option<&Placed>,
    ) -> Result<Appended, Problem> {
        check_entry(entry)?;
        placed.map_or(Ok(()), check_placed)?;
        let (name, epoch) = (Uuid::new()?, signed(fresh_epoch()?));
        let names = [folder.tenant(), folder.maildrop(), folder.folder()];
        let numbers = [entry.octets, entry.received, entry.weight].map(signed);
        let surrogate = entry.surrogate.map(signed);
        let digest = entry.digest.as_ref().map(|digest| &digest[..]);
        let weight = signed(limits.weight.unwrap_or(u64::MAX));
        let messages = signed(limits.messages.unwrap_or(MAX_ENTRIES).min(MAX_ENTRIES));
        let bytes = signed(MAX_ANSWER_BYTES);
        let place = placed.map(|placed| placed.place.as_str());
        let path = placed.map(|placed| placed.path.as_str());
        let remembers = self.retention.duplicates.as_secs_f64();
        let sql = "select outcome, made from restante.append(
            $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";
        let parameters: [Parameter<'_>; 18] = [
            (&name, Type::UUID),
            (&names[0], Type::TEXT),
            (&names[1], Type::TEXT),
            (&names[2], Type::TEXT),
            (&epoch, Type::INT8),
            (&entry.unique_id, Type::TEXT),
            (&numbers[0], Type::INT8),
            (&surrogate, Type::INT8),
            (&numbers[1], Type::INT8),
            (&entry.name, Type::TEXT),
            (&digest, Type::BYTEA),
            (&numbers[2], Type::INT8),
            (&weight, Type::INT8),
            (&messages, Type::INT8),
            (&bytes, Type::INT8),
            (&place, Type::TEXT),
            (&path, Type::TEXT),
            (&remembers, Type::FLOAT8),
        ];
        let rows = settle(&self.pool, sql, &parameters).await?;
        let (outcome, made) = self.outcome(&rows)?;
        let made = made.unwrap_or_default();
        match outcome {
            "kept" => Ok(Appended::Kept(made.to_owned())),
            "duplicate" => Ok(Appended::Duplicate),
            "full" => Ok(Appended::Full),
            "there" => Err(Problem::is_there(made)),
            "made here" => Err(Problem::invalid(format!(
                "unique-id {made} is of the kind that is made here: give none"
            ))),
            _ => Err(Problem::not_intended(
                place.unwrap_or_default(),
                path.unwrap_or_default(),
            )),
        }
    }

    async fn remove(
        &self,
        folder: &Folder,
        unique_ids: &[String],
        hold: &Hold,
    ) -> Result<(), Problem> {
        check_unique_ids(unique_ids)?;
        let (name, token) = (Uuid::new()?, Uuid(hold.token.0));
        let names = [folder.tenant(), folder.maildrop(), folder.folder()];
        let (epochs, numbers): (Vec<_>, Vec<_>) =
            unique_ids.iter().map(|id| of_kind_made_here(id)).unzip();
        let sql = "select outcome, missing
            from restante.remove($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let parameters: [Parameter<'_>; 9] = [
            (&name, Type::UUID),
            (&hold.key, Type::TEXT),
            (&token, Type::UUID),
            (&names[0], Type::TEXT),
            (&names[1], Type::TEXT),
            (&names[2], Type::TEXT),
            (&unique_ids, Type::TEXT_ARRAY),
            (&epochs, Type::INT8_ARRAY),
            (&numbers, Type::INT8_ARRAY),
        ];
        let rows = settle(&self.pool, sql, &parameters).await?;
        match self.outcome(&rows)? {
            ("removed", _) => Ok(()),
            ("missing", id) => Err(Problem::is_not_there(id.unwrap_or_default())),
            _ => {
                self.mine.forget(hold);
                Err(Problem::Lost)
            }
        }
    }

    async fn expire(&self, limit: u32) -> Result<u64, Problem> {
        let most = limit.min(MAX_BATCH) as i32;
        let kept = [
            self.retention.changes,
            self.retention.duplicates,
            self.retention.intents,
        ];
        let kept = kept.map(|kept| kept.as_secs_f64());
        let sql = "select restante.expire($1, $2, $3, $4)";
        let parameters: [Parameter<'_>; 4] = [
            (&most, Type::INT4),
            (&kept[0], Type::FLOAT8),
            (&kept[1], Type::FLOAT8),
            (&kept[2], Type::FLOAT8),
        ];
        let rows = call(&self.pool, sql, &parameters).await?;
        let gone: i64 = self
            .one(&rows)?
            .try_get(0)
            .map_err(|error| self.odd(&error))?;
        Ok(unsigned(gone))
    }

    async fn garbage(
        &self,
        place: &str,
        after: Option<&BlobPath>,
        limit: u32,
    ) -> Result<Vec<BlobPath>, Problem> {
        names::check("the place's name", place)?;
        let most = i64::from(limit.min(MAX_BATCH));
        // No path is empty.
        let after = after.map_or("", BlobPath::as_str);
        let sql = "select path from restante.garbage where place = $1 and path > $2
            order by path limit $3";
        let parameters: [Parameter<'_>; 3] = [
            (&place, Type::TEXT),
            (&after, Type::TEXT),
            (&most, Type::INT8),
        ];
        let rows = call(&self.pool, sql, &parameters).await?;
        let paths = rows.iter().map(|row| {
            let path: String = row.try_get(0).map_err(|error| self.odd(&error))?;
            BlobPath::new(path)
        });
        paths.collect()
    }

    async fn forget_garbage(&self, place: &str, paths: &[BlobPath]) -> Result<(), Problem> {
        check_batch(paths)?;
        let paths: Vec<_> = paths.iter().map(BlobPath::as_str).collect();
        let sql = "delete from restante.garbage where place = $1 and path = any ($2)";
        let parameters: [Parameter<'_>; 2] = [(&place, Type::TEXT), (&paths, Type::TEXT_ARRAY)];
        call(&self.pool, sql, &parameters).await.map(drop)
    }
}

/// The epoch and the number in a unique-id of the kind that is made here.
fn of_kind_made_here(unique_id: &str) -> (Option<i64>, Option<i64>) {
    let parts = unique_id.split_once('.').and_then(|(epoch, number)| {
        let epoch = u64::from_str_radix(epoch, 16).ok()?;
        let number = u64::from_str_radix(number, 16).ok()?;
        let is_so = crate::index::made_unique_id(epoch, number) == unique_id;
        let both = (i64::try_from(epoch).ok()?, i64::try_from(number).ok()?);
        is_so.then_some(both)
    });
    parts.unzip()
}
