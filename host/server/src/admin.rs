//! The operator's side: health, metrics, who is connected, and a few commands,
//! over HTTP on an address of this machine.
//!
//! It knows what the server counts ([`restante_roles::metrics`]), who is connected
//! ([`crate::sessions`]) and how to ask for a reload; nothing of mail. What it
//! answers is in `api`, whom it answers in `guard`.
//!
//! Whoever may come here must be able to when the server is in trouble. Connections that
//! have not shown the token (where there is one; else: not sent a whole request) have
//! places of which the oldest makes room for the newest ([`crate::eviction`]); those that
//! have, have places of their own, so that strangers never stand in their way. And there
//! are spare file descriptors for when all others are used up ([`crate::descriptors`]);
//! no answer but that to a reload needs one.

mod api;
mod guard;
mod operated;
mod trust;

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::future::BoxFuture;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::fs::Mode;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

pub use guard::{Token, TokenError};
pub use operated::{Admin, Reload, Reloaded};

use crate::descriptors::{Exhausted, Spares};
use crate::eviction::{EvictingSlots, Place};
use restante_config as config;
use restante_config::AdminAddress;
use restante_roles::throttle::Complaints;
use trust::Trust;

/// Connections at once that are not trusted yet; with one more the oldest is closed.
const UNTRUSTED: usize = 32;

/// Connections at once that are; more are refused with words.
const TRUSTED: usize = 32;

/// Descriptors for connections that could not be accepted without.
const SPARES: usize = 4;

/// Who is not trusted for so long makes room where descriptors are scarce. Clients of this
/// machine have sent their request when they are taken in.
const REQUEST_PATIENCE: Duration = Duration::from_millis(100);

/// For connections to be closed, when there is no spare descriptor left either.
const SPARE_PAUSE: Duration = Duration::from_millis(20);

/// Octets of a request's line and header.
const HEADER_OCTETS: usize = 16 * 1024;

/// For a client to send its request's header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// For a whole connection; a reload that compiles takes its time.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Connections that the kernel holds ready.
const BACKLOG: i32 = 64;

/// For the system to get its breath when it has no memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// Who may open the socket: its owner, and root.
const SOCKET_MODE: Mode = Mode::from_raw_mode(0o600);

/// Why the admin address cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Its token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Its socket.
    #[error("admin address: cannot listen on {0}: {1}")]
    Socket(AdminAddress, io::Error),
}

/// The admin address, bound; nobody is answered yet.
#[derive(Debug)]
pub struct Bound {
    socket: BoundSocket,
    token: Option<Token>,
}

#[derive(Debug)]
enum BoundSocket {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener, SocketFile),
}

impl Bound {
    /// Reads the token and takes the address. A socket that a server before this
    /// one has left behind makes room.
    ///
    /// # Errors
    /// A token that is none, an address that cannot be had.
    ///
    /// # Panics
    /// Outside of the runtime.
    pub fn new(admin: &config::Admin) -> Result<Self, BindError> {
        let token = admin.token_file.as_deref().map(Token::read).transpose()?;
        let socket = match &admin.address {
            AdminAddress::Tcp(address) => tcp(*address),
            AdminAddress::Unix(path) => unix(path),
        };
        let socket = socket.map_err(|error| BindError::Socket(admin.address.clone(), error))?;
        Ok(Bound { socket, token })
    }

    /// Whether [`Bound::new`] could read the token and take the address now, as far as a
    /// look can tell. Nothing is made, removed or listened on.
    ///
    /// # Errors
    /// As [`Bound::new`].
    pub fn look(admin: &config::Admin) -> Result<(), BindError> {
        admin.token_file.as_deref().map(Token::read).transpose()?;
        let looked = match &admin.address {
            AdminAddress::Tcp(address) => bound(*address).map(drop),
            AdminAddress::Unix(path) => look_at_socket(path),
        };
        looked.map_err(|error| BindError::Socket(admin.address.clone(), error))
    }

    /// Answers for as long as it is polled.
    pub fn serve(self, admin: Arc<Admin>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            info!(address = %self.socket, "the admin address answers");
            let site = Arc::new(api::Site {
                admin,
                guard: guard::Guard {
                    token: self.token,
                    is_tcp: matches!(self.socket, BoundSocket::Tcp(..)),
                },
                complaints: Complaints::default(),
                reloads: Arc::new(Semaphore::new(api::RELOADS)),
            });
            let hall = AdminSlots {
                site,
                untrusted: EvictingSlots::new(UNTRUSTED),
                trusted: Arc::new(Semaphore::new(TRUSTED)),
                spares: Spares::new(SPARES),
            };
            let complaints = Complaints::default();
            loop {
                let error = match self.socket.accept().await {
                    Ok(stream) => {
                        hall.take_in(stream);
                        continue;
                    }
                    Err(error) => error,
                };
                let Some(exhausted) = Exhausted::of(&error) else {
                    error!(%error, "the admin address cannot accept, pausing");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                let lent = hall.spares.lend(|| self.socket.accept_now());
                // The system looks for a descriptor first, and then whether anybody waits.
                if let Some(Poll::Pending) = lent {
                    continue;
                }
                hall.site.admin.metrics.without_descriptor();
                if let Some(left_out) = complaints.line() {
                    warn!(address = %self.socket, left_out, "{exhausted}");
                }
                if let Some(Poll::Ready(Ok(stream))) = lent {
                    hall.take_in(stream);
                    continue;
                }
                // When that one is closed, its descriptor becomes a spare one.
                hall.untrusted.make_room(REQUEST_PATIENCE);
                sleep(SPARE_PAUSE).await;
                hall.spares.refill();
            }
        })
    }
}

