//! Files as streams of octets. Each read and each write takes a place of the tenant's and
//! keeps it until it is over; a stream has one of them under way at most.

use std::fs::File;
use std::io;
use std::mem;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use tokio::time::Instant;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};

use crate::instance::errors::WriteFailures;
use crate::instance::handle::HeldFile;
use restante_roles::metrics::Meter;
use restante_roles::work::{MAX_WORK_TIME, OpenPermit};

/// Octets that are read, or taken for writing, at once.
const MAX_CHUNK_OCTETS: usize = 64 << 10;

/// Octets that are read ahead for a guest that waits before it asks.
const POLLED_OCTETS: usize = 4 << 10;

type Working<R> = AbortOnDropJoinHandle<io::Result<R>>;

/// Does work in a place of the tenant's. What has begun is not ended by the end of the
/// instance, and keeps its place.
fn work<R: Send + 'static>(
    meter: &Meter,
    work: impl FnOnce() -> io::Result<R> + Send + 'static,
) -> Working<R> {
    let room = meter.work();
    let deadline = Instant::now() + MAX_WORK_TIME;
    spawn(async move { room.run_io(deadline, move |_| work()).await })
}

/// A file that is read from somewhere on.
pub(super) struct FileReader {
    file: HeldFile,
    /// Octets in front of what the guest gets next.
    at: u64,
    meter: Meter,
    state: Reading,
    _permit: OpenPermit,
}

enum Reading {
    Idle,
    Busy(Working<Bytes>),
    Ready(Bytes),
    Failed(io::Error),
    Closed,
}

impl FileReader {
    pub(super) fn new(file: HeldFile, at: u64, meter: Meter, permit: OpenPermit) -> Self {
        FileReader {
            file,
            at,
            meter,
            state: Reading::Idle,
            _permit: permit,
        }
    }

    fn begin(&mut self, octets: usize) {
        let (file, at) = (self.file.clone(), self.at);
        let reading = work(&self.meter, move || read_at(&file, at, octets));
        self.state = Reading::Busy(reading);
    }

    /// Waits for what is under way.
    async fn settle(&mut self) {
        let Reading::Busy(reading) = &mut self.state else {
            return;
        };
        self.state = match reading.await {
            Ok(octets) if octets.is_empty() => Reading::Closed,
            Ok(octets) => {
                self.meter.carried(octets.len());
                Reading::Ready(octets)
            }
            Err(error) => Reading::Failed(error),
        };
    }
}

#[async_trait]
impl InputStream for FileReader {
    fn read(&mut self, octets: usize) -> StreamResult<Bytes> {
        match &mut self.state {
            Reading::Idle if octets > 0 => {
                self.begin(octets);
                Ok(Bytes::new())
            }
            Reading::Idle | Reading::Busy(_) => Ok(Bytes::new()),
            Reading::Ready(ready) => {
                let chunk = ready.split_to(octets.min(ready.len()));
                if ready.is_empty() {
                    self.state = Reading::Idle;
                }
                self.at += chunk.len() as u64;
                Ok(chunk)
            }
            Reading::Failed(_) => match mem::replace(&mut self.state, Reading::Closed) {
                Reading::Failed(error) => Err(StreamError::LastOperationFailed(error.into())),
                _ => Err(StreamError::Closed),
            },
            Reading::Closed => Err(StreamError::Closed),
        }
    }

    async fn blocking_read(&mut self, octets: usize) -> StreamResult<Bytes> {
        if matches!(self.state, Reading::Idle) && octets > 0 {
            self.begin(octets);
        }
        self.settle().await;
        self.read(octets)
    }
}

#[async_trait]
impl Pollable for FileReader {
    async fn ready(&mut self) {
        if matches!(self.state, Reading::Idle) {
            self.begin(POLLED_OCTETS);
        }
        self.settle().await;
    }
}

