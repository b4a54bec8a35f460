//! The secret behind what SCRAM shows of users whom nobody knows: made once,
//! kept in the state directory, so that the same name gets the same answer after
//! a restart too.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use tracing::warn;

/// The file's name in the state directory.
const FILE: &str = "scram-decoy";

/// Octets of the secret.
const OCTETS: usize = 32;

/// The secret of this state directory; made if it has none. Where it cannot be
/// kept there is one for this process alone, and a line in the log.
///
/// # Errors
/// When the system has no randomness.
pub fn secret(state_dir: &Path) -> io::Result<[u8; OCTETS]> {
    let path = state_dir.join(FILE);
    match read(&path) {
        Ok(secret) => return Ok(secret),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => warn!(file = ?path, %error, "made anew"),
    }
    let mut secret = [0; OCTETS];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    if let Err(error) = keep(state_dir, &path, &secret) {
        warn!(
            file = ?path, %error,
            "cannot be kept: after a restart SCRAM answers differently for unknown users"
        );
    }
    Ok(secret)
}

fn read(path: &Path) -> io::Result<[u8; OCTETS]> {
    let mut secret = Vec::with_capacity(OCTETS + 1);
    File::open(path)?
        .take(OCTETS as u64 + 1)
        .read_to_end(&mut secret)?;
    let octets = secret.len();
    secret.try_into().map_err(|_| {
        let what = format!("it should have {OCTETS} octets and does not have them ({octets})");
        io::Error::new(io::ErrorKind::InvalidData, what)
    })
}

/// Whole or not at all, and for our eyes only (tempfile makes files 0600).
fn keep(state_dir: &Path, path: &Path, secret: &[u8]) -> io::Result<()> {
    fs::create_dir_all(state_dir)?;
    let mut file = tempfile::NamedTempFile::new_in(state_dir)?;
    file.write_all(secret)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn made_once_and_kept_to_ourselves() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let first = secret(&state).unwrap();
        assert_ne!(first, [0; OCTETS]);
        assert_eq!(secret(&state).unwrap(), first);
        let mode = fs::metadata(state.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = secret(&folder.path().join("other")).unwrap();
        assert_ne!(other, first);
    }

    #[test]
    fn a_damaged_one_is_made_anew() {
        let state = tempfile::tempdir().unwrap();
        for damaged in [&b""[..], b"short", &[7; OCTETS + 1]] {
            fs::write(state.path().join(FILE), damaged).unwrap();
            let made = secret(state.path()).unwrap();
            assert_eq!(secret(state.path()).unwrap(), made);
        }
    }

    #[test]
    fn without_a_place_there_is_one_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert_ne!(secret(&file).unwrap(), [0; OCTETS]);
    }
}
