//! `[engine.NAME]`: from its section to [`Engine`]. The bucket of one is for read_s3.rs.

use super::claims::Claims;
use super::disk::Wanted;
use super::keys;
use super::model::{Engine, EngineKind};
use super::read_postgres::{self as postgres, path, refuse_keys_of_others};
use super::read_s3;
use super::section::{Located, Section, Value};
use super::server::MEMORY;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Embedded,
    Postgres,
}

/// Keys that are of one kind alone.
const OWN: [(&str, Kind); 4] = [
    ("url", Kind::Postgres),
    ("password-file", Kind::Postgres),
    ("ca-file", Kind::Postgres),
    ("directory", Kind::Embedded),
];

pub(super) fn engine(
    name: &Located<String>,
    mut section: Section<'_, '_>,
    claims: &mut Claims,
) -> Option<Engine> {
    section = section.with(&keys::ENGINE);
    if name.value == MEMORY {
        section.report.problem(
            name.at,
            "the name `memory` is reserved: in `holds` it is this process alone",
            "give it another name",
        );
    }
    let kind = section
        .require("kind", "kind = \"postgres\" (or \"embedded\")")
        .and_then(|value| {
            value.choice(&[("postgres", Kind::Postgres), ("embedded", Kind::Embedded)])
        });
    claims
        .engines
        .push((name.clone(), kind == Some(Kind::Embedded)));
    refuse_keys_of_others(&section, "an engine", kind, &OWN);
    let file = |value: &Value<'_, '_>, key| path(value, key, Wanted::File);
    let place = postgres::place(&mut section, kind == Some(Kind::Postgres), file);
    let directory = match kind {
        Some(Kind::Embedded) => {
            section.require("directory", "directory = \"/var/lib/restante/engine\"")
        }
        _ => section.take("directory"),
    };
    let directory = directory.and_then(|value| path(&value, "directory", Wanted::Directory));
    let s3 = section.take("s3");
    section.finish();
    let s3 = s3.map(|value| {
        let title = format!("[engine.{}.s3]", name.value.escape_debug());
        let bucket = read_s3::bucket(value.section(title)?)?;
        let place = format!("{}/{}/{}", bucket.endpoint, bucket.bucket, bucket.prefix);
        claims.buckets.push((name.clone(), place));
        Some(bucket)
    });
    let kind = match kind? {
        Kind::Embedded => EngineKind::Embedded {
            directory: directory?,
        },
        Kind::Postgres => EngineKind::Postgres(place?),
    };
    let place = match &kind {
        EngineKind::Embedded { directory } => directory.to_string_lossy().into_owned(),
        EngineKind::Postgres(place) => place.url.clone(),
    };
    claims.engine_places.push((name.clone(), place));
    Some(Engine {
        name: name.value.clone(),
        kind,
        s3: match s3 {
            Some(s3) => Some(s3?),
            None => None,
        },
    })
}
