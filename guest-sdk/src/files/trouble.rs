//! What goes wrong with files, in words for the operator and as a failure for the client.

use std::fs::File;
use std::io::{self, ErrorKind};

use crate::types::Failure;

/// What an operator can do something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Denied,
    ReadOnly,
    NoSpace,
    Quota,
    Stale,
    Device,
}

/// Error numbers of WASI's C library (`errno.h`), for which `std` has no kinds.
const WASI: [(i32, Trouble); 7] = [
    (2, Trouble::Denied),
    (63, Trouble::Denied),
    (69, Trouble::ReadOnly),
    (51, Trouble::NoSpace),
    (19, Trouble::Quota),
    (29, Trouble::Device),
    (72, Trouble::Stale),
];
/// WASI has no code for a stale file handle, so the host says "not recoverable".
const NOT_RECOVERABLE: i32 = 56;

impl Trouble {
    fn of(error: &io::Error) -> Option<Trouble> {
        match error.kind() {
            ErrorKind::PermissionDenied => Some(Trouble::Denied),
            ErrorKind::ReadOnlyFilesystem => Some(Trouble::ReadOnly),
            ErrorKind::StorageFull => Some(Trouble::NoSpace),
            ErrorKind::QuotaExceeded => Some(Trouble::Quota),
            ErrorKind::StaleNetworkFileHandle => Some(Trouble::Stale),
            _ if cfg!(target_family = "wasm") => error.raw_os_error().and_then(Trouble::of_wasi),
            _ => None,
        }
    }

    fn of_wasi(number: i32) -> Option<Trouble> {
        if number == NOT_RECOVERABLE {
            return Some(Trouble::Stale);
        }
        let mut known = WASI.into_iter();
        known.find_map(|(of, trouble)| (of == number).then_some(trouble))
    }

    fn words(self) -> &'static str {
        match self {
            Trouble::Denied => "permission denied",
            Trouble::ReadOnly => "the file system is read-only",
            Trouble::NoSpace => "no space left on the file system",
            Trouble::Quota => "the disk quota is used up",
            Trouble::Stale => "the file server no longer has the file (stale file handle)",
            Trouble::Device => "input/output error of the device or the file server",
        }
    }

    /// Whether it stays until somebody changes something on the server. Full disks are
    /// emptied, and file servers come back.
    fn is_permanent(self) -> bool {
        matches!(self, Trouble::Denied | Trouble::ReadOnly)
    }
}

/// Why an operation of `std::fs` failed, for a log line: "the file system is read-only"
/// rather than "os error 69".
///
/// ```
/// use std::io;
///
/// use restante_guest::files;
///
/// let error = io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
/// assert_eq!(files::reason(&error), "the file system is read-only");
/// ```
pub fn reason(error: &io::Error) -> String {
    Trouble::of(error).map_or_else(|| error.to_string(), |trouble| trouble.words().to_owned())
}

/// What a client is told when an operation of `std::fs` failed: a permanent failure
/// where it stays until somebody acts (no permission, a read-only file system), else a
/// temporary one.
pub fn failure(error: &io::Error, text: impl Into<String>) -> Failure {
    match Trouble::of(error).is_some_and(Trouble::is_permanent) {
        true => Failure::permanent(text),
        false => Failure::temporary(text),
    }
}

/// Why a write to `file` failed. WASI's C library says "I/O error" of every write that
/// fails; the host tells the cause when the file is synced next, as this does.
///
/// ```no_run
/// use std::fs::File;
/// use std::io::{self, Write as _};
///
/// use restante_guest::files;
///
/// fn write(file: &mut File, octets: &[u8]) -> io::Result<()> {
///     let written = file.write_all(octets);
///     written.map_err(|error| files::cause(file, error))
/// }
/// ```
pub fn cause(file: &File, error: io::Error) -> io::Error {
    match Trouble::of(&error) {
        Some(Trouble::Device) => file.sync_all().err().unwrap_or(error),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_have_words_and_say_whether_they_pass() {
        for (kind, words, is_permanent) in [
            (ErrorKind::PermissionDenied, "permission denied", true),
            (
                ErrorKind::ReadOnlyFilesystem,
                "the file system is read-only",
                true,
            ),
            (
                ErrorKind::StorageFull,
                "no space left on the file system",
                false,
            ),
            (ErrorKind::QuotaExceeded, "the disk quota is used up", false),
            (
                ErrorKind::StaleNetworkFileHandle,
                "the file server no longer has the file (stale file handle)",
                false,
            ),
        ] {
            let error = io::Error::from(kind);
            assert_eq!(reason(&error), words);
            let expected = match is_permanent {
                true => Failure::permanent("x"),
                false => Failure::temporary("x"),
            };
            assert_eq!(failure(&error, "x"), expected, "{words}");
        }
        let other = io::Error::other("what the host said");
        assert_eq!(reason(&other), "what the host said");
        assert_eq!(failure(&other, "x"), Failure::temporary("x"));
    }

    #[test]
    fn numbers_of_wasi_are_known() {
        for (number, expected) in [
            (69, Some(Trouble::ReadOnly)),
            (51, Some(Trouble::NoSpace)),
            (19, Some(Trouble::Quota)),
            (29, Some(Trouble::Device)),
            (72, Some(Trouble::Stale)),
            (56, Some(Trouble::Stale)),
            (2, Some(Trouble::Denied)),
            (63, Some(Trouble::Denied)),
            (44, None),
            (0, None),
        ] {
            assert_eq!(Trouble::of_wasi(number), expected, "{number}");
        }
    }
}
