//! The one way in which the host opens what a guest or a store has named.
//!
//! Who owns a maildrop may put anything under a name, and put something else there
//! between a look and an open. So nothing is looked at before: it is opened without
//! waiting, whatever it is (to open a FIFO would wait for its other end, for ever),
//! and then the descriptor says what it is. Nothing but files and directories is
//! handed out.
//!
//! A file that is made may come to hold mail or hashes of passwords, and no guest can say
//! who may read it: that is settled here ([`MADE`]).

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use cap_std::fs::{Dir, Metadata, MetadataExt, OpenOptions, OpenOptionsExt};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, mkdirat, openat, statat};
use rustix::io::Errno;

/// Longest path that a guest may name, in octets.
pub(crate) const MAX_PATH_OCTETS: usize = 4096;
/// How often an open is tried again that the kernel gave up because something was
/// renamed meanwhile.
const MAX_TRIES: u32 = 64;

/// Opens a file or a directory below `dir`: never above it, through no link out of it
/// nor a magic one of /proc, and without waiting for another process. May wait for
/// the disk.
///
/// # Errors
/// As the system has them; [`is_neither`] tells what is no file and no directory.
pub(crate) fn open(dir: &Dir, path: &str, flags: OFlags) -> io::Result<(File, Metadata)> {
    let opened = open_as_it_is(dir, path, flags).map_err(|error| {
        // A FIFO that nobody reads, a socket, a device that is gone.
        match Errno::from_io_error(&error) {
            Some(Errno::NXIO | Errno::NODEV) => neither(),
            _ => error,
        }
    })?;
    let about = Metadata::from_file(&opened)?;
    match about.is_file() || about.is_dir() {
        true => Ok((opened, about)),
        false => Err(neither()),
    }
}

/// Opens a regular file for reading.
pub(crate) fn open_file(dir: &Dir, path: &str) -> io::Result<(File, Metadata)> {
    let (file, about) = open(dir, path, OFlags::RDONLY)?;
    match about.is_file() {
        true => Ok((file, about)),
        false => Err(not_regular()),
    }
}

/// What there is, of whatever kind. It is not opened: to open a device may do
/// something.
pub(crate) fn look(dir: &Dir, path: &str) -> io::Result<Metadata> {
    Metadata::from_file(&open_as_it_is(dir, path, look_flags())?)
}

#[cfg(target_os = "linux")]
fn look_flags() -> OFlags {
    OFlags::PATH
}

#[cfg(not(target_os = "linux"))]
fn look_flags() -> OFlags {
    OFlags::RDONLY
}

/// What is done with symbolic links on the way to a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// They are an error ([`Errno::LOOP`]), and so is what lies outside.
    Refused,
    /// They are followed wherever they lead, but for the magic ones of /proc.
    Followed,
}

/// Opens a directory to look for others below it, following links. It need not be one
/// that may be listed.
pub(crate) fn open_base(path: &Path) -> io::Result<File> {
    let flags = search_flags() | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(rustix::fs::CWD, path, flags, Mode::empty())?.into())
}

/// Opens a directory below `base`, whose path is relative and without "..", for reading.
/// An empty path is `base` itself.
pub(crate) fn open_directory(base: &File, path: &Path, links: Links) -> io::Result<File> {
    let path = itself_if_empty(path);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::ResolveFlags;
        let resolve = match links {
            Links::Refused => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
            Links::Followed => ResolveFlags::empty(),
        };
        let resolve = resolve | ResolveFlags::NO_MAGICLINKS;
        if let Some(opened) = resolved(base, path, flags, Mode::empty(), resolve) {
            return Ok(opened?);
        }
    }
    match links {
        Links::Refused => walk(base, path, step),
        Links::Followed => Ok(openat(base, path, flags, Mode::empty())?.into()),
    }
}

/// The same for one that is made where it is missing, and so are those above it, for
/// nobody but the server's user. Never leads through a link.
pub(crate) fn make_directory(base: &File, path: &Path) -> io::Result<File> {
    walk(base, itself_if_empty(path), |at, name, flags| {
        match step(at, name, flags) {
            Err(Errno::NOENT) => match mkdirat(at, name, Mode::RWXU) {
                // Somebody else may have made it meanwhile; what it is shows when it is opened.
                Ok(()) | Err(Errno::EXIST) => step(at, name, flags),
                Err(error) => Err(error),
            },
            opened => opened,
        }
    })
}

