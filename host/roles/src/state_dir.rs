//! The state directory: machine code that will be run, and secrets, are kept there;
//! recordings have a directory of the same kind. So it is opened once, what it is and what is above it is looked at on the way, and all
//! that is read or written later goes through that descriptor, whatever its path leads
//! to by then.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::process::{Gid, Uid};
use tracing::{debug, error, warn};

/// Octets of a secret.
pub const SECRET_OCTETS: usize = 32;

/// A draft that is older is nobody's any more: the process that wrote it has ended.
const DRAFT_AGE: Duration = Duration::from_secs(60 * 60);

/// Hexadecimal digits at the end of a draft's name.
const DRAFT_DIGITS: usize = 16;

/// Links that a path may lead through, as the kernel has it.
const MAX_LINKS: u32 = 40;

/// What a directory is made with.
const PRIVATE_DIRECTORY: Mode = Mode::RWXU;
/// What a file is made with.
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);
/// Group and others may write.
const OTHERS_WRITE: u32 = 0o022;
/// Group and others may do anything at all.
const OTHERS: u32 = 0o077;
/// Only who owns a file in such a directory may remove or rename it.
const STICKY: u32 = 0o1000;

/// What is done with a state directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Things are kept in it.
    Keep,
    /// It is looked at: nothing in it or above it is made, written or removed.
    Look,
}

/// The server's state directory, open; or none, where it was not safe.
pub struct StateDir {
    folder: Option<Folder>,
}

impl StateDir {
    /// Opens it, and makes it where it is not there. What is not safe is not used: a line
    /// in the log says why, and the server keeps nothing.
    pub fn open(path: &Path) -> Self {
        let folder = Folder::open(path);
        if let Ok(folder) = &folder {
            folder.remove_drafts();
        }
        if let Err(error) = &folder {
            error!(
                directory = ?path, %error,
                "the state directory is not used: no secret is kept, and every start compiles the components again"
            );
        }
        Self {
            folder: folder.ok(),
        }
    }

    /// Opens it for a look: what is kept in it is used, and nothing is made, written or
    /// removed. That it is not there is no fault, since a server would make it. What would keep
    /// a server of this user from using it is a line in the log.
    pub fn look(path: &Path) -> Self {
        let folder = Folder::look(path);
        if let Err(error) = &folder
            && error.kind() != io::ErrorKind::NotFound
        {
            error!(
                directory = ?path, %error,
                "the state directory cannot be used by this user: no secret would be kept, and every start would compile the components again"
            );
        }
        Self {
            folder: folder.ok(),
        }
    }

    /// A directory in it, made where it is not there. None: nothing is kept.
    pub fn folder(&self, name: &str) -> Option<Folder> {
        let parent = self.folder.as_ref()?;
        let folder = parent.folder(name);
        if let (Access::Look, Err(error)) = (parent.access, &folder)
            && error.kind() == io::ErrorKind::NotFound
        {
            return None;
        }
        if let Ok(folder) = &folder {
            folder.remove_drafts();
        }
        if let Err(error) = &folder {
            error!(
                directory = ?parent.path.join(name), %error,
                "the directory is not used: every start compiles the components again"
            );
        }
        folder.ok()
    }

    /// The secret of this name; made if there is none, or none that others could not
    /// have seen or made. Where it cannot be kept it is for this process alone: `lost`
    /// says in the log what comes of that.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn secret(&self, name: &str, lost: &str) -> io::Result<[u8; SECRET_OCTETS]> {
        let mut secret = [0; SECRET_OCTETS];
        let Some(folder) = &self.folder else {
            getrandom::fill(&mut secret).map_err(io::Error::other)?;
            return Ok(secret);
        };
        let file = folder.path.join(name);
        match folder.secret(name) {
            Ok(secret) => return Ok(secret),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => warn!(?file, %error, "made anew"),
        }
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        if folder.access == Access::Look {
            return Ok(secret);
        }
        if let Err(error) = folder.write(name, &[&secret]) {
            warn!(?file, %error, "cannot be kept: {lost}");
        }
        Ok(secret)
    }
}

