//! Takes connections in: binds, accepts, hands each to its own task, and sees to
//! it that they end when the server does.
//!
//! At the limit of open connections a newcomer is told so and closed (through
//! implicit TLS there are no words before a handshake, so it is closed only). At
//! the limit of connections without a login the oldest of these is closed
//! instead ([`crate::waiting`]). Nobody waits unseen in the kernel's queue.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use crate::config::{Listener, ListenerTls, ServerLimits};
use crate::connection::{Peer, Shared, serve};
use crate::lock::Locks;
use crate::shutdown::Signal;
use crate::tenant::Serving;
use crate::view::Verdicts;
use crate::waiting::WaitingRoom;

/// Connections that the kernel holds ready for us.
const BACKLOG: i32 = 1024;

/// For the system to get its breath when it has no descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// What a newcomer hears when there is no room.
const FULL: &[u8] = b"-ERR [SYS/TEMP] too many connections, try again later\r\n";

/// How a session learns which generation is the current one.
pub type CurrentServing = Arc<dyn Fn() -> Arc<Serving> + Send + Sync>;

/// A listener that has its address and takes nobody in yet.
#[derive(Debug)]
pub struct Bound {
    name: Arc<str>,
    tls: ListenerTls,
    address: SocketAddr,
    socket: TcpListener,
}

/// Every listener that does not have its address.
#[derive(Debug)]
pub struct BindErrors(pub Vec<BindError>);

/// Why a listener does not have its address.
#[derive(Debug)]
pub struct BindError {
    /// Its name.
    pub listener: String,
    /// The address that it wants.
    pub address: SocketAddr,
    /// What the system says.
    pub error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BindError {
            listener,
            address,
            error,
        } = self;
        write!(
            out,
            "listener `{listener}`: cannot listen on {address}: {error}"
        )?;
        let mend = match error.kind() {
            io::ErrorKind::AddrInUse => "another program, or another listener, has this port",
            io::ErrorKind::AddrNotAvailable => "this machine does not have this address",
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need root or the capability CAP_NET_BIND_SERVICE"
            }
            _ => return Ok(()),
        };
        write!(out, "\n  {mend}")
    }
}

impl std::error::Error for BindError {}

