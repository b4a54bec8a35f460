//! Copies of a Maildir in an engine in memory: what the conformance kit tries stores on whose
//! maildrops are in an engine.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use parking_lot::Mutex;
use restante_conformance::{MaildropCopy, MaildropSource};
use restante_engine::Placed;

use super::memory_engine::{Delivery, MemoryEngine};

#[cfg(test)]
mod tests;

/// Octets of all messages of a copy: they are in memory.
const COPIED_OCTETS: u64 = 256 << 20;
/// Messages of a copy.
const COPIED_MESSAGES: usize = 100_000;

/// The directories of a Maildir that hold messages.
const FOLDERS: [&str; 2] = ["cur", "new"];

/// Whether there is a Maildir that could be copied.
pub(super) fn is_maildir(directory: &Path) -> bool {
    FOLDERS.iter().any(|name| directory.join(name).is_dir())
}

/// A Maildir, and the engine that gets copies of it. Each copy is of a tenant of its own.
pub(super) struct EngineMaildrops {
    engine: Arc<MemoryEngine>,
    /// It is only read.
    source: PathBuf,
    /// By tenant, where the octets of the copies are that are not discarded yet.
    placed: Mutex<HashMap<String, Vec<Placed>>>,
}

impl EngineMaildrops {
    /// Of this Maildir, in this engine.
    pub(super) fn new(engine: Arc<MemoryEngine>, source: PathBuf) -> Self {
        EngineMaildrops {
            engine,
            source,
            placed: Mutex::default(),
        }
    }

    fn remember(&self, tenant: &str, placed: Placed) {
        let mut all = self.placed.lock();
        all.entry(tenant.to_owned()).or_default().push(placed);
    }

    async fn fill(&self, tenant: &str, maildrop: &str) -> io::Result<()> {
        let mut left = COPIED_OCTETS;
        for (position, file) in files(&self.source)?.into_iter().enumerate() {
            let mut octets = Vec::new();
            let opened = File::open(&file.path)?;
            // One octet more than there may be tells that it is too large.
            opened.take(left + 1).read_to_end(&mut octets)?;
            let rest = left.checked_sub(octets.len() as u64);
            left = rest.ok_or_else(too_large)?;
            let path = format!("messages/{position}");
            let delivery = Delivery {
                tenant,
                maildrop,
                path: &path,
                received: file.received,
                octets,
            };
            let placed = delivery.placed().map_err(io::Error::other)?;
            self.remember(tenant, placed);
            let delivered = self.engine.deliver(delivery).await;
            delivered.map_err(io::Error::other)?;
        }
        Ok(())
    }
}

#[async_trait]
impl MaildropSource for EngineMaildrops {
    async fn fresh(&self) -> io::Result<MaildropCopy> {
        static COPIES: AtomicU32 = AtomicU32::new(0);
        let number = COPIES.fetch_add(1, Ordering::Relaxed);
        let (maildrop, tenant) = (format!("copy{number}"), format!("tenant-of-copy{number}"));
        let filled = self.fill(&tenant, &maildrop).await;
        let copy = MaildropCopy {
            maildrop,
            tenant: Some(tenant),
        };
        if let Err(error) = filled {
            self.discard(&copy);
            return Err(error);
        }
        Ok(copy)
    }

    fn discard(&self, copy: &MaildropCopy) {
        if let Some(tenant) = &copy.tenant {
            let placed = self.placed.lock().remove(tenant);
            self.engine.forget(tenant, &placed.unwrap_or_default());
        }
    }
}

/// A message's file.
struct MessageFile {
    /// Seconds since the Unix epoch.
    received: u64,
    name: String,
    path: PathBuf,
}

/// The messages of a Maildir, oldest first.
fn files(maildir: &Path) -> io::Result<Vec<MessageFile>> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        let entries = match fs::read_dir(maildir.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let about = entry.metadata()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !about.is_file() || name.starts_with('.') {
                continue;
            }
            if files.len() == COPIED_MESSAGES {
                return Err(too_large());
            }
            let received = match named_time(&name) {
                Some(seconds) => seconds,
                None => {
                    let since = about.modified()?.duration_since(UNIX_EPOCH);
                    since.unwrap_or_default().as_secs()
                }
            };
            files.push(MessageFile {
                received,
                name,
                path: entry.path(),
            });
        }
    }
    files.sort_by(|one, other| (one.received, &one.name).cmp(&(other.received, &other.name)));
    Ok(files)
}

/// The seconds that the name of a message's file begins with. None: it is no such name, or
/// nobody's clock says that.
fn named_time(name: &str) -> Option<u64> {
    let (seconds, _) = name.split_once('.')?;
    let seconds = seconds.parse().ok()?;
    i64::try_from(seconds).is_ok().then_some(seconds)
}

fn too_large() -> io::Error {
    io::Error::other(format!(
        "it has more than {COPIED_MESSAGES} messages or {COPIED_OCTETS} octets, which is the most that is copied into memory: give a smaller one"
    ))
}
