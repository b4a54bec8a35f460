//! A client's TCP connection: what a session reads and writes, and what others
//! may learn of its other end meanwhile.
//!
//! Whether the client is gone is asked by a second login on the same maildrop,
//! while the first session may be waiting for its store and see nothing.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tracing::debug;

/// Silence after which the kernel asks the client's machine whether it is there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// Between two such questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// The same where another login wants the maildrop: at once, soon again, and gone
/// is who does not answer so often.
const PROBE_IDLE: Duration = Duration::from_secs(1);
const PROBE_INTERVAL: Duration = Duration::from_secs(3);
const PROBES: u32 = 10;

/// For the answers; then it is asked as before.
const PROBE_TIME: Duration = Duration::from_secs(60);

/// A session's end of the connection.
#[derive(Debug)]
pub struct ClientSocket {
    stream: Arc<TcpStream>,
    /// How long the client may leave unacknowledged what was sent to it.
    patience: Duration,
}

/// What others have of it. It keeps nothing open.
#[derive(Debug, Clone)]
pub struct SocketWatch {
    stream: Weak<TcpStream>,
    patience: Duration,
}

/// What is known of the client's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FarEnd {
    /// Nothing says that it is gone.
    Open,
    /// It sends nothing more (FIN). It may still read, and may have said QUIT before.
    Finished,
    /// The connection is reset, or the kernel has given it up.
    Gone,
}

impl ClientSocket {
    /// Of a connection that was accepted. `patience`: how long the client may leave
    /// unacknowledged what was sent to it, and its machine the kernel's questions
    /// unanswered, before the kernel gives the connection up.
    pub fn new(stream: TcpStream, patience: Duration) -> Self {
        // What the kernel refuses, it goes without: the session's own timers remain.
        if let Err(error) = ask_after(&stream, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, patience) {
            debug!(%error, "TCP keepalive");
        }
        ClientSocket {
            stream: Arc::new(stream),
            patience,
        }
    }

    /// For others to look at.
    pub fn watch(&self) -> SocketWatch {
        SocketWatch {
            stream: Arc::downgrade(&self.stream),
            patience: self.patience,
        }
    }

    /// Reads or writes without waiting. As tokio's own streams do: who was given less
    /// than there was room for has everything, and need not ask the kernel again.
    fn attempt(
        &self,
        interest: Interest,
        room: usize,
        act: impl FnOnce(&TcpStream) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let mut moved = None;
        let outcome = self.stream.try_io(interest, || {
            let octets = act(&self.stream)?;
            moved = Some(octets);
            match octets {
                some if some > 0 && some < room => Err(io::ErrorKind::WouldBlock.into()),
                octets => Ok(octets),
            }
        });
        match (moved, outcome) {
            (Some(octets), _) => Poll::Ready(Ok(octets)),
            (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            (None, outcome) => Poll::Ready(outcome),
        }
    }
}

impl SocketWatch {
    /// What the kernel has told so far.
    pub fn far_end(&self) -> FarEnd {
        let Some(stream) = self.stream.upgrade() else {
            return FarEnd::Open;
        };
        let mut context = Context::from_waker(Waker::noop());
        let asking = pin!(stream.ready(Interest::READABLE | Interest::WRITABLE));
        match asking.poll(&mut context) {
            Poll::Ready(Ok(ready)) if ready.is_write_closed() || ready.is_error() => FarEnd::Gone,
            Poll::Ready(Ok(ready)) if ready.is_read_closed() => FarEnd::Finished,
            Poll::Ready(Err(_)) => FarEnd::Gone,
            Poll::Ready(Ok(_)) | Poll::Pending => FarEnd::Open,
        }
    }

    /// Has the kernel ask the client's machine soon whether it is still there, for a
    /// while. One that answers notices nothing.
    pub fn probe(&self) {
        // Where the kernel refuses, the client is found out later.
        let _ = self.stream.upgrade().map(|stream| probe(&stream));
        let watch = self.clone();
        tokio::spawn(async move {
            sleep(PROBE_TIME).await;
            let stream = watch.stream.upgrade();
            let _ = stream.map(|stream| {
                ask_after(&stream, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, watch.patience)
            });
        });
    }
}

/// After so much silence the kernel asks the client's machine whether it is there, and
/// again at these intervals; after the patience it gives the connection up.
fn ask_after(
    stream: &TcpStream,
    idle: Duration,
    interval: Duration,
    patience: Duration,
) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepintvl(stream, interval)?;
    sockopt::set_tcp_user_timeout(stream, milliseconds(patience))?;
    sockopt::set_tcp_keepidle(stream, idle)?;
    Ok(())
}

