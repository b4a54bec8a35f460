//! Drives one [`Session`] over one connection, from the greeting to the end.
//!
//! The session decides what is legal and what is said; this room reads, waits,
//! keeps the time, and does what an [`Action`] asks for through the traits of
//! [`restante_roles::backend`]. It never learns what implements them.
//!
//! How a connection may end, and what that means for the mail: after QUIT in
//! TRANSACTION exactly the marked messages are removed, and those that the tenant's
//! EXPIRE policy lets go of, before the answer. Every other end removes nothing.
//!
//! While an action runs nothing is read: what the client sends meanwhile waits
//! in the kernel, and so does the client.

mod admission;
mod login;
mod refusal;
mod rest;
mod retrieve;
mod wire;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use restante_pop3::{
    Action, Channel, ChannelBinding, Close, Mechanism, MessageNumber, Refusal, ResponseCode,
    Session, State, Step, Summary, Timestamp,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{Instrument, debug, error_span, info};

use crate::lock::Locks;
use crate::penalty::Penalties;
use crate::sessions::{LiveSession, Sessions};
use crate::shutdown::{Ending, Signal};
use crate::tenant::Serving;
use crate::user_names::{KnownNames, Passwords};
use crate::view::Verdicts;
use crate::waiting::{Place, WaitingRoom};
use restante_config::{ListenerTls, TlsVersion};
use restante_roles::address::Client;
use restante_roles::backend::Tls;
use restante_roles::content::ContentError;
use restante_roles::metrics::Ledger;
use restante_roles::recording;

use login::{Open, Proving};
use refusal::refusal_for;
pub use rest::Awake;
use rest::REST_AFTER;
use retrieve::Wanted;
pub use wire::INPUT_OCTETS;
use wire::Wire;

/// What an answer may take that a session is in the middle of when its generation
/// has to go.
const LAST_ANSWER: Duration = Duration::from_secs(60);

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
}

/// Why a connection ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum End {
    /// The session ended itself.
    Session(Close),
    /// The client went away.
    Disconnected,
    /// The socket failed.
    Socket(io::Error),
    /// Nobody was logged in in time.
    LoginTimeout,
    /// No command came in time (RFC 1939 section 3).
    Autologout,
    /// The client took no octet in time.
    WriteTimeout,
    /// TLS could not be agreed on.
    Handshake(io::Error),
    /// The handshake was not over in time.
    HandshakeTimeout,
    /// TLS was asked for and there is no certificate.
    NoCertificate,
    /// It had to make room for a newer one before it logged in.
    Displaced,
    /// The server ends.
    Shutdown,
    /// An operator ended it.
    Kicked,
    /// Its generation had to go.
    Drained,
    /// A message broke off after "+OK".
    BrokenOff(BrokenOff),
}

/// How a message turned out not to be what was promised.
#[derive(Debug, thiserror::Error)]
pub enum BrokenOff {
    /// Its octets ended before it did.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The store's listing counted it differently.
    #[error("it has {actual} octets, its listing says {listed}")]
    Octets {
        /// What the listing says.
        listed: u64,
        /// What was there; more may have been to come.
        actual: u64,
    },
}

impl fmt::Display for End {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Session(close) => close.fmt(out),
            End::Disconnected => out.write_str("disconnected"),
            End::Socket(error) => write!(out, "connection failed: {error}"),
            End::LoginTimeout => out.write_str("no login in time"),
            End::Autologout => out.write_str("autologout"),
            End::WriteTimeout => out.write_str("client takes nothing"),
            End::Handshake(error) => write!(out, "TLS handshake failed: {error}"),
            End::HandshakeTimeout => out.write_str("TLS handshake not over in time"),
            End::NoCertificate => out.write_str("no certificate"),
            End::Displaced => out.write_str("made room for newer connections"),
            End::Shutdown => out.write_str("server shutdown"),
            End::Kicked => out.write_str("ended by an operator"),
            End::Drained => out.write_str("its configuration was replaced too long ago"),
            End::BrokenOff(why) => write!(out, "message broke off: {why}"),
        }
    }
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
    let (driver, place) = Driver::new(stream, id, peer, live, shared);
    let end = driver.run(place).instrument(span).await;
    drop(listed);
    end
}

