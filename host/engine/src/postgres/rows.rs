//! What is read of an index: rows into columns.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::calls::{Parameter, call, stream};
use super::gathered::{Gathered, Item, TooMuch, push_item, push_text};
use super::pool::Pool;
use crate::bounds::MAX_ANSWER_BYTES;
use crate::index::{Difference, Entries, Folder, Summary, entry_bytes, made_unique_id};
use crate::problem::Problem;

/// A number of PostgreSQL's as one of ours. What is stored was never negative.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// A number of ours as one of PostgreSQL's. Those that are stored were checked; limits and
/// versions beyond are as good as the largest.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A folder's own row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    id: i64,
    epoch: u64,
    pub(super) summary: Summary,
}

/// A folder's row. None: nothing was ever in it.
pub(super) async fn find(pool: &Arc<Pool>, folder: &Folder) -> Result<Option<Found>, Problem> {
    let sql = "select id, epoch, version, messages, octets from restante.maildrop
        where tenant = $1 and name = $2 and folder = $3";
    let names = [folder.tenant(), folder.maildrop(), folder.folder()];
    let parameters: [Parameter<'_>; 3] = [
        (&names[0], Type::TEXT),
        (&names[1], Type::TEXT),
        (&names[2], Type::TEXT),
    ];
    let rows = call(pool, sql, &parameters).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let number = |at: usize| row.try_get(at).map(unsigned);
    let found = || -> Result<Found, tokio_postgres::Error> {
        Ok(Found {
            id: row.try_get(0)?,
            epoch: number(1)?,
            summary: Summary {
                version: number(2)?,
                messages: number(3)?,
                octets: number(4)?,
            },
        })
    };
    found().map(Some).map_err(|error| odd(pool, &error))
}

/// What tells of folders, in short: one row for each that anything was ever in.
pub(super) const STATES: &str = "select m.tenant, m.name, m.folder, m.version, m.messages, m.octets
    from unnest($1::text[], $2::text[], $3::text[]) as asked (tenant, name, folder)
    join restante.maildrop m using (tenant, name, folder)";

/// What these rows of [`STATES`] say of folders, in their order.
pub(super) fn states(
    rows: &[Row],
    folders: &[Folder],
) -> Result<Vec<Summary>, tokio_postgres::Error> {
    let mut told = HashMap::new();
    for row in rows {
        let names: [&str; 3] = [row.try_get(0)?, row.try_get(1)?, row.try_get(2)?];
        let number = |at: usize| row.try_get(at).map(unsigned);
        let summary = Summary {
            version: number(3)?,
            messages: number(4)?,
            octets: number(5)?,
        };
        told.insert(names, summary);
    }
    let of = |folder: &Folder| {
        let names = [folder.tenant(), folder.maildrop(), folder.folder()];
        told.get(&names).copied().unwrap_or_default()
    };
    Ok(folders.iter().map(of).collect())
}

