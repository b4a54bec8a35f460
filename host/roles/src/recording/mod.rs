//! Recordings: what crosses the border between host and plugins in the sessions
//! of one tenant, a file for each session.
//!
//! Secrets are replaced before a line is made of them (`redact`); mail is left
//! out unless the operator wants it. Lines are written by a thread of their own:
//! a session does not wait for the disk, and goes on if there is none. Knows
//! neither plugins nor sockets; what a call was, it is told as JSON.

mod format;
mod redact;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, MutexGuard};

pub use format::{
    Answered, Call, Header, HostCall, Kept, LINE, Line, Octets, PluginLine, Recording,
    RecordingError, SESSION_OCTETS, VERSION,
};
pub use redact::{Redactor, is_stand_in, words};
use serde_json::Value;
use writer::Writer;

/// What is recorded, and where.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The files are made here; it is made too if it is not there.
    pub directory: PathBuf,
    /// Whose sessions.
    pub tenant: String,
    /// Whether octets of mail are kept.
    pub mail: bool,
    /// Octets of all files that this process writes.
    pub octets: u64,
}

/// Records the sessions of one tenant.
pub struct Recorder {
    tenant: String,
    mail: bool,
    writer: Writer,
    sessions: AtomicU64,
}

impl Recorder {
    /// Makes the directory if need be, and starts the thread that writes.
    ///
    /// # Errors
    /// When the directory cannot be made or written to.
    pub fn begin(settings: Settings) -> io::Result<Arc<Recorder>> {
        let writer = Writer::begin(settings.directory, settings.octets)?;
        Ok(Arc::new(Recorder {
            tenant: settings.tenant,
            mail: settings.mail,
            writer,
            sessions: AtomicU64::new(0),
        }))
    }

    /// Whether this tenant's sessions are recorded.
    pub fn records(&self, tenant: &str) -> bool {
        self.tenant == tenant
    }

    /// A session that begins to be recorded. None: recording has stopped.
    pub fn session(
        self: &Arc<Self>,
        id: &str,
        listener: &str,
        client: &str,
    ) -> Option<Arc<Session>> {
        if self.writer.has_stopped() {
            return None;
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let begun = since.map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        });
        let session = Session {
            recorder: Arc::clone(self),
            number: self.sessions.fetch_add(1, Ordering::Relaxed),
            name: format!("{begun}-{id}.jsonl"),
            begun: Instant::now(),
            instances: AtomicU64::new(0),
            tape: Mutex::new(Reel {
                redactor: Redactor::new(self.mail).ok()?,
                plugins: Vec::new(),
                octets: 0,
                full: false,
            }),
        };
        session.write(&Line::Session(Header {
            restante_recording: VERSION,
            restante: env!("CARGO_PKG_VERSION").to_owned(),
            tenant: self.tenant.clone(),
            session: id.to_owned(),
            listener: listener.to_owned(),
            client: client.to_owned(),
            begun,
            mail: self.mail,
        }));
        Some(Arc::new(session))
    }

    /// Writes what was recorded so far. Nothing is recorded from now on.
    pub fn finish(&self) {
        self.writer.finish();
    }
}

/// A session that is recorded; its file ends with it.
pub struct Session {
    recorder: Arc<Recorder>,
    number: u64,
    name: String,
    begun: Instant,
    instances: AtomicU64,
    tape: Mutex<Reel>,
}

struct Reel {
    redactor: Redactor,
    /// Those that have a line already, by name and digest.
    plugins: Vec<(String, String)>,
    octets: u64,
    full: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Session({})", self.name)
    }
}

/// Who was called.
pub struct Called<'a> {
    /// As the configuration calls it.
    pub plugin: &'a str,
    /// Where its component comes from.
    pub component: &'a str,
    /// SHA-256 of the component, hexadecimal.
    pub digest: &'a str,
    /// As they are configured.
    pub settings: &'a [(String, String)],
    /// Which of the session's instances, from 0.
    pub instance: u64,
    /// "store.listing"
    pub call: &'static str,
    /// When it began.
    pub begun: Instant,
}

/// What a call was, without a secret in it.
pub struct Described {
    /// The arguments.
    pub asked: Value,
    /// What came back.
    pub answered: Answered,
    /// What the plugin asked the host meanwhile, in order.
    pub host: Vec<HostCall>,
    /// How many more of those there were, over a bound.
    pub host_left_out: u64,
}

impl Session {
    /// Numbers the session's instances.
    pub fn next_instance(&self) -> u64 {
        self.instances.fetch_add(1, Ordering::Relaxed)
    }

    /// Another call is over. `describe` makes of it what may be written.
    pub fn tell(&self, called: &Called<'_>, describe: impl FnOnce(&mut Redactor) -> Described) {
        if self.recorder.writer.has_stopped() {
            return;
        }
        let took = called.begun.elapsed();
        let at = called.begun.saturating_duration_since(self.begun);
        let mut reel = self.reel();
        if reel.full {
            return;
        }
        let who = (called.plugin.to_owned(), called.digest.to_owned());
        let plugin = (!reel.plugins.contains(&who)).then(|| {
            let (settings, redacted) = reel.redactor.settings(called.settings);
            PluginLine {
                plugin: called.plugin.to_owned(),
                component: called.component.to_owned(),
                digest: called.digest.to_owned(),
                settings,
                redacted,
            }
        });
        let described = describe(&mut reel.redactor);
        let call = Line::Call(Call {
            plugin: called.plugin.to_owned(),
            call: called.call.to_owned(),
            instance: called.instance,
            at_microseconds: micros(at),
            took_microseconds: micros(took),
            asked: described.asked,
            answered: described.answered,
            host: described.host,
            host_left_out: described.host_left_out,
        });
        let mut lines = Vec::new();
        if let Some(plugin) = plugin {
            reel.plugins.push(who);
            lines.push(Line::Plugin(plugin));
        }
        lines.push(call);
        for line in &lines {
            let octets = octets_of(line);
            reel.octets += octets.len() as u64;
            if reel.octets > SESSION_OCTETS || octets.len() > LINE {
                reel.full = true;
                let why = format!("it had more than {SESSION_OCTETS} octets (SESSION_OCTETS)");
                self.send(octets_of(&Line::End { why }));
                return;
            }
            self.send(octets);
        }
    }

    fn write(&self, line: &Line) {
        self.send(octets_of(line));
    }

    fn send(&self, octets: Vec<u8>) {
        self.recorder
            .writer
            .write(self.number, &self.name, octets, false);
    }

    fn reel(&self) -> MutexGuard<'_, Reel> {
        // What was learned of secrets stays learned, whatever else broke.
        self.tape.lock()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let full = self.reel().full;
        let octets = match full {
            true => Vec::new(),
            false => octets_of(&Line::End {
                why: "closed".to_owned(),
            }),
        };
        self.recorder
            .writer
            .write(self.number, &self.name, octets, true);
    }
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn octets_of(line: &Line) -> Vec<u8> {
    // Maps have text keys and no number is odd: this cannot fail.
    let mut octets = serde_json::to_vec(line).unwrap_or_default();
    octets.push(b'\n');
    octets
}
