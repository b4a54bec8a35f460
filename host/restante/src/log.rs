//! Where log lines leave the process: secrets in URLs hidden, cut to a length, into a queue
//! of bounded size, and from there, by a thread of its own, to stderr.
//!
//! Who reads the log (a pipe to a collector, a terminal that was stopped) may stop
//! reading. Then lines are dropped and counted; no session, no signal and no end of the
//! server waits for a reader.

mod fields;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use restante_pop3::without_url_secrets;
use serde_json::Value;
use tracing::warn;
use tracing_subscriber::fmt::MakeWriter;

use restante_config::LogFormat;
use restante_roles::metrics;

pub use fields::fields;

/// Bytes of one line, its line end included.
pub const MAX_LINE_BYTES: usize = 8 << 10;

/// Bytes of one value in a line that is longer than [`MAX_LINE_BYTES`], in JSON; the next,
/// if all of them together are still too long. Escaped, a byte may be six.
const MAX_VALUE_BYTES: [usize; 3] = [1 << 10, 256, 32];

/// Bytes of lines that wait for the reader of the log.
const MAX_QUEUED_BYTES: usize = 4 << 20;

/// Lines that wait for the reader of the log, however short they are.
const MAX_QUEUED_LINES: usize = 16 << 10;

/// How long the end of the server waits for lines to be read.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// The lines on their way out. Clones share one queue.
#[derive(Clone)]
pub struct LogQueue {
    shared: Arc<Shared>,
    format: LogFormat,
}

struct Shared {
    state: Mutex<State>,
    /// Something was queued.
    queued: Condvar,
    /// All that was queued has been written.
    written: Condvar,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Dropped since it was last said.
    dropped: u64,
    /// A line is being written.
    is_writing: bool,
    /// A thread writes; before that each line is written by who has it.
    is_threaded: bool,
}