/// Where connections have their places.
struct AdminSlots {
    site: Arc<api::Site>,
    untrusted: Arc<EvictingSlots>,
    trusted: Arc<Semaphore>,
    spares: Arc<Spares>,
}

impl AdminSlots {
    fn take_in(&self, stream: Box<dyn Stream>) {
        let site = Arc::clone(&self.site);
        let place = self.untrusted.enter();
        let trust = Trust::new(&self.trusted);
        let spares = Arc::clone(&self.spares);
        tokio::spawn(async move {
            connection(stream, site, place, trust).await;
            spares.refill();
        });
    }
}

impl BoundSocket {
    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        std::future::poll_fn(|context| self.poll_accept(context)).await
    }

    /// Pending: nobody waits.
    fn accept_now(&self) -> Poll<io::Result<Box<dyn Stream>>> {
        self.poll_accept(&mut Context::from_waker(Waker::noop()))
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<Box<dyn Stream>>> {
        match self {
            BoundSocket::Tcp(listener, _) => listener
                .poll_accept(context)
                .map_ok(|(stream, _)| Box::new(stream) as Box<dyn Stream>),
            BoundSocket::Unix(listener, _) => listener
                .poll_accept(context)
                .map_ok(|(stream, _)| Box::new(stream) as Box<dyn Stream>),
        }
    }
}

impl fmt::Display for BoundSocket {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BoundSocket::Tcp(_, address) => address.fmt(out),
            BoundSocket::Unix(_, file) => AdminAddress::Unix(file.path.clone()).fmt(out),
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One request a connection: nobody holds a place by being silent.
async fn connection(
    stream: Box<dyn Stream>,
    site: Arc<api::Site>,
    place: Place,
    trust: Arc<Trust>,
) {
    let trusted = Arc::clone(&trust);
    let service = service_fn(move |request| {
        let (site, trust) = (Arc::clone(&site), Arc::clone(&trusted));
        async move { Ok::<_, std::convert::Infallible>(site.answer(request, &trust).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_OCTETS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let served = tokio::select! {
        biased;
        served = timeout(CONNECTION_TIMEOUT, serving) => served,
        () = trust.displaced(place) => {
            debug!("a connection to the admin address made room for newer ones");
            return;
        }
    };
    match served {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a connection to the admin address failed"),
        Err(_) => debug!("a connection to the admin address took too long"),
    }
}

/// A socket with this address; nobody can connect to it yet.
fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn tcp(address: SocketAddr) -> io::Result<BoundSocket> {
    let socket = bound(address)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from_std(socket.into())?;
    let address = listener.local_addr()?;
    Ok(BoundSocket::Tcp(listener, address))
}

fn unix(path: &Path) -> io::Result<BoundSocket> {
    make_room(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // What the socket's file will have: there is no moment at which others could
    // open it, as there would be with a change of mode afterwards.
    rustix::fs::fchmod(&socket, SOCKET_MODE)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::new(path)?;
    rustix::fs::chmod(path, SOCKET_MODE)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = std::os::unix::net::UnixListener::from(std::os::fd::OwnedFd::from(socket));
    Ok(BoundSocket::Unix(UnixListener::from_std(listener)?, file))
}

/// Whether a socket could be made here: this user may, and nothing but a socket has the
/// name.
fn look_at_socket(path: &Path) -> io::Result<()> {
    use rustix::fs::{Access, AtFlags, CWD};
    is_socket(path)?;
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let may = Access::WRITE_OK | Access::EXEC_OK;
    Ok(rustix::fs::accessat(CWD, folder, may, AtFlags::EACCESS)?)
}

/// Whether a socket has this name. False: nothing has it.
fn is_socket(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => Ok(true),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file that is no socket",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes a socket that nobody listens on any more, and nothing else.
fn make_room(path: &Path) -> io::Result<()> {
    if !is_socket(path)? {
        return Ok(());
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another program answers there",
        )),
    }
}

/// The socket's file, removed at the end unless it is somebody else's by then.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(SocketFile {
            path: path.to_owned(),
            identity: SocketFile::identity(path)?,
        })
    }

    fn identity(path: &Path) -> io::Result<(u64, u64)> {
        let metadata = fs::symlink_metadata(path)?;
        Ok((metadata.dev(), metadata.ino()))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if SocketFile::identity(&self.path).is_ok_and(|now| now == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
