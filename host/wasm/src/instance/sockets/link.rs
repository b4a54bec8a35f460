//! A connection, as two streams of plain octets.
//!
//! Nothing runs beside the guest: octets move when it asks for them or waits. What
//! waits to be sent is sent on whichever of the two streams the guest waits for.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout_at;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::dialer::Dialer;
use super::io::{Clock, Io};
use restante_config::Endpoint;
use restante_roles::metrics::Meter;
use restante_roles::work::OpenPermit;

/// Octets that are read from the network at once.
const READ: usize = 32 << 10;
/// Octets that one write hands over.
const WRITE: usize = 64 << 10;

/// Both directions of a connection.
struct Link {
    io: Box<dyn Io>,
    /// Octets that came and that the guest has not taken.
    came: Bytes,
    /// Octets that the guest wrote and that have not left.
    leaving: Bytes,
    /// Something may be left in TLS's own buffers.
    unflushed: bool,
    /// No octets come any more.
    ended: bool,
    closing: Closing,
    failed: Option<io::ErrorKind>,
    whose: LinkOwner,
}

/// For whom a connection is made, and where it leads.
pub(crate) struct LinkOwner {
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) endpoint: Endpoint,
    pub(crate) meter: Meter,
    /// Among the instance's connections.
    pub(crate) _place: OwnedSemaphorePermit,
    /// Among all that the tenant has open.
    pub(crate) _permit: OpenPermit,
}

/// The end of what the guest sends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    Wanted,
    Done,
}

impl Link {
    /// It is good for nothing any more.
    fn fail(&mut self, error: &io::Error) {
        self.failed = Some(error.kind());
        self.whose.dialer.failed(&self.whose.endpoint, error);
    }

    /// Sends what can be sent. Ready: all has left.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.failed.is_some() {
            return Poll::Ready(());
        }
        match ready!(self.poll_send_all(context)) {
            Ok(()) => {}
            Err(error) => self.fail(&error),
        }
        Poll::Ready(())
    }

    fn poll_send_all(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.leaving.is_empty() {
            let sent = Pin::new(&mut self.io).poll_write(context, &self.leaving);
            let octets = ready!(sent)?;
            if octets == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.leaving.advance(octets);
            self.whose.meter.carried(octets);
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(context))?;
            self.unflushed = false;
        }
        if self.closing == Closing::Wanted {
            ready!(Pin::new(&mut self.io).poll_shutdown(context))?;
            self.closing = Closing::Done;
        }
        Poll::Ready(Ok(()))
    }

    /// Receives octets if there are none. Ready: there are some, or will never be.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.came.is_empty() || self.ended || self.failed.is_some() {
            return Poll::Ready(());
        }
        let mut space = BytesMut::zeroed(READ);
        let mut buffer = ReadBuf::new(&mut space);
        let received = ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer));
        let octets = buffer.filled().len();
        match received {
            Ok(()) => {
                self.ended = octets == 0;
                space.truncate(octets);
                self.came = space.freeze();
                self.whose.meter.carried(octets);
            }
            // A peer that ends TLS by closing TCP may have been cut off: an error,
            // not an end (RFC 8446 section 6.1).
            Err(error) => self.fail(&error),
        }
        Poll::Ready(())
    }

    fn failure(&self) -> Option<StreamError> {
        let kind = self.failed?;
        // An error of the system's: what `network-error-code` looks for.
        let error = wasmtime::Error::from(io::Error::from(kind));
        Some(StreamError::LastOperationFailed(error))
    }
}

/// A connection, shared by its streams and its socket.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Link>>);

impl Shared {
    pub(crate) fn new(io: Box<dyn Io>, whose: LinkOwner) -> Self {
        Shared(Arc::new(Mutex::new(Link {
            io,
            came: Bytes::new(),
            leaving: Bytes::new(),
            unflushed: false,
            ended: false,
            closing: Closing::No,
            failed: None,
            whose,
        })))
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        // Nothing in it panics half way but the connection itself, which is then no
        // good to anybody and fails again.
        self.0.lock()
    }

    /// The guest ends one direction, or both.
    pub(crate) fn shut_down(&self, receive: bool, send: bool) {
        let mut link = self.link();
        if receive {
            link.ended = true;
            link.came = Bytes::new();
        }
        if send && link.closing == Closing::No {
            link.closing = Closing::Wanted;
            let _ = link.poll_send(&mut Context::from_waker(Waker::noop()));
        }
    }

    /// Waits for one direction, as long as the call may.
    async fn wait(&self, clock: &Clock, receiving: bool) {
        let waiting = std::future::poll_fn(|context| {
            let mut link = self.link();
            let sent = link.poll_send(context);
            match receiving {
                true => link.poll_receive(context),
                false => sent,
            }
        });
        if timeout_at(clock.deadline(), waiting).await.is_err() {
            self.link().fail(&io::ErrorKind::TimedOut.into());
        }
    }
}

/// What comes.
pub(crate) struct Input {
    pub(crate) shared: Shared,
    pub(crate) clock: Clock,
}

impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let mut link = self.shared.link();
        let _ = link.poll_receive(&mut Context::from_waker(Waker::noop()));
        let octets = size.min(link.came.len());
        if octets > 0 || size == 0 {
            return Ok(link.came.split_to(octets));
        }
        match link.failure() {
            Some(failure) => Err(failure),
            None if link.ended => Err(StreamError::Closed),
            None => Ok(Bytes::new()),
        }
    }
}

#[async_trait::async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        self.shared.wait(&self.clock, true).await;
    }
}

/// What goes.
pub(crate) struct Output {
    pub(crate) shared: Shared,
    pub(crate) clock: Clock,
    /// Octets that the guest was told it may write.
    pub(crate) leave: usize,
}

#[async_trait::async_trait]
impl OutputStream for Output {
    fn write(&mut self, octets: Bytes) -> StreamResult<()> {
        let Some(leave) = self.leave.checked_sub(octets.len()) else {
            return Err(StreamError::trap(
                "more was written than check-write allowed",
            ));
        };
        self.leave = leave;
        let mut link = self.shared.link();
        if let Some(failure) = link.failure() {
            return Err(failure);
        }
        if link.closing != Closing::No {
            return Err(StreamError::Closed);
        }
        if octets.is_empty() {
            return Ok(());
        }
        link.leaving = match link.leaving.is_empty() {
            true => octets,
            // Written in pieces within one leave.
            false => [&link.leaving[..], &octets].concat().into(),
        };
        link.unflushed = true;
        let _ = link.poll_send(&mut Context::from_waker(Waker::noop()));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        match self.shared.link().failure() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let mut link = self.shared.link();
        let sent = link.poll_send(&mut Context::from_waker(Waker::noop()));
        if let Some(failure) = link.failure() {
            return Err(failure);
        }
        if link.closing != Closing::No {
            return Err(StreamError::Closed);
        }
        self.leave = if sent.is_ready() { WRITE } else { 0 };
        Ok(self.leave)
    }

    async fn cancel(&mut self) {
        // What was written goes out, as far as the call's time goes.
        self.ready().await;
    }
}

#[async_trait::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        self.shared.wait(&self.clock, false).await;
    }
}
