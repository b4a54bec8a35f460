//! The moment in which the process, or the whole system, has no file descriptor left.
//!
//! A connection that cannot be accepted for want of a descriptor waits in the kernel's
//! queue, and each further accept(2) fails at once: nobody is told anything, the operator
//! neither. So each side that accepts keeps a few descriptors that are good for nothing
//! else ([`Spares`]). They are given back for one connection that is answered, and taken
//! again when it is closed.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// Between giving a spare descriptor back and taking a connection with it, nobody else
/// who does the same may come.
static LENDING: Mutex<()> = Mutex::new(());

/// Whose descriptors are used up. Its words say what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// The process's (EMFILE).
    Process,
    /// The system's (ENFILE).
    System,
}

impl Exhausted {
    /// None: the error is about something else.
    pub fn of(error: &io::Error) -> Option<Self> {
        match Errno::from_io_error(error) {
            Some(Errno::MFILE) => Some(Exhausted::Process),
            Some(Errno::NFILE) => Some(Exhausted::System),
            _ => None,
        }
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exhausted::Process => {
                let limit = match getrlimit(Resource::Nofile).current {
                    Some(limit) => limit.to_string(),
                    None => "none".to_owned(),
                };
                write!(
                    out,
                    "no file descriptor is left, the process's limit is {limit}: raise LimitNOFILE= of the service (without systemd `ulimit -n`) and restart, or lower `connections`"
                )
            }
            Exhausted::System => out.write_str(
                "the system has no file descriptor left: raise the kernel's fs.file-max, or look for a process that has too many",
            ),
        }
    }
}

/// Descriptors that are kept for connections which could not be accepted without.
#[derive(Debug)]
pub struct Spares {
    wanted: usize,
    held: Mutex<Vec<OwnedFd>>,
}

impl Spares {
    /// Takes so many now, or as many of them as there are.
    pub fn new(wanted: usize) -> Arc<Self> {
        let spares = Spares {
            wanted,
            held: Mutex::default(),
        };
        spares.refill();
        Arc::new(spares)
    }

    /// Gives one back, has `accept` take a connection with it at once, and takes another
    /// as soon as there is one. None: there was none to give back.
    pub fn lend<T>(&self, accept: impl FnOnce() -> T) -> Option<T> {
        let lending = LENDING.lock();
        let spare = self.held().pop()?;
        drop(spare);
        let accepted = accept();
        // Where the connection is closed already, its descriptor becomes the spare one.
        self.refill();
        drop(lending);
        Some(accepted)
    }

    /// Takes what is missing, as far as there is any: after a connection was closed.
    pub fn refill(&self) {
        let mut held = self.held();
        while held.len() < self.wanted {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            match rustix::fs::open("/dev/null", flags, Mode::empty()) {
                Ok(spare) => held.push(spare),
                Err(_) => return,
            }
        }
    }
    fn held(&self) -> MutexGuard<'_, Vec<OwnedFd>> {
        self.held.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn what_is_used_up_is_known_and_said_with_what_to_do() {
        for (errno, exhausted, words) in [
            (Errno::MFILE, Some(Exhausted::Process), "LimitNOFILE="),
            (Errno::NFILE, Some(Exhausted::System), "fs.file-max"),
            (Errno::NOMEM, None, ""),
            (Errno::CONNABORTED, None, ""),
        ] {
            let found = Exhausted::of(&errno.into());
            assert_eq!(found, exhausted);
            let said = found.map(|found| found.to_string()).unwrap_or_default();
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn a_spare_descriptor_is_free_while_it_is_lent_and_there_again_afterwards() {
        let spares = Spares::new(2);
        let numbers = || -> Vec<i32> { spares.held().iter().map(AsRawFd::as_raw_fd).collect() };
        let open = |number: i32| std::fs::exists(format!("/proc/self/fd/{number}")).unwrap();
        assert!(numbers().len() == 2 && numbers().into_iter().all(open));
        let kept = spares.lend(numbers).unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(numbers().len(), 2);
        // With none there is nothing to lend, and nobody is asked.
        let none = Spares::new(0);
        assert_eq!(none.lend(|| panic!("lent")), None::<()>);
        drop(none);
    }
}
