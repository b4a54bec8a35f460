//! One look at the whole maildrop: which files there are, and whether the
//! directories stood still meanwhile.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use restante_guest::files::{Entry, Weight};
use restante_guest::{files, log};

use crate::name;

/// Times that a census is taken again because the maildrop changed under it.
const RETRIES: u32 = 2;
/// A directory that changed within this time can change again and keep its
/// modification time.
const RACY: Duration = Duration::from_secs(2);
/// `new` before `cur`: a message that moves meanwhile is seen twice, not never.
const DIRECTORIES: [&str; 2] = ["new", "cur"];

/// What the host does natively; the tests put other files before it.
pub(crate) trait Files {
    fn scan(&self, directory: &str) -> Result<Vec<Entry>, String>;
    fn measure(&self, path: &str) -> Result<Weight, String>;
    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// The granted directory.
pub(crate) struct Granted;

impl Files for Granted {
    fn scan(&self, directory: &str) -> Result<Vec<Entry>, String> {
        files::scan(directory)
    }

    fn measure(&self, path: &str) -> Result<Weight, String> {
        files::measure(path)
    }
}

/// A message's file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) unique_id: String,
    /// Below the granted directory.
    pub(crate) path: String,
    pub(crate) size: u64,
    /// Nanoseconds since the Unix epoch.
    pub(crate) modified: u64,
}

impl Found {
    fn new(directory: &str, entry: Entry) -> Found {
        Found {
            unique_id: name::unique_id(&entry.name),
            path: [directory, "/", &entry.name].concat(),
            size: entry.size,
            modified: entry.modified,
        }
    }

    /// The file's own name.
    pub(crate) fn name(&self) -> &str {
        self.path.split_once('/').map_or("", |(_, name)| name)
    }

    /// Seconds since the Unix epoch, microseconds.
    pub(crate) fn delivered(&self) -> (u64, u64) {
        let modified = self.modified / 1000;
        name::delivered(self.name()).unwrap_or((modified / 1_000_000, modified % 1_000_000))
    }
}

/// All messages' files, by unique-id; of one unique-id those in `cur` first.
pub(crate) struct Census {
    pub(crate) found: Vec<Found>,
    /// Of the directories, from before they were looked at.
    pub(crate) stamp: Stamp,
}

impl Census {
    /// Looks at both directories, again if they changed meanwhile.
    pub(crate) fn take(root: &Path, files: &impl Files) -> Result<Census, String> {
        let mut retries = RETRIES;
        loop {
            let stamp = Stamp::of(root, SystemTime::now())?;
            let found = DIRECTORIES
                .iter()
                .zip(&stamp.times)
                .filter(|(_, times)| times.is_some())
                .try_fold(Vec::new(), |mut found, (directory, _)| {
                    let entries = files.scan(directory)?;
                    found.extend(
                        entries
                            .into_iter()
                            .map(|entry| Found::new(directory, entry)),
                    );
                    Ok(found)
                });
            let stood_still = Stamp::of(root, SystemTime::now())?.is_same(&stamp);
            match found {
                Ok(mut found) if stood_still || retries == 0 => {
                    // "cur/" sorts before "new/".
                    found.sort_unstable_by(|a, b| {
                        (&a.unique_id, &a.path).cmp(&(&b.unique_id, &b.path))
                    });
                    return Ok(Census { found, stamp });
                }
                Err(problem) if stood_still || retries == 0 => return Err(problem),
                _ => retries -= 1,
            }
        }
    }

    /// The files of one message.
    pub(crate) fn files_of(&self, unique_id: &str, size: u64) -> impl Iterator<Item = &Found> {
        let start = self
            .found
            .partition_point(|found| found.unique_id.as_str() < unique_id);
        self.found[start..]
            .iter()
            .take_while(move |found| found.unique_id == unique_id)
            .filter(move |found| found.size == size)
    }

    /// Takes out the second and further files of a message, and joins those of
    /// one size to the first.
    pub(crate) fn into_messages(self) -> Vec<Message> {
        let mut messages: Vec<Message> = Vec::with_capacity(self.found.len());
        let mut twice = 0;
        for found in self.found {
            match messages.last_mut() {
                Some(message) if message.first.unique_id == found.unique_id => {
                    twice += 1;
                    if twice == 1 {
                        log::warn!(
                            "{:?} and {:?} are one message by their names: the first is listed",
                            message.first.path,
                            found.path
                        );
                    }
                    if message.first.size == found.size {
                        message.copies.push(found.path);
                    }
                }
                _ => messages.push(Message {
                    first: found,
                    copies: Vec::new(),
                    weight: Weight {
                        octets: 0,
                        surrogate: 0,
                    },
                }),
            }
        }
        if twice > 1 {
            log::warn!("{twice} files in all repeat a message of the same name");
        }
        messages
    }
}

/// A message, and further files of it that a crash of some program left.
pub(crate) struct Message {
    pub(crate) first: Found,
    pub(crate) copies: Vec<String>,
    /// Once it is weighed.
    pub(crate) weight: Weight,
}

/// When each of [`DIRECTORIES`] was changed and made; none: it does not exist.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    times: [Option<Times>; 2],
    /// When that was looked up.
    taken: SystemTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    /// Nanoseconds since the Unix epoch.
    modified: u64,
    /// Tells a directory from one that took another's place: when it was made,
    /// or where that is not kept the file system's number for it.
    made: u64,
}

impl Stamp {
    pub(crate) fn of(root: &Path, now: SystemTime) -> Result<Stamp, String> {
        let mut times = [None; 2];
        for (directory, times) in DIRECTORIES.iter().zip(&mut times) {
            *times = files::stat(root.join(directory))
                .map_err(|problem| format!("{directory}: {problem}"))?
                .map(|status| Times {
                    modified: status.modified,
                    made: status.created.unwrap_or(status.identity),
                });
        }
        Ok(Stamp { times, taken: now })
    }

    pub(crate) fn is_same(&self, other: &Stamp) -> bool {
        self.times == other.times
    }

    /// As text; none if a directory was so fresh that what was seen of it later
    /// could have changed once more without a new time.
    pub(crate) fn trusted(&self) -> Option<String> {
        let mut text = String::new();
        for (directory, times) in DIRECTORIES.iter().zip(self.times) {
            text.push_str(directory);
            if let Some(Times { modified, made }) = times {
                let changed = UNIX_EPOCH + Duration::from_nanos(modified);
                if self.taken.duration_since(changed).ok()? <= RACY {
                    return None;
                }
                text.push_str(&format!("={modified},{made}"));
            }
            text.push(';');
        }
        Some(text)
    }
}
