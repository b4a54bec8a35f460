//! The removal of messages: their files, what the quota counts of them, and what went
//! wrong with it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use restante_guest::files::{self, Kind, reason};
use restante_guest::prelude::*;
use restante_guest::{log, maildir};

/// Where delivery agents and IMAP servers keep what a Maildir++ holds, if they do: its
/// quota in the first line, and then octets and messages that came and went, a line for
/// each change.
const QUOTA_FILE: &str = "maildirsize";

/// A removal that is under way.
pub(crate) struct Removal<'a> {
    root: &'a Path,
    touched: [(&'static str, bool); 2],
    /// Octets and messages that are gone.
    freed: (u64, u64),
    failed: usize,
    /// What failed first: which file, and why.
    first: Option<(String, io::Error)>,
}

impl<'a> Removal<'a> {
    pub(crate) fn new(root: &'a Path) -> Removal<'a> {
        Removal {
            root,
            touched: [("cur", false), ("new", false)],
            freed: (0, 0),
            failed: 0,
            first: None,
        }
    }

    /// Unlinks every name of a message's file, which has so many octets. False: one was
    /// not there.
    pub(crate) fn unlink_all(&mut self, paths: &[&str], size: u64) -> bool {
        let (mut all, mut freed) = (true, None);
        for path in paths {
            match fs::remove_file(self.root.join(path)) {
                Ok(()) => {
                    self.touch(path);
                    freed = freed.or(counted(path, size));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Perhaps removed by a session that could not make it last.
                    self.touch(path);
                    all = false;
                }
                Err(error) => self.fail(path, error),
            }
        }
        if let Some(octets) = freed {
            self.freed.0 = self.freed.0.saturating_add(octets);
            self.freed.1 += 1;
        }
        all
    }

    fn touch(&mut self, path: &str) {
        for (directory, touched) in &mut self.touched {
            *touched |= path.split('/').next() == Some(*directory);
        }
    }

    /// Something could not be done about a file or a directory.
    pub(crate) fn fail(&mut self, path: &str, error: io::Error) {
        self.failed += 1;
        self.first.get_or_insert_with(|| (path.to_owned(), error));
    }

    /// Makes it last.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        for (directory, touched) in self.touched {
            if !touched {
                continue;
            }
            let synced = File::open(self.root.join(directory)).and_then(|file| file.sync_all());
            match synced {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    self.fail(directory, error);
                }
                _ => {}
            }
        }
        if let Err(error) = self.free_quota() {
            log::warn!(
                "{QUOTA_FILE} cannot be written, so the quota counts {} messages too many until it \
                 is calculated again: {}",
                self.freed.1,
                reason(&error)
            );
        }
        let Some((path, error)) = self.first else {
            return Ok(());
        };
        log::error!(
            "{} files could not be removed, the first: {path:?}: {}",
            self.failed,
            reason(&error)
        );
        Err(files::failure(&error, "some messages could not be removed"))
    }

    /// Writes down what is gone, where a quota is kept. One line, written at once: others
    /// append to the file too.
    fn free_quota(&self) -> io::Result<()> {
        let (octets, messages) = self.freed;
        let path = self.root.join(QUOTA_FILE);
        let is_kept = matches!(files::stat(&path), Ok(Some(status)) if status.kind == Kind::File);
        if messages == 0 || !is_kept {
            return Ok(());
        }
        let mut file = OpenOptions::new().append(true).open(&path)?;
        let line = format!("-{octets} -{messages}\n");
        let written = file.write_all(line.as_bytes());
        written.map_err(|error| files::cause(&file, error))
    }
}

/// What the quota counts of a file with so many octets: those that were delivered, where
/// its name says that. A message that is marked as trash does not count (Maildir++).
fn counted(path: &str, size: u64) -> Option<u64> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_trash = maildir::flags(name).contains('T');
    (!is_trash).then(|| maildir::delivered_octets(name).unwrap_or(size))
}