/// Whether nothing is in a directory.
pub(crate) fn is_empty(directory: &File) -> io::Result<bool> {
    let entries = rustix::fs::Dir::read_from(directory)?;
    for entry in entries {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a directory is missing because a link on the way to it names what is not
/// there. Follows links.
pub(crate) fn is_dangling(base: &File, path: &Path) -> bool {
    let is_dangling = std::cell::Cell::new(false);
    let _ = walk(base, path, |at, name, _| {
        let flags = search_flags() | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(at, name, flags, Mode::empty()).inspect_err(|error| {
            let is_there = || statat(at, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
            is_dangling.set(*error == Errno::NOENT && is_there());
        })
    });
    is_dangling.get()
}

/// A path that the system takes: to it the empty one is none.
pub(crate) fn itself_if_empty(path: &Path) -> &Path {
    match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    }
}

/// Goes down `path` from `base`, each component opened below the one before.
fn walk(
    base: &File,
    path: &Path,
    open: impl Fn(&File, &Path, OFlags) -> Result<OwnedFd, Errno>,
) -> io::Result<File> {
    let mut at = open(base, Path::new("."), search_flags()).map(File::from)?;
    let mut names = path.components().peekable();
    while let Some(name) = names.next() {
        let name = match name {
            Component::Normal(name) => Path::new(name),
            Component::CurDir => Path::new("."),
            _ => return Err(Errno::XDEV.into()),
        };
        let flags = match names.peek() {
            Some(_) => search_flags(),
            None => OFlags::RDONLY,
        };
        at = open(&at, name, flags)?.into();
    }
    Ok(at)
}

/// Opens the directory of this name, which is none if it is a link.
fn step(at: &File, name: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, name, flags, Mode::empty()).map_err(|error| {
        // The kernel may say of a link that it is no directory. It was not opened,
        // whatever it is by now: this is for the words alone.
        let is_link = || {
            let about = statat(at, name, AtFlags::SYMLINK_NOFOLLOW);
            about.is_ok_and(|about| FileType::from_raw_mode(about.st_mode) == FileType::Symlink)
        };
        match error {
            Errno::NOTDIR if is_link() => Errno::LOOP,
            error => error,
        }
    })
}

/// For a directory that is only gone through.
#[cfg(target_os = "linux")]
fn search_flags() -> OFlags {
    OFlags::PATH
}

/// For a directory that is only gone through.
#[cfg(not(target_os = "linux"))]
fn search_flags() -> OFlags {
    OFlags::RDONLY
}

/// Whether an open was refused for what it would have opened.
pub(crate) fn is_neither(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Neither>())
}

#[derive(Debug, thiserror::Error)]
#[error("neither a file nor a directory")]
struct Neither;

fn neither() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, Neither)
}

pub(crate) fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

fn open_as_it_is(dir: &Dir, path: &str, flags: OFlags) -> io::Result<File> {
    if path.len() > MAX_PATH_OCTETS || path.contains('\0') {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a path: too long, or it holds a NUL",
        ));
    }
    let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mode = match flags.contains(OFlags::CREATE) {
        true => mode_of_made(dir, path),
        false => Mode::empty(),
    };
    match beneath(dir, path, flags, mode) {
        Some(opened) => opened,
        None => piece_by_piece(dir, path, flags, mode),
    }
}

/// Mode of a file that is made, before the process's mask: nobody reads it but the server's
/// user.
const MADE: Mode = Mode::from_raw_mode(0o600);
/// The same in a directory with the set-group-ID bit. There a new file has the directory's
/// group, which is how an operator says whom its files are for.
const MADE_FOR_GROUP: Mode = Mode::from_raw_mode(0o640);

