//! A guest's voice: wasi:logging, stdout and stderr, line by line into `tracing`.
//!
//! Nothing here blocks, and nothing grows: lines are cut, their number is
//! bounded, and what is over the bound is dropped with one line that says so.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use tracing::{debug, error, info, trace, warn};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::bindings::wasi::logging::logging::Level;

/// Octets of one log line; the rest of it is cut.
const LINE: usize = 1024;
/// Octets of stderr kept for the log line of a trap.
const TAIL: usize = 2048;
/// Octets a guest may write at once.
const WRITE: usize = 64 << 10;

/// What one instance says, and how much more it may.
pub(crate) struct Voice {
    plugin: Arc<str>,
    tenant: Arc<str>,
    /// For whom the plugin is asked, and where that user's mail is, as far as that is known.
    user: Option<String>,
    maildrop: Option<PathBuf>,
    lines_left: u32,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// The last of what went to stderr: where languages put their last words.
    tail: Vec<u8>,
}

impl Voice {
    pub(crate) fn new(plugin: Arc<str>, tenant: Arc<str>, lines: u32) -> Self {
        Self {
            plugin,
            tenant,
            user: None,
            maildrop: None,
            lines_left: lines,
            stdout: Vec::new(),
            stderr: Vec::new(),
            tail: Vec::new(),
        }
    }

    /// From here on its lines are about this user, whose mail is in this directory if the
    /// plugin has it.
    pub(super) fn speak_of(&mut self, user: &str, maildrop: Option<PathBuf>) {
        self.user = Some(user.to_owned());
        self.maildrop = maildrop;
    }

    /// One line through wasi:logging.
    pub(crate) fn log(&mut self, level: Level, context: &str, message: &str) {
        self.say(level, context, message);
    }

    /// The last words on stderr, taken away.
    pub(crate) fn last_words(&mut self) -> String {
        let mut words = std::mem::take(&mut self.tail);
        words.extend_from_slice(&std::mem::take(&mut self.stderr));
        let from = words.len().saturating_sub(TAIL);
        clean(&words[from..])
    }

    fn write(&mut self, channel: Channel, octets: &[u8]) {
        for piece in octets.split_inclusive(|octet| *octet == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let buffer = match channel {
                Channel::Stdout => &mut self.stdout,
                Channel::Stderr => &mut self.stderr,
            };
            let room = LINE.saturating_sub(buffer.len());
            buffer.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                let line = std::mem::take(buffer);
                self.line(channel, &line);
            }
        }
    }

    fn line(&mut self, channel: Channel, line: &[u8]) {
        let text = clean(line);
        if text.is_empty() {
            return;
        }
        match channel {
            Channel::Stdout => self.say(Level::Info, "stdout", &text),
            Channel::Stderr => {
                self.tail.extend_from_slice(line);
                self.tail.push(b'\n');
                let over = self.tail.len().saturating_sub(TAIL);
                self.tail.drain(..over);
                self.say(Level::Warn, "stderr", &text);
            }
        }
    }

    fn say(&mut self, level: Level, context: &str, message: &str) {
        if self.lines_left == 0 {
            return;
        }
        self.lines_left -= 1;
        let (plugin, tenant) = (&*self.plugin, &*self.tenant);
        if self.lines_left == 0 {
            warn!(
                plugin,
                tenant, "the plugin logs too much; the rest of this session's lines are dropped"
            );
            return;
        }
        let (context, text) = (cut(context, 64), cut(message, LINE));
        // Debug and `?` escape control characters: nobody can forge a line.
        let user = self.user.as_deref().map(tracing::field::debug);
        let maildrop = self.maildrop.as_deref().map(tracing::field::debug);
        match level {
            Level::Trace => trace!(plugin, tenant, user, maildrop, context, ?text, "guest says"),
            Level::Debug => debug!(plugin, tenant, user, maildrop, context, ?text, "guest says"),
            Level::Info => info!(plugin, tenant, user, maildrop, context, ?text, "guest says"),
            Level::Warn => warn!(plugin, tenant, user, maildrop, context, ?text, "guest says"),
            Level::Error | Level::Critical => {
                error!(plugin, tenant, user, maildrop, context, ?text, "guest says");
            }
        }
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        for channel in [Channel::Stdout, Channel::Stderr] {
            let rest = match channel {
                Channel::Stdout => std::mem::take(&mut self.stdout),
                Channel::Stderr => std::mem::take(&mut self.stderr),
            };
            if !rest.is_empty() {
                self.line(channel, &rest);
            }
        }
    }
}

/// The longest start of `text` that has at most `octets` octets.
fn cut(text: &str, octets: usize) -> &str {
    let mut end = text.len().min(octets);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn clean(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).trim_end().to_owned()
}

#[derive(Clone, Copy)]
enum Channel {
    Stdout,
    Stderr,
}

/// A guest's stdout or stderr.
#[derive(Clone)]
pub(crate) struct Output {
    channel: Channel,
    voice: Arc<Mutex<Voice>>,
}

impl Output {
    pub(crate) fn stdout(voice: &Arc<Mutex<Voice>>) -> Self {
        Self {
            channel: Channel::Stdout,
            voice: voice.clone(),
        }
    }

    pub(crate) fn stderr(voice: &Arc<Mutex<Voice>>) -> Self {
        Self {
            channel: Channel::Stderr,
            voice: voice.clone(),
        }
    }

    fn take(&self, octets: &[u8]) {
        self.voice.lock().write(self.channel, octets);
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // WASI 0.2 is all that is linked, and that asks `p2_stream`.
        Box::new(tokio::io::sink())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE)
    }
}

#[async_trait::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn voice(lines: u32) -> Voice {
        Voice::new("plugin".into(), "tenant".into(), lines)
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let mut voice = voice(10);
        for _ in 0..1000 {
            voice.write(Channel::Stdout, &[b'x'; 4096]);
        }
        assert_eq!(voice.stdout.len(), LINE);
        assert_eq!(voice.lines_left, 10);
    }

    #[test]
    fn lines_are_counted_and_the_tail_is_the_last_of_stderr() {
        let mut voice = voice(3);
        for number in 0..2000 {
            voice.write(Channel::Stderr, format!("line {number}\n").as_bytes());
        }
        assert_eq!(voice.lines_left, 0);
        assert!(voice.tail.len() <= TAIL);
        voice.write(Channel::Stderr, b"thread panicked");
        assert!(voice.last_words().ends_with("line 1999\nthread panicked"));
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("", 3), "");
    }
}
