//! What is changed in an index. One connection writes, so what a transaction has read
//! stays so until its commit.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{OptionalExtension, Transaction};

use super::aborted::Aborted;
use super::failure::{signed, unsigned};
use super::rows::{self, Found};
use crate::bounds::{MAX_ANSWER_BYTES, MAX_ENTRIES};
use crate::index::{
    Appended, Entry, Folder, Limits, Placed, check_not_made_here, entry_bytes, fresh_epoch,
    made_unique_id,
};
use crate::problem::Problem;
use crate::retention::Retention;

/// An append, with all that it needs.
pub(super) struct Append {
    pub(super) folder: Folder,
    pub(super) entry: Entry,
    pub(super) limits: Limits,
    pub(super) placed: Option<Placed>,
    pub(super) retention: Retention,
}

impl Append {
    pub(super) fn run(&self, transaction: &Transaction<'_>) -> Result<Appended, Aborted> {
        let found = rows::find(transaction, &self.folder)?;
        let is_new = found.is_none();
        let mut found = match found {
            Some(found) => found,
            None => Found {
                epoch: fresh_epoch()?,
                ..Found::default()
            },
        };
        if !is_new && self.is_duplicate(transaction, &found)? {
            return Ok(Appended::Duplicate);
        }
        let number = found.version + 1;
        let unique_id = match &self.entry.unique_id {
            Some(unique_id) => unique_id.clone(),
            None => made_unique_id(found.epoch, number),
        };
        found.version = number;
        found.messages += 1;
        found.octets += self.entry.octets;
        found.weight += self.entry.weight;
        found.bytes += entry_bytes(&unique_id, &self.entry.name);
        if self.is_full(&found) {
            return Ok(Appended::Full);
        }
        if self.entry.unique_id.is_some() {
            check_not_made_here(&unique_id, found.epoch)?;
            if !is_new && is_brought(transaction, &found, &unique_id)? {
                return Err(Problem::is_there(&unique_id).into());
            }
        }
        if let Some(placed) = &self.placed {
            take_intent(transaction, placed)?;
        }
        if is_new {
            let names = (
                self.folder.tenant(),
                self.folder.maildrop(),
                self.folder.folder(),
            );
            let sql = "insert into maildrop (tenant, name, folder, epoch,
                version, pruned, messages, octets, weight, bytes)
                values (?1, ?2, ?3, ?4, 0, 0, 0, 0, 0, 0)";
            let values = (names.0, names.1, names.2, signed(found.epoch));
            transaction.prepare_cached(sql)?.execute(values)?;
            found.id = transaction.last_insert_rowid();
        }
        self.insert(transaction, &found)?;
        update(transaction, &found)?;
        Ok(Appended::Kept(unique_id))
    }

    fn is_duplicate(&self, transaction: &Transaction<'_>, found: &Found) -> Result<bool, Aborted> {
        let Some(digest) = &self.entry.digest else {
            return Ok(false);
        };
        let sql = "select 1 from seen where maildrop = ?1 and digest = ?2 and at > ?3";
        let before = before(self.retention.duplicates);
        let mut select = transaction.prepare_cached(sql)?;
        Ok(select.exists((found.id, &digest[..], before))?)
    }

    /// `found` as it would be.
    fn is_full(&self, found: &Found) -> bool {
        found.messages > self.limits.messages.unwrap_or(MAX_ENTRIES).min(MAX_ENTRIES)
            || self.limits.weight.is_some_and(|limit| found.weight > limit)
            || found.bytes > MAX_ANSWER_BYTES
    }

    fn insert(&self, transaction: &Transaction<'_>, found: &Found) -> Result<(), Aborted> {
        let entry = &self.entry;
        let sql = "insert into message (maildrop, number, unique_id, octets, surrogate, received,
            name, weight, place, path) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let placed = self.placed.as_ref();
        transaction.prepare_cached(sql)?.execute((
            found.id,
            signed(found.version),
            &entry.unique_id,
            signed(entry.octets),
            entry.surrogate.map(signed),
            signed(entry.received),
            &entry.name,
            signed(entry.weight),
            placed.map(|placed| &placed.place),
            placed.map(|placed| placed.path.as_str()),
        ))?;
        if let Some(digest) = &entry.digest {
            let sql = "insert into seen (maildrop, digest, at) values (?1, ?2, ?3)
                on conflict do update set at = excluded.at";
            transaction
                .prepare_cached(sql)?
                .execute((found.id, &digest[..], now()))?;
        }
        Ok(())
    }
}