impl fmt::Display for BindErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BindErrors(errors) = self;
        for (at, error) in errors.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\n" };
            write!(out, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for BindErrors {}

impl Bound {
    /// Binds every listener, so that whatever is wrong with their addresses is
    /// known before anything starts. Port 0 takes a free one.
    ///
    /// # Errors
    /// Every listener that cannot have its address.
    ///
    /// # Panics
    /// Outside of the runtime.
    pub fn all(listeners: &[Listener]) -> Result<Vec<Bound>, BindErrors> {
        let (mut bound, mut errors) = (Vec::new(), Vec::new());
        for listener in listeners {
            match Bound::new(listener, listeners) {
                Ok(one) => bound.push(one),
                Err(error) => errors.push(BindError {
                    listener: listener.name.clone(),
                    address: listener.address,
                    error,
                }),
            }
        }
        if errors.is_empty() {
            Ok(bound)
        } else {
            Err(BindErrors(errors))
        }
    }

    fn new(listener: &Listener, all: &[Listener]) -> io::Result<Self> {
        let wanted = listener.address;
        let socket = Socket::new(
            Domain::for_address(wanted),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        if wanted.ip() == Ipv6Addr::UNSPECIFIED {
            // "[::]" means every address, unless another listener has the old ones.
            let old = SocketAddr::from((Ipv4Addr::UNSPECIFIED, wanted.port()));
            let taken = wanted.port() != 0 && all.iter().any(|other| other.address == old);
            socket.set_only_v6(taken)?;
        }
        // Connections of the server before us may still be closing.
        socket.set_reuse_address(true)?;
        socket.bind(&wanted.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let socket = TcpListener::from_std(socket.into())?;
        Ok(Bound {
            name: listener.name.as_str().into(),
            tls: listener.tls,
            address: socket.local_addr()?,
            socket,
        })
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens, with the port it really has.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// The side that clients see: what all listeners share, across generations.
pub struct Front {
    serving: CurrentServing,
    connections: Arc<Semaphore>,
    waiting: Arc<WaitingRoom>,
    locks: Locks,
    verdicts: Arc<Verdicts>,
}

impl Front {
    /// Nobody is connected. The limits hold for the server's whole life.
    pub fn new(limits: &ServerLimits, serving: CurrentServing) -> Arc<Self> {
        let connections = limits.connections.min(Semaphore::MAX_PERMITS);
        Arc::new(Front {
            serving,
            connections: Arc::new(Semaphore::new(connections)),
            waiting: WaitingRoom::new(limits.unauthenticated),
            locks: Locks::new(),
            verdicts: Arc::new(Verdicts::default()),
        })
    }

    /// Takes connections in until the end begins, then returns once all of them
    /// are gone: at once those without a login, the others when their sessions
    /// end or the grace time is over.
    pub async fn serve(self: Arc<Self>, bound: Vec<Bound>, shutdown: Signal) {
        let mut listeners = JoinSet::new();
        for bound in bound {
            info!(listener = %bound.name, address = %bound.address, tls = ?bound.tls, "listening");
            let accepting = Accepting {
                front: Arc::clone(&self),
                name: bound.name,
                tls: bound.tls,
                shutdown: shutdown.clone(),
                sessions: JoinSet::new(),
            };
            listeners.spawn(accepting.run(bound.socket));
        }
        while let Some(ended) = listeners.join_next().await {
            report_panic(ended);
        }
    }
}

/// One listener at work.
struct Accepting {
    front: Arc<Front>,
    name: Arc<str>,
    tls: ListenerTls,
    shutdown: Signal,
    sessions: JoinSet<()>,
}

impl Accepting {
    async fn run(mut self, socket: TcpListener) {
        let shutdown = self.shutdown.clone();
        let mut draining = std::pin::pin!(shutdown.draining());
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut draining => break,
                Some(ended) = self.sessions.join_next() => {
                    report_panic(ended);
                    continue;
                }
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, client)) => self.take_in(stream, client),
                Err(error) if is_about_one_client(&error) => {
                    debug!(listener = %self.name, %error, "a client left before it was accepted");
                }
                Err(error) => {
                    error!(listener = %self.name, %error, "cannot accept, pausing");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(socket);
        info!(listener = %self.name, sessions = self.sessions.len(), "no longer listening");
        while let Some(ended) = self.sessions.join_next().await {
            report_panic(ended);
        }
    }

    fn take_in(&mut self, stream: TcpStream, client: SocketAddr) {
        let Ok(permit) = Arc::clone(&self.front.connections).try_acquire_owned() else {
            warn!(listener = %self.name, %client, "too many connections");
            if self.tls != ListenerTls::Implicit {
                // Fresh as it is, the socket has room for a line.
                let _ = stream.try_write(FULL);
            }
            return;
        };
        // Answers are written whole; to wait for more would only delay them.
        if let Err(error) = SockRef::from(&stream).set_tcp_nodelay(true) {
            debug!(listener = %self.name, %client, %error, "TCP_NODELAY");
        }
        let peer = Peer {
            listener: Arc::clone(&self.name),
            client,
            tls: self.tls,
        };
        let shared = Shared {
            serving: (self.front.serving)(),
            locks: self.front.locks.clone(),
            verdicts: Arc::clone(&self.front.verdicts),
            shutdown: self.shutdown.clone(),
            place: self.front.waiting.enter(),
        };
        self.sessions.spawn(session(stream, peer, shared, permit));
    }
}

async fn session(stream: TcpStream, peer: Peer, shared: Shared, permit: OwnedSemaphorePermit) {
    serve(stream, peer, shared).await;
    drop(permit);
}

/// The next one may do better at once: accept(2) hands out what happened to a
/// connection while it waited. Everything else is about us, and would go on.
fn is_about_one_client(error: &io::Error) -> bool {
    let of_a_client = [
        Errno::CONNABORTED,
        Errno::CONNRESET,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::INTR,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::NOPROTOOPT,
        Errno::OPNOTSUPP,
        Errno::PERM,
        Errno::PROTO,
        Errno::TIMEDOUT,
    ];
    Errno::from_io_error(error).is_some_and(|errno| of_a_client.contains(&errno))
}

/// A panic ends one session, with its locks, and nothing else.
fn report_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(%error, "a session died of a defect of the server");
    }
}
