//! Drives one [`Session`] over one connection, from the greeting to the end.
//!
//! The session decides what is legal and what is said; this room reads, waits,
//! keeps the time, and does what an action asks for through the traits of
//! [`restante_roles::backend`]. It never learns what implements them.
//!
//! How a connection may end, and what that means for the mail: after QUIT in
//! TRANSACTION exactly the marked messages are removed, and those that the tenant's
//! EXPIRE policy lets go of, before the answer. Every other end removes nothing.
//!
//! While an action runs nothing is read: what the client sends meanwhile waits
//! in the kernel, and so does the client.

mod admission;
mod end;
mod login;
mod open;
mod refusal;
mod rest;
mod retrieve;
mod transaction;
mod wire;

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use restante_pop3::{
    AuthorizationAction, Channel, ChannelBinding, Maildrop, Mechanism, Session, Timestamp,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, debug, error_span, info};

use crate::eviction::{EvictingSlots, Place};
use crate::lock::Locks;
use crate::penalty::Penalties;
use crate::sessions::{LiveSession, Sessions};
use crate::shutdown::Signal;
use crate::socket::SocketWatch;
use crate::tenant::{Serving, Tenant};
use crate::user_names::{KnownNames, Passwords};
use crate::view::Verdicts;
use restante_config::{ListenerTls, TlsVersion};
use restante_roles::acting::Denied;
use restante_roles::address::Client;
use restante_roles::backend::{Account, Connection, Tls};
use restante_roles::metrics::Ledger;
use restante_roles::recording;
use restante_roles::shared_holds::SharedHolds;

pub use end::{BrokenOff, End};
use open::Open;
pub use rest::Awake;
use transaction::TransactionDriver;
pub use wire::MAX_INPUT_BYTES;
use wire::Wire;

/// Where a connection came in.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Name of the listener.
    pub listener: Arc<str>,
    /// Where the client speaks from.
    pub client: Client,
    /// Where the proxy speaks from that it came through, if it did.
    pub proxy: Option<SocketAddr>,
    /// The name that it asked a proxy for, which comes before the one that this
    /// server is asked for.
    pub server_name: Option<String>,
    /// How the listener does TLS.
    pub tls: ListenerTls,
    /// The oldest version of it that the listener speaks.
    pub tls_minimum: TlsVersion,
}

/// What a connection shares with others.
pub struct Shared {
    /// The generation it belongs to, for as long as it lives.
    pub serving: Arc<Serving>,
    /// Who holds which maildrop, in the whole process.
    pub locks: Locks,
    /// Who holds which maildrop among several processes, if they share any.
    pub holds: Option<Arc<dyn SharedHolds>>,
    /// What filters said, in the whole process.
    pub verdicts: Arc<Verdicts>,
    /// Whose store is awake while they are silent, in the whole process.
    pub awake: Arc<Awake>,
    /// What failed logins cost, in the whole process.
    pub penalties: Arc<Penalties>,
    /// Which user names are known to be some, in the whole process.
    pub known_names: Arc<KnownNames>,
    /// Who is connected, in the whole process.
    pub sessions: Arc<Sessions>,
    /// Where logins are counted that no tenant is found for.
    pub nobody: Arc<Ledger>,
    /// The end of the server.
    pub shutdown: Signal,
    /// Its place among those that are not logged in, given back at login.
    pub place: Place,
    /// The client's end of the connection, if it is a socket.
    pub socket: Option<SocketWatch>,
}

/// Serves one connection until it ends. Dropping the future is safe at any
/// point, and removes nothing.
pub async fn serve<S>(stream: S, peer: Peer, shared: Shared) -> End
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let id = session_id();
    // At the level of errors, so that no filter of log lines loses the fields.
    let span = error_span!(
        "session", session = %id, listener = %peer.listener, client = %peer.client,
        proxy = peer.proxy.map(tracing::field::display),
    );
    let generation = shared.serving.generation.number();
    let listed = shared
        .sessions
        .begin(&id, &peer.listener, peer.client, generation);
    let live = Arc::clone(listed.session());
    if let Some(socket) = &shared.socket {
        live.has_socket(socket.clone());
    }
    let (driver, place) = Driver::new(stream, id, peer, live, shared);
    let serving = async {
        let accepted = Instant::now();
        // Boxed: what only a login needs is given back once it has succeeded, and what
        // is moved from one future into the next is a pointer.
        let login = Box::pin(Box::new(driver).run(place));
        match login.await {
            Ok((driver, open)) => driver.run(open, accepted).await,
            Err(end) => end,
        }
    };
    let end = serving.instrument(span).await;
    drop(listed);
    end
}

