//! The operator's side: health, metrics, who is connected, and a few commands,
//! over HTTP on an address of this machine.
//!
//! It knows what the server counts ([`restante_roles::metrics`]), who is connected
//! ([`crate::sessions`]) and how to ask for a reload; nothing of mail. What it
//! answers is in `api`, whom it answers in `guard`.

mod api;
mod guard;

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::fs::Mode;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info};

pub use guard::{Token, TokenError};

use crate::listener::CurrentServing;
use crate::sessions::Sessions;
use crate::shutdown::Signal;
use restante_config as config;
use restante_config::{AdminAddress, Problem, Problems};
use restante_roles::metrics::Metrics;
use restante_roles::throttle::Complaints;

/// Connections at once; more are closed unheard.
const CONNECTIONS: usize = 32;

/// Octets of a request's line and header.
const HEADER_OCTETS: usize = 16 * 1024;

/// For a client to send its request's header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// For a whole connection; a reload that compiles takes its time.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Connections that the kernel holds ready.
const BACKLOG: i32 = 64;

/// For the system to get its breath when it has no descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// Who may open the socket: its owner, and root.
const SOCKET_MODE: Mode = Mode::from_raw_mode(0o600);

/// What a reload came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// The number of the generation that new sessions get now.
    pub generation: u64,
    /// How many tenants it has.
    pub tenants: usize,
    /// How many plugins.
    pub plugins: usize,
    /// What is not wrong and yet probably not meant.
    pub warnings: Vec<Problem>,
    /// Keys that have changed and take a restart.
    pub restart: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// Builds the next generation, for whoever asks.
#[async_trait]
pub trait Reload: Send + Sync {
    /// One at a time: who comes meanwhile waits, and then gets a reload of its own.
    ///
    /// # Errors
    /// Everything that is in the way of it; nothing has changed then.
    async fn reload(&self) -> Result<Reloaded, Problems>;
}

/// What the operator's side looks at and acts on.
pub struct Admin {
    /// Everything that is counted.
    pub metrics: Arc<Metrics>,
    /// Who is connected.
    pub sessions: Arc<Sessions>,
    /// The current generation.
    pub serving: CurrentServing,
    /// Builds the next one.
    pub reload: Arc<dyn Reload>,
    /// The end of the server.
    pub shutdown: Signal,
}

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

    /// Answers for as long as it is polled.
    pub async fn serve(self, admin: Arc<Admin>) {
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
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let accepted = match &self.socket {
                BoundSocket::Tcp(listener, _) => {
                    let accepted = listener.accept().await;
                    accepted.map(|(stream, _)| Box::new(stream) as Box<dyn Stream>)
                }
                BoundSocket::Unix(listener, _) => {
                    let accepted = listener.accept().await;
                    accepted.map(|(stream, _)| Box::new(stream) as Box<dyn Stream>)
                }
            };
            match accepted {
                Ok(stream) => {
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                        debug!("too many connections to the admin address");
                        continue;
                    };
                    let site = Arc::clone(&site);
                    tokio::spawn(async move {
                        connection(stream, site).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    error!(%error, "the admin address cannot accept, pausing");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
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
async fn connection(stream: Box<dyn Stream>, site: Arc<api::Site>) {
    let service = service_fn(move |request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, std::convert::Infallible>(site.answer(request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_OCTETS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION_TIMEOUT, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a connection to the admin address failed"),
        Err(_) => debug!("a connection to the admin address took too long"),
    }
}

fn tcp(address: SocketAddr) -> io::Result<BoundSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
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

/// Removes a socket that nobody listens on any more, and nothing else.
fn make_room(path: &Path) -> io::Result<()> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !there.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file that is no socket",
        ));
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
