//! What SQLite says of a plugin's statement, with a SQLSTATE as other databases have it.

use std::path::Path;

use rusqlite::ErrorCode;
use rusqlite::ffi;

use super::failure;
use crate::database::Refusal;

/// The database refuses a statement.
pub(super) fn refused(state: &str, text: &str) -> Refusal {
    Refusal::Refused {
        state: state.to_owned(),
        text: text.to_owned(),
    }
}

/// Whose fault it is: the statement's, or the file's.
pub(super) fn refusal(path: &Path, error: &rusqlite::Error) -> Refusal {
    let (failure, text) = match error {
        rusqlite::Error::SqliteFailure(failure, text) => (failure, text.as_deref()),
        rusqlite::Error::SqlInputError { error, msg, .. } => (error, Some(msg.as_str())),
        error => return refused("42601", &error.to_string()),
    };
    let state = match failure.code {
        ErrorCode::ConstraintViolation => match failure.extended_code {
            ffi::SQLITE_CONSTRAINT_UNIQUE
            | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            | ffi::SQLITE_CONSTRAINT_ROWID => "23505",
            ffi::SQLITE_CONSTRAINT_NOTNULL => "23502",
            ffi::SQLITE_CONSTRAINT_FOREIGNKEY => "23503",
            ffi::SQLITE_CONSTRAINT_CHECK => "23514",
            _ => "23000",
        },
        ErrorCode::AuthorizationForStatementDenied => "42501",
        // The connection that queries, that is: a file that cannot be written is another.
        ErrorCode::ReadOnly if failure.extended_code == ffi::SQLITE_READONLY => "25006",
        ErrorCode::TypeMismatch => "42804",
        ErrorCode::TooBig => "54000",
        ErrorCode::ParameterOutOfRange => "42P02",
        ErrorCode::Unknown if failure.extended_code == ffi::SQLITE_ERROR => "42000",
        _ => return Refusal::Unavailable(failure::told(path, error)),
    };
    refused(state, text.unwrap_or("the statement is refused"))
}
