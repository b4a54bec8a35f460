//! Outside a component only: stands in for the host, so that `cargo test` runs
//! a plugin's own code without one. Each thread, so each test, has its own
//! settings, log, databases, mail index and granted directory.
//!
//! ```
//! use restante_guest::prelude::*;
//! use restante_guest::{log::Level, testing};
//!
//! testing::set_settings([("greeting", "hello")]);
//! assert_eq!(settings::get("greeting").as_deref(), Some("hello"));
//!
//! log::warn!("{} is too short", "hello");
//! let lines = testing::take_log();
//! assert_eq!((lines[0].level, &*lines[0].text), (Level::Warn, "hello is too short"));
//! ```
//!
//! [`Session`] goes through a store as a POP3 session would, [`screen`] asks a
//! filter, [`Granted`] is a maildrop of the test's own, [`MailIndex`] one in an engine. What only a host can tell is
//! left to `restante plugin test`: limits, imports, and whether a removal survives a
//! kill.

pub(crate) mod blobs;
pub(crate) mod mail_index;
mod session;

use std::cell::{Cell, RefCell};
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

pub use mail_index::{MailIndex, SampleEntry};
pub use session::{Granted, Session, screen};

use crate::database::{Problem, Rows, Statement};
use crate::files::{Chunk, Kind, Names, Status, Weight};
#[cfg(feature = "http")]
use crate::http;
use crate::log::Level;
use crate::passwords::HashScheme;
use crate::types::Connection;

/// Octets of the longest secret that a host makes a hash of.
const SECRET_OCTETS: usize = 4096;
/// Most octets of one read, as of a host's.
const READ_OCTETS: u32 = 1 << 20;

#[cfg(feature = "http")]
type Answer = Box<dyn FnMut(&http::Request) -> Result<http::Response, http::Error>>;

#[cfg(feature = "http")]
thread_local! {
    static HTTP: RefCell<Option<Answer>> = const { RefCell::new(None) };
}

type Database = Box<dyn FnMut(&str, &[Statement], bool) -> Result<Vec<Rows>, Problem>>;

thread_local! {
    static FENCE: Cell<Option<u64>> = const { Cell::new(None) };
    static DATABASE: RefCell<Option<Database>> = const { RefCell::new(None) };
    static SETTINGS: RefCell<Vec<(String, String)>> = const { RefCell::new(Vec::new()) };
    static LOG: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
    static MAILDROP: RefCell<Option<&'static Path>> = const { RefCell::new(None) };
}

/// A client of 192.0.2.1, a documentation address (RFC 5737), in the clear.
pub fn connection() -> Connection {
    Connection {
        session: "test".into(),
        tenant: "test".into(),
        listener: "pop3".into(),
        client_address: "192.0.2.1".into(),
        client_port: 49_152,
        tls: None,
    }
}

/// A line that a plugin has logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// Which module said it.
    pub context: String,
    /// What it says.
    pub text: String,
}

/// What this thread's plugin has logged since it was asked last.
pub fn take_log() -> Vec<Line> {
    LOG.with(RefCell::take)
}

pub(crate) fn log(level: Level, context: &str, text: &str) {
    let line = Line {
        level,
        context: context.to_owned(),
        text: text.to_owned(),
    };
    LOG.with(|log| log.borrow_mut().push(line));
}

/// What this thread's plugin finds in its settings from now on.
pub fn set_settings<K: Into<String>, V: Into<String>>(settings: impl IntoIterator<Item = (K, V)>) {
    let settings = settings
        .into_iter()
        .map(|(key, value)| (key.into(), value.into()))
        .collect();
    SETTINGS.with(|cell| cell.replace(settings));
}

/// Grants this thread's plugin a directory. The path is kept until the process
/// ends.
pub fn set_maildrop(directory: &Path) {
    let directory: &'static Path = Box::leak(directory.into());
    MAILDROP.with(|cell| cell.replace(Some(directory)));
}

