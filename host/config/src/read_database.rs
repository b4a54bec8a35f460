//! `[database.NAME]`: from its section to [`Database`].

use super::claims::{Claims, DatabaseFile};
use super::disk::Wanted;
use super::keys;
use super::model::{Database, DatabaseCache, DatabaseKind};
use super::read_postgres::{self as postgres, refuse_keys_of_others};
use super::section::{Located, Section, Value};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Postgres,
    Sqlite,
}

/// What messages call a SQLite file.
const SQLITE_FILE: &str = "database";

/// Keys that are of one kind alone.
const OWN: [(&str, Kind); 4] = [
    ("url", Kind::Postgres),
    ("password-file", Kind::Postgres),
    ("ca-file", Kind::Postgres),
    ("file", Kind::Sqlite),
];

pub(super) fn database(
    name: &Located<String>,
    mut section: Section<'_, '_>,
    claims: &mut Claims,
) -> Option<Database> {
    section = section.with(&keys::DATABASE);
    claims.databases.push(name.clone());
    let kind = section
        .require("kind", "kind = \"postgres\" (or \"sqlite\")")
        .and_then(|value| value.choice(&[("postgres", Kind::Postgres), ("sqlite", Kind::Sqlite)]));
    refuse_keys_of_others(&section, "a database", kind, &OWN);
    // Looked at for each plugin that needs it: one that is missing is in nobody else's way.
    let mut path = |value: &Value<'_, '_>, role: &'static str| {
        let path = value.path()?;
        let found = path.value.clone();
        let database = name.value.clone();
        claims.database_files.push(DatabaseFile {
            database,
            role,
            wanted: match role {
                SQLITE_FILE => Wanted::LockedFile,
                _ => Wanted::File,
            },
            path,
        });
        Some(found)
    };
    let place = postgres::place(&mut section, kind == Some(Kind::Postgres), &mut path);
    let file = match kind {
        Some(Kind::Sqlite) => section.require("file", "file = \"/srv/users.sqlite\""),
        _ => section.take("file"),
    };
    let file = file.and_then(|value| path(&value, SQLITE_FILE));
    let cache = DatabaseCache {
        lifetime: section.duration("cache-lifetime"),
        negative_lifetime: section.duration("cache-negative-lifetime"),
        max_bytes: section.size("cache-size"),
    };
    section.finish();
    let kind = match kind? {
        Kind::Postgres => DatabaseKind::Postgres(place?),
        Kind::Sqlite => DatabaseKind::Sqlite { file: file? },
    };
    Some(Database {
        name: name.value.clone(),
        kind,
        cache,
    })
}
