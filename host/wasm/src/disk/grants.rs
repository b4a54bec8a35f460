//! What a plugin may touch: a grant made concrete for one account.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::disk::opening::{self, MAX_PATH_OCTETS};
use restante_config::template::{AccountPath, ExpandError, Values};
use restante_config::{DirectoryGrant, Grants, MaildropGrant};
use restante_roles::backend::{Account, FileRange};
use restante_roles::nowait;
use restante_roles::work::{Stop, WorkRoom};

/// Where a session's maildrop appears in the guest.
pub(crate) const MAILDROP: &str = "/maildrop";

/// Where an account's maildrop is.
pub(crate) enum MaildropPlace {
    /// On the host.
    Directory(AccountPath),
    /// In the engine of the grant, by this name.
    Engine(String),
}

/// Where this account's maildrop is, where the plugin has that grant.
pub(crate) fn maildrop_place(
    grants: &Grants,
    tenant: &str,
    account: &Account,
) -> Result<Option<MaildropPlace>, ExpandError> {
    let Some(maildrop) = &grants.maildrop else {
        return Ok(None);
    };
    // No template names a secret.
    let attributes: Vec<_> = account.attributes.shown().collect();
    let path = maildrop.template().expand(&Values {
        tenant,
        user: &account.user,
        maildrop: &account.maildrop,
        attributes: &attributes,
    })?;
    Ok(Some(match maildrop {
        MaildropGrant::Directory(_) => MaildropPlace::Directory(path),
        MaildropGrant::Engine { .. } => MaildropPlace::Engine(path.name()),
    }))
}

/// A granted directory, open.
pub(crate) struct Root {
    dir: Dir,
    /// What the kernel has of it in its caches is had at once.
    is_local: bool,
}

impl Root {
    /// Opens a directory on this machine. May wait for the disk.
    pub(crate) fn open(path: &Path) -> io::Result<Root> {
        let dir = Dir::open_ambient_dir(path, ambient_authority())?;
        Ok(Root::of(dir.into_std_file()))
    }

    /// The same, if it takes no waiting.
    fn open_cached(path: &Path) -> Option<Root> {
        Some(Root::local(nowait::open_directory(path)?))
    }

    /// A directory that is open. May wait for the disk.
    pub(crate) fn of(directory: File) -> Root {
        Root {
            is_local: nowait::is_local(&directory),
            dir: Dir::from_std_file(directory),
        }
    }

    /// One that is known to be on a local file system.
    pub(crate) fn local(directory: File) -> Root {
        Root {
            dir: Dir::from_std_file(directory),
            is_local: true,
        }
    }

    /// Its path on this machine, whatever links led to it.
    pub(crate) fn real_path(&self) -> io::Result<PathBuf> {
        // The kernel's word of what is open; the disk is not asked.
        let descriptor = self.dir.as_fd().as_raw_fd();
        std::fs::read_link(format!("/proc/self/fd/{descriptor}"))
    }

    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Opens what is at a path below for reading, if that takes no waiting.
    pub(crate) fn open_at_once(&self, path: &str) -> Option<io::Result<File>> {
        match self.is_local {
            true => nowait::open(&self.dir, path),
            false => None,
        }
    }

    /// What is at a path below, if that takes no waiting to know.
    pub(crate) fn look_at_once(&self, path: &str) -> Option<io::Result<Metadata>> {
        match self.is_local {
            true => {
                let found = nowait::find(&self.dir, path)?;
                Some(found.and_then(|found| Metadata::from_file(&found)))
            }
            false => None,
        }
    }
}

/// A directory that the plugin was granted, whosever session it is.
pub(crate) struct Granted {
    /// Its path in the guest.
    pub(crate) guest: String,
    pub(crate) root: Root,
    pub(crate) write: bool,
}

/// The directories that a plugin was granted, open. Looked up again after
/// [`TRUSTED`]: another directory may have taken the place of one.
#[derive(Default)]
pub(crate) struct Directories {
    opened: Mutex<Option<(Instant, Arc<[Granted]>)>>,
}

/// How long a directory that was opened stands for its path.
const TRUSTED: Duration = Duration::from_secs(1);

impl Directories {
    /// # Errors
    /// One of them cannot be opened: says which.
    pub(crate) async fn open(
        &self,
        grants: &[DirectoryGrant],
        work: &WorkRoom,
        deadline: Instant,
    ) -> wasmtime::Result<Arc<[Granted]>> {
        if grants.is_empty() {
            return Ok(Arc::new([]));
        }
        if let Some((since, opened)) = &*self.opened.lock()
            && since.elapsed() < TRUSTED
        {
            return Ok(opened.clone());
        }
        let begun = Instant::now();
        let opened: Option<Arc<[Granted]>> = grants
            .iter()
            .map(|grant| Some(granted(grant, Root::open_cached(&grant.host)?)))
            .collect();
        let opened = match opened {
            Some(opened) => opened,
            None => {
                let grants = grants.to_vec();
                let open = move |_: &Stop| {
                    let opened = grants.iter().map(open_granted);
                    opened.collect::<wasmtime::Result<Arc<[Granted]>>>()
                };
                work.run(deadline, open).await??
            }
        };
        *self.opened.lock() = Some((begun, Arc::clone(&opened)));
        Ok(opened)
    }
}

