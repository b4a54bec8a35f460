//! Makes the directories of a Maildir for a user who has had no mail yet.

use std::fs;
use std::path::Path;

use restante_guest::files::{self, reason};
use restante_guest::log;

/// `tmp` comes last: where it is, the others have been, whenever the server was ended.
const ORDER: [&str; 3] = ["new", "cur", "tmp"];

/// Makes those that are missing. But where `tmp` is and of `new` and `cur` one alone is
/// missing, half of a Maildir is away.
pub(crate) fn create(root: &Path) {
    let is_missing = |directory: &&str| matches!(files::stat(root.join(directory)), Ok(None));
    let missing: Vec<_> = ORDER.into_iter().filter(is_missing).collect();
    let is_half = missing.contains(&"new") != missing.contains(&"cur");
    if is_half && !missing.contains(&"tmp") {
        return;
    }
    for (at, directory) in missing.iter().enumerate() {
        if let Err(error) = fs::create_dir_all(root.join(directory)) {
            let reason = reason(&error);
            log::warn!("{directory} cannot be created, going on without: {reason}");
            // Half of them is worse than none; what has come into one meanwhile stays.
            for made in missing[..at].iter().rev() {
                let _ = fs::remove_dir(root.join(made));
            }
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(directories: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for directory in directories {
            fs::create_dir(root.path().join(directory)).unwrap();
        }
        root
    }

    fn is_whole(root: &Path) -> bool {
        ORDER.iter().all(|directory| root.join(directory).is_dir())
    }

    /// As kill -9 or a power cut leaves it.
    #[test]
    fn what_ended_half_way_is_gone_on_with() {
        for made in 0..=ORDER.len() {
            let root = with(&ORDER[..made]);
            create(root.path());
            assert!(is_whole(root.path()), "{made} were made");
        }
    }

    #[test]
    fn half_a_maildir_stays_one() {
        for there in ["new", "cur"] {
            let root = with(&["tmp", there]);
            create(root.path());
            assert!(!is_whole(root.path()), "{there}");
        }
        let root = with(&["tmp"]);
        create(root.path());
        assert!(is_whole(root.path()));
    }
}