/// That a blob will be written.
pub(super) fn intend(transaction: &Transaction<'_>, placed: &Placed) -> Result<(), Aborted> {
    let (place, path) = (placed.place.as_str(), placed.path.as_str());
    let sql = "insert into intent (place, path, at) select ?1, ?2, ?3
        where not exists (select 1 from garbage where place = ?1 and path = ?2)
        on conflict do nothing";
    match transaction
        .prepare_cached(sql)?
        .execute((place, path, now()))?
    {
        0 => Err(Problem::in_use(place, path).into()),
        _ => Ok(()),
    }
}

fn take_intent(transaction: &Transaction<'_>, placed: &Placed) -> Result<(), Aborted> {
    let (place, path) = (placed.place.as_str(), placed.path.as_str());
    let sql = "delete from intent where place = ?1 and path = ?2";
    match transaction.prepare_cached(sql)?.execute((place, path))? {
        0 => Err(Problem::not_intended(place, path).into()),
        _ => Ok(()),
    }
}

/// Removes all of these entries; the hold was checked in the same transaction.
pub(super) fn remove(
    transaction: &Transaction<'_>,
    folder: &Folder,
    unique_ids: &[String],
) -> Result<(), Aborted> {
    let Some(first) = unique_ids.first() else {
        return Ok(());
    };
    let Some(mut found) = rows::find(transaction, folder)? else {
        return Err(Problem::is_not_there(first).into());
    };
    let numbers = numbers(transaction, &found, unique_ids)?;
    found.version += 1;
    let sql = "insert into gone (maildrop, version, number, unique_id, at)
        select maildrop, ?2, number, coalesce(unique_id, printf('%x.%x', ?3, number)), ?4
        from message where maildrop = ?1 and number in (select value from json_each(?5))";
    let values = (
        found.id,
        signed(found.version),
        signed(found.epoch),
        now(),
        &numbers,
    );
    transaction.prepare_cached(sql)?.execute(values)?;
    let sql = "insert or ignore into garbage (place, path) select place, path from message
        where maildrop = ?1 and number in (select value from json_each(?2)) and place is not null";
    transaction
        .prepare_cached(sql)?
        .execute((found.id, &numbers))?;
    // The bytes are those of `entry_bytes`.
    let sql = "select count(*), sum(octets), sum(weight), sum(34 + octet_length(name)
            + octet_length(coalesce(unique_id, printf('%x.%x', ?3, number))))
        from message where maildrop = ?1 and number in (select value from json_each(?2))";
    let values = (found.id, &numbers, signed(found.epoch));
    let gone: (i64, i64, i64, i64) = transaction.prepare_cached(sql)?.query_row(values, |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    })?;
    for (sum, gone) in [
        (&mut found.messages, gone.0),
        (&mut found.octets, gone.1),
        (&mut found.weight, gone.2),
        (&mut found.bytes, gone.3),
    ] {
        *sum = sum.saturating_sub(unsigned(gone));
    }
    let sql = "delete from message
        where maildrop = ?1 and number in (select value from json_each(?2))";
    transaction
        .prepare_cached(sql)?
        .execute((found.id, &numbers))?;
    update(transaction, &found)?;
    Ok(())
}

