//! Where a PostgreSQL database is and how it is reached, for all sections that name one.

use std::path::PathBuf;

use super::disk::Wanted;
use super::model::PostgresPlace;
use super::problem::quoted;
use super::section::{Section, Value};

/// What the URL of a database may look like. What stands before an "@" is hidden in all that
/// is said of a configuration, so the example has none.
const URL: &str = "postgresql://HOST/DATABASE?user=ROLE";

/// Takes these keys. With `is_postgres`, the section must have a `url`; without, each key
/// that is there is a problem already ([`refuse_keys_of_others`]). `file` reads the path of a
/// file from the key of that name.
pub(super) fn place(
    section: &mut Section<'_, '_>,
    is_postgres: bool,
    mut file: impl FnMut(&Value<'_, '_>, &'static str) -> Option<PathBuf>,
) -> Option<PostgresPlace> {
    let url = match is_postgres {
        true => section.require("url", &format!("url = \"{URL}\"")),
        false => section.take("url"),
    };
    let url = url.and_then(|value| url_of(&value));
    let password_file = section.take("password-file");
    let password_file = password_file.and_then(|value| file(&value, "password-file"));
    let ca_file = section.take("ca-file");
    let ca_file = ca_file.and_then(|value| file(&value, "ca-file"));
    Some(PostgresPlace {
        url: url?,
        password_file,
        ca_file,
    })
}

/// Reports each key that belongs to another kind than the section's; `whose` is what has
/// kinds, with its article.
pub(super) fn refuse_keys_of_others<K: Copy + PartialEq>(
    section: &Section<'_, '_>,
    whose: &str,
    kind: Option<K>,
    own: &[(&'static str, K)],
) {
    for (key, of) in own {
        if kind.is_some_and(|kind| kind != *of) && section.has(key) {
            let what = format_args!("is no key of {whose} of this kind");
            section.bad_at(section.at_of(key), key, what, "remove it");
        }
    }
}

/// A path that is what is `wanted`; messages call it `key`.
pub(super) fn path(value: &Value<'_, '_>, key: &'static str, wanted: Wanted) -> Option<PathBuf> {
    let path = value.path()?;
    let fits = value.report().check_path(key, &path, wanted);
    fits.then_some(path.value)
}

/// What is wrong with it beside that is for the database's own reader to say; a password
/// must not get as far as that, since it would stand in a file that many read.
fn url_of(value: &Value<'_, '_>) -> Option<String> {
    let url = value.string("a URL, in quotes")?.value;
    let schemes = ["postgresql://", "postgres://"];
    let Some(rest) = schemes.iter().find_map(|scheme| url.strip_prefix(scheme)) else {
        // Not shown: it may have a password in it.
        return value.bad("is no URL of a database", format!("write \"{URL}\""));
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let role = authority.rsplit_once('@').map(|(role, _)| role);
    if role.is_some_and(|role| role.contains(':')) || rest.contains("password=") {
        return value.bad(
            "has a password in it",
            "write the password into a file, and name that with `password-file`",
        );
    }
    if role.is_none_or(str::is_empty) && !rest.contains("user=") {
        return value.bad(
            format_args!("is {}, which names no role", quoted(&url)),
            format!("write \"{URL}\""),
        );
    }
    Some(url)
}
