//! Where log lines leave the process: secrets in URLs hidden, cut to a length, into a queue
//! of bounded size, and from there, by a thread of its own, to stderr.
//!
//! Who reads the log (a pipe to a collector, a terminal that was stopped) may stop
//! reading. Then lines are dropped and counted; no session, no signal and no end of the
//! server waits for a reader. Lines that cannot be written, since the disk of the log is
//! full, are counted likewise; the first one that can be is followed by their number.

mod fields;
mod output;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use restante_pop3::without_url_secrets;
use serde_json::Value;
use tracing::warn;
use tracing_subscriber::fmt::MakeWriter;

use anyhow::Context;
use restante_config::{Log, LogFormat};
use restante_roles::metrics;

use fields::fields;
use output::Lines;

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

/// Log lines go to stderr from now on, in the whole process; stdout is for what a command was
/// asked for. Each is written by who has it, until the queue is given its thread.
///
/// # Errors
/// The filter is none.
///
/// # Panics
/// If it was called before.
pub fn begin(settings: &Log) -> anyhow::Result<LogQueue> {
    let filter = Log::read_filter(&settings.filter).context("[server.log] filter")?;
    let queue = LogQueue::new(settings.format);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(queue.clone())
        .log_internal_errors(false)
        .with_target(false);
    match settings.format {
        LogFormat::Text => builder
            .fmt_fields(fields())
            .with_ansi(io::stderr().is_terminal())
            .init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(queue)
}

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
    /// Where a line goes that is written by who has it.
    direct: Mutex<Lines<Box<dyn Write + Send>>>,
    /// Lines that were dropped can be told of.
    can_tell: Condvar,
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
    /// A line was written after some were dropped.
    can_tell: bool,
}

impl State {
    /// A line is not where lines go.
    fn drop_line(&mut self) {
        self.dropped += 1;
        metrics::log_line_dropped();
    }
}

impl LogQueue {
    /// A log on stderr, as yet without a thread: lines are written at once.
    pub fn new(format: LogFormat) -> Self {
        LogQueue::with_direct(format, Box::new(io::stderr()))
    }

    fn with_direct(format: LogFormat, direct: Box<dyn Write + Send>) -> Self {
        LogQueue {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                queued: Condvar::new(),
                written: Condvar::new(),
                direct: Mutex::new(Lines::new(direct)),
                can_tell: Condvar::new(),
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
        let shared = self.shared.clone();
        let thread = thread::Builder::new().name("log".into());
        if is_file {
            thread.spawn(move || shared.tell_of_dropped())?;
        } else {
            thread.spawn(move || shared.write_to(output))?;
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
        let is_busy =
            |state: &mut State| state.is_threaded && (state.is_writing || !state.lines.is_empty());
        let mut state = self.shared.lock();
        (self.shared.written).wait_while_for(&mut state, is_busy, FLUSH_TIME);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change leaves a whole queue behind.
        self.state.lock()
    }

    fn write_to(&self, output: impl Write) {
        let mut output = Lines::new(output);
        loop {
            let line = self.next();
            let is_written = output.put(&line).is_ok();
            let dropped = {
                let mut state = self.lock();
                state.is_writing = false;
                if state.lines.is_empty() {
                    self.written.notify_all();
                }
                // Said once there is room for it to be heard.
                let has_room =
                    state.bytes < MAX_QUEUED_BYTES / 2 && state.lines.len() < MAX_QUEUED_LINES / 2;
                match is_written {
                    // Nobody is there to be told that the log cannot be written.
                    false => {
                        state.drop_line();
                        0
                    }
                    true if has_room => std::mem::take(&mut state.dropped),
                    true => 0,
                }
            };
            tell(dropped);
        }
    }

    /// Says how many lines were dropped, for those that others write.
    fn tell_of_dropped(&self) {
        let mut state = self.lock();
        loop {
            if std::mem::take(&mut state.can_tell) {
                let dropped = std::mem::take(&mut state.dropped);
                drop(state);
                tell(dropped);
                state = self.lock();
                continue;
            }
            self.can_tell.wait(&mut state);
        }
    }

    /// A line is written by who has it. Before the server is there, or of a command, it
    /// waits for its reader.
    fn put_directly(&self, line: &[u8]) {
        let written = self.direct.lock().put(line);
        let mut state = self.lock();
        if written.is_err() {
            state.drop_line();
        } else if state.dropped > 0 {
            state.can_tell = true;
            self.can_tell.notify_one();
        }
    }

    /// The next line.
    fn next(&self) -> Vec<u8> {
        let mut state = self.lock();
        loop {
            if let Some(line) = state.lines.pop_front() {
                state.bytes -= line.len();
                state.is_writing = true;
                return line;
            }
            self.queued.wait(&mut state);
        }
    }

    fn put(&self, line: Vec<u8>) {
        let mut state = self.lock();
        if !state.is_threaded {
            drop(state);
            self.put_directly(&line);
            return;
        }
        let is_full = state.lines.len() >= MAX_QUEUED_LINES;
        if is_full || state.bytes + line.len() > MAX_QUEUED_BYTES {
            state.drop_line();
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line);
        drop(state);
        self.queued.notify_one();
    }
}

/// The line that tells of others. It may be dropped itself: so it has the sum, too.
fn tell(dropped: u64) {
    if dropped > 0 {
        warn!(
            lines = dropped,
            since_start = metrics::dropped_log_lines(),
            "log lines were dropped: they could not be written, or not as fast as they came; free space on the log's disk, or see why its reader is slow"
        );
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
    use std::time::Instant;

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

    /// A disk with room for so many bytes.
    #[derive(Clone)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock();
            let written = bytes.len().min(disk.1 - disk.0.len());
            if written == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            disk.0.extend_from_slice(&bytes[..written]);
            Ok(written)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Both for a log in a file and for one that a thread writes.
    #[test]
    fn lines_that_a_full_disk_takes_are_counted_and_told_of_when_it_goes_on() {
        for is_threaded in [false, true] {
            let disk = Disk(Arc::new(Mutex::new((Vec::new(), 13))));
            let queue = LogQueue::with_direct(LogFormat::Text, Box::new(disk.clone()));
            queue.shared.lock().is_threaded = is_threaded;
            let (shared, output) = (queue.shared.clone(), disk.clone());
            thread::spawn(move || match is_threaded {
                true => shared.write_to(output),
                false => shared.tell_of_dropped(),
            });
            let told = || {
                let end = Instant::now() + Duration::from_secs(30);
                while queue.shared.lock().dropped > 0 {
                    assert!(Instant::now() < end, "nothing is told");
                    thread::sleep(Duration::from_millis(1));
                }
            };
            for line in [&b"one\n"[..], b"two two two\n", b"three\n"] {
                (&queue).write_all(line).unwrap();
            }
            queue.flush();
            assert_eq!(queue.shared.lock().dropped, 2);
            disk.0.lock().1 = 1000;
            (&queue).write_all(b"four\n").unwrap();
            told();
            // What the full disk took half of has a line of its own.
            let text = disk.0.lock().0.clone();
            assert_eq!(String::from_utf8_lossy(&text), "one\ntwo two t\nfour\n");
        }
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
