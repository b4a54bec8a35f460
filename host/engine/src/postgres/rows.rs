//! What is read of an index: rows into columns.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::calls::{Parameter, call};
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
/// version, the others are the entries. They are sorted here: nearly sorted as they come, that
/// costs next to nothing, and a server with little memory for it would write files.
pub(super) async fn entries(pool: &Arc<Pool>, found: &Found) -> Result<Entries, Problem> {
    let sql = "select 0::bigint as number, null as unique_id, version as octets,
            null::bigint as surrogate, 0::bigint as received, '' as name
            from restante.maildrop where id = $1
        union all
        select number, unique_id, octets, surrogate, received, name
            from restante.message where maildrop = $1";
    let rows = call(pool, sql, &[(&found.id, Type::INT8)]).await?;
    let numbered = rows.iter().map(|row| Ok((row.try_get::<_, i64>(0)?, row)));
    let numbered: Result<Vec<_>, tokio_postgres::Error> = numbered.collect();
    let mut numbered = numbered.map_err(|error| odd(pool, &error))?;
    numbered.sort_by_key(|(number, _)| *number);
    let mut entries = Entries::default();
    let mut rows = numbered.into_iter().map(|(_, row)| row);
    let mut filled = || -> Result<(), tokio_postgres::Error> {
        if let Some(head) = rows.next() {
            entries.version = unsigned(head.try_get(2)?);
        }
        for row in rows.by_ref() {
            push_entry(&mut entries, found.epoch, row, 0)?;
        }
        Ok(())
    };
    filled().map_err(|error| odd(pool, &error))?;
    Ok(entries)
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
    let rows = call(pool, sql, &parameters).await?;
    let told = || -> Result<Option<Difference>, tokio_postgres::Error> {
        let mut difference = Difference::default();
        let mut bytes = 0;
        for row in &rows {
            match row.try_get::<_, i32>(0)? {
                0 => {
                    let pruned = unsigned(row.try_get(1)?);
                    let current = unsigned(row.try_get(3)?);
                    if version < pruned || version > current {
                        return Ok(None);
                    }
                    difference.came.version = current;
                }
                1 => {
                    let unique_id = row.try_get(2)?;
                    push(&mut difference.gone, unique_id);
                    bytes += unique_id.len() as u64 + 1;
                }
                _ => bytes += push_entry(&mut difference.came, found.epoch, row, 1)?,
            }
        }
        Ok((bytes <= MAX_ANSWER_BYTES).then_some(difference))
    };
    told().map_err(|error| odd(pool, &error))
}

/// Adds a row of `number, unique_id, octets, surrogate, received, name`, which begin at
/// column `at`; its bytes.
fn push_entry(
    entries: &mut Entries,
    epoch: u64,
    row: &Row,
    at: usize,
) -> Result<u64, tokio_postgres::Error> {
    let made;
    let unique_id = match row.try_get::<_, Option<&str>>(at + 1)? {
        Some(brought) => brought,
        None => {
            made = made_unique_id(epoch, unsigned(row.try_get(at)?));
            &made
        }
    };
    push(&mut entries.unique_ids, unique_id);
    let surrogate: Option<i64> = row.try_get(at + 3)?;
    if let Some(octets) = surrogate {
        let position = entries.octets.len() as u32;
        entries.surrogates.push((position, unsigned(octets)));
    }
    entries.octets.push(unsigned(row.try_get(at + 2)?));
    entries.received.push(unsigned(row.try_get(at + 4)?));
    let name = row.try_get(at + 5)?;
    push(&mut entries.names, name);
    Ok(entry_bytes(unique_id, name))
}

/// Packs one text more.
fn push(packed: &mut String, text: &str) {
    packed.push_str(text);
    packed.push('\0');
}

/// An answer that is not of the shape that the schema gives it.
pub(super) fn odd(pool: &Pool, error: &tokio_postgres::Error) -> Problem {
    Problem::Unavailable(format!(
        "{}: an answer is not as it has to be: {error}; its tables may be of another version",
        pool.name()
    ))
}