/// If there is another directory by the time of the open, it is below the same grant.
fn mode_of_made(dir: &Dir, path: &str) -> Mode {
    let parent = Path::new(path).parent().and_then(Path::to_str);
    let parent = match parent {
        None | Some("") => ".",
        Some(parent) => parent,
    };
    let is_for_group = |about: Metadata| Mode::from_raw_mode(about.mode()).contains(Mode::SGID);
    match look(dir, parent).is_ok_and(is_for_group) {
        true => MADE_FOR_GROUP,
        false => MADE,
    }
}

/// None: this kernel, or the sandbox around the server, has no openat2.
#[cfg(target_os = "linux")]
fn beneath(dir: &Dir, path: &str, flags: OFlags, mode: Mode) -> Option<io::Result<File>> {
    use rustix::fs::ResolveFlags;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    // With O_PATH the kernel takes no other flag than these.
    let flags = match flags.contains(OFlags::PATH) {
        true => flags & (OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::DIRECTORY),
        false => flags,
    };
    Some(match resolved(dir, path.as_ref(), flags, mode, resolve)? {
        Ok(file) => Ok(file),
        Err(Errno::XDEV) => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the path leads out of what was granted",
        )),
        Err(error) => Err(error.into()),
    })
}

/// None: this kernel, or the sandbox around the server, has no openat2.
#[cfg(target_os = "linux")]
fn resolved(
    dir: impl std::os::fd::AsFd,
    path: &Path,
    flags: OFlags,
    mode: Mode,
    resolve: rustix::fs::ResolveFlags,
) -> Option<Result<File, Errno>> {
    let mut tries = 0;
    loop {
        tries += 1;
        return match rustix::fs::openat2(&dir, path, flags, mode, resolve) {
            Ok(file) => Some(Ok(file.into())),
            Err(Errno::AGAIN | Errno::INTR) if tries < MAX_TRIES => continue,
            // A sandbox that does not know openat2 says PERM.
            Err(Errno::NOSYS | Errno::PERM) => None,
            Err(error) => Some(Err(error)),
        };
    }
}

#[cfg(not(target_os = "linux"))]
fn beneath(_dir: &Dir, _path: &str, _flags: OFlags, _mode: Mode) -> Option<io::Result<File>> {
    None
}