/// One connection at work, until somebody is logged in.
struct Driver<S> {
    id: String,
    peer: Peer,
    /// What others see of this connection.
    live: Arc<LiveSession>,
    serving: Arc<Serving>,
    locks: Locks,
    holds: Option<Arc<dyn SharedHolds>>,
    verdicts: Arc<Verdicts>,
    /// Where it will be silent with a store awake.
    awake: Arc<EvictingSlots>,
    penalties: Arc<Penalties>,
    known_names: Arc<KnownNames>,
    /// What was shown for passwords so far.
    passwords: Passwords,
    nobody: Arc<Ledger>,
    shutdown: Signal,
    tls: Option<Tls>,
    /// What `-PLUS` mechanisms can be bound to.
    binding: Option<ChannelBinding>,
    wire: Wire<S>,
    session: Session,
    /// The tenant whose admissions let the client in on the channel as it is.
    admitted: Option<String>,
    /// Whose keys the SCRAM exchange that is running goes by.
    proving: Option<Proving>,
    /// Begins when a tenant is asked whose sessions are recorded.
    recording: OnceLock<Option<Arc<recording::Session>>>,
}

/// What is known of a SCRAM exchange that is running: its user has yet to prove
/// anything.
struct Proving {
    tenant: Arc<Tenant>,
    connection: Arc<Connection>,
    /// Or why the user may not log in with it: it may not act as whom it wants to act.
    account: Result<Account, Denied>,
}