/// Questions alone find out that nobody is there. A time for what was sent to be taken
/// would come before their number, and end clients that only read slowly.
fn probe(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_tcp_user_timeout(stream, 0)?;
    sockopt::set_tcp_keepcnt(stream, PROBES)?;
    sockopt::set_tcp_keepintvl(stream, PROBE_INTERVAL)?;
    sockopt::set_tcp_keepidle(stream, PROBE_IDLE)?;
    Ok(())
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            let room = space.remaining();
            let reading = self.attempt(Interest::READABLE, room, |stream| {
                let empty = space.initialize_unfilled();
                let (_, octets) = recv(stream, empty, RecvFlags::empty())?;
                Ok(octets)
            });
            if let Poll::Ready(read) = reading {
                space.advance(read?);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            let writing = self.attempt(Interest::WRITABLE, octets.len(), |stream| {
                send(stream, octets, SendFlags::NOSIGNAL)
            });
            if let Poll::Ready(written) = writing {
                return Poll::Ready(written);
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let room = slices.iter().map(|slice| slice.len()).sum();
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            let writing = self.attempt(Interest::WRITABLE, room, |stream| {
                let mut nothing = SendAncillaryBuffer::default();
                sendmsg(stream, slices, &mut nothing, SendFlags::NOSIGNAL)
            });
            if let Poll::Ready(written) = writing {
                return Poll::Ready(written);
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The kernel sends what it has.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = rustix::net::shutdown(&*self.stream, rustix::net::Shutdown::Write);
        Poll::Ready(ended.map_err(io::Error::from))
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::sockopt::set_socket_linger;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, ClientSocket) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (accepted, _) = listener.accept().await.unwrap();
        let socket = ClientSocket::new(accepted, Duration::from_secs(300));
        (client.unwrap(), socket)
    }

    async fn becomes(watch: &SocketWatch, wanted: FarEnd) {
        while watch.far_end() != wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn the_far_end_is_seen_without_reading() {
        let (mut client, socket) = pair().await;
        let watch = socket.watch();
        client.write_all(b"NOOP\r\n").await.unwrap();
        assert_eq!(watch.far_end(), FarEnd::Open);
        watch.probe();
        client.shutdown().await.unwrap();
        becomes(&watch, FarEnd::Finished).await;

        let (client, socket) = pair().await;
        let watch = socket.watch();
        set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
        drop(client);
        becomes(&watch, FarEnd::Gone).await;
        drop(socket);
        assert_eq!(watch.far_end(), FarEnd::Open, "nothing is known of it");
    }

    #[tokio::test]
    async fn a_probe_lasts_for_a_while() {
        let (_client, socket) = pair().await;
        let options = || {
            let stream = &*socket.stream;
            (
                sockopt::tcp_keepidle(stream).unwrap(),
                sockopt::tcp_keepintvl(stream).unwrap(),
                sockopt::tcp_user_timeout(stream).unwrap(),
            )
        };
        let before = (KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, 300_000);
        assert_eq!(options(), before);
        assert!(sockopt::socket_keepalive(&*socket.stream).unwrap());
        tokio::time::pause();
        socket.watch().probe();
        assert_eq!(options(), (PROBE_IDLE, PROBE_INTERVAL, 0));
        sleep(2 * PROBE_TIME).await;
        assert_eq!(options(), before);
    }

    #[tokio::test]
    async fn octets_arrive_whole_both_ways() {
        let (mut client, mut socket) = pair().await;
        let octets: Vec<u8> = (0..8 << 20).map(|at: u32| at.to_le_bytes()[1]).collect();
        let sent = octets.clone();
        let sending = tokio::spawn(async move {
            client.write_all(&sent).await.unwrap();
            let mut back = Vec::new();
            client.shutdown().await.unwrap();
            client.read_to_end(&mut back).await.unwrap();
            back
        });
        let mut received = Vec::new();
        socket.read_to_end(&mut received).await.unwrap();
        assert!(received == octets);
        let (first, mut rest) = octets.split_at(5 << 20);
        socket.write_all(first).await.unwrap();
        while !rest.is_empty() {
            let (one, other) = rest.split_at(rest.len() / 2);
            let slices = [IoSlice::new(one), IoSlice::new(other)];
            let written = socket.write_vectored(&slices).await.unwrap();
            rest = &rest[written..];
        }
        socket.flush().await.unwrap();
        socket.shutdown().await.unwrap();
        assert!(sending.await.unwrap() == octets);
    }
}
