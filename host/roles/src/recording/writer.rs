//! The thread that writes recordings. It stops for good at the first thing that
//! goes wrong, with one log line.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tracing::{error, warn};

use crate::state_dir::Folder;

/// Lines and octets that wait to be written. A disk that is slower than that ends
/// the recording.
const WAITING: usize = 4096;
const WAITING_OCTETS: usize = 64 << 20;

/// A file that is made and removed, to see whether the directory can be written to.
const PROBE: &str = "probe";

/// What its last line is, in a file that goes no further.
const FULL: &[u8] = b"{\"line\":\"end\",\"why\":\"--record-size was reached\"}\n";

enum Order {
    Write {
        session: u64,
        name: String,
        octets: Vec<u8>,
        last: bool,
    },
    Finish,
}

pub(super) struct Writer {
    orders: SyncSender<Order>,
    state: Arc<State>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct State {
    stopped: AtomicBool,
    waiting: AtomicUsize,
}

impl Writer {
    pub(super) fn begin(directory: PathBuf, octets: u64) -> io::Result<Writer> {
        let folder = Folder::open(&directory)?;
        // What cannot be written to is found out now.
        folder.write(PROBE, &[])?;
        folder.remove(PROBE);
        let (orders, received) = sync_channel(WAITING);
        let state = Arc::new(State::default());
        let desk = DiskWriter {
            directory,
            folder,
            left: octets,
            files: HashMap::new(),
            state: Arc::clone(&state),
        };
        let thread = std::thread::Builder::new().name("recording".into());
        let thread = thread.spawn(move || desk.serve(&received))?;
        Ok(Writer {
            orders,
            state,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.state.stopped.load(Ordering::Relaxed)
    }

    /// Has a line written; `last`: the session's file is closed after it.
    pub(super) fn write(&self, session: u64, name: &str, octets: Vec<u8>, last: bool) {
        if self.has_stopped() {
            return;
        }
        let waiting = &self.state.waiting;
        let size = octets.len();
        let fits = waiting.fetch_add(size, Ordering::Relaxed) + size <= WAITING_OCTETS;
        let order = Order::Write {
            session,
            name: name.to_owned(),
            octets,
            last,
        };
        if (!fits || self.orders.try_send(order).is_err())
            && !self.state.stopped.swap(true, Ordering::Relaxed)
        {
            error!(
                "recording stops: the disk takes lines slower than sessions make them; sessions go on"
            );
        }
    }

    pub(super) fn finish(&self) {
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // Waits for a place behind what is to be written; both fail only if the
            // thread is gone.
            let _ = self.orders.send(Order::Finish);
            let _ = thread.join();
        }
        self.state.stopped.store(true, Ordering::Relaxed);
    }
}

struct DiskWriter {
    /// For messages alone.
    directory: PathBuf,
    folder: Folder,
    /// Octets that may still be written.
    left: u64,
    files: HashMap<u64, File>,
    state: Arc<State>,
}

impl DiskWriter {
    fn serve(mut self, orders: &Receiver<Order>) {
        while let Ok(Order::Write {
            session,
            name,
            octets,
            last,
        }) = orders.recv()
        {
            let waiting = &self.state.waiting;
            waiting.fetch_sub(octets.len(), Ordering::Relaxed);
            if self.state.stopped.load(Ordering::Relaxed) {
                self.files.clear();
                continue;
            }
            let written = match octets.is_empty() {
                true => Ok(()),
                false => self.write(session, &name, &octets),
            };
            if let Err(error) = written {
                error!(directory = ?self.directory, file = name, %error, "recording stops, sessions go on");
                self.stop();
            }
            if last {
                self.files.remove(&session);
            }
        }
    }

    fn write(&mut self, session: u64, name: &str, octets: &[u8]) -> io::Result<()> {
        let Some(left) = self.left.checked_sub(octets.len() as u64) else {
            warn!(
                directory = ?self.directory,
                "recording stops: --record-size is reached; sessions go on"
            );
            for file in self.files.values_mut() {
                // If it cannot be written either, the file just breaks off.
                let _ = file.write_all(FULL);
            }
            self.stop();
            return Ok(());
        };
        self.left = left;
        let file = match self.files.entry(session) {
            std::collections::hash_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => new.insert(self.folder.create(name)?),
        };
        file.write_all(octets)
    }

    fn stop(&mut self) {
        self.state.stopped.store(true, Ordering::Relaxed);
        self.files.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn line(octets: usize) -> Vec<u8> {
        let mut line = vec![b'x'; octets - 1];
        line.push(b'\n');
        line
    }

    #[test]
    fn what_is_written_is_bounded_and_nobody_elses_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("new/recordings");
        let writer = Writer::begin(directory.clone(), 100).unwrap();
        writer.write(0, "a", line(60), false);
        writer.write(1, "b", line(30), false);
        writer.write(0, "a", line(60), true);
        writer.write(2, "c", line(5), true);
        writer.finish();
        assert!(writer.has_stopped());
        let text = |name: &str| fs::read(directory.join(name)).unwrap();
        assert_eq!(text("a"), [&line(60), FULL].concat());
        assert_eq!(text("b"), [&line(30), FULL].concat());
        assert!(!directory.join("c").exists());
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(directory.join("a")), 0o600);
        assert_eq!(mode(directory), 0o700);
    }

    #[test]
    fn lines_that_wait_are_written_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer::begin(folder.path().to_owned(), 1 << 20).unwrap();
        for session in 0..100 {
            writer.write(session, &session.to_string(), line(100), true);
        }
        writer.finish();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 100);
    }

    #[test]
    fn a_directory_that_others_may_write_gets_no_recordings() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let refused = Writer::begin(folder.path().to_owned(), 1).err().unwrap();
        assert!(refused.to_string().contains("chmod go-w"), "{refused}");
        // What takes its place later gets none either, and no link is followed.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let directory = folder.path().join("recordings");
        let writer = Writer::begin(directory.clone(), 1 << 20).unwrap();
        let away = folder.path().join("away");
        fs::rename(&directory, &away).unwrap();
        fs::create_dir(&directory).unwrap();
        writer.write(0, "a", line(10), true);
        writer.finish();
        assert!(away.join("a").exists());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    }

    #[test]
    fn a_file_where_the_directory_should_be_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Writer::begin(file.path().to_owned(), 1).is_err());
    }
}
