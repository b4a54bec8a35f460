//! The dotlock: whoever may change `mbox` has made `mbox.lock`, which nobody can
//! make twice. It is the lock that Dovecot, Postfix, Exim, procmail, liblockfile,
//! mutt and Python take; those of the kernel (fcntl, flock) are not to be had
//! through WASI.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use restante_guest::files::{self, Status, reason};
use restante_guest::log;

/// Between two looks at somebody else's lock.
const GLANCE: Duration = Duration::from_millis(50);
/// A long work makes the lock young again so often.
const REFRESH: Duration = Duration::from_millis(500);
/// What our locks hold. 0 is no process: others would take a lock with the number
/// of one that is not there for stale.
const OURS: &[u8] = b"0\nrestante\n";
/// A lock of ours that is older was left behind by a session that was killed. The
/// host lets one session at a time have a maildrop; this is for two hosts, of which
/// one takes over from the other.
const OURS_IS_STALE: Duration = Duration::from_secs(2);

/// The lock, held. Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    identity: u64,
    refreshed: Instant,
}

/// Why there is no lock.
#[derive(Debug)]
pub(crate) enum NoLock {
    /// Somebody else has it, and goes on having it.
    Busy,
    /// The directory does not let us.
    Denied(io::Error),
}

impl Lock {
    /// Takes the lock of a file, and waits for it. One that is older than `stale`
    /// was left behind by a crash.
    pub(crate) fn take(file: &Path, wait: Duration, stale: Duration) -> Result<Lock, NoLock> {
        let mut path = file.to_owned().into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        let begun = Instant::now();
        loop {
            match Lock::make(&path) {
                Ok(lock) => return Ok(lock),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(NoLock::Denied(error)),
            }
            if let Ok(Some(found)) = files::read(&path, 0, OURS.len() as u32 + 1) {
                let stale = match found.octets == OURS {
                    true => stale.min(OURS_IS_STALE),
                    false => stale,
                };
                if age(&found.status) > Some(stale) && break_stale(&path, &found.status) {
                    continue;
                }
            }
            if begun.elapsed() >= wait {
                return Err(NoLock::Busy);
            }
            thread::sleep(GLANCE);
        }
    }

    fn make(path: &Path) -> io::Result<Lock> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        // It is the lock without a word in it, too: on a full disk there is no room for one.
        let _ = file.write_all(OURS);
        drop(file);
        let status = files::stat(path).map_err(io::Error::other)?;
        let status = status.ok_or(ErrorKind::NotFound)?;
        Ok(Lock {
            path: path.to_owned(),
            identity: status.identity,
            refreshed: Instant::now(),
        })
    }

    /// Whether it is still ours: who works for longer than others wait may have
    /// lost it.
    pub(crate) fn is_held(&self) -> bool {
        let found = files::stat(&self.path);
        matches!(found, Ok(Some(found)) if found.identity == self.identity)
    }

    /// Keeps the lock young. To be called while work goes on.
    pub(crate) fn refresh(&mut self) {
        if self.refreshed.elapsed() < REFRESH || !self.is_held() {
            return;
        }
        let file = OpenOptions::new().write(true).open(&self.path);
        if let Err(error) = file.and_then(|mut file| file.write_all(OURS)) {
            log::warn!(
                "{} cannot be refreshed: {}",
                self.path.display(),
                reason(&error)
            );
        }
        self.refreshed = Instant::now();
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if !self.is_held() {
            log::warn!("{} was taken by somebody else", self.path.display());
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            log::error!(
                "{} cannot be removed: {}",
                self.path.display(),
                reason(&error)
            );
        }
    }
}

fn age(status: &Status) -> Option<Duration> {
    let modified = UNIX_EPOCH + Duration::from_nanos(status.modified);
    SystemTime::now().duration_since(modified).ok()
}