/// The same where the kernel does not do it in one.
fn piece_by_piece(dir: &Dir, path: &str, flags: OFlags, mode: Mode) -> io::Result<File> {
    if flags.contains(OFlags::NOFOLLOW)
        && dir.symlink_metadata(path).is_ok_and(|it| it.is_symlink())
    {
        // If it becomes one now it still leads nowhere but below.
        return Err(Errno::LOOP.into());
    }
    let access = flags & OFlags::RWMODE;
    let mut options = OpenOptions::new();
    options
        .read(access != OFlags::WRONLY)
        .write(access == OFlags::WRONLY || access == OFlags::RDWR)
        .truncate(flags.contains(OFlags::TRUNC));
    match flags.contains(OFlags::CREATE) {
        true if flags.contains(OFlags::EXCL) => options.create_new(true),
        create => options.create(create),
    };
    options.mode(mode.bits());
    let rest = flags & !(OFlags::RWMODE | OFlags::CREATE | OFlags::EXCL | OFlags::TRUNC);
    options.custom_flags(rest.bits() as i32);
    Ok(dir.open_with(path, &options)?.into_std())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use cap_std::ambient_authority;

    use super::*;

    /// How long all of the opens may take: far more than they need, and far less
    /// than the other end of a FIFO takes to be opened.
    const PATIENCE: Duration = Duration::from_secs(60);
    const OPENS: usize = 20_000;

    fn fifo(path: &Path) {
        use rustix::fs::{CWD, FileType, mknodat};
        mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    }

    fn dir(path: &Path) -> Dir {
        Dir::open_ambient_dir(path, ambient_authority()).unwrap()
    }

    /// Every way to open, in turn.
    fn ways(dir: &Dir, path: &str) {
        let _ = open(dir, path, OFlags::RDONLY);
        let _ = open(dir, path, OFlags::WRONLY);
        let _ = open(dir, path, OFlags::RDWR | OFlags::CREATE);
        let _ = open(dir, path, OFlags::RDONLY | OFlags::NOFOLLOW);
        let _ = open_file(dir, path);
        let _ = look(dir, path);
        for access in [OFlags::RDONLY, OFlags::WRONLY] {
            let _ = piece_by_piece(dir, path, access | OFlags::NONBLOCK, Mode::empty());
        }
    }

    #[test]
    fn nobody_waits_at_a_fifo_however_it_came_there() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("file"), "mail").unwrap();
        fifo(&root.path().join("fifo"));
        let over = Arc::new(AtomicBool::new(false));
        let swapping = thread::spawn({
            let (over, root) = (over.clone(), dir(root.path()));
            move || {
                while !over.load(Ordering::Relaxed) {
                    for name in ["file", "fifo"] {
                        let _ = root.hard_link(name, &root, "next");
                        let _ = root.rename("next", &root, "name");
                    }
                }
            }
        });
        let (done, ended) = mpsc::channel();
        for _ in 0..2 {
            let (root, done) = (dir(root.path()), done.clone());
            thread::spawn(move || {
                for _ in 0..OPENS / 8 {
                    ways(&root, "name");
                }
                done.send(()).unwrap();
            });
        }
        for _ in 0..2 {
            ended
                .recv_timeout(PATIENCE)
                .expect("a thread waits at a FIFO");
        }
        over.store(true, Ordering::Relaxed);
        swapping.join().unwrap();
    }

    #[test]
    fn only_files_and_directories_are_handed_out() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("file"), "mail").unwrap();
        fifo(&root.path().join("fifo"));
        std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
        std::os::unix::fs::symlink("fifo", root.path().join("link")).unwrap();
        let root = dir(root.path());
        for flags in [OFlags::RDONLY, OFlags::WRONLY, OFlags::RDWR] {
            for name in ["fifo", "socket", "link"] {
                let error = open(&root, name, flags).unwrap_err();
                assert!(is_neither(&error), "{name}: {error}");
            }
            assert!(open(&root, "file", flags).is_ok());
        }
        assert!(look(&root, "fifo").is_ok_and(|about| !about.is_file() && !about.is_dir()));
        assert!(look(&root, "link").is_ok_and(|about| !about.is_symlink()));
        let error = open(&root, "link", OFlags::RDONLY | OFlags::NOFOLLOW).unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(Errno::LOOP));
    }

    /// Only a directory's set-group-ID bit has them read by others: its group.
    #[test]
    fn a_file_that_a_guest_makes_is_read_by_nobody_else() {
        use std::fs::Permissions;
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        for (folder, mode) in [("own", 0o755), ("shared", 0o2755)] {
            std::fs::create_dir(root.path().join(folder)).unwrap();
            let mode = Permissions::from_mode(mode);
            std::fs::set_permissions(root.path().join(folder), mode).unwrap();
        }
        std::os::unix::fs::symlink("shared", root.path().join("link")).unwrap();
        std::fs::write(root.path().join("own/old"), "mail").unwrap();
        let old = Permissions::from_mode(0o644);
        std::fs::set_permissions(root.path().join("own/old"), old).unwrap();
        let granted = dir(root.path());
        let makes = OFlags::WRONLY | OFlags::CREATE;
        for (path, mode) in [
            ("new", 0o600),
            ("own/new", 0o600),
            ("shared/new", 0o640),
            ("link/newer", 0o640),
            ("own/old", 0o644),
        ] {
            let (_, about) = open(&granted, path, makes).unwrap();
            assert_eq!(about.mode() & 0o777, mode, "{path}");
        }
        let shared = dir(&root.path().join("shared"));
        let (_, about) = open(&shared, "newest", makes | OFlags::EXCL).unwrap();
        assert_eq!(about.mode() & 0o777, 0o640);
        for (path, mode) in [("own/piece", MADE), ("shared/piece", MADE_FOR_GROUP)] {
            assert_eq!(mode_of_made(&granted, path), mode, "{path}");
            let made = piece_by_piece(&granted, path, makes, mode).unwrap();
            let about = Metadata::from_file(&made).unwrap();
            assert_eq!(about.mode() & 0o777, mode.bits(), "{path}");
        }
    }
}
