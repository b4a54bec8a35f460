//! The secret behind what SCRAM shows of users whom nobody knows: made once,
//! kept in the state directory, so that the same name gets the same answer after
//! a restart too.

use std::io;

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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

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
