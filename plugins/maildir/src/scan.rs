//! One look at the whole maildrop: which files there are, and whether the
//! directories stood still meanwhile.

use std::borrow::Cow;
use std::iter;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use restante_guest::files;
use restante_guest::files::{Names, Weight};

use crate::duplicates;
use crate::index::{Index, Record};
use crate::name;

/// Times that a look is taken again because the maildrop changed under it.
const RETRIES: u32 = 2;
/// A directory that changed within this time can change again and keep its
/// modification time.
const RACY: Duration = Duration::from_secs(2);
/// `new` before `cur`: a message that moves meanwhile is seen twice, not never.
const DIRECTORIES: [&str; 2] = ["new", "cur"];

/// A directory with messages in it, by its place in [`DIRECTORIES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u8);

impl Place {
    pub(crate) const ALL: [Place; 2] = [Place(0), Place(1)];

    /// As an index has it.
    pub(crate) fn from_octet(octet: u8) -> Option<Place> {
        Place::ALL.get(usize::from(octet)).copied()
    }

    pub(crate) fn octet(self) -> u8 {
        self.0
    }

    pub(crate) fn directory(self) -> &'static str {
        DIRECTORIES[self.at()]
    }

    /// Where in arrays by place it is found.
    pub(crate) fn at(self) -> usize {
        usize::from(self.0)
    }
}

/// What the host does natively; the tests put other files before it.
pub(crate) trait Files {
    fn scan(&self, directory: &str) -> Result<Names, String>;
    fn measure(&self, path: &str) -> Result<Option<Weight>, String>;
    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// The granted directory.
pub(crate) struct Granted;

impl Files for Granted {
    fn scan(&self, directory: &str) -> Result<Names, String> {
        files::scan(directory)
    }

    fn measure(&self, path: &str) -> Result<Option<Weight>, String> {
        files::measure(path)
    }
}

/// A message's file.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) unique_id: Cow<'a, str>,
    pub(crate) place: Place,
    pub(crate) name: &'a str,
    pub(crate) identity: u64,
    /// The unique-id is not the one that the name tells: another file has or had that.
    pub(crate) has_own_id: bool,
    /// Its base name is another message's too, or was.
    pub(crate) shares_name: bool,
    /// What is remembered of the unique-id.
    pub(crate) record: Option<Record>,
    /// Whether that was of this very file, which needs no look then.
    pub(crate) is_known: bool,
    /// It is there and cannot be read now: its octets are a guess.
    pub(crate) is_unread: bool,
}

impl<'a> Found<'a> {
    pub(crate) fn new(place: Place, name: &'a str, identity: u64) -> Found<'a> {
        Found {
            unique_id: name::unique_id(name),
            place,
            name,
            identity,
            has_own_id: false,
            shares_name: false,
            record: None,
            is_known: false,
            is_unread: false,
        }
    }

    /// Below the granted directory.
    pub(crate) fn path(&self) -> String {
        [self.place.directory(), "/", self.name].concat()
    }

    /// Seconds since the Unix epoch, microseconds.
    pub(crate) fn delivered(&self) -> (u64, u64) {
        name::delivered(self.name).unwrap_or_else(|| {
            let modified = self.record.map_or(0, |record| record.modified) / 1000;
            (modified / 1_000_000, modified % 1_000_000)
        })
    }

    /// By unique-id; of one unique-id those in `cur` first.
    fn order(&self, other: &Found<'_>) -> std::cmp::Ordering {
        self.unique_id
            .cmp(&other.unique_id)
            .then_with(|| other.place.cmp(&self.place))
            .then_with(|| self.name.cmp(other.name))
    }
}

/// What there is in the directories.
pub(crate) struct Look {
    /// Of the directories, from before they were looked at.
    pub(crate) stamp: Stamp,
    /// None: not scanned, since it is as it was.
    pub(crate) names: [Option<Names>; 2],
}

impl Look {
    /// Looks at both directories, again if they changed meanwhile. Those that
    /// still have the times `known` are not gone through.
    pub(crate) fn take(
        root: &Path,
        files: &impl Files,
        known: &[Option<Times>; 2],
    ) -> Result<Look, String> {
        let mut retries = RETRIES;
        loop {
            let stamp = Stamp::of(root, SystemTime::now())?;
            let names = scan(files, &stamp, known);
            let stood_still = Stamp::of(root, SystemTime::now())?.is_same(&stamp);
            match names {
                Ok(names) if stood_still || retries == 0 => return Ok(Look { stamp, names }),
                Err(problem) if stood_still || retries == 0 => return Err(problem),
                _ => retries -= 1,
            }
        }
    }

