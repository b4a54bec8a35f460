//! What stands on the disk: the configuration file itself, those that it
//! includes, and whether what they name is there. Contents of other files are nobody's business here.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use glob::Pattern;

use super::problem::{Lines, Problem, Problems};

/// Octets of a configuration file. Ten thousand tenants take less.
const FILE_OCTETS: u64 = 16 * 1024 * 1024;

/// Files that can be included.
pub(super) const INCLUDED_FILES: usize = 10_000;

/// Octets of all files of a configuration together.
pub(super) const ALL_OCTETS: u64 = 64 * 1024 * 1024;

/// What a path of the configuration must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A regular file that can be opened for reading.
    File,
    /// A regular file that is not opened: to close it would end the locks that this process
    /// has on it (fcntl(2)).
    LockedFile,
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

/// How the disk is looked at: [`DISK`], but for tests and texts from nowhere.
#[derive(Clone, Copy)]
pub(super) struct Disk {
    /// Is a path what is wanted?
    pub(super) look: fn(&Path, Wanted) -> Result<(), Trouble>,
    /// Which files of a folder a pattern fits.
    pub(super) matching: fn(&Path, &Pattern) -> io::Result<Vec<PathBuf>>,
    /// Whether that is the disk as it is.
    pub(super) is_real: bool,
}

/// As it is.
pub(super) const DISK: Disk = Disk {
    look,
    matching,
    is_real: true,
};

/// For a text that may include nothing.
pub(super) const ALONE: Disk = Disk {
    look,
    matching: |_, _| Ok(Vec::new()),
    is_real: false,
};

/// The files in `folder` whose names fit, in order, by their whole paths; at most
/// one more than can be included. Hidden ones are nobody's configuration.
pub(super) fn matching(folder: &Path, pattern: &Pattern) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if !hidden && pattern.matches(&name.to_string_lossy()) {
            names.push(name);
        }
        if names.len() > INCLUDED_FILES {
            break;
        }
    }
    names.sort_unstable();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// Is `path` what is `wanted`?
pub(super) fn look(path: &Path, wanted: Wanted) -> Result<(), Trouble> {
    let kind = match fs::metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match wanted {
                Wanted::DirectoryOrNothing => Ok(()),
                Wanted::File | Wanted::LockedFile | Wanted::Directory => Err(Trouble::Missing),
            };
        }
        Err(error) => return Err(Trouble::Unreadable(error)),
    };
    match wanted {
        Wanted::File | Wanted::LockedFile if kind.is_dir() => Err(Trouble::IsDirectory),
        Wanted::File | Wanted::LockedFile if !kind.is_file() => Err(Trouble::IsOther),
        Wanted::LockedFile => Ok(()),
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
    utf8(octets, path).map_err(|problem| Problems(vec![problem]))
}

/// The text of an included file of at most `most` octets.
pub(super) fn read_included(path: &Path, most: u64) -> Result<String, Problem> {
    let fail = |what: String, mend: &str| Problem::of_file(path, what, mend);
    let unreadable = |error: io::Error| {
        let what = format!("this file is included and cannot be read: {error}");
        fail(
            what,
            "let the user that runs restante read it, or move it away",
        )
    };
    match look(path, Wanted::File) {
        Ok(()) => {}
        Err(Trouble::Unreadable(error)) => return Err(unreadable(error)),
        Err(Trouble::Missing) => {
            let what = "this file is included and does not exist".to_owned();
            return Err(fail(what, "create it, or correct `include`"));
        }
        Err(_) => {
            let what = "this is included and is no regular file".to_owned();
            return Err(fail(what, "move it away, or correct `include`"));
        }
    }
    let file = File::open(path).map_err(unreadable)?;
    let mut octets = Vec::new();
    let limit = most.min(FILE_OCTETS);
    file.take(limit + 1)
        .read_to_end(&mut octets)
        .map_err(unreadable)?;
    if octets.len() as u64 > FILE_OCTETS {
        let what = format!("this file is included and larger than {FILE_OCTETS} octets");
        return Err(fail(what, "is it the right file?"));
    }
    if octets.len() as u64 > most {
        let what = format!("with this file the configuration has more than {ALL_OCTETS} octets");
        return Err(fail(what, "include fewer files"));
    }
    utf8(octets, path)
}

fn utf8(octets: Vec<u8>, path: &Path) -> Result<String, Problem> {
    String::from_utf8(octets).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(&error.as_bytes()[..valid]);
        Problem {
            file: path.to_owned(),
            place: Some(Lines::of(&text).place(valid)),
            what: "the configuration file is not UTF-8".into(),
            mend: Some(
                "save it as UTF-8, or write this character as \\u and four hex digits".into(),
            ),
        }
    })
}