/// Makes the directories of this path that are not there and gives them to a user, who
/// cannot make them where only root may. What root would not go through is left to the
/// user, who is told why.
///
/// # Errors
/// A directory that was made cannot be given away.
pub fn make_for(path: &Path, user: Uid, group: Gid) -> io::Result<()> {
    let mut made = Vec::new();
    if let Err(error) = walk(path, Access::Keep, &mut made) {
        debug!(directory = ?path, %error, "root does not make it");
    }
    // By their descriptors: these are the ones that were made, whatever their names lead to.
    for directory in made {
        rustix::fs::chownat(directory, "", Some(user), Some(group), AtFlags::EMPTY_PATH)?;
    }
    Ok(())
}

/// An open directory that nobody but the server's user and root can change.
pub struct Folder {
    descriptor: OwnedFd,
    /// For messages alone.
    path: PathBuf,
    access: Access,
}

impl Folder {
    /// Opens the directory, and makes what is not there.
    pub(crate) fn open(path: &Path) -> io::Result<Folder> {
        let path = std::path::absolute(path)?;
        let descriptor = walk(&path, Access::Keep, &mut Vec::new())?;
        Folder::of(descriptor, path, Access::Keep)
    }

    /// Opens the directory for a look, if this user could also write to it.
    fn look(path: &Path) -> io::Result<Folder> {
        let path = std::path::absolute(path)?;
        let descriptor = walk(&path, Access::Look, &mut Vec::new())?;
        let folder = Folder::of(descriptor, path, Access::Look)?;
        let writes = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        // Other than access(2), by the effective user.
        rustix::fs::accessat(&folder.descriptor, ".", writes, AtFlags::EACCESS)?;
        Ok(folder)
    }

    /// Of a descriptor that is good for a path alone.
    fn of(descriptor: OwnedFd, path: PathBuf, access: Access) -> io::Result<Folder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = rustix::fs::openat(descriptor, ".", flags, Mode::empty())?;
        let about = rustix::fs::fstat(&descriptor)?;
        check_owner(&about, &path)?;
        if about.st_mode & OTHERS_WRITE != 0 {
            return Err(writable(&about, &path));
        }
        Ok(Folder {
            descriptor,
            path,
            access,
        })
    }

    /// A directory in this one, made where it is not there.
    fn folder(&self, name: &str) -> io::Result<Folder> {
        if self.access == Access::Keep {
            match rustix::fs::mkdirat(&self.descriptor, name, PRIVATE_DIRECTORY) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.descriptor, name, flags, Mode::empty())?;
        Folder::of(opened, self.path.join(name), self.access)
    }

    /// Whether anything is written to it. If not it is open for a look, and
    /// [`Folder::write`] and [`Folder::remove`] do nothing.
    pub fn is_written(&self) -> bool {
        self.access == Access::Keep
    }

    /// Where a file is, for messages.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a regular file that nobody but this server's user and root can have written.
    pub fn file(&self, name: &str) -> io::Result<File> {
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.descriptor, name, flags, Mode::empty())?;
        let about = rustix::fs::fstat(&opened)?;
        let path = self.path_of(name);
        if !FileType::from_raw_mode(about.st_mode).is_file() {
            return Err(refused(format!("{path:?} is no regular file")));
        }
        check_owner(&about, &path)?;
        if about.st_mode & OTHERS_WRITE != 0 {
            return Err(writable(&about, &path));
        }
        Ok(opened.into())
    }

    /// Reads such a file, if it has at most `most` octets.
    pub fn read(&self, name: &str, most: usize) -> io::Result<Vec<u8>> {
        let mut octets = Vec::new();
        let file = self.file(name)?;
        file.take(most as u64 + 1).read_to_end(&mut octets)?;
        match octets.len() > most {
            true => Err(refused(format!("it has more than {most} octets"))),
            false => Ok(octets),
        }
    }

    /// Reads a secret that nobody else could have read.
    fn secret(&self, name: &str) -> io::Result<[u8; SECRET_OCTETS]> {
        let file = self.file(name)?;
        let mode = rustix::fs::fstat(file.as_fd())?.st_mode & 0o7777;
        if mode & OTHERS != 0 {
            return Err(refused(format!(
                "others may have read it (its mode is {mode:04o}, and 0600 is right)"
            )));
        }
        let octets = self.read(name, SECRET_OCTETS)?;
        let found = octets.len();
        octets.try_into().map_err(|_| {
            let what =
                format!("it should have {SECRET_OCTETS} octets and does not have them ({found})");
            io::Error::new(io::ErrorKind::InvalidData, what)
        })
    }

    /// Makes a file to be appended to, readable for this user alone. What has its name, be
    /// it a link, is in the way.
    pub(crate) fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY
            | OFlags::APPEND
            | OFlags::CREATE
            | OFlags::EXCL
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.descriptor, name, flags, PRIVATE_FILE)?;
        Ok(opened.into())
    }

    /// Writes a file, readable for this user alone, so that a crash leaves all of it or
    /// nothing of it. What had its name, be it a link, is gone.
    pub fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        if !self.is_written() {
            return Ok(());
        }
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let draft = format!(".{name}.{:0DRAFT_DIGITS$x}", u64::from_le_bytes(random));
        let mut file = self.create(&draft)?;
        let written = parts
            .iter()
            .try_for_each(|part| file.write_all(part))
            .and_then(|()| file.sync_all())
            .and_then(|()| {
                Ok(rustix::fs::renameat(
                    &self.descriptor,
                    &draft,
                    &self.descriptor,
                    name,
                )?)
            });
        if written.is_err() {
            self.remove(&draft);
        }
        written
    }

    /// Removes what [`Folder::write`] has left behind where the process ended in it. Young
    /// ones may be another process's, which is writing.
    fn remove_drafts(&self) {
        let now = SystemTime::now();
        let is_old = |changed| {
            let age = now.duration_since(changed);
            age.is_ok_and(|age| age > DRAFT_AGE)
        };
        for (name, changed) in self.entries().unwrap_or_default() {
            if is_draft(&name) && is_old(changed) {
                self.remove(&name);
            }
        }
    }

    /// Removes a file. What cannot be removed does no harm.
    pub fn remove(&self, name: &str) {
        if !self.is_written() {
            return;
        }
        let _ = rustix::fs::unlinkat(&self.descriptor, name, AtFlags::empty());
    }

    /// The names of what is in it, with when it was changed last.
    pub fn entries(&self) -> io::Result<Vec<(String, SystemTime)>> {
        let mut entries = Vec::new();
        for entry in Dir::read_from(&self.descriptor)? {
            let entry = entry?;
            // What the server made has a name in ASCII.
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if let Ok(file) = self.file(name)
                && let Ok(changed) = file.metadata().and_then(|about| about.modified())
            {
                entries.push((name.to_owned(), changed));
            }
        }
        Ok(entries)
    }
}

