//! A connection's bytes, in the clear or through TLS: bounded buffers, one for
//! each way, that are given back while nothing happens.

use std::future::{Future, poll_fn};
use std::io;
use std::mem::{self, MaybeUninit};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use restante_pop3::{ChannelBinding, Close, Phase, Refusal, ResponseCode, Session, Step};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::ProtocolVersion;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::server::TlsStream;

use super::end::End;
use crate::tls::{self, Contexts};
use restante_config::TlsVersion;
use restante_roles::backend::{ClientCertificate, Tls};

/// Bytes that are taken from a client at a time, before they are all dealt with.
pub const MAX_INPUT_BYTES: usize = 4096;

/// Bytes in `out` from which on they are written, in the middle of a message
/// too: enough for four full TLS records.
pub(super) const OUTPUT_BYTES: usize = 64 * 1024;

/// For TLS to say good-bye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// For the client to read the last answer, and bytes it may still send meanwhile,
/// when the server ends the connection.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 * 1024;

/// The one place where a session in the clear and one through TLS differ.
enum Socket<S> {
    Clear(S),
    Tls(Box<TlsStream<S>>),
    /// In the middle of a handshake, or after one that failed.
    Gone,
}

/// A socket and its two buffers.
pub(super) struct Wire<S> {
    socket: Socket<S>,
    write_timeout: Duration,
    /// Received and not dealt with yet: at most [`MAX_INPUT_BYTES`].
    input: Vec<u8>,
    /// Where in `input` the session has come to.
    taken: usize,
    out: Vec<u8>,
    /// How much of `out` is written already.
    written: usize,
}

impl<S> Wire<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    pub(super) fn new(stream: S, write_timeout: Duration) -> Self {
        Wire {
            socket: Socket::Clear(stream),
            write_timeout,
            input: Vec::new(),
            taken: 0,
            out: Vec::new(),
            written: 0,
        }
    }

    /// Where answers go.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Lets the session go on with what was received.
    fn step<P: Phase>(&mut self, session: &mut Session<P>) -> Step<P::Action> {
        let mut input = &self.input[self.taken..];
        let step = session.step(&mut input, &mut self.out);
        self.taken = self.input.len() - input.len();
        if self.taken == self.input.len() {
            self.input.clear();
            self.taken = 0;
        }
        step
    }

    /// Lets the session go on until it asks for something. None: everything that came
    /// is answered, and written.
    pub(super) async fn advance<P: Phase>(
        &mut self,
        session: &mut Session<P>,
    ) -> Result<Option<P::Action>, End> {
        loop {
            match self.step(session) {
                Step::Act(action) => return Ok(Some(action)),
                Step::Flush => self.flush().await?,
                Step::Read => {
                    self.flush().await?;
                    return Ok(None);
                }
                Step::Close(close) => {
                    self.flush().await?;
                    return Err(End::Session(close));
                }
            }
        }
    }

    /// Answers the next command, whether it came or is to come, with the end: the
    /// generation had to go.
    pub(super) async fn drained<P: Phase>(&mut self, session: &mut Session<P>) -> End {
        let words = "the server has a new configuration, log in again";
        let refusal = Refusal::new(Some(ResponseCode::SysTemp), words);
        session.turn_away(&refusal, &mut self.out);
        match self.flush().await {
            Ok(()) => End::Drained,
            Err(end) => end,
        }
    }

    /// Waits for bytes. The buffers are given back while there are none.
    pub(super) async fn read(&mut self, deadline: Option<Instant>) -> Result<(), End> {
        let reading = poll_fn(|context| self.poll_input(context));
        let read = match deadline {
            Some(deadline) => timeout_at(deadline, reading)
                .await
                .map_err(|_| End::Autologout)?,
            None => reading.await,
        };
        match read {
            Ok(0) => Err(End::Disconnected),
            Ok(_) => Ok(()),
            Err(error) => Err(gone_or(error)),
        }
    }

    fn poll_input(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [MaybeUninit::uninit(); MAX_INPUT_BYTES];
        let mut space = ReadBuf::uninit(&mut space);
        match Pin::new(&mut self.socket).poll_read(context, &mut space) {
            Poll::Ready(read) => {
                self.input.extend_from_slice(space.filled());
                Poll::Ready(read.map(|()| space.filled().len()))
            }
            Poll::Pending => {
                self.input = Vec::new();
                self.taken = 0;
                if self.out.is_empty() {
                    self.out = Vec::new();
                }
                Poll::Pending
            }
        }
    }

    /// Writes all of `out`. Each octet that the client takes grants it more time.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        if self.out.is_empty() {
            return Ok(());
        }
        while self.written < self.out.len() {
            let writing = self.socket.write(&self.out[self.written..]);
            let written = timeout(self.write_timeout, writing).await;
            match written.map_err(|_| End::WriteTimeout)? {
                Ok(0) => return Err(End::Disconnected),
                Ok(written) => self.written += written,
                Err(error) => return Err(gone_or(error)),
            }
        }
        timeout(self.write_timeout, self.socket.flush())
            .await
            .map_err(|_| End::WriteTimeout)?
            .map_err(gone_or)?;
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Waits for a call of the backend. Unless it answers at once, what is ready
    /// for the client goes out meanwhile. The call is seen through, whatever
    /// becomes of the client: who said QUIT and left has said QUIT.
    pub(super) async fn flush_while<T>(&mut self, call: impl Future<Output = T>) -> Result<T, End> {
        let mut call = pin!(call);
        let at_once = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
        if let Poll::Ready(answer) = at_once {
            return Ok(answer);
        }
        let (flushed, answer) = tokio::join!(self.flush(), call);
        flushed?;
        Ok(answer)
    }

    /// Forgets what was received and says how much that was.
    pub(super) fn discard_input(&mut self) -> usize {
        let bytes = self.input.len() - self.taken;
        self.input = Vec::new();
        self.taken = 0;
        bytes
    }

    /// Shakes hands, as the server, with no version of TLS that is older than `minimum`.
    /// A second time ends the connection: a session asks for it in the clear only.
    pub(super) async fn start_tls(
        &mut self,
        contexts: &Contexts,
        minimum: TlsVersion,
        time: Duration,
    ) -> Result<(Tls, Option<ChannelBinding>), End> {
        let Socket::Clear(stream) = mem::replace(&mut self.socket, Socket::Gone) else {
            let up = io::Error::other("TLS is up already");
            return Err(End::Handshake(up));
        };
        let accepting = Box::pin(async {
            let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
            let context = contexts.find(start.client_hello().server_name());
            let stream = start
                .into_stream(Arc::clone(context.config(minimum)))
                .await?;
            Ok((stream, context))
        });
        let (stream, context) = timeout(time, accepting)
            .await
            .map_err(|_| End::HandshakeTimeout)?
            .map_err(End::Handshake)?;
        let (tls, binding) = (describe(&stream, context), binding(&stream));
        self.socket = Socket::Tls(Box::new(stream));
        Ok((tls, binding))
    }

    /// Closes. What is not written yet stays unwritten: it belongs to a message
    /// that broke off, or to a client that does not read.
    pub(super) async fn close(mut self, end: &End) {
        self.out = Vec::new();
        let _ = timeout(CLOSE_TIMEOUT, self.socket.shutdown()).await;
        // Octets that nobody read would turn the end into a reset, which can
        // overtake the answer that says why.
        let unread = !self.input.is_empty();
        let ours = matches!(end, End::Session(close) if *close != Close::Quit)
            || matches!(end, End::Drained);
        if ours || (unread && matches!(end, End::Session(_))) {
            let _ = timeout(LINGER, self.swallow()).await;
        }
    }

    async fn swallow(&mut self) {
        let mut bytes = 0;
        while bytes < LINGER_BYTES {
            self.discard_input();
            match poll_fn(|context| self.poll_input(context)).await {
                Ok(more) if more > 0 => bytes += more,
                _ => return,
            }
        }
    }
}