    /// All messages' files, with what an index knows of them.
    pub(crate) fn files<'a>(&'a self, root: &Path, index: &'a Index) -> Vec<Message<'a>> {
        let scanned = self.names.iter().flatten();
        let scanned: usize = scanned.map(|names| names.identities.len()).sum();
        let trusts = self.names.iter().any(Option::is_none);
        let known = if trusts { index.len() } else { 0 };
        let mut found = Vec::with_capacity(scanned + known);
        for (place, names) in Place::ALL.into_iter().zip(&self.names) {
            let names = names.iter().flat_map(Names::iter);
            let files = names.map(|(name, identity)| Found::new(place, name, identity));
            found.extend(files.map(Message::from));
        }
        duplicates::recall(root, &mut found, index);
        found.sort_by(Message::order);
        recall(&mut found, index);
        if !trusts {
            return found;
        }
        let is_trusted = |place: Place| self.names[place.at()].is_none();
        let trusted = index.entries().filter(|entry| is_trusted(entry.place));
        let trusted = trusted.map(|entry| Found {
            unique_id: Cow::Borrowed(entry.unique_id),
            place: entry.place,
            name: entry.name,
            identity: entry.record.identity,
            has_own_id: entry.has_own_id(),
            shares_name: false,
            record: Some(entry.record),
            is_known: true,
            is_unread: false,
        });
        found.extend(trusted.map(Message::from));
        // Two runs, each in order, which the sort finds out.
        found.sort_by(Message::order);
        found
    }
}

fn scan(
    files: &impl Files,
    stamp: &Stamp,
    known: &[Option<Times>; 2],
) -> Result<[Option<Names>; 2], String> {
    let mut names = [None, None];
    for place in Place::ALL {
        let times = stamp.times[place.at()];
        if known[place.at()] == Some(times) {
            continue;
        }
        names[place.at()] = Some(match times {
            Times::ABSENT => Names {
                names: String::new(),
                identities: Vec::new(),
            },
            _ => files
                .scan(place.directory())
                .map_err(|problem| format!("{}: {problem}", place.directory()))?,
        });
    }
    Ok(names)
}

/// Both go by unique-id: side by side.
fn recall(found: &mut [Message<'_>], index: &Index) {
    let mut entries = index.entries().peekable();
    for found in found.iter_mut().map(|message| &mut message.first) {
        while entries
            .next_if(|entry| entry.unique_id < &*found.unique_id)
            .is_some()
        {}
        let Some(entry) = entries.peek() else {
            return;
        };
        if entry.unique_id == found.unique_id {
            found.record = Some(entry.record);
            found.is_known = entry.place == found.place
                && entry.name == found.name
                && entry.record.identity == found.identity;
        }
    }
}

/// Where messages are, to find those again that were moved.
pub(crate) struct Scan {
    /// By the unique-ids that their names tell.
    files: Vec<Located>,
    pub(crate) stamp: Stamp,
}

/// A file, where it is.
pub(crate) struct Located {
    unique_id: String,
    pub(crate) path: String,
    pub(crate) identity: u64,
}

impl Scan {
    pub(crate) fn take(root: &Path, files: &impl Files) -> Result<Scan, String> {
        let look = Look::take(root, files, &[None; 2])?;
        let nothing = Index::default();
        let found = look.files(root, &nothing);
        Ok(Scan {
            files: found
                .into_iter()
                .map(|Message { first, .. }| Located {
                    path: first.path(),
                    identity: first.identity,
                    unique_id: first.unique_id.into_owned(),
                })
                .collect(),
            stamp: look.stamp,
        })
    }

    /// The files of one base name, by the unique-id that it tells.
    pub(crate) fn files_of(&self, unique_id: &str) -> impl Iterator<Item = &Located> {
        let start = self
            .files
            .partition_point(|file| file.unique_id.as_str() < unique_id);
        self.files[start..]
            .iter()
            .take_while(move |file| file.unique_id == unique_id)
    }
}

/// A message, and further names of its file that a crash of some program left.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) first: Found<'a>,
    pub(crate) links: Vec<Found<'a>>,
}

impl<'a> From<Found<'a>> for Message<'a> {
    fn from(first: Found<'a>) -> Message<'a> {
        let links = Vec::new();
        Message { first, links }
    }
}

impl Message<'_> {
    pub(crate) fn order(&self, other: &Message<'_>) -> std::cmp::Ordering {
        self.first.order(&other.first)
    }