/// Opens a directory step by step, links too, and looks at each step: whoever may change
/// one of them decides what is found at the end. What is not there is made, and is `made`;
/// for a look it is an error. The descriptor is good for a path alone.
fn walk(path: &Path, access: Access, made: &mut Vec<OwnedFd>) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = || rustix::fs::open("/", flags | OFlags::DIRECTORY, Mode::empty());
    let names = |path: &Path| path.iter().map(OsStr::to_owned).collect::<Vec<OsString>>();
    let (mut here, mut so_far) = (root()?, PathBuf::from("/"));
    let mut ahead: VecDeque<OsString> = names(path).into();
    let mut links = 0;
    while let Some(name) = ahead.pop_front() {
        if name == "/" {
            (here, so_far) = (root()?, PathBuf::from("/"));
            continue;
        }
        so_far.push(&name);
        let mut is_new = false;
        let opened = match rustix::fs::openat(&here, &name, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) if access == Access::Keep => {
                match rustix::fs::mkdirat(&here, &name, PRIVATE_DIRECTORY) {
                    Ok(()) => is_new = true,
                    Err(rustix::io::Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                rustix::fs::openat(&here, &name, flags, Mode::empty())
            }
            opened => opened,
        }?;
        let about = rustix::fs::fstat(&opened)?;
        match FileType::from_raw_mode(about.st_mode) {
            FileType::Symlink => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(rustix::io::Errno::LOOP.into());
                }
                check_owner(&about, &so_far)?;
                let target = rustix::fs::readlinkat(&opened, "", Vec::new())?;
                so_far.pop();
                for name in names(Path::new(OsStr::from_bytes(target.as_bytes())))
                    .into_iter()
                    .rev()
                {
                    ahead.push_front(name);
                }
            }
            FileType::Directory => {
                check_owner(&about, &so_far)?;
                let last = ahead.is_empty();
                if about.st_mode & OTHERS_WRITE != 0 && (last || about.st_mode & STICKY == 0) {
                    return Err(writable(&about, &so_far));
                }
                if is_new {
                    made.push(opened.try_clone()?);
                }
                here = opened;
            }
            _ => {
                return Err(refused(format!("{so_far:?} is no directory: name another")));
            }
        }
    }
    Ok(here)
}

