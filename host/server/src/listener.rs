//! Takes connections in: binds, accepts, hands each to its own task, and sees to
//! it that they end when the server does.
//!
//! At a limit of open connections, be it the server's or that of one client
//! ([`crate::connection_limits`]), a newcomer is told so and closed (through implicit TLS
//! there are no words before a handshake, so it is closed only). At the limit of
//! connections without a login the oldest of these is closed instead
//! ([`crate::eviction`]). Where there is no file descriptor for a newcomer, it is turned away
//! with a spare one ([`crate::descriptors`]), and who has been without a login for long makes
//! room. Nobody waits unseen in the kernel's queue.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::future::BoxFuture;
use ipnet::IpNet;
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use tracing::{debug, error, info, warn};

use crate::connection::{Awake, Peer, Shared, serve};
use crate::connection_limits::{self, ConnectionLimits, NoHeader, Pass};
use crate::descriptors::{Exhausted, Spares};
use crate::eviction::EvictingSlots;
use crate::lock::Locks;
use crate::penalty::Penalties;
use crate::sessions::Sessions;
use crate::shutdown::Signal;
use crate::socket::{ClientSocket, SocketWatch};
use crate::tenant::Serving;
use crate::user_names::KnownNames;
use crate::view::Verdicts;
use restante_config::{Listener, ListenerTls, ServerLimits, TlsVersion};
use restante_roles::address::Client;
use restante_roles::address::canonical;
use restante_roles::metrics::Metrics;
use restante_roles::shared_holds::SharedHolds;
use restante_roles::throttle::Complaints;

/// Connections that the kernel holds ready for us.
const BACKLOG: i32 = 1024;

/// For the system to get its breath when it has no memory, or no descriptor to turn
/// somebody away with.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// After each that was turned away for want of a descriptor: 100 a second at most.
const TURN_AWAY_PAUSE: Duration = Duration::from_millis(10);

/// Descriptors for turning away those who cannot have one, all listeners together.
const SPARES: usize = 1;

/// Who has been without a login for so long makes room where descriptors are scarce.
const LOGIN_PATIENCE: Duration = Duration::from_secs(5);

/// What a newcomer hears when there is no room, or none for more of its kind.
const FULL: &[u8] = b"-ERR [SYS/TEMP] too many connections, try again later\r\n";
const CROWDED: &[u8] = b"-ERR [SYS/TEMP] too many connections from your address\r\n";

/// How a session learns which generation is the current one.
pub type CurrentServing = Arc<dyn Fn() -> Arc<Serving> + Send + Sync>;