/// The numbers of all of these, as a JSON array: SQLite takes no list as a parameter.
fn numbers(
    transaction: &Transaction<'_>,
    found: &Found,
    unique_ids: &[String],
) -> Result<String, Aborted> {
    let made = "select number from message
        where maildrop = ?1 and number = ?2 and unique_id is null";
    let mut made = transaction.prepare_cached(made)?;
    let brought = "select number from message where maildrop = ?1 and unique_id = ?2";
    let mut brought = transaction.prepare_cached(brought)?;
    let mut numbers = String::from("[");
    for id in unique_ids {
        let number: Option<i64> = match made_number(found.epoch, id) {
            Some(number) => made
                .query_row((found.id, number), |row| row.get(0))
                .optional()?,
            None => brought
                .query_row((found.id, id), |row| row.get(0))
                .optional()?,
        };
        let number = number.ok_or_else(|| Problem::is_not_there(id))?;
        if numbers.len() > 1 {
            numbers.push(',');
        }
        numbers.push_str(&number.to_string());
    }
    numbers.push(']');
    Ok(numbers)
}

/// The number in a unique-id that was made in the folder.
fn made_number(epoch: u64, unique_id: &str) -> Option<i64> {
    let (_, number) = unique_id.split_once('.')?;
    let number = u64::from_str_radix(number, 16).ok()?;
    let number = i64::try_from(number).ok()?;
    (made_unique_id(epoch, number as u64) == unique_id).then_some(number)
}

fn is_brought(
    transaction: &Transaction<'_>,
    found: &Found,
    unique_id: &str,
) -> rusqlite::Result<bool> {
    let sql = "select 1 from message where maildrop = ?1 and unique_id = ?2";
    transaction
        .prepare_cached(sql)?
        .exists((found.id, unique_id))
}

fn update(transaction: &Transaction<'_>, found: &Found) -> rusqlite::Result<()> {
    let sql = "update maildrop set version = ?2, messages = ?3, octets = ?4, weight = ?5,
        bytes = ?6 where id = ?1";
    let sums = [
        found.version,
        found.messages,
        found.octets,
        found.weight,
        found.bytes,
    ];
    let [version, messages, octets, weight, bytes] = sums.map(signed);
    let values = (found.id, version, messages, octets, weight, bytes);
    transaction.prepare_cached(sql)?.execute(values).map(drop)
}

/// Forgets what is too old, at most `limit` of each kind; how many.
pub(super) fn expire(
    transaction: &Transaction<'_>,
    limit: u32,
    retention: &Retention,
) -> Result<u64, Aborted> {
    let old = before(retention.intents);
    let sql = "insert or ignore into garbage (place, path)
        select place, path from intent where at <= ?1 order by at limit ?2";
    transaction.prepare_cached(sql)?.execute((old, limit))?;
    let sql = "delete from intent where (place, path) in
        (select place, path from intent where at <= ?1 order by at limit ?2)";
    let intents = transaction.prepare_cached(sql)?.execute((old, limit))?;

    let old = before(retention.changes);
    let sql = "delete from gone where (maildrop, version, number) in
        (select maildrop, version, number from gone where at <= ?1 order by at limit ?2)
        returning maildrop, version";
    let mut gone = 0;
    {
        let mut delete = transaction.prepare_cached(sql)?;
        let mut rows = delete.query((old, limit))?;
        let mut pruned: Vec<(i64, i64)> = Vec::new();
        while let Some(row) = rows.next()? {
            pruned.push((row.get(0)?, row.get(1)?));
        }
        gone += pruned.len();
        let sql = "update maildrop set pruned = max(pruned, ?2) where id = ?1";
        let mut update = transaction.prepare_cached(sql)?;
        for folder_and_version in pruned {
            update.execute(folder_and_version)?;
        }
    }

    let sql = "delete from seen where (maildrop, digest) in
        (select maildrop, digest from seen where at <= ?1 order by at limit ?2)";
    let old = before(retention.duplicates);
    let seen = transaction.prepare_cached(sql)?.execute((old, limit))?;
    Ok((intents + gone + seen) as u64)
}

/// Milliseconds since the Unix epoch.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    milliseconds(now.unwrap_or_default())
}

/// What is not later than this is over.
fn before(kept: Duration) -> i64 {
    now().saturating_sub(milliseconds(kept))
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
