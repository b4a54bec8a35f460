//! Files with a secret in them that the operator has put somewhere: keys, tokens. Where the
//! server keeps its own is [`restante_roles::state_dir`]'s to say; here the place is the operator's,
//! and so is the file, which may be a group's for good reasons.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FileType, OFlags};
use tracing::warn;

/// Who is neither the owner nor in the group may do something, or the group may write.
const TOO_OPEN: u32 = 0o027;

/// Opens a regular file for reading, without waiting for what it might be instead. If
/// others may read it, or change it, a line in the log says so: `what` is what is in it.
///
/// # Errors
/// It cannot be opened, or is something else.
pub fn open(path: &Path, what: &str) -> io::Result<File> {
    // To open a FIFO waits for its other end.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let about = rustix::fs::fstat(&file)?;
    match FileType::from_raw_mode(about.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(io::ErrorKind::IsADirectory.into()),
        _ => {
            let words = "it is no regular file";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
        }
    }
    if let Some(mode) = too_open(about.st_mode) {
        warn!(
            file = ?path,
            "others may read or change {what} (its mode is {mode:04o}): chmod 0600, or 0640 for a group; if others could read it, make a new one"
        );
    }
    Ok(file)
}

/// The mode, if it lets others do what they should not.
fn too_open(mode: u32) -> Option<u32> {
    let mode = mode & 0o7777;
    (mode & TOO_OPEN != 0).then_some(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_read_a_secret() {
        for mode in [0o400, 0o600, 0o640, 0o440, 0o700] {
            assert_eq!(too_open(mode), None, "{mode:o}");
        }
        for mode in [0o644, 0o660, 0o604, 0o620, 0o601, 0o666] {
            assert_eq!(too_open(mode), Some(mode), "{mode:o}");
        }
    }

    #[test]
    fn nothing_but_a_regular_file_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, mode, 0).unwrap();
        let kind = |path: &Path| open(path, "a key").unwrap_err().kind();
        assert_eq!(kind(&fifo), io::ErrorKind::InvalidInput);
        assert_eq!(kind(folder.path()), io::ErrorKind::IsADirectory);
        assert_eq!(kind(&folder.path().join("none")), io::ErrorKind::NotFound);
    }
}
