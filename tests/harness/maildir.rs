//! A Maildir as a delivery agent and other mail programs write it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// When the first message of a [`Maildir`] was delivered, in seconds since
/// the Unix epoch: far enough back that no directory looks freshly changed.
const FIRST_DELIVERY: u64 = 1_700_000_000;

/// One Maildir. Each delivery is one second younger than the one before, by
/// its name and by its modification time, so message-numbers follow the order
/// of deliveries.
#[derive(Debug)]
pub struct Maildir {
    root: PathBuf,
    deliveries: u64,
}

impl Maildir {
    /// Makes `cur`, `new` and `tmp` below `root`.
    pub fn create(root: impl Into<PathBuf>) -> Maildir {
        let root = root.into();
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(root.join(part)).unwrap();
        }
        Maildir {
            root,
            deliveries: 0,
        }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Delivers as an agent does that knows nothing of sizes: `tmp`, then `new`.
    pub fn deliver(&mut self, octets: &[u8]) -> PathBuf {
        self.deliver_as(octets, "new", "", "")
    }

    /// Delivers under a name with `,S=` (octets of the file) and `,W=` (octets
    /// on the wire, a missing last line end included).
    pub fn deliver_with_sizes(&mut self, octets: &[u8]) -> PathBuf {
        let end = if octets.is_empty() || octets.ends_with(b"\n") {
            0
        } else {
            2
        };
        self.deliver_with(octets, grown(octets) + end)
    }

    /// As Dovecot names what a client appends: its `,W=` counts CRLF for each
    /// LF, and nothing for a line end that is missing.
    pub fn deliver_as_dovecot(&mut self, octets: &[u8]) -> PathBuf {
        self.deliver_with(octets, grown(octets))
    }

    fn deliver_with(&mut self, octets: &[u8], wire: usize) -> PathBuf {
        let sizes = format!(",S={},W={wire}", octets.len());
        self.deliver_as(octets, "new", &sizes, "")
    }

    /// A message that another program has seen already: in `cur`, with flags
    /// ("S", "RS", or none at all).
    pub fn deliver_seen(&mut self, octets: &[u8], flags: &str) -> PathBuf {
        self.deliver_as(octets, "cur", "", &format!(":2,{flags}"))
    }

    fn deliver_as(&mut self, octets: &[u8], part: &str, sizes: &str, info: &str) -> PathBuf {
        let second = FIRST_DELIVERY + self.deliveries;
        self.deliveries += 1;
        let name = format!("{second}.M{}P1.mta.example{sizes}", self.deliveries);
        let tmp = self.root.join("tmp").join(&name);
        fs::write(&tmp, octets).unwrap();
        let delivered = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        fs::File::options()
            .write(true)
            .open(&tmp)
            .unwrap()
            .set_modified(delivered)
            .unwrap();
        let path = self.root.join(part).join(format!("{name}{info}"));
        fs::rename(&tmp, &path).unwrap();
        path
    }

    /// The files of `new` and `cur`, oldest first.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = ["new", "cur"]
            .iter()
            .flat_map(|part| fs::read_dir(self.root.join(part)).unwrap())
            .map(|entry| entry.unwrap().path())
            .filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'))
            .collect();
        files.sort_by_key(|path| path.file_name().unwrap().to_owned());
        files
    }

    /// Moves a message from `new` to `cur` with these flags, as a mail program
    /// does that has shown it to somebody.
    pub fn mark_seen(&self, path: &Path, flags: &str) -> PathBuf {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let base = name.split(":2,").next().unwrap();
        let moved = self.root.join("cur").join(format!("{base}:2,{flags}"));
        fs::rename(path, &moved).unwrap();
        moved
    }
}

/// Octets with CRLF for each line end.
fn grown(octets: &[u8]) -> usize {
    let bare_line_feeds = octets
        .iter()
        .enumerate()
        .filter(|&(at, &octet)| octet == b'\n' && (at == 0 || octets[at - 1] != b'\r'))
        .count();
    octets.len() + bare_line_feeds
}