/// One connection at work.
struct Driver<S> {
    id: String,
    peer: Peer,
    /// What others see of this connection.
    live: Arc<LiveSession>,
    serving: Arc<Serving>,
    locks: Locks,
    verdicts: Arc<Verdicts>,
    /// Where it is silent with a store awake.
    awake: Arc<WaitingRoom>,
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
    /// How many commands there were when the autologout timer was set, and when
    /// it rings.
    autologout: Option<(u64, Instant)>,
    /// Begins when a tenant is asked whose sessions are recorded.
    recording: OnceLock<Option<Arc<recording::Session>>>,
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
            autologout: None,
            recording: OnceLock::new(),
        };
        (driver, shared.place)
    }

    /// Holds the place until somebody is logged in.
    async fn run(mut self, place: Place) -> End {
        let accepted = Instant::now();
        let shutdown = self.shutdown.clone();
        let live = Arc::clone(&self.live);
        let serving = Arc::clone(&self.serving);
        let deadline = accepted + self.serving.settings.login_timeout;
        // Boxed, as all that is not needed while a session idles.
        let login = tokio::select! {
            biased;
            () = shutdown.draining() => Err(End::Shutdown),
            () = live.kicked() => Err(End::Kicked),
            () = place.displaced() => Err(End::Displaced),
            login = timeout_at(deadline, Box::pin(self.authorization())) => {
                login.unwrap_or(Err(End::LoginTimeout))
            }
        };
        drop(place);
        let end = match login {
            Ok(open) => {
                let mut open = Some(open);
                let end = tokio::select! {
                    biased;
                    () = shutdown.over() => End::Shutdown,
                    () = live.kicked() => End::Kicked,
                    () = cut_off(&serving.ending, &live) => End::Drained,
                    end = self.transaction(&mut open) => end,
                };
                drop(open);
                log_out(&end, &self.session.summary(), accepted);
                end
            }
            Err(end) => {
                match end {
                    End::Kicked => info!(why = %end, "closed before login"),
                    _ => debug!(why = %end, "closed before login"),
                }
                end
            }
        };
        self.wire.close(&end).await;
        end
    }

    /// The AUTHORIZATION state, and TLS before it where the listener is so.
    async fn authorization(&mut self) -> Result<Open, End> {
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
            match self.next_action(None).await? {
                Action::Login(login) => {
                    if let Some(open) = self.log_in(login).await? {
                        return Ok(open);
                    }
                }
                Action::LoginFailed(failed) => self.login_failed(&failed).await?,
                Action::StartTls => self.start_tls().await?,
                Action::ScramKeys {
                    user,
                    acting_as,
                    hash,
                } => {
                    self.scram_keys(&user, acting_as.as_deref(), hash).await?;
                }
                Action::Retrieve { .. } | Action::Update { .. } => {
                    unreachable!("the session retrieves and removes after login only")
                }
            }
        }
    }

    /// The TRANSACTION state, and UPDATE at its end.
    async fn transaction(&mut self, open: &mut Option<Open>) -> End {
        loop {
            let done = match self.next_action(open.as_ref()).await {
                Ok(Action::Retrieve {
                    message,
                    octets,
                    body_lines,
                    utf8,
                }) => {
                    let open = open.as_mut().expect("open until UPDATE");
                    let before = self.session.summary();
                    let wanted = Wanted {
                        message,
                        octets,
                        body_lines,
                        utf8,
                    };
                    let done = Box::pin(self.retrieve(open, wanted)).await;
                    let after = self.session.summary();
                    if after.retr > before.retr {
                        open.retrieved(message);
                    }
                    let (had, has) = (octets_of(&before), octets_of(&after));
                    let whole = after.retr.saturating_sub(before.retr);
                    open.ledger().retrieved(whole, has.saturating_sub(had));
                    self.live.had(has);
                    done
                }
                Ok(Action::Update { remove }) => Box::pin(self.update(open.take(), &remove)).await,
                Ok(
                    Action::Login(_)
                    | Action::LoginFailed(_)
                    | Action::ScramKeys { .. }
                    | Action::StartTls,
                ) => {
                    unreachable!("the session logs in and starts TLS once")
                }
                Err(end) => Err(end),
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    /// Goes on until the session asks for something or is over.
    async fn next_action(&mut self, open: Option<&Open>) -> Result<Action, End> {
        loop {
            let step = self.wire.step(&mut self.session);
            match step {
                Step::Act(action) => return Ok(action),
                Step::Flush => self.wire.flush().await?,
                Step::Close(close) => {
                    self.wire.flush().await?;
                    return Err(End::Session(close));
                }
                Step::Read => {
                    self.wire.flush().await?;
                    let serving = Arc::clone(&self.serving);
                    if serving.ending.is_over() {
                        return self.drained().await;
                    }
                    let deadline = self.autologout();
                    let read = tokio::select! {
                        biased;
                        read = self.read(deadline, open) => read,
                        () = serving.ending.over() => return self.drained().await,
                    };
                    read?;
                }
            }
        }
    }

    /// The answer to the next command, whether it came or is to come.
    async fn drained<T>(&mut self) -> Result<T, End> {
        let words = "the server has a new configuration, log in again";
        let refusal = Refusal::new(Some(ResponseCode::SysTemp), words);
        self.session.turn_away(&refusal, self.wire.out());
        self.wire.flush().await?;
        Err(End::Drained)
    }

    /// Waits for the client; a maildrop that is open is let rest meanwhile.
    async fn read(&mut self, deadline: Option<Instant>, open: Option<&Open>) -> Result<(), End> {
        if let Some(open) = open {
            let silent = self.awake.enter();
            tokio::select! {
                biased;
                read = self.wire.read(deadline) => return read,
                () = silent.displaced() => {}
                () = sleep(REST_AFTER) => {}
            }
            drop(silent);
            open.maildrop.lock().await.rest().await;
        }
        self.wire.read(deadline).await
    }

    /// When the autologout timer rings. Complete commands start it anew, octets
    /// do not; while we work or write it stands still.
    fn autologout(&mut self) -> Option<Instant> {
        if self.session.state() == State::Authorization {
            return None;
        }
        let commands = self.session.commands();
        let anew = || Instant::now() + self.serving.settings.autologout;
        let deadline = match self.autologout {
            Some((seen, deadline)) if seen == commands => deadline,
            _ => anew(),
        };
        self.autologout = Some((commands, deadline));
        Some(deadline)
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

    /// The UPDATE state (RFC 1939 section 6). The maildrop is let go of before
    /// the answer, so that whoever hears it can log in again at once.
    async fn update(&mut self, open: Option<Open>, remove: &[MessageNumber]) -> Result<(), End> {
        self.live.updates();
        let mut removed = Ok(());
        let mut expired = 0;
        if let Some(open) = open {
            let mut positions: Vec<usize> =
                remove.iter().map(|message| message.position()).collect();
            expired = open.add_expired(&mut positions);
            for position in &mut positions {
                *position = open.view.store_position(*position);
            }
            if expired > 0 {
                info!(messages = expired, "expired messages are removed");
            }
            let removing = async {
                match positions.is_empty() {
                    true => Ok(()),
                    false => open.maildrop.lock().await.remove(&positions).await,
                }
            };
            let removing = async {
                let removed = removing.await;
                if removed.is_ok() {
                    open.ledger().removed(positions.len() as u64);
                }
                removed
            };
            removed = self.wire.flush_while(removing).await?;
        }
        match removed {
            Ok(()) => self.session.updated_and_expired(expired, self.wire.out()),
            Err(failure) => {
                info!(%failure, messages = remove.len(), "messages could not be removed");
                self.session.refuse(&refusal_for(&failure), self.wire.out());
            }
        }
        Ok(())
    }
}

/// Returns when a session of a generation that had to go is still in the middle of
/// an answer: its client takes what it gets at leisure. In UPDATE it is left to
/// finish.
async fn cut_off(ending: &Ending, live: &LiveSession) {
    ending.over().await;
    sleep(LAST_ANSWER).await;
    if live.is_updating() {
        std::future::pending::<()>().await;
    }
}

/// Octets of messages that the client has had.
fn octets_of(summary: &Summary) -> u64 {
    summary.retr_octets + summary.top_octets
}

fn log_out(end: &End, summary: &Summary, accepted: Instant) {
    info!(
        why = %end,
        retr = summary.retr,
        retr_octets = summary.retr_octets,
        top = summary.top,
        top_octets = summary.top_octets,
        del = summary.del,
        messages = summary.messages,
        octets = summary.octets,
        duration_ms = u64::try_from(accepted.elapsed().as_millis()).unwrap_or(u64::MAX),
        "logout"
    );
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