impl<S> Driver<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    fn new(
        stream: S,
        id: String,
        peer: Peer,
        live: Arc<LiveSession>,
        shared: Shared,
    ) -> (Self, Place) {
        let settings = &shared.serving.settings;
        let wire = Wire::new(stream, settings.write_timeout);
        let session = Session::new(Arc::clone(&settings.protocol), Channel::default());
        let driver = Driver {
            id,
            peer,
            live,
            serving: shared.serving,
            locks: shared.locks,
            holds: shared.holds,
            verdicts: shared.verdicts,
            awake: shared.awake.room(),
            penalties: shared.penalties,
            known_names: shared.known_names,
            passwords: Passwords::default(),
            nobody: shared.nobody,
            shutdown: shared.shutdown,
            tls: None,
            binding: None,
            wire,
            session,
            admitted: None,
            proving: None,
            recording: OnceLock::new(),
        };
        (driver, shared.place)
    }

    /// Holds the place until somebody is logged in.
    async fn run(
        mut self: Box<Self>,
        place: Place,
    ) -> Result<(Box<TransactionDriver<S>>, Box<Open>), End> {
        let shutdown = self.shutdown.clone();
        let live = Arc::clone(&self.live);
        let deadline = Instant::now() + self.serving.settings.login_timeout;
        let login = tokio::select! {
            biased;
            () = shutdown.draining() => Err(End::Shutdown),
            by = live.ended() => Err(End::EndedBy(by)),
            () = place.displaced() => Err(End::Displaced),
            login = timeout_at(deadline, self.authorization()) => {
                login.unwrap_or(Err(End::LoginTimeout))
            }
        };
        drop(place);
        match login {
            Ok(open) => Ok((Box::new(self.into_transaction(&open)), open)),
            Err(end) => {
                match end {
                    End::EndedBy(_) => info!(why = %end, "closed before login"),
                    _ => debug!(why = %end, "closed before login"),
                }
                self.wire.close(&end).await;
                Err(end)
            }
        }
    }

    /// The AUTHORIZATION state, and TLS before it where the listener is so.
    async fn authorization(&mut self) -> Result<Box<Open>, End> {
        if self.peer.tls == ListenerTls::Implicit {
            self.handshake().await?;
        }
        let channel = self.channel();
        let timestamp = self.timestamp(&channel);
        let protocol = Arc::clone(&self.serving.settings.protocol);
        let session = Session::new(protocol, channel);
        self.session = match timestamp {
            Some(timestamp) => session.with_timestamp(timestamp),
            None => session,
        };
        if self.is_admitted().await? {
            self.session.greet(self.wire.out());
        }
        loop {
            match self.next_action().await? {
                AuthorizationAction::Login(login) => {
                    if let Some(open) = self.log_in(login).await? {
                        return Ok(Box::new(open));
                    }
                }
                AuthorizationAction::LoginFailed(failed) => self.login_failed(&failed).await?,
                AuthorizationAction::StartTls => self.start_tls().await?,
                AuthorizationAction::ScramKeys {
                    user,
                    acting_as,
                    hash,
                } => {
                    self.scram_keys(&user, acting_as.as_deref(), hash).await?;
                }
            }
        }
    }

    /// Goes on until the session asks for something or is over.
    async fn next_action(&mut self) -> Result<AuthorizationAction, End> {
        loop {
            if let Some(action) = self.wire.advance(&mut self.session).await? {
                return Ok(action);
            }
            let ending = &self.serving.ending;
            match ending.unless_over(self.wire.read(None)).await {
                Some(read) => read?,
                None => return Err(self.wire.drained(&mut self.session).await),
            }
        }
    }

    /// Somebody is logged in: what only a login needs is let go of.
    fn into_transaction(self, open: &Open) -> TransactionDriver<S> {
        let Driver {
            live,
            serving,
            awake,
            shutdown,
            mut wire,
            session,
            recording,
            ..
        } = self;
        let maildrop = Maildrop::new(Arc::clone(open.view.listing()));
        let session = session.logged_in(maildrop, wire.out());
        TransactionDriver {
            live,
            serving,
            awake,
            shutdown,
            wire,
            session,
            autologout: None,
            _recording: recording,
        }
    }

    /// RFC 2595 section 4. What came in the clear behind STLS is not looked at:
    /// whoever sits in between could have put it there (CVE-2021-33515).
    async fn start_tls(&mut self) -> Result<(), End> {
        self.wire.flush().await?;
        let injected = self.wire.discard_input();
        if injected > 0 {
            info!(octets = injected, "octets sent after STLS were discarded");
        }
        self.handshake().await?;
        let channel = self.channel();
        self.session.tls_started(channel);
        self.is_admitted().await.map(|_| ())
    }

    async fn handshake(&mut self) -> Result<(), End> {
        let contexts = self.serving.tls.clone().ok_or(End::NoCertificate)?;
        let time = self.serving.settings.handshake_timeout;
        let minimum = self.peer.tls_minimum;
        let (tls, binding) = self.wire.start_tls(&contexts, minimum, time).await?;
        debug!(version = tls.version, cipher = tls.cipher, "TLS is up");
        self.live.tls_started(&tls.version);
        self.tls = Some(tls);
        self.binding = binding;
        Ok(())
    }

    /// What the session is spoken over now.
    fn channel(&self) -> Channel {
        let tls = self.tls.is_some();
        let offer = self.serving.tenants.offer(self.server_name());
        let certificate = self
            .tls
            .as_ref()
            .and_then(|tls| tls.client_certificate.as_ref());
        Channel {
            tls,
            starttls: self.peer.tls == ListenerTls::StartTls && self.serving.tls.is_some(),
            plaintext_login: offer.password(tls, self.peer.client),
            mechanisms: offer
                .mechanisms()
                .iter()
                .filter(|mechanism| *mechanism != Mechanism::External || certificate.is_some())
                .collect(),
            apop: offer.apop,
            binding: self.binding.clone(),
        }
    }

    /// The name that the client asked for. A proxy that names one had the client's
    /// own handshake.
    fn server_name(&self) -> Option<&str> {
        let asked_here = self.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
        self.peer.server_name.as_deref().or(asked_here)
    }

    /// What APOP and CRAM-MD5 make their challenges of, where they are offered.
    fn timestamp(&self, channel: &Channel) -> Option<Timestamp> {
        if !channel.apop && !channel.mechanisms.contains(Mechanism::CramMd5) {
            return None;
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random).ok()?;
        let random = u128::from_ne_bytes(random);
        let unique = format!("{}.{random:032x}", self.id);
        Timestamp::new(&unique, &self.serving.settings.hostname).ok()
    }
}

/// Short, and unique in this process: a number that starts anywhere.
fn session_id() -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    const LENGTH: u32 = 8;
    static NEXT: OnceLock<AtomicU64> = OnceLock::new();
    let start = || AtomicU64::new(RandomState::new().hash_one("session"));
    let number = NEXT.get_or_init(start).fetch_add(1, Ordering::Relaxed);
    (0..LENGTH)
        .rev()
        .map(|digit| char::from(DIGITS[(number >> (5 * digit)) as usize % DIGITS.len()]))
        .collect()
}
