//! What stands on the disk: the configuration file itself, and whether what it
//! names is there. Contents of other files are nobody's business here.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::problem::{Lines, Problem, Problems};

/// Octets of a configuration file. Ten thousand tenants take less.
const FILE_OCTETS: u64 = 16 * 1024 * 1024;

/// What a path of the configuration must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A regular file that can be opened for reading.
    File,
    /// A directory.
    Directory,
    /// A directory, or nothing yet.
    DirectoryOrNothing,
}

/// Why a path is not what is wanted.
#[derive(Debug)]
pub(super) enum Trouble {
    /// There is nothing.
    Missing,
    /// A directory where a file is wanted.
    IsDirectory,
    /// A file where a directory is wanted.
    IsFile,
    /// A device, a socket, a pipe.
    IsOther,
    /// It cannot be looked at or opened.
    Unreadable(io::Error),
}

/// How paths are looked at: [`look`], but for tests.
pub(super) type Look = fn(&Path, Wanted) -> Result<(), Trouble>;

/// Is `path` what is `wanted`?
pub(super) fn look(path: &Path, wanted: Wanted) -> Result<(), Trouble> {
    let kind = match fs::metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match wanted {
                Wanted::DirectoryOrNothing => Ok(()),
                Wanted::File | Wanted::Directory => Err(Trouble::Missing),
            };
        }
        Err(error) => return Err(Trouble::Unreadable(error)),
    };
    match wanted {
        Wanted::File if kind.is_dir() => Err(Trouble::IsDirectory),
        Wanted::File if !kind.is_file() => Err(Trouble::IsOther),
        Wanted::File => File::open(path).map(drop).map_err(Trouble::Unreadable),
        _ if kind.is_dir() => Ok(()),
        _ if kind.is_file() => Err(Trouble::IsFile),
        _ => Err(Trouble::IsOther),
    }
}

/// The text of the configuration file.
pub(super) fn read_text(path: &Path) -> Result<String, Problems> {
    let fail = |what: String, mend: &str| Problems(vec![Problem::of_file(path, what, mend)]);
    let cannot_read = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => fail(
            "there is no such file".into(),
            "name the configuration file with --config FILE",
        ),
        io::ErrorKind::IsADirectory => fail(
            "this is a directory, not a configuration file".into(),
            "name the file in it",
        ),
        io::ErrorKind::PermissionDenied => fail(
            format!("the configuration file cannot be read: {error}"),
            "let the user that runs restante read it",
        ),
        _ => fail(
            format!("the configuration file cannot be read: {error}"),
            "name a file that can be read",
        ),
    };
    let mut octets = Vec::new();
    let file = File::open(path).map_err(cannot_read)?;
    file.take(FILE_OCTETS + 1)
        .read_to_end(&mut octets)
        .map_err(cannot_read)?;
    if octets.len() as u64 > FILE_OCTETS {
        return Err(fail(
            format!("the configuration file is larger than {FILE_OCTETS} octets"),
            "is it the right file?",
        ));
    }
    String::from_utf8(octets).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(&error.as_bytes()[..valid]);
        Problems(vec![Problem {
            file: path.to_owned(),
            place: Some(Lines::of(&text).place(valid)),
            what: "the configuration file is not UTF-8".into(),
            mend: Some(
                "save it as UTF-8, or write this character as \\u and four hex digits".into(),
            ),
        }])
    })
}