/// A client that is gone is no failure of the connection.
fn gone_or(error: io::Error) -> End {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match error.kind() {
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => End::Disconnected,
        _ => End::Socket(error),
    }
}

fn describe<S>(stream: &TlsStream<S>, context: &tls::Context) -> Tls {
    let (_, connection) = stream.get_ref();
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => tls::TLS_1_3,
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "",
    };
    let cipher = connection
        .negotiated_cipher_suite()
        .and_then(|suite| suite.suite().as_str())
        .unwrap_or_default();
    // The library tells the suites of TLS 1.3 apart by name; IANA does not.
    let cipher = match cipher.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => cipher.to_owned(),
    };
    Tls {
        version: version.to_owned(),
        cipher,
        server_name: connection.server_name().map(str::to_owned),
        client_certificate: context.asks_for.as_ref().and_then(|tenant| {
            let certificates = connection.peer_certificates()?;
            Some(ClientCertificate {
                der: certificates.first()?.to_vec(),
                tenant: tenant.clone(),
            })
        }),
    }
}

/// What `-PLUS` mechanisms can be bound to: `tls-exporter` (RFC 9266). Under TLS
/// 1.2 it takes the extended master secret (section 3), and the library does not
/// tell whether that was agreed on; there they are not offered.
fn binding<S>(stream: &TlsStream<S>) -> Option<ChannelBinding> {
    const LABEL: &[u8] = b"EXPORTER-Channel-Binding";
    const OCTETS: usize = 32;
    let (_, connection) = stream.get_ref();
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    let exported = connection
        .export_keying_material(vec![0; OCTETS], LABEL, Some(b""))
        .ok()?;
    Some(ChannelBinding {
        exporter: Some(exported),
        ..ChannelBinding::default()
    })
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Socket::Clear(stream) => Pin::new(stream).poll_read(context, space),
            Socket::Tls(stream) => Pin::new(stream).poll_read(context, space),
            Socket::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Socket::Clear(stream) => Pin::new(stream).poll_write(context, bytes),
            Socket::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Socket::Gone => Poll::Ready(Ok(0)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Socket::Clear(stream) => Pin::new(stream).poll_flush(context),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(context),
            Socket::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Socket::Clear(stream) => Pin::new(stream).poll_shutdown(context),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Socket::Gone => Poll::Ready(Ok(())),
        }
    }
}