/// Takes a stale lock out of the way, and no other: it is renamed first, and put
/// back if it has become somebody's fresh one meanwhile.
fn break_stale(path: &Path, stale: &Status) -> bool {
    let mut aside = path.to_owned().into_os_string();
    aside.push(format!(".stale-{}", stale.identity));
    let aside = PathBuf::from(aside);
    if fs::rename(path, &aside).is_err() {
        return false;
    }
    let taken = files::stat(&aside);
    let is_it = matches!(&taken, Ok(Some(taken)) if taken.identity == stale.identity && taken.modified == stale.modified);
    if is_it {
        log::warn!("{} was left behind, and is removed", path.display());
    } else if let Err(error) = fs::hard_link(&aside, path) {
        log::warn!("{} cannot be put back: {}", path.display(), reason(&error));
    }
    let _ = fs::remove_file(&aside);
    is_it
}

#[cfg(test)]
mod tests {
    use super::*;
    use restante_guest::testing;

    const SHORT: Duration = Duration::from_millis(120);
    const LONG: Duration = Duration::from_secs(300);

    #[test]
    fn a_lock_is_held_once_and_given_back() {
        let folder = tempfile::tempdir().unwrap();
        testing::set_maildrop(folder.path());
        let file = folder.path().join("mbox");
        let lock = Lock::take(&file, SHORT, LONG).unwrap();
        assert!(lock.is_held());
        assert!(matches!(Lock::take(&file, SHORT, LONG), Err(NoLock::Busy)));
        drop(lock);
        assert!(!folder.path().join("mbox.lock").exists());
        assert!(Lock::take(&file, SHORT, LONG).is_ok());
        let nowhere = folder.path().join("missing/mbox");
        let denied = Lock::take(&nowhere, SHORT, LONG);
        assert!(matches!(denied, Err(NoLock::Denied(_))));
    }

    #[test]
    fn a_lock_that_was_left_behind_is_broken_and_a_young_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        testing::set_maildrop(folder.path());
        let file = folder.path().join("mbox");
        let path = folder.path().join("mbox.lock");
        fs::write(&path, "4711").unwrap();
        let old = SystemTime::now() - LONG - LONG;
        let set = |time| {
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            file.set_modified(time).unwrap();
        };
        set(SystemTime::now() - LONG / 2);
        assert!(matches!(Lock::take(&file, SHORT, LONG), Err(NoLock::Busy)));
        set(old);
        let lock = Lock::take(&file, SHORT, LONG).unwrap();
        // Somebody breaks ours in turn: it is not ours to remove.
        fs::remove_file(&path).unwrap();
        fs::write(folder.path().join("other"), "theirs").unwrap();
        fs::write(&path, "theirs").unwrap();
        if !lock.is_held() {
            drop(lock);
            assert_eq!(fs::read(&path).unwrap(), b"theirs");
        }
    }

    #[test]
    fn a_lock_of_ours_does_not_keep_us_out_for_long() {
        let folder = tempfile::tempdir().unwrap();
        testing::set_maildrop(folder.path());
        let file = folder.path().join("mbox");
        // As a kill leaves it.
        std::mem::forget(Lock::take(&file, SHORT, LONG).unwrap());
        let mut other = Lock::take(&file, 2 * OURS_IS_STALE, LONG).unwrap();
        // Who works on keeps it young.
        for _ in 0..30 {
            other.refresh();
            let taken = Lock::take(&file, SHORT, LONG);
            assert!(matches!(taken, Err(NoLock::Busy)));
        }
        assert!(other.is_held());
    }

    #[test]
    fn a_fresh_lock_is_put_back() {
        let folder = tempfile::tempdir().unwrap();
        testing::set_maildrop(folder.path());
        let path = folder.path().join("mbox.lock");
        fs::write(&path, "old").unwrap();
        let stale = files::stat(&path).unwrap().unwrap();
        fs::rename(&path, folder.path().join("gone")).unwrap();
        fs::write(&path, "fresh").unwrap();
        assert!(!break_stale(&path, &stale));
        assert_eq!(fs::read(&path).unwrap(), b"fresh");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