/// All of a folder. One statement, so all of it is of one moment: the row of number 0 has the
/// version, the others are the entries.
pub(super) async fn entries(pool: &Arc<Pool>, found: &Found) -> Result<Entries, Problem> {
    let sql = "select 0::bigint as number, null as unique_id, version as octets,
            null::bigint as surrogate, 0::bigint as received, '' as name
            from restante.maildrop where id = $1
        union all
        select number, unique_id, octets, surrogate, received, name
            from restante.message where maildrop = $1";
    let take = |gathered: &mut Gathered, row: &Row| -> Result<(), Problem> {
        let odd = |error| odd(pool, &error);
        match row.try_get::<_, i64>(0).map_err(odd)? {
            0 => gathered.set_version(row.try_get(2).map(unsigned).map_err(odd)?),
            number => with_item(row, 0, found.epoch, |item| gathered.push(number, item))
                .map_err(odd)?
                .map_err(|TooMuch| too_much(pool))?,
        }
        Ok(())
    };
    let parameters: [Parameter<'_>; 1] = [(&found.id, Type::INT8)];
    let gathered = stream(pool, sql, &parameters, Gathered::default, take).await?;
    Ok(gathered.sorted().await)
}

/// What came and went since a version; None: that cannot be told.
pub(super) async fn changes(
    pool: &Arc<Pool>,
    found: &Found,
    version: u64,
) -> Result<Option<Difference>, Problem> {
    // What is too much is not sent: the sums come first.
    let sql = "with head as materialized (
            select id, version, pruned, version >= $2 and pruned <= $2 as told
            from restante.maildrop where id = $1
        )
        select 0 as kind, pruned as number, null as unique_id, version as octets,
            null::bigint as surrogate, 0::bigint as received, '' as name, 0::bigint as version
            from head
        union all
        select 1, g.number, g.unique_id, 0, null, 0, '', g.version
            from head h join restante.gone g on g.maildrop = $1
            where h.told and g.version > $2 and g.number <= $2
        union all
        select 2, m.number, m.unique_id, m.octets, m.surrogate, m.received, m.name, 0
            from head h join restante.message m on m.maildrop = $1
            where h.told and m.number > $2
        order by kind, version, number";
    let asked = signed(version);
    let parameters: [Parameter<'_>; 2] = [(&found.id, Type::INT8), (&asked, Type::INT8)];
    let take = |changes: &mut Changes, row: &Row| {
        let taken = changes.take(found.epoch, version, row);
        taken.map_err(|error| odd(pool, &error))
    };
    let changes = stream(pool, sql, &parameters, Changes::default, take).await?;
    let is_told = !changes.is_unknown && changes.bytes <= MAX_ANSWER_BYTES;
    Ok(is_told.then_some(changes.difference))
}

/// What is known of a difference until now.
#[derive(Default)]
struct Changes {
    difference: Difference,
    bytes: u64,
    is_unknown: bool,
}

impl Changes {
    /// Takes a row of `kind, number, unique_id, octets, surrogate, received, name`. What is too
    /// much is counted and not kept.
    fn take(&mut self, epoch: u64, since: u64, row: &Row) -> Result<(), tokio_postgres::Error> {
        match row.try_get::<_, i32>(0)? {
            0 => {
                let pruned = unsigned(row.try_get(1)?);
                let current = unsigned(row.try_get(3)?);
                self.is_unknown = since < pruned || since > current;
                self.difference.came.version = current;
            }
            1 => {
                let unique_id: &str = row.try_get(2)?;
                self.bytes += unique_id.len() as u64 + 1;
                if self.bytes <= MAX_ANSWER_BYTES {
                    push_text(&mut self.difference.gone, unique_id);
                }
            }
            _ => with_item(row, 1, epoch, |item| {
                self.bytes += entry_bytes(item.unique_id, item.name);
                if self.bytes <= MAX_ANSWER_BYTES {
                    push_item(&mut self.difference.came, item);
                }
            })?,
        }
        Ok(())
    }
}

/// Hands on a row of `number, unique_id, octets, surrogate, received, name`, which begin at
/// column `at`.
fn with_item<T>(
    row: &Row,
    at: usize,
    epoch: u64,
    take: impl FnOnce(Item<'_>) -> T,
) -> Result<T, tokio_postgres::Error> {
    let made;
    let unique_id = match row.try_get::<_, Option<&str>>(at + 1)? {
        Some(brought) => brought,
        None => {
            made = made_unique_id(epoch, unsigned(row.try_get(at)?));
            &made
        }
    };
    let surrogate: Option<i64> = row.try_get(at + 3)?;
    Ok(take(Item {
        unique_id,
        octets: unsigned(row.try_get(at + 2)?),
        surrogate: surrogate.map(unsigned),
        received: unsigned(row.try_get(at + 4)?),
        name: row.try_get(at + 5)?,
    }))
}

fn too_much(pool: &Pool) -> Problem {
    Problem::Unavailable(format!(
        "{}: a folder's entries are more than 64 MiB, which no server has made: another program wrote to the table restante.message",
        pool.name()
    ))
}

/// An answer that is not of the shape that the schema gives it.
pub(super) fn odd(pool: &Pool, error: &tokio_postgres::Error) -> Problem {
    Problem::Unavailable(format!(
        "{}: an answer is not as it has to be: {error}; its tables may be of another version",
        pool.name()
    ))
}
