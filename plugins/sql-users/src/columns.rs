//! Which columns the query returns, and what they mean.

use restante_guest::database::{Cell, Row, Rows};
use restante_guest::scram::Hash;

/// A column with a meaning of its own. All others are attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Password,
    User,
    Maildrop,
    ScramSha256,
    ScramSha1,
    Networks,
    Disabled,
    Reason,
}

const KNOWN: [(&str, Known); 8] = [
    ("password", Known::Password),
    ("user", Known::User),
    ("maildrop", Known::Maildrop),
    ("scram_sha_256", Known::ScramSha256),
    ("scram_sha_1", Known::ScramSha1),
    ("networks", Known::Networks),
    ("disabled", Known::Disabled),
    ("reason", Known::Reason),
];

/// The column that has the keys for this hash function.
pub(crate) fn of_keys(hash: Hash) -> Known {
    match hash {
        Hash::Sha1 => Known::ScramSha1,
        Hash::Sha256 => Known::ScramSha256,
    }
}

/// The columns of an answer, which has them even without rows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    /// With the names that the database has for them.
    known: Vec<(Known, String)>,
    attributes: Vec<String>,
}

impl Columns {
    /// # Errors
    /// What is wrong with the query, for the operator.
    pub(crate) fn of(rows: &Rows) -> Result<Columns, String> {
        let mut columns = Columns {
            known: Vec::new(),
            attributes: Vec::new(),
        };
        let mut names: Vec<String> = Vec::new();
        for name in rows.columns() {
            let lower = name.to_ascii_lowercase();
            if names.contains(&lower) {
                return Err(format!(
                    "user-query returns two columns {name:?}: give each a name of its own (AS)"
                ));
            }
            match KNOWN.iter().find(|(known, _)| *known == lower) {
                Some((_, known)) => columns.known.push((*known, name.to_owned())),
                None => columns.attributes.push(name.to_owned()),
            }
            names.push(lower);
        }
        let secrets = [Known::Password, Known::ScramSha256, Known::ScramSha1];
        if !secrets.iter().any(|known| columns.have(*known)) {
            return Err(
                "user-query returns no column `password`, nor `scram_sha_256` or `scram_sha_1`: name one of its columns so (AS password)"
                    .to_owned(),
            );
        }
        Ok(columns)
    }

    pub(crate) fn have(&self, known: Known) -> bool {
        self.name(known).is_some()
    }

    /// A value. Null where there is no such column.
    pub(crate) fn get<'a>(&self, row: Row<'a>, known: Known) -> Cell<'a> {
        let name = self.name(known);
        name.and_then(|name| row.get(name)).unwrap_or(Cell::Null)
    }

    /// The names of those that become attributes.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().map(String::as_str)
    }

    fn name(&self, known: Known) -> Option<&str> {
        let mut all = self.known.iter();
        all.find(|(one, _)| *one == known)
            .map(|(_, name)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_known_in_any_case() {
        let rows = Rows::of(
            &["PASSWORD", "User", "quota", "Color"],
            [vec!["x".into(), "ann".into(), 5.into(), "red".into()]],
        );
        let columns = Columns::of(&rows).unwrap();
        let row = rows.rows().next().unwrap();
        assert_eq!(columns.get(row, Known::Password), Cell::Text("x"));
        assert_eq!(columns.get(row, Known::User), Cell::Text("ann"));
        assert_eq!(columns.get(row, Known::Maildrop), Cell::Null);
        assert!(!columns.have(Known::Networks));
        let attributes: Vec<_> = columns.attributes().collect();
        assert_eq!(attributes, ["quota", "Color"]);
    }

    #[test]
    fn a_query_has_something_to_check_passwords_against() {
        for columns in [&["password"], &["scram_sha_256"], &["SCRAM_SHA_1"]] {
            assert!(Columns::of(&Rows::of(columns, [])).is_ok(), "{columns:?}");
        }
        for columns in [&["hash", "user"][..], &[]] {
            let told = Columns::of(&Rows::of(columns, [])).unwrap_err();
            assert!(told.contains("no column `password`"), "{told}");
        }
    }

    #[test]
    fn two_columns_of_one_name_are_a_mistake() {
        for columns in [["password", "Password"], ["id", "id"]] {
            let told = Columns::of(&Rows::of(&columns, [])).unwrap_err();
            assert!(told.contains("two columns"), "{told}");
        }
    }
}