fn open_granted(grant: &DirectoryGrant) -> wasmtime::Result<Granted> {
    let root = Root::open(&grant.host).map_err(|error| {
        wasmtime::Error::from(error).context(format!("granted directory {:?}", grant.host))
    })?;
    Ok(granted(grant, root))
}

fn granted(grant: &DirectoryGrant, root: Root) -> Granted {
    Granted {
        guest: grant.guest.clone(),
        root,
        write: grant.write,
    }
}

/// The part of a file that a guest has named for a RETR; fixes how long it is.
pub(crate) fn range(dir: &Dir, named: &Named, work: &WorkRoom) -> io::Result<FileRange> {
    named.range(opening::open_file(dir, &named.path)?.0, work)
}

/// The same, if it takes no waiting.
pub(crate) fn range_at_once(
    root: &Root,
    named: &Named,
    work: &WorkRoom,
) -> Option<io::Result<FileRange>> {
    if named.path.len() > MAX_PATH_OCTETS {
        return None;
    }
    let opened = root.open_at_once(&named.path)?;
    Some(opened.and_then(|file| named.range(file, work)))
}

/// What a guest names for a RETR.
pub(crate) struct Named {
    pub(crate) path: String,
    pub(crate) offset: u64,
    pub(crate) length: Option<u64>,
}

impl Named {
    fn range(&self, file: File, work: &WorkRoom) -> io::Result<FileRange> {
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(opening::not_regular());
        }
        let size = about.len();
        let rest = size.checked_sub(self.offset);
        let length = match (rest, self.length) {
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
            path: PathBuf::from(&self.path),
            offset: self.offset,
            length,
            work: work.clone(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn tree() -> (tempfile::TempDir, Root) {
        let root = tempfile::tempdir().unwrap();
        let inside = root.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(inside.join("mail"), b"0123456789").unwrap();
        std::fs::write(root.path().join("secret"), b"no").unwrap();
        let dir = Root::open(&inside).unwrap();
        (root, dir)
    }

    fn work() -> WorkRoom {
        WorkRoom::new(restante_roles::metrics::Ledger::new("t"))
    }

    fn whole(path: &str) -> Named {
        Named {
            path: path.to_owned(),
            offset: 0,
            length: None,
        }
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
        assert!(opening::open_file(&dir.dir, "mail").is_ok());
        assert!(range(&dir.dir, &whole("mail"), &work()).is_ok());
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
            assert!(
                opening::open_file(&dir.dir, path).is_err(),
                "{path:?} was opened"
            );
            let named = whole(path);
            assert!(
                range(&dir.dir, &named, &work()).is_err(),
                "{path:?} was opened"
            );
            let quick = range_at_once(&dir, &named, &work());
            assert!(!matches!(quick, Some(Ok(_))), "{path:?} was opened");
        }
        assert!(opening::open_file(&dir.dir, &"a/".repeat(4000)).is_err());
        assert!(range_at_once(&dir, &whole(&"a/".repeat(4000)), &work()).is_none());
    }

    #[test]
    fn a_range_lies_within_the_file() {
        let (_root, dir) = tree();
        let open_range = |offset, length| {
            let named = Named {
                offset,
                length,
                ..whole("mail")
            };
            if let Some(quick) = range_at_once(&dir, &named, &work()) {
                let quick = quick.map(|range| range.length).ok();
                let range = range(&dir.dir, &named, &work())
                    .map(|range| range.length)
                    .ok();
                assert_eq!(quick, range);
            }
            range(&dir.dir, &named, &work())
        };
        assert_eq!(open_range(0, None).unwrap().length, 10);
        assert_eq!(open_range(4, Some(6)).unwrap().length, 6);
        assert_eq!(open_range(10, None).unwrap().length, 0);
        for (offset, length) in [
            (11, None),
            (4, Some(7)),
            (u64::MAX, Some(u64::MAX)),
            (0, Some(u64::MAX)),
        ] {
            assert!(open_range(offset, length).is_err());
        }
    }

    #[tokio::test]
    async fn directories_are_opened_once_and_looked_up_again_after_a_while() {
        let (root, _dir) = tree();
        let grant = DirectoryGrant {
            host: root.path().join("inside"),
            guest: "/inside".into(),
            write: false,
        };
        let grants = [grant];
        let directories = Directories::default();
        let first = directories.open(&grants, &work(), soon()).await.unwrap();
        assert!(Arc::ptr_eq(
            &first,
            &directories.open(&grants, &work(), soon()).await.unwrap()
        ));
        std::fs::rename(root.path().join("inside"), root.path().join("old")).unwrap();
        tokio::time::sleep(TRUSTED).await;
        assert!(directories.open(&grants, &work(), soon()).await.is_err());
        std::fs::create_dir(root.path().join("inside")).unwrap();
        let next = directories.open(&grants, &work(), soon()).await.unwrap();
        assert!(next[0].root.dir.open("mail").is_err());
    }
}
