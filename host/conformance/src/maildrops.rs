//! Maildrops to try things on: each a copy of its own, so that nothing that is removed is
//! missed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, io};

use async_trait::async_trait;

use crate::messages;

/// A maildrop that only the kit's sessions use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaildropCopy {
    /// What accounts call it.
    pub maildrop: String,
    /// The tenant whose sessions find it. None: those of any tenant do.
    pub tenant: Option<String>,
}

/// Where the kit's maildrops come from.
#[async_trait]
pub trait MaildropSource: Send + Sync {
    /// Makes a new copy, in which nothing was changed yet.
    ///
    /// # Errors
    /// When the mail cannot be copied, or is too much for that.
    async fn fresh(&self) -> io::Result<MaildropCopy>;

    /// The copy is not needed any more, and takes no room from now on.
    fn discard(&self, copy: &MaildropCopy);
}

/// Maildrops that are directories.
#[derive(Clone)]
pub struct Maildrops {
    source: PathBuf,
    root: PathBuf,
}

/// Octets and files of a maildrop that is copied for each check.
const COPIED_OCTETS: u64 = 1 << 30;
const COPIED_FILES: usize = 100_000;

impl Maildrops {
    /// Copies of `source` appear below `root`, which stands in the grant as
    /// `root/{maildrop}`.
    pub fn of(source: PathBuf, root: PathBuf) -> Self {
        Maildrops { source, root }
    }

    /// Copies of a Maildir of the kit's own messages, which is made in `folder`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn sample(folder: &Path, root: PathBuf) -> io::Result<Self> {
        let source = folder.join("sample");
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(source.join(part))?;
        }
        for (position, (_, octets)) in messages::all().into_iter().enumerate() {
            let (directory, flags) = match position % 2 {
                0 => ("new", ""),
                _ => ("cur", ":2,S"),
            };
            let name = format!("{}.M{position}P1.kit{flags}", 1_700_000_000 + position);
            fs::write(source.join(directory).join(name), octets)?;
        }
        Ok(Maildrops::of(source, root))
    }

    /// The maildrop that is copied.
    pub fn source(&self) -> &Path {
        &self.source
    }
}

#[async_trait]
impl MaildropSource for Maildrops {
    async fn fresh(&self) -> io::Result<MaildropCopy> {
        // Other sources may make theirs in the same place.
        static COPIES: AtomicU32 = AtomicU32::new(0);
        let number = COPIES.fetch_add(1, Ordering::Relaxed);
        let maildrop = format!("copy{number}");
        let mut left = (COPIED_FILES, COPIED_OCTETS);
        copy(&self.source, &self.root.join(&maildrop), &mut left)?;
        Ok(MaildropCopy {
            maildrop,
            tenant: None,
        })
    }

    fn discard(&self, copy: &MaildropCopy) {
        let _ = fs::remove_dir_all(self.root.join(&copy.maildrop));
    }
}

/// Regular files and directories; with their times, which stores may go by.
fn copy(from: &Path, to: &Path, left: &mut (usize, u64)) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let about = entry.metadata()?;
        let target = to.join(entry.file_name());
        if about.is_dir() {
            copy(&entry.path(), &target, left)?;
        } else if about.is_file() {
            let files = left.0.checked_sub(1);
            let octets = left.1.checked_sub(about.len());
            let (Some(files), Some(octets)) = (files, octets) else {
                return Err(io::Error::other(format!(
                    "it has more than {COPIED_FILES} files or {COPIED_OCTETS} octets: give a smaller one"
                )));
            };
            *left = (files, octets);
            fs::copy(entry.path(), &target)?;
            let modified = about.modified()?;
            fs::File::options()
                .append(true)
                .open(&target)?
                .set_modified(modified)?;
        }
    }
    let modified = fs::metadata(from)?.modified()?;
    fs::File::open(to)?.set_modified(modified)
}