/// Nothing: the file ends there.
fn read_at(file: &File, at: u64, octets: usize) -> io::Result<Bytes> {
    let mut space = vec![0; octets.min(MAX_CHUNK_OCTETS)];
    loop {
        match file.read_at(&mut space, at) {
            Ok(read) => {
                space.truncate(read);
                return Ok(space.into());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Where in a file is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum WritePosition {
    /// So many octets from its start.
    At(u64),
    /// At its end, wherever that is by then.
    End,
}

/// A file that is written to.
pub(super) struct FileWriter {
    file: HeldFile,
    position: WritePosition,
    meter: Meter,
    state: Writing,
    failures: WriteFailures,
    _permit: OpenPermit,
}

enum Writing {
    Ready,
    /// The result: where the next octets belong.
    Busy(Working<WritePosition>),
    Failed(io::Error),
    Closed,
}

impl FileWriter {
    pub(super) fn new(
        file: HeldFile,
        position: WritePosition,
        meter: Meter,
        failures: WriteFailures,
        permit: OpenPermit,
    ) -> Self {
        FileWriter {
            file,
            position,
            meter,
            state: Writing::Ready,
            failures,
            _permit: permit,
        }
    }

    /// Octets that it takes now.
    fn room(&mut self) -> StreamResult<usize> {
        match &self.state {
            Writing::Ready => Ok(MAX_CHUNK_OCTETS),
            Writing::Busy(_) => Ok(0),
            Writing::Failed(_) => match mem::replace(&mut self.state, Writing::Closed) {
                Writing::Failed(error) => Err(StreamError::LastOperationFailed(error.into())),
                _ => Err(StreamError::Closed),
            },
            Writing::Closed => Err(StreamError::Closed),
        }
    }
}

#[async_trait]
impl OutputStream for FileWriter {
    fn write(&mut self, octets: Bytes) -> StreamResult<()> {
        match self.state {
            Writing::Ready => {}
            Writing::Closed => return Err(StreamError::Closed),
            Writing::Busy(_) | Writing::Failed(_) => {
                return Err(StreamError::trap("written to before it was ready"));
            }
        }
        if octets.len() > MAX_CHUNK_OCTETS {
            return Err(StreamError::trap("more was written than there is room for"));
        }
        self.meter.carried(octets.len());
        let (file, position) = (self.file.clone(), self.position);
        let writing = work(&self.meter, move || write_at(&file, position, &octets));
        self.state = Writing::Busy(writing);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        // Nothing is held back: who wants to know that it is done waits for room.
        self.room().map(|_| ())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.room()
    }

    /// What a guest has handed over is written, also if it drops the stream at once.
    async fn cancel(&mut self) {
        self.ready().await;
    }
}

#[async_trait]
impl Pollable for FileWriter {
    async fn ready(&mut self) {
        let Writing::Busy(writing) = &mut self.state else {
            return;
        };
        self.state = match writing.await {
            Ok(position) => {
                self.position = position;
                Writing::Ready
            }
            Err(error) => {
                self.failures.add(&self.file, &error);
                Writing::Failed(error)
            }
        };
    }
}

/// Writes all of it, and says where the next octets belong.
fn write_at(file: &File, position: WritePosition, octets: &[u8]) -> io::Result<WritePosition> {
    match position {
        WritePosition::At(at) => {
            file.write_all_at(octets, at)?;
            Ok(WritePosition::At(at + octets.len() as u64))
        }
        WritePosition::End => {
            append(file, octets)?;
            Ok(WritePosition::End)
        }
    }
}

#[cfg(target_os = "linux")]
fn append(file: &File, mut octets: &[u8]) -> io::Result<()> {
    use rustix::io::{Errno, ReadWriteFlags, pwritev2};
    while !octets.is_empty() {
        let all = [io::IoSlice::new(octets)];
        match pwritev2(file, &all, 0, ReadWriteFlags::APPEND) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => octets = &octets[written..],
            Err(Errno::INTR) => {}
            Err(Errno::NOSYS | Errno::OPNOTSUPP) => return append_where_it_ends(file, octets),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn append(file: &File, octets: &[u8]) -> io::Result<()> {
    append_where_it_ends(file, octets)
}

/// Where the system cannot do it in one: what another process appends meanwhile is
/// written over.
fn append_where_it_ends(file: &File, octets: &[u8]) -> io::Result<()> {
    file.write_all_at(octets, file.metadata()?.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Waker};

    use wasmtime_wasi::filesystem::{self, Descriptor, FsPerms, OpenMode};
    use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;

    use super::*;
    use crate::instance::handle::Handle;
    use restante_roles::metrics::Ledger;

    fn held(file: File) -> HeldFile {
        let (permissions, mode) = (FsPerms::ReadWrite, OpenMode::all());
        let file = filesystem::File::new(file, permissions, mode, true);
        Handle::granted(Descriptor::File(file)).hold()
    }

    fn file(text: &str) -> HeldFile {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        held(file)
    }

    fn permit(meter: &Meter) -> OpenPermit {
        meter.work().open_permit().unwrap()
    }

    fn text(file: &File) -> String {
        let octets = read_at(file, 0, MAX_CHUNK_OCTETS).unwrap();
        String::from_utf8(octets.into()).unwrap()
    }

    #[tokio::test]
    async fn what_is_read_comes_in_order_to_its_end_and_is_counted() {
        let ledger = Ledger::new("t");
        let meter = ledger.instance(true).meter();
        let permit = permit(&meter);
        let mut reader = FileReader::new(file("0123456789"), 2, meter, permit);
        assert_eq!(reader.blocking_read(3).await.unwrap(), "234");
        // As a guest does that polls: what is ready may be more than it asks for.
        assert!(reader.read(0).unwrap().is_empty());
        reader.ready().await;
        assert_eq!(reader.read(2).unwrap(), "56");
        assert_eq!(reader.read(100).unwrap(), "789");
        assert!(matches!(
            reader.blocking_read(1).await,
            Err(StreamError::Closed)
        ));
        assert!(matches!(reader.read(1), Err(StreamError::Closed)));
        assert_eq!(ledger.totals().host_call_octets, 8);
    }

    #[tokio::test]
    async fn what_is_written_is_where_it_belongs_though_the_stream_is_dropped() {
        let ledger = Ledger::new("t");
        let meter = ledger.instance(true).meter();
        let file = file("0123456789");
        let mut writer = FileWriter::new(
            file.clone(),
            WritePosition::At(1),
            meter.clone(),
            WriteFailures::default(),
            permit(&meter),
        );
        writer.blocking_write_and_flush("ab".into()).await.unwrap();
        writer.write("cd".into()).unwrap();
        assert_eq!(writer.check_write().unwrap(), 0);
        writer.cancel().await;
        let failures = WriteFailures::default();
        let permit = permit(&meter);
        let mut writer = FileWriter::new(file.clone(), WritePosition::End, meter, failures, permit);
        writer.blocking_write_and_flush("x".into()).await.unwrap();
        writer.blocking_write_and_flush("y".into()).await.unwrap();
        assert_eq!(text(&file), "0abcd56789xy");
        assert_eq!(ledger.totals().host_call_octets, 6);
    }

    #[tokio::test]
    async fn a_failure_is_told_once_and_closes_the_stream() {
        let ledger = Ledger::new("t");
        let meter = ledger.instance(true).meter();
        let read_only = held(File::open("/dev/null").unwrap());
        let failures = WriteFailures::default();
        let permit = permit(&meter);
        let mut writer = FileWriter::new(read_only, WritePosition::At(0), meter, failures, permit);
        let failed = writer.blocking_write_and_flush("x".into()).await;
        assert!(matches!(failed, Err(StreamError::LastOperationFailed(_))));
        assert!(matches!(writer.check_write(), Err(StreamError::Closed)));
    }

    /// Writes to a full device, in the way of a standard library, and then at once.
    #[tokio::test]
    async fn why_a_write_failed_is_remembered_for_its_file() {
        let ledger = Ledger::new("t");
        let meter = ledger.instance(true).meter();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let full = held(full);
        let failures = WriteFailures::default();
        for at_once in [false, true] {
            let mut writer = FileWriter::new(
                full.clone(),
                WritePosition::At(0),
                meter.clone(),
                failures.clone(),
                permit(&meter),
            );
            let octets = Bytes::from_static(b"mail");
            let written = if at_once {
                writer.blocking_write_and_flush(octets).await
            } else {
                writer.write(octets).unwrap();
                writer.write_ready().await.map(drop)
            };
            assert!(matches!(written, Err(StreamError::LastOperationFailed(_))));
            assert_eq!(failures.take(&full), Some(ErrorCode::InsufficientSpace));
            assert_eq!(failures.take(&full), None);
        }
    }

    /// A FIFO's other end, as a disk that does not answer: what waits for it can neither
    /// be ended nor told to.
    #[tokio::test]
    async fn operation_of_a_stream_keeps_its_place_though_the_stream_is_gone() {
        let ledger = Ledger::new("t");
        let meter = ledger.instance(true).meter();
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let (begun, began) = tokio::sync::oneshot::channel();
        let working = work(&meter, move || {
            let _ = begun.send(());
            let _ = held.recv();
            Ok(())
        });
        began.await.unwrap();
        drop(working);
        tokio::task::yield_now().await;
        let mut all = Vec::new();
        for _ in 1..restante_roles::work::MAX_TENANT_PLACES {
            let (go_on, wait) = std::sync::mpsc::channel::<()>();
            let (begun, began) = tokio::sync::oneshot::channel();
            let other = work(&meter, move || {
                let _ = begun.send(());
                let _ = wait.recv();
                Ok(())
            });
            began.await.unwrap();
            all.push((go_on, other));
        }
        let mut late = Box::pin(work(&meter, || Ok(7)));
        for _ in 0..10 {
            let waits = late.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(waits.is_pending(), "more work than places");
            tokio::task::yield_now().await;
        }
        drop(hold);
        assert_eq!(late.await.unwrap(), 7);
    }
}