/// Answers the HTTP requests of this thread's plugin from now on.
#[cfg(feature = "http")]
pub fn set_http(
    answer: impl FnMut(&http::Request) -> Result<http::Response, http::Error> + 'static,
) {
    HTTP.with(|cell| cell.replace(Some(Box::new(answer))));
}

/// Without a grant every request is denied.
#[cfg(feature = "http")]
pub(crate) fn answer(request: &http::Request) -> Result<http::Response, http::Error> {
    HTTP.with(|cell| match cell.borrow_mut().as_mut() {
        Some(answer) => answer(request),
        None => Err(http::Error::Denied),
    })
}

/// Answers for the databases of this thread's plugin from now on: `answer` gets the
/// database's name, the statements, and whether they may change something. It returns
/// rows for each statement ([`Rows::of`], [`Rows::after_change`]). Without it, as without
/// a grant, each call is refused.
pub fn set_database(
    answer: impl FnMut(&str, &[Statement], bool) -> Result<Vec<Rows>, Problem> + 'static,
) {
    DATABASE.with(|cell| cell.replace(Some(Box::new(answer))));
}

/// As many rows as statements.
pub(crate) fn ask_database(
    database: &str,
    statements: &[Statement],
    change: bool,
) -> Result<Vec<Rows>, Problem> {
    DATABASE.with(|cell| {
        let Some(answer) = &mut *cell.borrow_mut() else {
            return Err(Problem::Refused {
                sqlstate: "42501".into(),
                text: format!(
                    "the database {database:?} is not granted: tests set it with \
                     testing::set_database"
                ),
            });
        };
        let answers = answer(database, statements, change)?;
        match answers.len() == statements.len() {
            true => Ok(answers),
            false => Err(Problem::Unavailable(format!(
                "the fake has {} answers for {} statements",
                answers.len(),
                statements.len()
            ))),
        }
    })
}

/// What [`hold::fence`](crate::hold::fence) tells this thread's plugin from now on. Without it,
/// as where servers share no holds, that is none.
pub fn set_fence(fence: Option<u64>) {
    FENCE.set(fence);
}

pub(crate) fn fence() -> Option<u64> {
    FENCE.get()
}

pub(crate) fn settings() -> Vec<(String, String)> {
    SETTINGS.with(|cell| cell.borrow().clone())
}

pub(crate) fn maildrop() -> &'static Path {
    // Without a grant the component's own path serves: it does not exist.
    MAILDROP.with(|cell| cell.borrow().unwrap_or(Path::new("/maildrop")))
}

pub(crate) fn verify(hash: &str, secret: &str) -> Result<bool, String> {
    match hash.strip_prefix("{PLAIN}") {
        Some(password) => Ok(password == secret),
        None => Err("only {PLAIN} can be checked without a host".into()),
    }
}

/// What [`verify`] takes: one scheme stands in for all.
pub(crate) fn hash(secret: &str, _: HashScheme) -> Result<String, String> {
    if secret.is_empty() || secret.len() > SECRET_OCTETS {
        return Err("a host hashes secrets of 1 to 4096 octets".into());
    }
    Ok(format!("{{PLAIN}}{secret}"))
}

pub(crate) fn scan(directory: &str) -> Result<Names, String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(maildrop().join(directory)).map_err(|error| error.to_string())? {
        let entry = entry.map_err(|error| error.to_string())?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if !name.starts_with('.') && metadata.is_file() {
            found.push((name, identity(&metadata)));
        }
    }
    found.sort();
    Ok(Names {
        names: found.iter().flat_map(|(name, _)| [name, "\0"]).collect(),
        identities: found.iter().map(|(_, identity)| *identity).collect(),
    })
}

