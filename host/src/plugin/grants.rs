//! What a plugin may touch: a grant made concrete for one account, and the one
//! door through which the host opens a file that a guest has named.

use std::fs::File;
use std::io;
use std::path::{Component as PathPart, Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use crate::backend::{Account, FileRange};
use crate::cached;
use crate::config::Grants;
use crate::template::{ExpandError, Values};

/// Where a session's maildrop appears in the guest.
pub(super) const MAILDROP: &str = "/maildrop";

/// Longest path that a guest may name, in octets.
const PATH: usize = 4096;

/// The directory of this account's maildrop on the host, where the plugin has
/// that grant.
pub(super) fn maildrop_path(
    grants: &Grants,
    tenant: &str,
    account: &Account,
) -> Result<Option<PathBuf>, ExpandError> {
    grants
        .maildrop
        .as_ref()
        .map(|template| {
            template.expand(&Values {
                tenant,
                user: &account.user,
                maildrop: &account.maildrop,
                attributes: &account.attributes,
            })
        })
        .transpose()
}

/// Opens the maildrop's directory, or makes it where the grant says so. None:
/// it does not exist, and the plugin is to do without.
pub(super) fn open_maildrop(path: &Path, create: bool) -> io::Result<Option<Arc<Dir>>> {
    match Dir::open_ambient_dir(path, ambient_authority()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(dir) => {
            cached::learn(&dir);
            return Ok(Some(Arc::new(dir)));
        }
    }
    if !create {
        return Ok(None);
    }
    make_private_dir(path)?;
    Dir::open_ambient_dir(path, ambient_authority()).map(|dir| Some(Arc::new(dir)))
}

/// Makes a directory and those above it, for nobody but the server's user.
pub(super) fn make_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// A granted directory: its path in the guest, and the directory.
pub(super) type Granted = (Arc<str>, Arc<Dir>);

/// Puts the granted directories into a guest's world. What it gives back is the
/// same for the host's own work on them.
pub(super) fn preopen(
    wasi: &mut WasiCtxBuilder,
    grants: &Grants,
    maildrop: Option<&Path>,
) -> wasmtime::Result<Vec<Granted>> {
    let mut granted = Vec::with_capacity(grants.directories.len());
    for directory in &grants.directories {
        let permissions = if directory.write {
            FsPerms::ReadWrite
        } else {
            FsPerms::ReadOnly
        };
        wasi.preopened_dir(&directory.host, &directory.guest, permissions)
            .map_err(|error| error.context(format!("granted directory {:?}", directory.host)))?;
        let dir = Dir::open_ambient_dir(&directory.host, ambient_authority())?;
        cached::learn(&dir);
        granted.push((directory.guest.as_str().into(), Arc::new(dir)));
    }
    if let Some(path) = maildrop {
        wasi.preopened_dir(path, MAILDROP, FsPerms::ReadWrite)
            .map_err(|error| error.context(format!("maildrop {path:?}")))?;
    }
    Ok(granted)
}

/// Whether all that an instance opens when it is made takes no waiting.
pub(super) fn are_cached(grants: &Grants, maildrop: Option<&Path>) -> bool {
    grants
        .directories
        .iter()
        .map(|directory| directory.host.as_path())
        .chain(maildrop)
        .all(cached::knows)
}

/// Opens a file below a granted directory: a regular file only, never above
/// the grant, through no symbolic link out of it, and without waiting (a FIFO
/// would). Blocks on the disk.
pub(super) fn open_below(dir: &Dir, path: &str) -> io::Result<File> {
    if path.len() > PATH || path.contains('\0') {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a path: too long, or it holds a NUL",
        ));
    }
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    options.custom_flags((rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY).bits() as i32);
    regular(dir.open_with(path, &options)?.into_std())
}

/// The same, if it takes no waiting.
pub(super) fn open_cached_below(dir: &Dir, path: &str) -> Option<io::Result<File>> {
    if path.len() > PATH {
        return None;
    }
    Some(cached::open(dir, path)?.and_then(regular))
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "not a regular file",
    ))
}

