//! What a guest is told of an error of the system: as much as WASI has words for. Knows
//! nothing of instances.

use std::fs::File;
use std::io;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};
use rustix::io::Errno;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

use crate::disk::opening;

/// The code for an error. wasmtime-wasi has "input/output error" for all that it does
/// not know, and it does not know what happens to full, read-only and remote file
/// systems.
pub(crate) fn code(error: &io::Error) -> ErrorCode {
    if opening::is_neither(error) {
        return ErrorCode::NotPermitted;
    }
    // The host's own, of the tenant's places and of what it has open.
    if error.kind() == io::ErrorKind::ResourceBusy {
        return ErrorCode::Busy;
    }
    match Errno::from_io_error(error) {
        Some(Errno::ROFS) => ErrorCode::ReadOnly,
        Some(Errno::DQUOT) => ErrorCode::Quota,
        Some(Errno::NOSPC) => ErrorCode::InsufficientSpace,
        // WASI has no word for it. It is about a file that the file server no longer has.
        Some(Errno::STALE) => ErrorCode::NotRecoverable,
        Some(Errno::NOLCK) => ErrorCode::NoLock,
        Some(Errno::XDEV) => ErrorCode::CrossDevice,
        Some(Errno::TXTBSY) => ErrorCode::TextFileBusy,
        Some(Errno::NODEV) => ErrorCode::NoDevice,
        Some(Errno::NXIO) => ErrorCode::NoSuchDevice,
        _ => ErrorCode::from(error),
    }
}

/// Writes that failed, by their files. A guest's standard library learns that a write
/// failed, and not why. As from the system, it learns that when it next syncs the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct WriteFailures(Arc<Mutex<Vec<WriteFailure>>>);

#[derive(Debug)]
struct WriteFailure {
    file: Weak<File>,
    code: ErrorCode,
}

impl WriteFailures {
    /// A write to a file has failed.
    pub(crate) fn add(&self, file: &Arc<File>, error: &io::Error) {
        let file = Arc::downgrade(file);
        let mut failures = self.lock();
        // Nobody asks about a file that is closed, so this stays small.
        failures.retain(|of| of.file.strong_count() > 0 && !of.file.ptr_eq(&file));
        let code = code(error);
        failures.push(WriteFailure { file, code });
    }

    /// Why a write to this file failed, told once. None: none did.
    pub(crate) fn take(&self, file: &Arc<File>) -> Option<ErrorCode> {
        let mut failures = self.lock();
        let file = Arc::downgrade(file);
        let at = failures.iter().position(|of| of.file.ptr_eq(&file))?;
        Some(failures.swap_remove(at).code)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<WriteFailure>> {
        // Nothing in the list can be half done.
        self.0.lock()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_full_read_only_and_remote_file_systems_have_codes_of_their_own() {
        for (errno, expected) in [
            (Errno::ROFS, ErrorCode::ReadOnly),
            (Errno::NOSPC, ErrorCode::InsufficientSpace),
            (Errno::DQUOT, ErrorCode::Quota),
            (Errno::STALE, ErrorCode::NotRecoverable),
            (Errno::IO, ErrorCode::Io),
            (Errno::ACCESS, ErrorCode::Access),
            (Errno::PERM, ErrorCode::NotPermitted),
            (Errno::NOENT, ErrorCode::NoEntry),
            (Errno::EXIST, ErrorCode::Exist),
            (Errno::NOTDIR, ErrorCode::NotDirectory),
        ] {
            assert_eq!(code(&errno.into()), expected, "{errno:?}");
        }
        assert_eq!(code(&io::Error::other("?")), ErrorCode::Io);
    }

    #[test]
    fn a_failed_write_is_told_once_and_of_its_own_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| Arc::new(File::create(folder.path().join(name)).unwrap());
        let (one, other) = (file("one"), file("other"));
        let failures = WriteFailures::default();
        for errno in [Errno::IO, Errno::DQUOT] {
            failures.add(&one, &errno.into());
        }
        assert_eq!(failures.take(&other), None);
        assert_eq!(failures.take(&one), Some(ErrorCode::Quota));
        assert_eq!(failures.take(&one), None);
        failures.add(&one, &Errno::IO.into());
        drop(one);
        failures.add(&other, &Errno::IO.into());
        assert_eq!(failures.lock().len(), 1);
    }
}
