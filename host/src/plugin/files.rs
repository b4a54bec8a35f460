//! `restante:plugin/files`: whole-directory and whole-file work over the
//! session's maildrop, done natively.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use cap_std::fs::Dir;
use restante_pop3::Measure;

use super::bindings::restante::plugin::files::{Entry, Host};
use super::grants::open_below;
use super::state::State;

/// Most entries that one scan hands over.
const ENTRIES: usize = 1_000_000;
/// Octets read at once when a file is measured.
const CHUNK: usize = 128 << 10;

impl Host for State {
    async fn scan(&mut self, directory: String) -> wasmtime::Result<Result<Vec<Entry>, String>> {
        Ok(blocking(self.maildrop.clone(), move |maildrop| {
            scan(&maildrop, &directory)
        })
        .await)
    }

    async fn measure(&mut self, path: String) -> wasmtime::Result<Result<u64, String>> {
        Ok(blocking(self.maildrop.clone(), move |maildrop| {
            measure(&maildrop, &path)
        })
        .await)
    }
}

/// Works on the maildrop's directory where waiting for the disk is no harm.
async fn blocking<R: Send + 'static>(
    maildrop: Option<Arc<Dir>>,
    work: impl FnOnce(Arc<Dir>) -> io::Result<R> + Send + 'static,
) -> Result<R, String> {
    let Some(maildrop) = maildrop else {
        return Err("there is no maildrop directory: not granted, or it does not exist".into());
    };
    match tokio::task::spawn_blocking(move || work(maildrop)).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err("the host failed".into()),
    }
}

/// Regular files only; what vanishes while it is looked at was never there.
fn scan(maildrop: &Dir, directory: &str) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in maildrop.read_dir(directory)? {
        let entry = entry?;
        // A name that is not text cannot cross the border; no MTA writes one.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        let about = match entry.metadata() {
            Ok(about) => about,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if !about.is_file() {
            continue;
        }
        if entries.len() == ENTRIES {
            return Err(io::Error::other(format!(
                "the directory has more than {ENTRIES} files"
            )));
        }
        let modified = about
            .modified()
            .ok()
            .and_then(|time| time.into_std().duration_since(UNIX_EPOCH).ok())
            .and_then(|since| u64::try_from(since.as_nanos()).ok())
            .unwrap_or(0);
        entries.push(Entry {
            name,
            size: about.len(),
            modified,
        });
    }
    Ok(entries)
}

fn measure(maildrop: &Dir, path: &str) -> io::Result<u64> {
    let mut file = open_below(maildrop, path)?;
    let mut measure = Measure::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(measure.finish()),
            Ok(octets) => measure.feed(&chunk[..octets]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use cap_std::ambient_authority;

    #[test]
    fn a_scan_sees_regular_files_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let new = root.path().join("new");
        std::fs::create_dir_all(new.join("directory")).unwrap();
        std::fs::write(new.join("1.a.b"), b"line\n").unwrap();
        std::fs::write(new.join(".hidden"), b"x").unwrap();
        std::os::unix::fs::symlink("1.a.b", new.join("link")).unwrap();
        let dir = Dir::open_ambient_dir(root.path(), ambient_authority()).unwrap();
        let entries = scan(&dir, "new").unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!((entries[0].name.as_str(), entries[0].size), ("1.a.b", 5));
        assert!(entries[0].modified > 1_700_000_000_000_000_000);
        assert!(scan(&dir, "cur").is_err());
        assert!(scan(&dir, "..").is_err());
        assert_eq!(measure(&dir, "new/1.a.b").unwrap(), 6);
        assert!(measure(&dir, "new").is_err());
        assert!(measure(&dir, "../new/1.a.b").is_err());
    }
}
