//! The secret behind what SCRAM shows of users whom nobody knows: made once,
//! kept in the state directory, so that the same name gets the same answer after
//! a restart too; or the operator's, so that it gets the same from several servers.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::secret_file;

use restante_roles::state_dir::{SECRET_OCTETS, StateDir};

/// The file's name in the state directory.
const FILE: &str = "scram-decoy";

/// The secret of this state directory; made if it has none. Where it cannot be
/// kept there is one for this process alone, and a line in the log.
///
/// # Errors
/// When the system has no randomness.
pub fn secret(state_dir: &StateDir) -> io::Result<[u8; SECRET_OCTETS]> {
    state_dir.secret(
        FILE,
        "after a restart SCRAM answers differently for unknown users",
    )
}

/// Characters of the operator's secret: fewer can be guessed by who asks for the
/// answers of one name.
const MIN_CHARACTERS: usize = 32;
const MAX_CHARACTERS: usize = 1024;

/// Why the operator's file has no secret.
#[derive(Debug, thiserror::Error)]
pub enum SharedSecretError {
    /// It cannot be read.
    #[error("mock-secret-file {path:?}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It holds something else.
    #[error(
        "mock-secret-file {0:?} does not hold a secret\n  write one line of {MIN_CHARACTERS} to {MAX_CHARACTERS} letters, digits and signs without blanks into it, such as `openssl rand -hex 32` makes"
    )]
    Form(PathBuf),
}

/// The secret of the operator's file, which other servers have too.
///
/// # Errors
/// A file that cannot be read or holds none.
pub fn shared(path: &Path) -> Result<[u8; SECRET_OCTETS], SharedSecretError> {
    let failed = |error| SharedSecretError::File {
        path: path.to_owned(),
        error,
    };
    let mut text = Zeroizing::new(String::with_capacity(MAX_CHARACTERS + 2));
    let file = secret_file::open(path, "the secret of mock answers").map_err(failed)?;
    // A line end more than the longest secret, in either form.
    file.take(MAX_CHARACTERS as u64 + 2)
        .read_to_string(&mut text)
        .map_err(failed)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    let fits = (MIN_CHARACTERS..=MAX_CHARACTERS).contains(&secret.len())
        && secret.bytes().all(|octet| octet.is_ascii_graphic());
    if fits {
        Ok(Sha256::digest(secret).into())
    } else {
        Err(SharedSecretError::Form(path.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const OCTETS: usize = SECRET_OCTETS;

    fn secret(state_dir: &Path) -> io::Result<[u8; OCTETS]> {
        super::secret(&StateDir::open(state_dir))
    }

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
    fn servers_with_the_same_file_have_the_same_secret() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other, short] = ["one", "other", "short"].map(|name| folder.path().join(name));
        fs::write(&one, "x".repeat(MIN_CHARACTERS)).unwrap();
        fs::write(&other, "x".repeat(MIN_CHARACTERS) + "\r\n").unwrap();
        assert_eq!(shared(&one).unwrap(), shared(&other).unwrap());
        fs::write(&other, "y".repeat(MIN_CHARACTERS)).unwrap();
        assert_ne!(shared(&one).unwrap(), shared(&other).unwrap());
        for text in ["", "x", &"x y".repeat(20), &"x".repeat(MAX_CHARACTERS + 1)] {
            fs::write(&short, text).unwrap();
            let error = shared(&short).unwrap_err();
            assert!(matches!(error, SharedSecretError::Form(_)), "{error}");
        }
        let missing = shared(&folder.path().join("missing")).unwrap_err();
        assert!(missing.to_string().starts_with("mock-secret-file "));
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