/// Whoever owns a thing may change it.
fn check_owner(about: &Stat, path: &Path) -> io::Result<()> {
    let own = rustix::process::geteuid().as_raw();
    match about.st_uid == own || about.st_uid == 0 {
        true => Ok(()),
        false => Err(refused(format!(
            "{path:?} is owned by the user {}: give it to root or to the server's user ({own}), or name another directory",
            about.st_uid
        ))),
    }
}

/// `.NAME.` and a number, as [`Folder::write`] names them.
fn is_draft(name: &str) -> bool {
    let number = name
        .strip_prefix('.')
        .and_then(|rest| rest.rsplit_once('.'));
    number.is_some_and(|(_, number)| {
        number.len() == DRAFT_DIGITS && number.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

fn writable(about: &Stat, path: &Path) -> io::Error {
    refused(format!(
        "{path:?} can be written by others (owner {}, mode {:04o}): chmod go-w, or name another directory",
        about.st_uid,
        about.st_mode & 0o7777
    ))
}

fn refused(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, what)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// Everything in a folder and when it was changed, whatever is looked at.
    fn seen(folder: &Path) -> Vec<(PathBuf, SystemTime)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let about = fs::symlink_metadata(&path).unwrap();
            found.push((path.clone(), about.modified().unwrap()));
            if about.is_dir() {
                found.extend(seen(&path));
            }
        }
        found.sort();
        found
    }

    #[test]
    fn a_look_leaves_everything_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let none = root.path().join("none/state");
        let state = StateDir::look(&none);
        assert!(state.folder("code").is_none());
        assert_ne!(state.secret("secret", "lost").unwrap(), [0; SECRET_OCTETS]);
        assert_eq!(seen(root.path()), []);

        let there = root.path().join("state");
        let kept = StateDir::open(&there);
        let secret = kept.secret("secret", "lost").unwrap();
        let folder = kept.folder("code").unwrap();
        folder.write("file", &[b"code"]).unwrap();
        let draft = folder.create(".file.0123456789abcdef").unwrap();
        let long_ago = SystemTime::now() - DRAFT_AGE - Duration::from_secs(60);
        draft.set_modified(long_ago).unwrap();
        let before = seen(root.path());
        let looked = StateDir::look(&there);
        assert_eq!(looked.secret("secret", "lost").unwrap(), secret);
        looked.secret("other", "lost").unwrap();
        let folder = looked.folder("code").unwrap();
        assert_eq!(folder.read("file", 10).unwrap(), b"code");
        folder.write("more", &[b"code"]).unwrap();
        folder.remove("file");
        assert!(looked.folder("another").is_none());
        assert!(!folder.is_written());
        assert_eq!(seen(root.path()), before);
    }

    #[test]
    fn a_look_finds_what_would_keep_a_server_from_using_it() {
        let root = tempfile::tempdir().unwrap();
        let state = root.path().join("state");
        fs::create_dir(&state).unwrap();
        chmod(&state, 0o700);
        assert!(Folder::look(&state).is_ok());
        chmod(&state, 0o777);
        assert!(Folder::look(&state).is_err());
        // No mode stops root.
        if !rustix::process::geteuid().is_root() {
            chmod(&state, 0o500);
            let error = Folder::look(&state).err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        }
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_parent_that_others_may_write_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let (parent, state) = (root.path().join("p"), root.path().join("p/state"));
        assert!(Folder::open(&state).is_ok());
        chmod(&parent, 0o777);
        let refused = Folder::open(&state).err().unwrap().to_string();
        assert!(
            refused.contains("mode 0777") && refused.contains("/p\""),
            "{refused}"
        );
        // Where only owners may rename, nobody puts another in its place.
        chmod(&parent, 0o1777);
        assert!(Folder::open(&state).is_ok());
        // Through a link of our own too, each step is looked at.
        chmod(&parent, 0o770);
        let link = root.path().join("link");
        symlink(&state, &link).unwrap();
        assert!(Folder::open(&link).is_err());
        chmod(&parent, 0o700);
        assert!(Folder::open(&link).is_ok());
        chmod(&state, 0o1777);
        assert!(Folder::open(&state).is_err());
    }

    #[test]
    fn a_directory_that_takes_its_place_is_not_used() {
        let root = tempfile::tempdir().unwrap();
        let state = root.path().join("state");
        let folder = Folder::open(&state).unwrap();
        folder.write("file", &[b"right"]).unwrap();
        fs::rename(&state, root.path().join("away")).unwrap();
        fs::create_dir(&state).unwrap();
        fs::write(state.join("file"), "forged").unwrap();
        assert_eq!(folder.read("file", 10).unwrap(), b"right");
        folder.write("other", &[b"new"]).unwrap();
        assert!(!state.join("other").exists());
    }

    #[test]
    fn drafts_of_a_process_that_ended_go() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        // As a process leaves it that ends between write and rename.
        let (old, young) = (".file.0123456789abcdef", ".file.fedcba9876543210");
        let long_ago = SystemTime::now() - DRAFT_AGE - Duration::from_secs(60);
        for name in [old, young, "file", ".hidden"] {
            let file = folder.create(name).unwrap();
            if name != young {
                file.set_modified(long_ago).unwrap();
            }
        }
        StateDir::open(root.path());
        let names = fs::read_dir(root.path()).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [young, ".hidden", "file"]);
        // What `write` calls a draft is one.
        let far = ".f.0000000000000001";
        assert!(is_draft(far) && !is_draft("f.0000000000000001") && !is_draft(".f.1"));
    }

    #[test]
    fn what_is_made_for_a_user_is_made_on_a_safe_way_and_nothing_else_is_given() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("only root can give a directory away: nothing was tried");
            return;
        }
        use std::os::unix::fs::MetadataExt;
        let (user, group) = (Uid::from_raw(65534), Gid::from_raw(65533));
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let owner = |name: &str| {
            let about = fs::symlink_metadata(at(name)).unwrap();
            (about.uid(), about.gid(), about.mode() & 0o7777)
        };
        make_for(&at("a/state"), user, group).unwrap();
        assert_eq!(owner("a"), (65534, 65533, 0o700));
        assert_eq!(owner("a/state"), (65534, 65533, 0o700));
        // It is the user's by now, and so is what comes below it.
        make_for(&at("a/state/more"), user, group).unwrap();
        assert!(!at("a/state/more").exists());
        // A directory that was there stays whose it is, by whatever name it is reached.
        fs::create_dir(at("roots")).unwrap();
        chmod(&at("roots"), 0o755);
        symlink(at("roots"), at("link")).unwrap();
        for name in ["roots", "link"] {
            make_for(&at(name), user, group).unwrap();
        }
        assert_eq!(owner("roots"), (0, 0, 0o755));
        // Where others may write, they would say what is given.
        fs::create_dir(at("open")).unwrap();
        chmod(&at("open"), 0o777);
        make_for(&at("open/state"), user, group).unwrap();
        assert!(!at("open/state").exists());
    }

    #[test]
    fn a_secret_that_others_could_know_is_made_anew() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::open(root.path());
        let file = root.path().join("secret");
        let secret = || state.secret("secret", "lost").unwrap();
        let first = secret();
        assert_eq!(secret(), first);
        // Readable for the group.
        chmod(&file, 0o640);
        let second = secret();
        assert_ne!(second, first);
        assert_eq!(secret(), second);
        // A link to a file that is somebody's who knows it.
        let known = root.path().join("known");
        fs::write(&known, [7; SECRET_OCTETS]).unwrap();
        chmod(&known, 0o600);
        fs::remove_file(&file).unwrap();
        symlink(&known, &file).unwrap();
        let third = secret();
        assert_ne!(third, [7; SECRET_OCTETS]);
        assert_eq!(secret(), third);
        assert_eq!(fs::read(&known).unwrap(), [7; SECRET_OCTETS]);
        // What waits for a writer does not make the server wait.
        fs::remove_file(&file).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &file, FileType::Fifo, PRIVATE_FILE, 0).unwrap();
        assert_ne!(secret(), third);
    }
}
