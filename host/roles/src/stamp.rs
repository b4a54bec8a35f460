//! What tells whether a file is the one that was there before, without reading it.
//!
//! Knows the file system's word on a file and nothing of what is in it.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How old a change must be for the next one to show: clocks of file systems go in
/// steps, some of them in whole seconds.
pub const RACY_WINDOW: Duration = Duration::from_secs(2);

/// A file at one moment. Two that are equal are the same file, unchanged, if the
/// first was [settled](Stamp::is_settled).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// None: there was no file, or none that could be looked at.
    seen: Option<Seen>,
    taken: Taken,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    device: u64,
    inode: u64,
    octets: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

/// When a stamp was taken; no part of what it says.
#[derive(Debug, Clone, Copy)]
struct Taken(SystemTime);

impl PartialEq for Taken {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Taken {}

impl Stamp {
    /// What is at `path` now, at the end of all links.
    pub fn of(path: &Path) -> Self {
        Stamp::new(fs::metadata(path).ok())
    }

    fn new(metadata: Option<Metadata>) -> Self {
        Stamp {
            taken: Taken(SystemTime::now()),
            seen: metadata.map(|metadata| Seen {
                device: metadata.dev(),
                inode: metadata.ino(),
                octets: metadata.len(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
                changed: (metadata.ctime(), metadata.ctime_nsec()),
            }),
        }
    }

    /// Whether any later change gives another stamp. The last change is so long ago
    /// that the clock it is told by has moved on.
    pub fn is_settled(&self) -> bool {
        let Some(seen) = &self.seen else {
            return true;
        };
        let taken = self.taken.0.duration_since(SystemTime::UNIX_EPOCH);
        let latest = taken
            .unwrap_or_default()
            .saturating_sub(RACY_WINDOW)
            .as_secs();
        u64::try_from(seen.changed.0.max(0)).is_ok_and(|changed| changed < latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_shows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let nothing = Stamp::of(&path);
        assert!(nothing.is_settled());
        fs::write(&path, "one").unwrap();
        let one = Stamp::of(&path);
        assert_ne!(one, nothing);
        assert_eq!(one, Stamp::of(&path));
        // It may change again within the same step of the clock.
        assert!(!one.is_settled());
        let mut later = one.clone();
        later.taken = Taken(SystemTime::now() + RACY_WINDOW + Duration::from_secs(2));
        assert!(later.is_settled());
        assert_eq!(later, one);

        // As an archive's program leaves it: the same name, size and time.
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let other = folder.path().join("b");
        fs::write(&other, "two").unwrap();
        let file = fs::File::open(&other).unwrap();
        file.set_modified(modified).unwrap();
        fs::rename(&other, &path).unwrap();
        assert_ne!(Stamp::of(&path), one);
        fs::remove_file(&path).unwrap();
        assert_eq!(Stamp::of(&path), nothing);
    }

    #[test]
    fn links_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a"), "one").unwrap();
        fs::write(at("b"), "two").unwrap();
        std::os::unix::fs::symlink(at("a"), at("link")).unwrap();
        assert_eq!(Stamp::of(&at("link")), Stamp::of(&at("a")));
        fs::remove_file(at("link")).unwrap();
        std::os::unix::fs::symlink(at("b"), at("link")).unwrap();
        assert_eq!(Stamp::of(&at("link")), Stamp::of(&at("b")));
    }
}
