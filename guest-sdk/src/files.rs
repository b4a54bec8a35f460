//! The directories that a plugin was granted, and what the host can do there
//! faster than a plugin. Everything else is done with `std::fs`.
//!
//! A path that begins with "/" is one of the plugin's own, inside a granted
//! directory; any other is below [`root`], a store's maildrop.
//!
//! `std::fs` costs a hand-over to another thread for each operation; what
//! [`stat()`], [`read`] and [`Reader`] are asked for the host has at once, if
//! the operating system has it in memory. That counts at every login.

mod packing;
mod trouble;

use std::fs;
use std::io::{self, BufRead, Read};
use std::path::Path;

pub use crate::bindings::host::restante::plugin::files::{Chunk, Kind, Names, Status, Weight};
pub use packing::{PACKING_OCTETS, packing};
pub use trouble::{cause, failure, reason};

use crate::types::Secret;

/// Octets that [`Reader`] asks for at once: as many as [`read`] hands over.
const PIECE_OCTETS: u32 = 1 << 20;
/// Octets of a file with a secret; the rest of a larger one is not read.
const SECRET_OCTETS: u32 = 4096;
/// How often a directory is read whose entries go while it is read.
const LOOKS: usize = 100;

/// The granted directory. Outside a component, as in `cargo test`, it is what
/// [`testing::set_maildrop`](crate::testing) says.
pub fn root() -> &'static Path {
    #[cfg(target_family = "wasm")]
    {
        Path::new("/maildrop")
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::maildrop()
}

/// The regular files of a whole directory in one call, by its path below
/// [`root`]; names that start with "." are left out. No file is looked at.
///
/// # Errors
/// What the operating system said.
pub fn scan(directory: &str) -> Result<Names, String> {
    #[cfg(target_family = "wasm")]
    {
        crate::bindings::host::restante::plugin::files::scan(directory)
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::scan(directory)
}

impl Names {
    /// The names, rising by their octets, and what tells a file from another one
    /// that had the same name earlier.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        let names = self.names.split_terminator('\0');
        names.zip(self.identities.iter().copied())
    }
}

/// The octets of a message file as RFC 1939 counts them (every line end is
/// CRLF, byte-stuffing is not counted), and those of its surrogate for clients
/// that have not said UTF8 (see [`Listing::surrogate`](crate::store::Listing::surrogate)).
/// The path is below [`root`]; none: there is nothing.
///
/// # Errors
/// What the operating system said.
pub fn measure(path: &str) -> Result<Option<Weight>, String> {
    #[cfg(target_family = "wasm")]
    {
        crate::bindings::host::restante::plugin::files::measure(path)
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::measure(path)
}

/// What there is under a path; none: nothing, or a maildrop that does not
/// exist. Symbolic links are followed as long as they stay inside the grant.
///
/// # Errors
/// The path leads into no granted directory, or out of it; or what the
/// operating system said.
pub fn stat(path: impl AsRef<Path>) -> Result<Option<Status>, String> {
    let path = text(path.as_ref())?;
    #[cfg(target_family = "wasm")]
    {
        crate::bindings::host::restante::plugin::files::stat(path)
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::stat(path)
}

/// Whether nothing is in a store's maildrop but entries whose names are passed over, or the
/// host gave none. The host lets a store open an empty one where the operator's grants say that a
/// user may have no mail yet; what is half there is for the store to judge.
///
/// # Errors
/// What the operating system said.
pub fn is_bare(maildrop: &Path, passed_over: impl Fn(&str) -> bool) -> io::Result<bool> {
    if stat(maildrop).map_err(io::Error::other)?.is_none() {
        return Ok(true);
    }
    let mut looks = 0;
    loop {
        looks += 1;
        match has_others(maildrop, &passed_over) {
            // WASI's libc asks for the status of each entry, and ends the reading at one that
            // was removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound && looks < LOOKS => {}
            found => return found.map(|found| !found),
        }
    }
}

/// Whether a directory has entries whose names are not passed over.
fn has_others(directory: &Path, passed_over: &impl Fn(&str) -> bool) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        if !name.to_str().is_some_and(passed_over) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Part of a regular file, with the status of the very file that was read;
/// none: there is nothing under this path. At most `length` octets and at most
/// 1 MiB; fewer only at the file's end, none behind it.
///
/// [`Reader`] reads whole files.
///
/// # Errors
/// As [`stat()`]; there is something, but no regular file.
pub fn read(path: impl AsRef<Path>, offset: u64, length: u32) -> Result<Option<Chunk>, String> {
    let path = text(path.as_ref())?;
    #[cfg(target_family = "wasm")]
    {
        crate::bindings::host::restante::plugin::files::read(path, offset, length)
    }
    #[cfg(not(target_family = "wasm"))]
    crate::testing::read(path, offset, length)
}

/// A secret that stands alone in a small file, without the line end behind it.
///
/// # Errors
/// In words for the operator, with the path and without the secret: there is no
/// such file, it cannot be read, it is empty or no text.
pub fn read_secret(path: impl AsRef<Path>) -> Result<Secret, String> {
    let path = path.as_ref();
    let failed = |what: &str| format!("{}: {what}", path.display());
    let file = read(path, 0, SECRET_OCTETS).map_err(|error| failed(&error))?;
    let file = file.ok_or_else(|| failed("there is no such file"))?;
    let text = String::from_utf8(file.octets).map_err(|_| failed("it is not UTF-8"))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(failed("it is empty")),
        secret => Ok(Secret::new(secret)),
    }
}

fn text(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| "the path is not UTF-8".into())
}

