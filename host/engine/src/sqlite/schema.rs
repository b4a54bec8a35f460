//! The tables, and the way from those of an older version.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::failure;
use crate::migration::{Migration, Tables};
use crate::problem::Problem;

/// One step from a version of the schema to the next.
struct Step {
    /// What an operator is told about it.
    about: &'static str,
    sql: &'static str,
}

/// Step n makes version n + 1 of version n; version 0 is an empty file.
const STEPS: &[Step] = &[Step {
    about: "make the tables of an index",
    sql: "
        create table counter (name text primary key, value integer not null)
            strict, without rowid;
        insert into counter values ('opened', 0);
        create table maildrop (
            id integer primary key autoincrement,
            tenant text not null, name text not null, folder text not null,
            epoch integer not null, version integer not null, pruned integer not null,
            messages integer not null, octets integer not null, weight integer not null,
            bytes integer not null,
            unique (tenant, name, folder)) strict;
        create table message (
            maildrop integer not null, number integer not null, unique_id text,
            octets integer not null, surrogate integer, received integer not null,
            name text not null, weight integer not null, place text, path text,
            primary key (maildrop, number)) strict, without rowid;
        create unique index message_unique_id on message (maildrop, unique_id)
            where unique_id is not null;
        create table gone (
            maildrop integer not null, version integer not null, number integer not null,
            unique_id text not null, at integer not null,
            primary key (maildrop, version, number)) strict, without rowid;
        create index gone_at on gone (at);
        create table seen (
            maildrop integer not null, digest blob not null, at integer not null,
            primary key (maildrop, digest)) strict, without rowid;
        create index seen_at on seen (at);
        create table intent (
            place text not null, path text not null, at integer not null,
            primary key (place, path)) strict, without rowid;
        create index intent_at on intent (at);
        create table garbage (
            place text not null, path text not null,
            primary key (place, path)) strict, without rowid;
        create table agreement (name text primary key, said text not null)
            strict, without rowid;",
}];

/// What has to be done to a file, without doing it. None: nothing, or it is still to be
/// made. May wait for the disk.
///
/// # Errors
/// If it cannot be read, or is of a newer version than this program knows.
pub fn pending_migration(path: &Path) -> Result<Option<Migration>, Problem> {
    if !path.try_exists().unwrap_or(true) {
        return Ok(None);
    }
    let migration = look(path)?;
    Ok(migration.filter(|migration| migration.from > 0))
}

/// Whether there is no file, or one whose tables are still to be made. May wait for the disk.
///
/// # Errors
/// If it cannot be read, or is of a newer version than this program knows.
pub fn has_no_tables(path: &Path) -> Result<bool, Problem> {
    if !path.try_exists().unwrap_or(true) {
        return Ok(true);
    }
    let migration = look(path)?;
    Ok(migration.is_some_and(|migration| migration.from == 0))
}

/// What has to be done to a file that is there, without doing it.
fn look(path: &Path) -> Result<Option<Migration>, Problem> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags);
    let connection = connection.map_err(|error| failure::problem(path, &error))?;
    pending(path, &connection, STEPS)
}

/// Does to the tables what may be done and has to be.
///
/// # Errors
/// [`Problem::Invalid`] if it may not, or the version is a newer one.
pub(super) fn prepare(
    path: &Path,
    connection: &mut Connection,
    tables: Tables,
) -> Result<(), Problem> {
    prepare_by(path, connection, tables, STEPS)
}

fn prepare_by(
    path: &Path,
    connection: &mut Connection,
    tables: Tables,
    steps: &[Step],
) -> Result<(), Problem> {
    let Some(migration) = pending(path, connection, steps)? else {
        return Ok(());
    };
    tables.allow(&migration)?;
    let run = || -> rusqlite::Result<()> {
        // Each step with its version: what fails half-way goes on from there.
        let versions = migration.from + 1..=migration.to;
        for (version, step) in versions.zip(&steps[migration.from as usize..]) {
            let transaction = connection.transaction()?;
            transaction.execute_batch(step.sql)?;
            transaction.pragma_update(None, "user_version", version)?;
            transaction.commit()?;
        }
        Ok(())
    };
    let mut run = run;
    run().map_err(|error| failure::problem(path, &error))
}

fn pending(
    path: &Path,
    connection: &Connection,
    steps: &[Step],
) -> Result<Option<Migration>, Problem> {
    let known = steps.len() as u32;
    let found = connection.query_row("pragma user_version", [], |row| row.get::<_, i64>(0));
    let found = found.map_err(|error| failure::problem(path, &error))?;
    let sql = "select count(*) from sqlite_schema";
    let tables = connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let tables = tables.map_err(|error| failure::problem(path, &error))?;
    if found == 0 && tables > 0 {
        return Err(Problem::invalid(format!(
            "{}: it is a SQLite file of another program: set `directory` to an empty one",
            path.display()
        )));
    }
    match u32::try_from(found) {
        Ok(from) if from < known => Ok(Some(Migration {
            database: path.display().to_string(),
            from,
            to: known,
            steps: steps[from as usize..]
                .iter()
                .map(|step| step.about)
                .collect(),
        })),
        Ok(from) if from == known => Ok(None),
        _ => Err(Problem::invalid(format!(
            "{}: version {found} of its tables is newer than this program ({known}): \
             use the program that made it, or a newer one",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: &[Step] = &[
        Step {
            about: "make one",
            sql: "create table one (a integer) strict",
        },
        Step {
            about: "add b to one",
            sql: "alter table one add column b integer",
        },
        Step {
            about: "add c to one",
            sql: "alter table one add column c integer",
        },
    ];

    #[test]
    fn an_older_file_is_changed_once_it_is_allowed_and_a_newer_one_never() {
        let path = Path::new("/x/mail.sqlite");
        let mut file = Connection::open_in_memory().unwrap();
        prepare_by(path, &mut file, Tables::Made, &NEXT[..1]).unwrap();
        file.execute("insert into one values (1)", []).unwrap();

        let refused = prepare_by(path, &mut file, Tables::Made, NEXT).unwrap_err();
        let Problem::Invalid(text) = refused else {
            panic!("{refused:?}");
        };
        assert!(
            text.contains("/x/mail.sqlite: version 1 of its tables becomes 3"),
            "{text}"
        );
        assert!(
            text.contains("\n- add b to one\n- add c to one\n"),
            "{text}"
        );
        file.prepare("select b from one").unwrap_err();

        prepare_by(path, &mut file, Tables::Migrated, NEXT).unwrap();
        prepare_by(path, &mut file, Tables::Made, NEXT).unwrap();
        let kept = file.query_row(
            "select a from one where b is null and c is null",
            [],
            |row| row.get::<_, i64>(0),
        );
        assert_eq!(kept, Ok(1));

        let refused = prepare_by(path, &mut file, Tables::Migrated, &NEXT[..1]).unwrap_err();
        assert!(
            matches!(&refused, Problem::Invalid(text) if text.contains("newer")),
            "{refused}"
        );
    }

    #[test]
    fn what_fails_half_way_goes_on_from_there() {
        let path = Path::new("/x/mail.sqlite");
        let mut file = Connection::open_in_memory().unwrap();
        file.execute("create table one (c integer)", []).unwrap();
        file.pragma_update(None, "user_version", 1).unwrap();
        let problem = prepare_by(path, &mut file, Tables::Migrated, NEXT).unwrap_err();
        assert!(matches!(problem, Problem::Unavailable(_)), "{problem}");
        let migration = pending(path, &file, NEXT).unwrap().unwrap();
        assert_eq!((migration.from, migration.steps), (2, vec!["add c to one"]));
    }
}