/// A host's surrogates are another matter; what counts here is that there are
/// two sizes where a header is beyond ASCII.
pub(crate) fn measure(path: &str) -> Result<Option<Weight>, String> {
    let Some(status) = stat(path)? else {
        return Ok(None);
    };
    let raw = fs::read(maildrop().join(path)).map_err(|error| error.to_string())?;
    let wire = with_crlf(&raw);
    let blank = wire.windows(4).position(|end| end == b"\r\n\r\n");
    let header = &wire[..blank.unwrap_or(wire.len())];
    let beyond_ascii = header.iter().filter(|octet| !octet.is_ascii()).count();
    Ok(Some(Weight {
        octets: wire.len() as u64,
        surrogate: (wire.len() + beyond_ascii) as u64,
        status,
    }))
}

pub(crate) fn stat(path: &str) -> Result<Option<Status>, String> {
    found(fs::metadata(maildrop().join(path)).map(|about| status(&about)))
}

pub(crate) fn read(path: &str, offset: u64, length: u32) -> Result<Option<Chunk>, String> {
    let path = maildrop().join(path);
    let chunk = || {
        // Looked at before it is opened: opening a FIFO would wait for ever.
        if !fs::metadata(&path)?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let mut file = File::open(&path)?;
        let status = status(&file.metadata()?);
        let mut octets = Vec::new();
        file.seek(SeekFrom::Start(offset.min(status.size)))?;
        file.take(length.min(READ_OCTETS).into())
            .read_to_end(&mut octets)?;
        Ok(Chunk { octets, status })
    };
    found(chunk())
}

fn found<T>(result: io::Result<T>) -> Result<Option<T>, String> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn status(about: &Metadata) -> Status {
    let kind = if about.is_file() {
        Kind::File
    } else if about.is_dir() {
        Kind::Directory
    } else {
        Kind::Other
    };
    Status {
        kind,
        size: about.len(),
        modified: nanoseconds(about.modified()).unwrap_or(0),
        created: nanoseconds(about.created()),
        identity: identity(about),
    }
}

#[cfg(unix)]
fn identity(about: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(about)
}

/// Other systems do not tell: what stands in for a host does without.
#[cfg(not(unix))]
fn identity(_: &Metadata) -> u64 {
    0
}

/// Since the Unix epoch; 0 for what lies before it. None: not known.
fn nanoseconds(time: io::Result<SystemTime>) -> Option<u64> {
    let since = time.ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// The message with CRLF line ends, the last one included.
fn with_crlf(raw: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(raw.len());
    for &octet in raw {
        if octet == b'\n' && message.last() != Some(&b'\r') {
            message.push(b'\r');
        }
        message.push(octet);
    }
    if !message.is_empty() && !message.ends_with(b"\r\n") {
        message.extend_from_slice(b"\r\n");
    }
    message
}

/// A message for [`Filter`](crate::filter::Filter) and
/// [`Selector`](crate::selector::Selector) to look at.
#[derive(Debug, Clone)]
pub struct SampleMessage {
    /// Its unique-id.
    pub unique_id: String,
    /// Seconds since the Unix epoch; 0: not known.
    pub received: u64,
    message: Vec<u8>,
}

impl SampleMessage {
    /// A message with the given text; line ends become CRLF.
    pub fn new(unique_id: impl Into<String>, received: u64, text: impl AsRef<[u8]>) -> Self {
        SampleMessage {
            unique_id: unique_id.into(),
            received,
            message: with_crlf(text.as_ref()),
        }
    }

    pub(crate) fn octets(&self) -> u64 {
        self.message.len() as u64
    }

    pub(crate) fn header(&self) -> &[u8] {
        if self.message.starts_with(b"\r\n") {
            return &self.message[..2];
        }
        let end = self
            .message
            .windows(4)
            .position(|octets| octets == b"\r\n\r\n");
        &self.message[..end.map_or(self.message.len(), |end| end + 4)]
    }

    pub(crate) fn read(&self, offset: u64, length: u32) -> &[u8] {
        let start = usize::try_from(offset)
            .map_or(self.message.len(), |start| start.min(self.message.len()));
        let end = start
            .saturating_add(length as usize)
            .min(self.message.len());
        &self.message[start..end]
    }
}