    /// Whether its file has one name, and that name tells its unique-id.
    pub(crate) fn is_plain(&self) -> bool {
        self.links.is_empty() && !self.first.shares_name
    }

    /// Where its file is, by all its names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Found<'_>> {
        iter::once(&self.first).chain(&self.links)
    }
}

/// When each of [`DIRECTORIES`] was changed and made.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    pub(crate) times: [Times; 2],
    /// When that was looked up.
    taken: SystemTime,
}

/// When a directory was changed, and which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    /// Nanoseconds since the Unix epoch.
    pub(crate) modified: u64,
    /// Tells a directory from one that took another's place: when it was made,
    /// or where that is not kept the file system's number for it.
    pub(crate) made: u64,
}

impl Times {
    /// It does not exist.
    pub(crate) const ABSENT: Times = Times {
        modified: 0,
        made: 0,
    };
}

impl Stamp {
    pub(crate) fn of(root: &Path, now: SystemTime) -> Result<Stamp, String> {
        let times = Stamp::times_of(root)?;
        Ok(Stamp { times, taken: now })
    }

    /// The same without asking what time it is.
    ///
    /// # Errors
    /// In words for the operator. Also where a directory is missing: mail that is away is
    /// no empty maildrop.
    pub(crate) fn times_of(root: &Path) -> Result<[Times; 2], String> {
        let mut times = [Times::ABSENT; 2];
        for (directory, times) in DIRECTORIES.iter().zip(&mut times) {
            let status = files::stat(root.join(directory))
                .map_err(|problem| format!("{directory}: {problem}"))?;
            *times = status.map_or(Times::ABSENT, |status| Times {
                modified: status.modified,
                made: status.created.unwrap_or(status.identity),
            });
        }
        let [new, cur] = DIRECTORIES;
        match times.map(|times| times == Times::ABSENT) {
            [false, false] => Ok(times),
            [true, false] => Err(half(new, cur)),
            [false, true] => Err(half(cur, new)),
            [true, true] => match files::is_bare(root, |_| false) {
                Ok(true) => Ok(times),
                Ok(false) => Err(format!(
                    "it has neither {new} nor {cur}, though it is not empty: bring them back; \
                     or, if this user has had no mail yet, make them, or have them made with \
                     `create = true` in the plugin's settings"
                )),
                Err(error) => Err(files::reason(&error)),
            },
        }
    }

    pub(crate) fn is_same(&self, other: &Stamp) -> bool {
        self.times == other.times
    }

    /// How long a directory had not been changed. None: the clock is behind.
    pub(crate) fn at_rest(&self, place: Place) -> Option<Duration> {
        let modified = self.times[place.at()].modified;
        let changed = UNIX_EPOCH + Duration::from_nanos(modified);
        self.taken.duration_since(changed).ok()
    }

    /// The times of each directory that is not so fresh that what was seen of it
    /// later could have changed once more without a new time.
    pub(crate) fn trusted_times(&self) -> [Option<Times>; 2] {
        Place::ALL.map(|place| {
            let rest = self.at_rest(place)?;
            (rest > RACY).then_some(self.times[place.at()])
        })
    }

    /// As text; none if a directory cannot be trusted.
    pub(crate) fn trusted(&self) -> Option<String> {
        let is_trusted = self.trusted_times().iter().all(Option::is_some);
        is_trusted.then(|| text(&self.times))
    }
}

fn half(missing: &str, there: &str) -> String {
    format!(
        "there is {there}, and no {missing}: bring it back (a backup that was restored in part? a \
         file system that is not mounted?); or make it, if it was empty"
    )
}

/// The times of all [`DIRECTORIES`], as the host keeps them.
pub(crate) fn text(times: &[Times; 2]) -> String {
    let mut text = String::new();
    for (directory, times) in DIRECTORIES.iter().zip(times) {
        text.push_str(directory);
        if *times != Times::ABSENT {
            text.push_str(&format!("={},{}", times.modified, times.made));
        }
        text.push(';');
    }
    text
}
