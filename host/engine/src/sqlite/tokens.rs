//! The tables of holds. They are temporary ones of the connection that writes: gone with
//! the process, as holds of one process should be, checked in the transactions that
//! remove, and nothing is written to the disk for them.

use rusqlite::{Connection, Transaction};

use super::aborted::Aborted;
use super::failure::unsigned;
use crate::hold::Hold;
use crate::problem::Problem;

/// Makes the tables. Tells how often the file was opened, this time included.
pub(super) fn begin(writer: &Connection) -> rusqlite::Result<u64> {
    writer.execute_batch(
        "create temp table node (
            name text primary key, term integer not null,
            is_running integer not null) strict, without rowid;
        create temp table hold (
            key text primary key, token blob not null, node text not null,
            term integer not null, since integer not null, fence integer not null) strict, without rowid;",
    )?;
    let sql = "update counter set value = value + 1 where name = 'opened' returning value";
    writer.query_row(sql, [], |row| row.get(0)).map(unsigned)
}

/// Whether a hold is in force.
pub(super) fn check(transaction: &Transaction<'_>, hold: &Hold) -> Result<(), Aborted> {
    let sql = "select 1 from temp.hold where key = ?1 and token = ?2";
    let mut select = transaction.prepare_cached(sql)?;
    match select.exists((&hold.key, &hold.token.0[..]))? {
        true => Ok(()),
        false => Err(Problem::Lost.into()),
    }
}
