//! What a plugin may touch: a grant made concrete for one account.

use std::fs::File;
use std::io;
use std::path::{Component as PathPart, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata};
use tokio::time::Instant;
use wasmtime::component::Resource;
use wasmtime_wasi::FsPerms;
use wasmtime_wasi::filesystem::{Descriptor, OpenMode};
use wasmtime_wasi::p2::bindings::filesystem::preopens;

use super::filesystem;
use super::opening::{self, MAX_PATH_OCTETS};
use super::state::State;
use crate::backend::{Account, FileRange};
use crate::cached;
use crate::config::{DirectoryGrant, Grants};
use crate::template::{ExpandError, Values};
use crate::work::{MAX_WORK_TIME, Stop, WorkRoom};

/// Where a session's maildrop appears in the guest.
pub(super) const MAILDROP: &str = "/maildrop";

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

/// A granted directory, open.
pub(super) struct Root {
    dir: Dir,
    /// What the kernel has of it in its caches is had at once.
    is_local: bool,
}

impl Root {
    /// Opens a directory on this machine. May wait for the disk.
    pub(super) fn open(path: &Path) -> io::Result<Root> {
        let dir = Dir::open_ambient_dir(path, ambient_authority())?;
        let is_local = cached::is_local(&dir);
        Ok(Root { dir, is_local })
    }

    /// The same, if it takes no waiting.
    fn open_cached(path: &Path) -> Option<Root> {
        let dir = Dir::from_std_file(cached::open_directory(path)?);
        let is_local = true;
        Some(Root { dir, is_local })
    }

    pub(super) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Opens what is at a path below for reading, if that takes no waiting.
    pub(super) fn open_at_once(&self, path: &str) -> Option<io::Result<File>> {
        match self.is_local {
            true => cached::open(&self.dir, path),
            false => None,
        }
    }

    /// What is at a path below, if that takes no waiting to know.
    pub(super) fn look_at_once(&self, path: &str) -> Option<io::Result<Metadata>> {
        match self.is_local {
            true => {
                let found = cached::find(&self.dir, path)?;
                Some(found.and_then(|found| Metadata::from_file(&found)))
            }
            false => None,
        }
    }

    /// Where it is, however it was spelled. None: the system does not tell.
    #[cfg(target_os = "linux")]
    fn place(&self) -> Option<PathBuf> {
        use std::os::fd::AsRawFd;
        let link = format!("/proc/self/fd/{}", self.dir.as_raw_fd());
        let place = std::fs::read_link(link).ok()?;
        place.is_absolute().then_some(place)
    }

    #[cfg(not(target_os = "linux"))]
    fn place(&self) -> Option<PathBuf> {
        None
    }
}