/// A listener that has its address and takes nobody in yet.
#[derive(Debug)]
pub struct Bound {
    name: Arc<str>,
    tls: ListenerTls,
    tls_minimum: TlsVersion,
    proxies: Arc<[IpNet]>,
    address: SocketAddr,
    socket: std::net::TcpListener,
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
    /// known before anything starts. Port 0 takes a free one. A listener whose
    /// socket is among `passed`, by its name, has that one, whatever its address.
    ///
    /// # Errors
    /// Every listener that cannot have its address.
    pub fn all(
        listeners: &[Listener],
        mut passed: HashMap<String, std::net::TcpListener>,
    ) -> Result<Vec<Bound>, BindErrors> {
        let (mut bound, mut errors) = (Vec::new(), Vec::new());
        for listener in listeners {
            let socket = match passed.remove(&listener.name) {
                Some(socket) => Ok(socket),
                None => bind(listener, listeners),
            };
            match socket.and_then(|socket| Bound::new(listener, socket)) {
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

    /// Whether [`Bound::all`] could bind every listener now. Nobody is kept from an
    /// address meanwhile: nothing listens.
    ///
    /// # Errors
    /// Every listener that could not have its address.
    pub fn try_all(listeners: &[Listener]) -> Result<(), BindErrors> {
        let tried = listeners.iter().filter_map(|listener| {
            let error = bound(listener, listeners).err()?;
            Some(BindError {
                listener: listener.name.clone(),
                address: listener.address,
                error,
            })
        });
        let errors: Vec<BindError> = tried.collect();
        match errors.is_empty() {
            true => Ok(()),
            false => Err(BindErrors(errors)),
        }
    }

    fn new(listener: &Listener, socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Bound {
            name: listener.name.as_str().into(),
            tls: listener.tls,
            tls_minimum: listener.tls_minimum,
            proxies: listener.proxy_protocol_from.as_slice().into(),
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

fn bind(listener: &Listener, all: &[Listener]) -> io::Result<std::net::TcpListener> {
    let socket = bound(listener, all)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A socket with the listener's address; nobody can connect to it yet.
fn bound(listener: &Listener, all: &[Listener]) -> io::Result<Socket> {
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
    Ok(socket)
}

/// The side that clients see: what all listeners share, across generations.
pub struct Front {
    serving: CurrentServing,
    connections: Arc<Semaphore>,
    connection_limits: Arc<ConnectionLimits>,
    proxy_timeout: Duration,
    waiting: Arc<EvictingSlots>,
    spares: Arc<Spares>,
    locks: Locks,
    holds: Option<Arc<dyn SharedHolds>>,
    verdicts: Arc<Verdicts>,
    awake: Arc<Awake>,
    penalties: Arc<Penalties>,
    known_names: Arc<KnownNames>,
    sessions: Arc<Sessions>,
    metrics: Arc<Metrics>,
    complaints: Complaints,
}

impl Front {
    /// Nobody is connected. The limits hold for the server's whole life. `holds`: what other
    /// processes serve the same maildrops by, if any do.
    pub fn new(
        limits: &ServerLimits,
        serving: CurrentServing,
        metrics: Arc<Metrics>,
        holds: Option<Arc<dyn SharedHolds>>,
    ) -> Arc<Self> {
        let connections = limits.connections.min(Semaphore::MAX_PERMITS);
        Arc::new(Front {
            serving,
            connections: Arc::new(Semaphore::new(connections)),
            connection_limits: ConnectionLimits::new(
                limits.connections_per_address,
                limits.connections_per_network,
            ),
            proxy_timeout: limits.proxy_timeout,
            waiting: EvictingSlots::new(limits.unauthenticated),
            spares: Spares::new(SPARES),
            locks: Locks::new(),
            holds,
            verdicts: Arc::new(Verdicts::default()),
            awake: Arc::default(),
            penalties: Arc::new(Penalties::new()),
            known_names: Arc::default(),
            sessions: Sessions::new(),
            metrics,
            complaints: Complaints::default(),
        })
    }

    /// Who is connected.
    pub fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// What failed logins cost.
    pub fn penalties(&self) -> &Arc<Penalties> {
        &self.penalties
    }

    /// Takes connections in until the end begins, then returns once all of them
    /// are gone: at once those without a login, the others when their sessions
    /// end or the grace time is over.
    pub fn serve(self: Arc<Self>, bound: Vec<Bound>, shutdown: Signal) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut listeners = JoinSet::new();
            for bound in bound {
                let socket = match TcpListener::from_std(bound.socket) {
                    Ok(socket) => socket,
                    Err(error) => {
                        error!(listener = %bound.name, %error, "cannot accept connections");
                        continue;
                    }
                };
                info!(listener = %bound.name, address = %bound.address, tls = ?bound.tls, "listening");
                let accepting = Accepting {
                    front: Arc::clone(&self),
                    name: bound.name,
                    tls: bound.tls,
                    tls_minimum: bound.tls_minimum,
                    proxies: bound.proxies,
                    shutdown: shutdown.clone(),
                    sessions: JoinSet::new(),
                };
                listeners.spawn(accepting.run(socket));
            }
            while let Some(ended) = listeners.join_next().await {
                report_panic(ended);
            }
        })
    }

    /// Lets a client in, or tells it why not.
    fn admit(&self, stream: &TcpStream, peer: &Peer) -> Option<Pass> {
        match self.connection_limits.admit(peer.client) {
            Ok(pass) => Some(pass),
            Err(crowded) => {
                self.turn_away(stream, peer, &crowded, CROWDED);
                None
            }
        }
    }

    /// With words to the client, where it can hear them, and some of the time to
    /// the operator.
    fn turn_away(&self, stream: &TcpStream, peer: &Peer, why: &dyn fmt::Display, words: &[u8]) {
        self.metrics.turned_away();
        if let Some(left_out) = self.complaints.line() {
            let Peer {
                listener, client, ..
            } = peer;
            let proxy = peer.proxy.map(tracing::field::display);
            warn!(%listener, %client, proxy, left_out, "{why}");
        }
        if peer.tls != ListenerTls::Implicit {
            // Fresh as it is, the socket has room for a line. (The runtime, which has
            // not looked at it yet, does not know that.)
            let _ = SockRef::from(stream).send(words);
        }
    }

    /// What a session shares with others, its place among those without a login
    /// included.
    fn shared(&self, serving: Arc<Serving>, shutdown: Signal, socket: SocketWatch) -> Shared {
        Shared {
            serving,
            locks: self.locks.clone(),
            holds: self.holds.clone(),
            verdicts: Arc::clone(&self.verdicts),
            awake: Arc::clone(&self.awake),
            penalties: Arc::clone(&self.penalties),
            known_names: Arc::clone(&self.known_names),
            sessions: Arc::clone(&self.sessions),
            nobody: Arc::clone(self.metrics.nobody()),
            shutdown,
            place: self.waiting.enter(),
            socket: Some(socket),
        }
    }
}

/// One listener at work.
struct Accepting {
    front: Arc<Front>,
    name: Arc<str>,
    tls: ListenerTls,
    tls_minimum: TlsVersion,
    proxies: Arc<[IpNet]>,
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
                Err(error) => match Exhausted::of(&error) {
                    Some(exhausted) => sleep(self.turn_one_away(&socket, exhausted)).await,
                    None => {
                        error!(listener = %self.name, %error, "cannot accept, pausing");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(socket);
        info!(listener = %self.name, sessions = self.sessions.len(), "no longer listening");
        while let Some(ended) = self.sessions.join_next().await {
            report_panic(ended);
        }
    }

    /// There is no descriptor for who comes next: tells it so with the spare one. Says how
    /// long to wait before the next.
    fn turn_one_away(&self, socket: &TcpListener, exhausted: Exhausted) -> Duration {
        let front = &self.front;
        let turned_away = front.spares.lend(|| {
            let mut context = Context::from_waker(Waker::noop());
            socket.poll_accept(&mut context).map_ok(|(stream, client)| {
                front.metrics.connected();
                front.turn_away(&stream, &self.peer(client), &exhausted, FULL);
            })
        });
        // The system looks for a descriptor first, and then whether anybody waits.
        if let Some(Poll::Pending) = turned_away {
            return Duration::ZERO;
        }
        front.metrics.without_descriptor();
        // There may be one for the next then, if many came and say nothing.
        front.waiting.make_room(LOGIN_PATIENCE);
        if let Some(Poll::Ready(Ok(()))) = turned_away {
            return TURN_AWAY_PAUSE;
        }
        if let Some(left_out) = front.complaints.line() {
            warn!(listener = %self.name, left_out, "{exhausted}");
        }
        front.spares.refill();
        ACCEPT_PAUSE
    }

    fn peer(&self, client: SocketAddr) -> Peer {
        Peer {
            listener: Arc::clone(&self.name),
            client: Client::at(canonical(client)),
            proxy: None,
            server_name: None,
            tls: self.tls,
            tls_minimum: self.tls_minimum,
        }
    }

    fn take_in(&mut self, stream: TcpStream, client: SocketAddr) {
        self.front.metrics.connected();
        let peer = self.peer(client);
        let Ok(permit) = Arc::clone(&self.front.connections).try_acquire_owned() else {
            self.front
                .turn_away(&stream, &peer, &"too many connections", FULL);
            return;
        };
        // Answers are written whole; to wait for more would only delay them.
        if let Err(error) = SockRef::from(&stream).set_tcp_nodelay(true) {
            debug!(listener = %self.name, client = %peer.client, %error, "TCP_NODELAY");
        }
        let arrival = Arrival {
            front: Arc::clone(&self.front),
            stream,
            peer,
            shutdown: self.shutdown.clone(),
            permit,
        };
        let address = canonical(client);
        if (self.proxies.iter()).any(|proxy| proxy.contains(&address.ip())) {
            self.sessions.spawn(arrival.through_proxy(address));
        } else if let Some(pass) = arrival.admitted() {
            self.sessions.spawn(arrival.serve(pass));
        }
    }
}

/// A connection that has its permit and is not served yet.
struct Arrival {
    front: Arc<Front>,
    stream: TcpStream,
    peer: Peer,
    shutdown: Signal,
    permit: OwnedSemaphorePermit,
}

impl Arrival {
    fn admitted(&self) -> Option<Pass> {
        self.front.admit(&self.stream, &self.peer)
    }

    /// Learns first who the client is. Until then the connection counts for
    /// nobody and has no place among those without a login: the proxy is known,
    /// and its time is short.
    async fn through_proxy(mut self, proxy: SocketAddr) {
        let shutdown = self.shutdown.clone();
        let header = tokio::select! {
            biased;
            () = shutdown.draining() => return,
            header = connection_limits::header(&mut self.stream, self.front.proxy_timeout) => header,
        };
        let listener = Arc::clone(&self.peer.listener);
        match header {
            Ok(header) => {
                // Who speaks for itself or does not say for whom is nobody's neighbour:
                // the proxy's own address would lend it the proxy's good name.
                self.peer.client = header.client.into();
                self.peer.proxy = Some(proxy);
                self.peer.server_name = header.server_name;
                debug!(%listener, %proxy, client = %self.peer.client, "through a proxy");
            }
            Err(error @ NoHeader::Nothing) => {
                debug!(%listener, %proxy, %error, "a proxy's connection was not served");
                return;
            }
            Err(error) => {
                warn!(%listener, %proxy, %error, "a proxy's connection was not served");
                return;
            }
        }
        if let Some(pass) = self.admitted() {
            self.serve(pass).await;
        }
    }

    /// Holds the permit and the pass until the connection is gone.
    async fn serve(self, pass: Pass) {
        let serving = (self.front.serving)();
        let socket = ClientSocket::new(self.stream, serving.settings.write_timeout);
        let shared = self.front.shared(serving, self.shutdown, socket.watch());
        serve(socket, self.peer, shared).await;
        drop((pass, self.permit));
    }
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
        error!(%error, "a session panicked: this is a defect of the server");
    }
}