/// The part of an open file that a guest has named for a RETR; fixes how long
/// it is.
pub(super) fn range(
    file: File,
    path: &str,
    offset: u64,
    length: Option<u64>,
) -> io::Result<FileRange> {
    let size = file.metadata()?.len();
    let rest = size.checked_sub(offset);
    let length = match (rest, length) {
        (Some(rest), None) => rest,
        (Some(rest), Some(length)) if length <= rest => length,
        _ => {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the file has {size} octets, fewer than the range that was named"),
            ));
        }
    };
    Ok(FileRange {
        file,
        path: PathBuf::from(path),
        offset,
        length,
    })
}

/// A path that stands for the same directory however it was spelled, whether
/// or not it exists: what the maildrop's lock is taken under.
pub(super) fn canonical(path: &Path) -> PathBuf {
    let mut missing = Vec::new();
    let mut known = path;
    loop {
        if let Ok(found) = known.canonicalize() {
            return missing
                .iter()
                .rev()
                .fold(found, |path, part| path.join(part));
        }
        match (known.parent(), known.components().next_back()) {
            (Some(parent), Some(PathPart::Normal(part))) => {
                missing.push(part.to_owned());
                known = parent;
            }
            _ => return path.to_owned(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tree() -> (tempfile::TempDir, Dir) {
        let root = tempfile::tempdir().unwrap();
        let inside = root.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(inside.join("mail"), b"0123456789").unwrap();
        std::fs::write(root.path().join("secret"), b"no").unwrap();
        let dir = Dir::open_ambient_dir(&inside, ambient_authority()).unwrap();
        (root, dir)
    }

    #[test]
    fn only_regular_files_below_the_grant_are_opened() {
        let (root, dir) = tree();
        let inside = root.path().join("inside");
        std::os::unix::fs::symlink("../secret", inside.join("link")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", inside.join("absolute")).unwrap();
        std::os::unix::fs::symlink("/proc/self/root/etc/passwd", inside.join("magic")).unwrap();
        std::fs::create_dir(inside.join("directory")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            inside.join("fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(open_below(&dir, "mail").is_ok());
        for path in [
            "../secret",
            "link",
            "absolute",
            "magic",
            "directory",
            "fifo",
            "/etc/passwd",
            "",
            ".",
            "..",
            "mail\0",
            "missing",
            "directory/../../secret",
            "mail/",
        ] {
            assert!(open_below(&dir, path).is_err(), "{path:?} was opened");
            let quick = open_cached_below(&dir, path);
            assert!(!matches!(quick, Some(Ok(_))), "{path:?} was opened");
        }
        assert!(open_below(&dir, &"a/".repeat(4000)).is_err());
    }

    #[test]
    fn a_range_lies_within_the_file() {
        let (_root, dir) = tree();
        let open_range = |dir: &Dir, offset, length| {
            range(open_below(dir, "mail").unwrap(), "mail", offset, length)
        };
        assert_eq!(open_range(&dir, 0, None).unwrap().length, 10);
        assert_eq!(open_range(&dir, 4, Some(6)).unwrap().length, 6);
        assert_eq!(open_range(&dir, 10, None).unwrap().length, 0);
        for (offset, length) in [
            (11, None),
            (4, Some(7)),
            (u64::MAX, Some(u64::MAX)),
            (0, Some(u64::MAX)),
        ] {
            assert!(open_range(&dir, offset, length).is_err());
        }
    }

    #[test]
    fn a_directory_has_one_canonical_path() {
        let (root, _dir) = tree();
        std::os::unix::fs::symlink("inside", root.path().join("alias")).unwrap();
        let direct = canonical(&root.path().join("inside/new/deeper"));
        assert_eq!(canonical(&root.path().join("alias/new/deeper")), direct);
        assert!(direct.ends_with("inside/new/deeper"));
    }
}