/// A maildrop's directory, where there is one, and a path that stands for it
/// however it was spelled: what the maildrop's lock is taken under.
pub(super) async fn find_maildrop(
    path: &Path,
    work: &WorkRoom,
) -> io::Result<(Option<Arc<Root>>, PathBuf)> {
    if let Some(root) = Root::open_cached(path)
        && let Some(place) = root.place()
    {
        return Ok((Some(Arc::new(root)), place));
    }
    let path = path.to_owned();
    work.run_io(Instant::now() + MAX_WORK_TIME, move |_| {
        let root = match Root::open(&path) {
            Ok(root) => Some(Arc::new(root)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let place = root.as_ref().and_then(|root| root.place());
        Ok((root, place.unwrap_or_else(|| canonical(&path))))
    })
    .await
}

/// Opens a maildrop's directory, or makes it where the grant says so. None: it
/// does not exist, and the plugin is to do without.
pub(super) async fn open_maildrop(
    path: &Path,
    create: bool,
    work: &WorkRoom,
) -> io::Result<Option<Arc<Root>>> {
    if let Some(root) = Root::open_cached(path) {
        return Ok(Some(Arc::new(root)));
    }
    let path = path.to_owned();
    work.run_io(Instant::now() + MAX_WORK_TIME, move |_| {
        match Root::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened.map(|root| Some(Arc::new(root))),
        }
        if !create {
            return Ok(None);
        }
        make_private_dir(&path)?;
        Root::open(&path).map(|root| Some(Arc::new(root)))
    })
    .await
}

/// Makes a directory and those above it, for nobody but the server's user.
pub(super) fn make_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// A directory that the plugin was granted, whosever session it is.
pub(super) struct Granted {
    /// Its path in the guest.
    pub(super) guest: String,
    pub(super) root: Root,
    pub(super) write: bool,
}

/// The directories that a plugin was granted, open. Looked up again after
/// [`TRUSTED`]: another directory may have taken the place of one.
#[derive(Default)]
pub(super) struct Directories {
    opened: Mutex<Option<(Instant, Arc<[Granted]>)>>,
}

/// How long a directory that was opened stands for its path.
const TRUSTED: Duration = Duration::from_secs(1);

impl Directories {
    /// # Errors
    /// One of them cannot be opened: says which.
    pub(super) async fn open(
        &self,
        grants: &[DirectoryGrant],
        work: &WorkRoom,
    ) -> wasmtime::Result<Arc<[Granted]>> {
        if grants.is_empty() {
            return Ok(Arc::new([]));
        }
        if let Some((since, opened)) = &*self.lock()
            && since.elapsed() < TRUSTED
        {
            return Ok(opened.clone());
        }
        let begun = Instant::now();
        let opened: Option<Arc<[Granted]>> = grants
            .iter()
            .map(|grant| Some(grant.with(Root::open_cached(&grant.host)?)))
            .collect();
        let opened = match opened {
            Some(opened) => opened,
            None => {
                let grants = grants.to_vec();
                let open = move |_: &Stop| {
                    let opened = grants.iter().map(DirectoryGrant::open);
                    opened.collect::<wasmtime::Result<Arc<[Granted]>>>()
                };
                work.run(Instant::now() + MAX_WORK_TIME, open).await??
            }
        };
        *self.lock() = Some((begun, Arc::clone(&opened)));
        Ok(opened)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Arc<[Granted]>)>> {
        // It is replaced whole.
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DirectoryGrant {
    fn open(&self) -> wasmtime::Result<Granted> {
        let root = Root::open(&self.host).map_err(|error| {
            wasmtime::Error::from(error).context(format!("granted directory {:?}", self.host))
        })?;
        Ok(self.with(root))
    }

    fn with(&self, root: Root) -> Granted {
        Granted {
            guest: self.guest.clone(),
            root,
            write: self.write,
        }
    }
}

/// What a standard library learns of its directories, when it first asks: `wasi`
/// itself has none.
impl preopens::Host for State {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let maildrop = self.maildrop.iter().map(|root| (&**root, MAILDROP, true));
        let granted = self.directories.iter();
        let granted = granted.map(|granted| (&granted.root, &*granted.guest, granted.write));
        granted
            .chain(maildrop)
            .map(|(root, guest, write)| {
                let (permissions, mode) = match write {
                    true => (FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE),
                    false => (FsPerms::ReadOnly, OpenMode::READ),
                };
                let dir = root.dir.try_clone()?.into_std_file();
                let dir = filesystem::directory(dir, permissions, mode);
                Ok((self.table.push(dir)?, guest.to_owned()))
            })
            .collect()
    }
}

/// The part of a file that a guest has named for a RETR; fixes how long it is.
pub(super) fn range(dir: &Dir, named: &Named, work: &WorkRoom) -> io::Result<FileRange> {
    named.range(opening::open_file(dir, &named.path)?.0, work)
}

/// The same, if it takes no waiting.
pub(super) fn range_at_once(
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
pub(super) struct Named {
    pub(super) path: String,
    pub(super) offset: u64,
    pub(super) length: Option<u64>,
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
        WorkRoom::new(crate::metrics::Ledger::new("t"))
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

    #[test]
    fn a_directory_has_one_canonical_path() {
        let (root, _dir) = tree();
        std::os::unix::fs::symlink("inside", root.path().join("alias")).unwrap();
        let direct = canonical(&root.path().join("inside/new/deeper"));
        assert_eq!(canonical(&root.path().join("alias/new/deeper")), direct);
        assert!(direct.ends_with("inside/new/deeper"));
    }

    #[tokio::test]
    async fn a_maildrop_has_one_place_whether_it_exists_or_not() {
        let (root, _dir) = tree();
        std::os::unix::fs::symlink("inside", root.path().join("alias")).unwrap();
        let place = async |path: &str| {
            let found = find_maildrop(&root.path().join(path), &work())
                .await
                .unwrap();
            (found.0.is_some(), found.1)
        };
        let missing = place("alias/box").await;
        std::fs::create_dir(root.path().join("inside/box")).unwrap();
        let there = place("inside/box").await;
        assert_eq!((missing.0, there.0), (false, true));
        assert_eq!(missing.1, there.1);
        // Once more, from the caches.
        assert_eq!(place("alias/box").await, there);
        assert!(
            find_maildrop(&root.path().join("secret"), &work())
                .await
                .is_err()
        );
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
        let first = directories.open(&grants, &work()).await.unwrap();
        assert!(Arc::ptr_eq(
            &first,
            &directories.open(&grants, &work()).await.unwrap()
        ));
        std::fs::rename(root.path().join("inside"), root.path().join("old")).unwrap();
        tokio::time::sleep(TRUSTED).await;
        assert!(directories.open(&grants, &work()).await.is_err());
        std::fs::create_dir(root.path().join("inside")).unwrap();
        let next = directories.open(&grants, &work()).await.unwrap();
        assert!(next[0].root.dir.open("mail").is_err());
    }
}