/// A regular file, read through [`read`] from its beginning to its end.
///
/// The file is opened anew for each piece of 1 MiB. If another takes its place
/// or it is written to meanwhile, reading on fails with
/// [`ResourceBusy`](io::ErrorKind::ResourceBusy): what was read and what would
/// follow do not belong together, and the reader is to begin again.
///
/// ```
/// use std::io::BufRead as _;
///
/// use restante_guest::{files::Reader, testing::Granted};
///
/// let granted = Granted::new();
/// granted.write("users", "alice\nbob\n");
/// let users: Result<Vec<String>, _> = Reader::open("users")?.lines().collect();
/// assert_eq!(users?, ["alice", "bob"]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader<'a> {
    path: &'a Path,
    status: Status,
    piece: Vec<u8>,
    /// Octets of the piece that were taken.
    taken: usize,
    /// Where in the file the piece ends.
    end: u64,
}

impl<'a> Reader<'a> {
    /// Begins to read a file, which also reads its first piece.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound): there is nothing under this path.
    /// Others as [`read`].
    pub fn open(path: &'a (impl AsRef<Path> + ?Sized)) -> io::Result<Reader<'a>> {
        let path = path.as_ref();
        let first = read(path, 0, PIECE_OCTETS).map_err(io::Error::other)?;
        let first = first.ok_or(io::ErrorKind::NotFound)?;
        Ok(Reader {
            path,
            status: first.status,
            end: first.octets.len() as u64,
            piece: first.octets,
            taken: 0,
        })
    }

    /// The file's status when it was opened.
    pub fn status(&self) -> &Status {
        &self.status
    }
}

impl BufRead for Reader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.piece.len() && self.end < self.status.size {
            let next = read(self.path, self.end, PIECE_OCTETS).map_err(io::Error::other)?;
            let next = next
                .filter(|next| next.status == self.status && !next.octets.is_empty())
                .ok_or_else(|| {
                    let text = "the file changed while it was read";
                    io::Error::new(io::ErrorKind::ResourceBusy, text)
                })?;
            self.end += next.octets.len() as u64;
            self.piece = next.octets;
            self.taken = 0;
        }
        Ok(&self.piece[self.taken..])
    }

    fn consume(&mut self, octets: usize) {
        self.taken = self.piece.len().min(self.taken + octets);
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let octets = self.fill_buf()?.read(space)?;
        self.consume(octets);
        Ok(octets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    use crate::testing;

    /// A granted directory of the test's own.
    struct Granted(PathBuf);

    impl Granted {
        fn new(name: &str) -> Granted {
            let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            testing::set_maildrop(&path);
            Granted(path)
        }

        fn write(&self, octets: impl AsRef<[u8]>) {
            fs::write(self.0.join("file"), octets).unwrap();
        }
    }

    impl Drop for Granted {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// More than two pieces.
    fn large() -> Vec<u8> {
        (0..2 * PIECE_OCTETS + 7).map(|n| (n % 251) as u8).collect()
    }

    #[test]
    fn paths_are_absolute_or_below_the_maildrop() {
        let granted = Granted::new("files-paths");
        granted.write("0123456789");
        let status = stat("file").unwrap().unwrap();
        assert_eq!((status.kind, status.size), (Kind::File, 10));
        assert_eq!(stat(granted.0.join("file")), Ok(Some(status)));
        assert_eq!(stat("").unwrap().unwrap().kind, Kind::Directory);
        assert_eq!(stat("missing"), Ok(None));
        assert!(stat("file/below").is_err());
        let chunk = read("file", 3, 4).unwrap().unwrap();
        assert_eq!((&chunk.octets[..], chunk.status), (&b"3456"[..], status));
        assert_eq!(read("file", 20, 4).unwrap().unwrap().octets, b"");
        assert_eq!(read("missing", 0, 4), Ok(None));
        assert!(read("", 0, 4).is_err());
    }

    #[test]
    fn a_file_of_many_pieces_is_read_whole() {
        let granted = Granted::new("files-pieces");
        for octets in [&b""[..], b"short", &large()] {
            granted.write(octets);
            let mut reader = Reader::open("file").unwrap();
            assert_eq!(reader.status().size, octets.len() as u64);
            let mut whole = Vec::new();
            reader.read_to_end(&mut whole).unwrap();
            assert!(whole == octets);
        }
        let missing = Reader::open("missing").unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert!(Reader::open("").is_err());
    }

    #[test]
    fn pieces_of_different_files_are_not_put_together() {
        let granted = Granted::new("files-changed");
        let file = granted.0.join("file");
        let next = granted.0.join("next");
        let acts: [&dyn Fn(); 4] = [
            &|| fs::remove_file(&file).unwrap(),
            &|| fs::write(&file, "short").unwrap(),
            &|| {
                let modified = fs::metadata(&file).unwrap().modified().unwrap();
                fs::write(&next, large()).unwrap();
                fs::File::open(&next)
                    .unwrap()
                    .set_modified(modified)
                    .unwrap();
                fs::rename(&next, &file).unwrap();
            },
            &|| {
                let grown = [large(), large()].concat();
                fs::write(&file, grown).unwrap();
            },
        ];
        for (number, act) in acts.iter().enumerate() {
            granted.write(large());
            let mut reader = Reader::open("file").unwrap();
            act();
            let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ResourceBusy, "{number}");
        }
    }
}