impl LogQueue {
    /// A log on stderr, as yet without a thread: lines are written at once.
    pub fn new(format: LogFormat) -> Self {
        LogQueue {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                queued: Condvar::new(),
                written: Condvar::new(),
            }),
            format,
        }
    }

    /// From now on a thread writes to stderr, and nobody else waits for its reader. Where
    /// stderr is a file nobody reads at the other end: lines are written at once, and are
    /// there when what they tell of is seen. Panics are told here too.
    ///
    /// # Errors
    /// The system has no thread.
    pub fn start(&self) -> io::Result<()> {
        let output = io::stderr();
        let is_file = rustix::fs::fstat(&output)
            .is_ok_and(|about| rustix::fs::FileType::from_raw_mode(about.st_mode).is_file());
        if !is_file {
            let shared = self.shared.clone();
            thread::Builder::new()
                .name("log".into())
                .spawn(move || shared.write_to(output))?;
            self.shared.lock().is_threaded = true;
        }
        // The one of the standard library writes to stderr, and waits.
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string);
            let place = place.unwrap_or_default();
            let words = panic.payload_as_str().unwrap_or("no words");
            tracing::error!(place, words, "a defect of the server");
        }));
        Ok(())
    }

    /// Waits until all lines are written, for a second at most.
    pub fn flush(&self) {
        let end = Instant::now() + FLUSH_TIME;
        let mut state = self.shared.lock();
        while state.is_threaded && (state.is_writing || !state.lines.is_empty()) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.shared.written.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change leaves a whole queue behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut output: impl Write) {
        loop {
            let (line, dropped) = self.next();
            // Nobody is there to be told that the log cannot be written.
            if output
                .write_all(&line)
                .and_then(|()| output.flush())
                .is_err()
            {
                metrics::log_line_dropped();
            }
            {
                let mut state = self.lock();
                state.is_writing = false;
                if state.lines.is_empty() {
                    self.written.notify_all();
                }
            }
            if dropped > 0 {
                warn!(
                    lines = dropped,
                    "log lines were dropped: they were not read as fast as they were written"
                );
            }
        }
    }

    /// The next line, and how many were dropped before there was room again.
    fn next(&self) -> (Vec<u8>, u64) {
        let mut state = self.lock();
        loop {
            if let Some(line) = state.lines.pop_front() {
                state.bytes -= line.len();
                state.is_writing = true;
                // Said once there is room for it to be heard.
                let has_room =
                    state.bytes < MAX_QUEUED_BYTES / 2 && state.lines.len() < MAX_QUEUED_LINES / 2;
                let dropped = match has_room {
                    true => std::mem::take(&mut state.dropped),
                    false => 0,
                };
                return (line, dropped);
            }
            state = self
                .queued
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn put(&self, line: Vec<u8>) {
        let mut state = self.lock();
        if !state.is_threaded {
            drop(state);
            // Of a server that is not there yet, or a command: it waits for its reader.
            let _ = io::stderr().write_all(&line);
            return;
        }
        let is_full = state.lines.len() >= MAX_QUEUED_LINES;
        if is_full || state.bytes + line.len() > MAX_QUEUED_BYTES {
            state.dropped += 1;
            metrics::log_line_dropped();
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line);
        drop(state);
        self.queued.notify_one();
    }
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = &'a LogQueue;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// Each write is a line: that is how `tracing_subscriber` hands them over.
impl Write for &LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.shared.put(outgoing(line, self.format));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line as it goes out. Whatever its words were made of (errors of libraries, a
/// guest's own lines, settings): this is the one way out of all of them.
fn outgoing(line: &[u8], format: LogFormat) -> Vec<u8> {
    // Before it is cut: half a URL would not be known as one.
    let line = match str::from_utf8(line).map(without_url_secrets) {
        Ok(Cow::Owned(hidden)) => Cow::Owned(hidden.into_bytes()),
        _ => Cow::Borrowed(line),
    };
    match format {
        _ if line.len() <= MAX_LINE_BYTES => line.into_owned(),
        LogFormat::Text => cut_text(&line),
        LogFormat::Json => cut_json(&line),
    }
}

/// Bytes for the words that say how much was cut.
const MARK_BYTES: usize = 64;

fn cut_text(line: &[u8]) -> Vec<u8> {
    let mut cut = start(line, MAX_LINE_BYTES - MARK_BYTES).to_vec();
    let missing = line.len() - cut.len();
    cut.extend_from_slice(format!("… ({missing} bytes cut)\n").as_bytes());
    cut
}

/// What a line in JSON keeps whatever becomes of its other fields.
const KEPT: [&str; 4] = ["timestamp", "level", "message", "span"];

/// Cuts long values; if there are too many, leaves all out but what says what it is.
fn cut_json(line: &[u8]) -> Vec<u8> {
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(line) else {
        return cut_text(line);
    };
    let size = |fields: &serde_json::Map<String, Value>| {
        serde_json::to_vec(fields).map_or(usize::MAX, |text| text.len())
    };
    for bytes in MAX_VALUE_BYTES {
        for value in fields.values_mut() {
            cut_value(value, bytes);
        }
        if size(&fields) + MARK_BYTES <= MAX_LINE_BYTES {
            break;
        }
        fields.retain(|name, _| KEPT.contains(&name.as_str()));
    }
    let kept = size(&fields);
    fields.insert("bytes_cut".into(), line.len().saturating_sub(kept).into());
    let mut text = serde_json::to_vec(&fields).unwrap_or_default();
    text.push(b'\n');
    text
}

fn cut_value(value: &mut Value, bytes: usize) {
    match value {
        Value::String(text) if text.len() > bytes => {
            let end = start(text.as_bytes(), bytes).len();
            text.truncate(end);
            text.push('…');
        }
        Value::Array(values) => values.iter_mut().for_each(|value| cut_value(value, bytes)),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|value| cut_value(value, bytes)),
        _ => {}
    }
}

/// The longest start of at most so many bytes that ends between characters.
fn start(text: &[u8], bytes: usize) -> &[u8] {
    let mut end = bytes.min(text.len());
    while end > 0 && end < text.len() && text[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// An output whose reader reads when it is told to.
    struct Reader {
        lines: mpsc::Sender<Vec<u8>>,
        may_read: mpsc::Receiver<()>,
    }

    impl Write for Reader {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.may_read
                .recv()
                .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            self.lines.send(line.to_vec()).map_err(io::Error::other)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn log_that_nobody_reads_holds_nobody_up() {
        let queue = LogQueue::new(LogFormat::Text);
        let (lines, written) = mpsc::channel();
        let (read, may_read) = mpsc::channel();
        let shared = queue.shared.clone();
        shared.lock().is_threaded = true;
        thread::spawn(move || shared.write_to(Reader { lines, may_read }));
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        let before = metrics::dropped_log_lines();
        let sent = MAX_QUEUED_BYTES / line.len() + 100;
        for _ in 0..sent {
            (&queue).write_all(&line).unwrap();
        }
        // One may be with the reader already.
        let dropped = metrics::dropped_log_lines() - before;
        assert!((99..=100).contains(&dropped), "{dropped}");
        assert!(queue.shared.lock().bytes <= MAX_QUEUED_BYTES);
        let begun = Instant::now();
        queue.flush();
        assert!(
            begun.elapsed() >= FLUSH_TIME,
            "there was nothing to wait for"
        );
        for _ in 0..sent as u64 - dropped {
            read.send(()).unwrap();
            assert_eq!(written.recv().unwrap(), line);
        }
        queue.flush();
        assert!(queue.shared.lock().lines.is_empty());
    }

    #[test]
    fn secrets_in_urls_do_not_leave_in_either_form_and_json_stays_json() {
        let cause = "https://ada:hunter2@idp.example/?token=hunter2\nand\t\"http://hunter2@h\"";
        let text = format!("2026 WARN failed cause={cause:?}\n");
        let line = outgoing(text.as_bytes(), LogFormat::Text);
        let line = String::from_utf8(line).unwrap();
        assert!(!line.contains("hunter2") && line.contains("https://***@idp.example/?token=***"));

        let line = serde_json::json!({ "message": "failed", "cause": cause });
        let line = outgoing(format!("{line}\n").as_bytes(), LogFormat::Json);
        let read: Value = serde_json::from_slice(&line).unwrap();
        let said = read["cause"].as_str().unwrap();
        assert!(
            !said.contains("hunter2") && said.ends_with("\"http://***@h\""),
            "{said}"
        );

        // Not even where the cut would have been.
        for start in 0..40 {
            let long = "x".repeat(MAX_LINE_BYTES - MARK_BYTES - start);
            let text = format!("{long} https://ada:hunter2@idp.example/{long}\n");
            let line = outgoing(text.as_bytes(), LogFormat::Text);
            assert!(!String::from_utf8(line).unwrap().contains("hun"), "{start}");
        }
    }

    #[test]
    fn short_lines_are_bounded_by_their_number() {
        let queue = LogQueue::new(LogFormat::Text);
        queue.shared.lock().is_threaded = true;
        for _ in 0..MAX_QUEUED_LINES + 10 {
            (&queue).write_all(b"\n").unwrap();
        }
        let state = queue.shared.lock();
        assert_eq!((state.lines.len(), state.dropped), (MAX_QUEUED_LINES, 10));
    }

    #[test]
    fn no_line_is_longer_than_the_bound_and_json_stays_json() {
        let long = "ä\"".repeat(900_000);
        let text = format!("2026 ERROR plugin call failed cause={long}\n");
        let cut = cut_text(text.as_bytes());
        assert!(cut.len() <= MAX_LINE_BYTES && cut.ends_with(b" bytes cut)\n"));
        assert!(str::from_utf8(&cut).unwrap().starts_with("2026 ERROR"));

        let line = serde_json::json!({
            "timestamp": "2026", "message": "plugin call failed", "cause": long,
            "span": { "session": "s1", "user": long },
        });
        let cut = cut_json(format!("{line}\n").as_bytes());
        assert!(cut.len() <= MAX_LINE_BYTES);
        let read: Value = serde_json::from_slice(&cut).unwrap();
        assert_eq!(read["span"]["session"], "s1");
        assert!(read["bytes_cut"].as_u64().unwrap() > 1_000_000);

        let mut many = serde_json::Map::new();
        many.insert("message".into(), "many".into());
        for number in 0..1000 {
            many.insert(number.to_string(), "a value".into());
        }
        let cut = cut_json(&serde_json::to_vec(&many).unwrap());
        let read: Value = serde_json::from_slice(&cut).unwrap();
        assert!(cut.len() <= MAX_LINE_BYTES && read["message"] == "many");

        // Escaped it is six times as long.
        let nothing = "\0".repeat(100_000);
        let line = serde_json::json!({ "message": nothing, "span": { "session": nothing } });
        let cut = cut_json(line.to_string().as_bytes());
        assert!(cut.len() <= MAX_LINE_BYTES, "{}", cut.len());
    }
}
