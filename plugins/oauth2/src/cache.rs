//! Keys that were fetched, kept in a directory that the operator grants: one file
//! for each source, replaced by renaming. Whatever is not whole and ours is as if
//! it were not there; without the grant nothing is.

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use restante_guest::{files, log};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::jwk::KeySet;

/// Octets of a file of keys: they were bounded when they were fetched.
const FILE: u32 = 1 << 20;

/// Keys, and when they were had. Times: seconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kept {
    pub(crate) keys: KeySet,
    pub(crate) fetched: u64,
    /// When the issuer was last asked for newer ones.
    pub(crate) asked: u64,
    /// Whether it gave none then.
    pub(crate) failed: bool,
}

/// The file of one source.
pub(crate) struct Cache<'a> {
    source: &'a str,
    path: PathBuf,
}

impl<'a> Cache<'a> {
    pub(crate) fn of(directory: &str, source: &'a str) -> Cache<'a> {
        let digest = Sha256::digest(source.as_bytes());
        let name: String = digest[..8]
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect();
        Cache {
            source,
            path: Path::new(directory).join(format!("jwks-{name}.json")),
        }
    }

    /// What is kept. Nothing in it lies in the future.
    pub(crate) fn read(&self, now: u64) -> Option<Kept> {
        // Not granted and not there are the same here.
        let file = files::read(&self.path, 0, FILE).ok()??;
        let file: Map<String, Value> = serde_json::from_slice(&file.octets).ok()?;
        let time = |name: &str| file.get(name).and_then(Value::as_u64);
        let kept = Kept {
            keys: KeySet::read(&file).filter(|keys| !keys.is_empty())?,
            fetched: time("fetched")?,
            asked: time("asked")?,
            failed: file.get("failed")?.as_bool()?,
        };
        let is_ours = file.get("source").and_then(Value::as_str) == Some(self.source);
        (is_ours && kept.fetched <= kept.asked && kept.asked <= now).then_some(kept)
    }

    /// Keeps keys, if there is a directory for it.
    pub(crate) fn keep(&self, kept: &Kept) {
        let directory = self.path.parent();
        if !directory.is_some_and(|directory| matches!(files::stat(directory), Ok(Some(_)))) {
            log::debug!("no directory is granted for the cache of keys");
            return;
        }
        if let Err(error) = self.write(kept) {
            let reason = files::reason(&error);
            log::warn!("keys cannot be kept in {}: {reason}", self.path.display());
        }
    }

    fn write(&self, kept: &Kept) -> io::Result<()> {
        let json = json!({
            "source": self.source,
            "fetched": kept.fetched,
            "asked": kept.asked,
            "failed": kept.failed,
            "keys": kept.keys.to_json(),
        });
        // Two that write at once have a file each.
        let random = RandomState::new().build_hasher().finish();
        let new = self.path.with_extension(format!("{random:016x}.new"));
        let written = File::create_new(&new)
            .and_then(|mut file| {
                let written = file.write_all(json.to_string().as_bytes());
                written.map_err(|error| files::cause(&file, error))
            })
            .and_then(|()| fs::rename(&new, &self.path));
        if written.is_err() {
            // It is in nobody's way if this fails too.
            let _ = fs::remove_file(&new);
        }
        written
    }
}
