//! What SQLite says, as words for an operator.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::problem::Problem;

/// What an error of SQLite means for a call to the file at `path`.
pub(super) fn told(path: &Path, error: &rusqlite::Error) -> String {
    let path = path.display();
    let rusqlite::Error::SqliteFailure(failure, text) = error else {
        return format!("{path}: {error}");
    };
    let extended = failure.extended_code;
    let text = text.as_deref().unwrap_or("no text");
    match failure.code {
        ErrorCode::DiskFull => {
            format!("{path}: no space is left on its file system: free some, nothing was changed")
        }
        ErrorCode::SystemIoFailure => format!(
            "{path}: the disk failed ({text}, SQLite code {extended}): see the kernel's log"
        ),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => format!(
            "{path}: it is damaged or no SQLite file ({text}): look at it with `pragma integrity_check`, and restore it from a backup if that fails"
        ),
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly => format!(
            "{path}: it cannot be opened or written ({text}): see that it is there and that \
             the server's user may read it; for changes, and in WAL mode, that user has to \
             write to it and to its directory"
        ),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            format!("{path}: another program has locked it ({text})")
        }
        ErrorCode::OperationInterrupted => {
            format!("{path}: the call took longer than 5 s, and was given up; nothing was changed")
        }
        ErrorCode::OutOfMemory => format!("{path}: there was no memory for the call"),
        _ => format!("{path}: {text} (SQLite code {extended})"),
    }
}

/// The same as a problem. Nothing that a caller says can lead to one.
pub(super) fn problem(path: &Path, error: &rusqlite::Error) -> Problem {
    Problem::Unavailable(told(path, error))
}

/// Whether the disk failed.
pub(super) fn is_of_the_disk(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure)
}

/// A number of SQLite's as one of ours. What is stored was never negative.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// A number of ours as one of SQLite's. Those that are stored were checked; limits and
/// versions beyond are as good as the largest.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
