//! A tenant over the in-memory backend, put to work over sockets or pipes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use restante_config::{
    Listener, ListenerTls, PlaintextLogin, ServerLimits, TenantLimits, TlsVersion, Utf8,
};
use restante_roles::address;
use restante_roles::backend::{
    Account, Authenticator, Connection, Content, Entries, Failure, Filter, FoundMaildrop, Maildrop,
    Selector, Store,
};
use restante_roles::memory::{Mail, Memory};
use restante_roles::metrics::{GenerationMark, Ledger, Metrics};
use restante_roles::shared_holds::SharedHolds;
use restante_server::connection::{End, Peer, Shared, serve};
use restante_server::eviction::EvictingSlots;
use restante_server::listener::{Bound, Front};
use restante_server::lock::Locks;
use restante_server::penalty::Penalties;
use restante_server::policy::Policy;
use restante_server::sessions::Sessions;
use restante_server::shutdown::{self, Signal, Trigger};
use restante_server::tenant::{Serving, SessionSettings, Tenant, Tenants, mock_credentials};
use restante_server::tls::SelfSigned;
use restante_server::user_names::KnownNames;
use restante_server::view::Verdicts;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio::task::JoinHandle;

use crate::client::Client;

/// The maildrop of the user "u", whose password is "secret".
pub(crate) const MAILDROP: &str = "m";

/// Bytes that an in-memory pipe holds in each direction.
pub(crate) const PIPE_BYTES: usize = 4096;

pub(crate) const FAILURE_DELAY: Duration = Duration::from_secs(2);

/// How the client of a pipe seems to be connected: not from this machine.
const FAR: ([u8; 4], u16) = ([192, 0, 2, 1], 40_000);

/// Everything that can be chosen before a world begins.
pub(crate) struct Plan {
    pub(crate) memory: Arc<Memory>,
    pub(crate) doctored: Doctored,
    /// None: the memory is it.
    pub(crate) authenticator: Option<Arc<dyn Authenticator>>,
    pub(crate) filters: Vec<Arc<dyn Filter>>,
    pub(crate) selectors: Vec<Arc<dyn Selector>>,
    pub(crate) plaintext_login: PlaintextLogin,
    pub(crate) apop: bool,
    pub(crate) cram_md5: bool,
    /// Of the same users, by the domain "other.example", without APOP and CRAM-MD5.
    pub(crate) other: bool,
    pub(crate) tenant_limits: TenantLimits,
    pub(crate) limits: ServerLimits,
    pub(crate) utf8: Utf8,
    pub(crate) domains: Vec<String>,
    pub(crate) default: bool,
    pub(crate) own: Option<SelfSigned>,
    /// More lines for `[tenant.t]` of the configuration, where policy comes from.
    pub(crate) tenant_lines: &'static str,
}

impl Plan {
    pub(crate) fn new() -> Self {
        let memory = Arc::new(Memory::new());
        memory.add_user("u", "secret", MAILDROP);
        memory.add_user("v", "other", "n");
        memory.add_user("alias", "secret", MAILDROP);
        Plan {
            doctored: Doctored::new(&memory),
            memory,
            authenticator: None,
            filters: Vec::new(),
            selectors: Vec::new(),
            plaintext_login: PlaintextLogin::Always,
            apop: false,
            cram_md5: false,
            other: false,
            tenant_limits: TenantLimits::default(),
            limits: ServerLimits {
                failure_delay: FAILURE_DELAY,
                ..ServerLimits::default()
            },
            utf8: Utf8::default(),
            domains: Vec::new(),
            default: true,
            own: None,
            tenant_lines: "",
        }
    }

    /// With these messages in the maildrop: unique-id and content.
    pub(crate) fn mail(self, mail: &[(&str, &str)]) -> Self {
        for (unique_id, content) in mail {
            self.deliver(unique_id, content.as_bytes());
        }
        self
    }

    pub(crate) fn deliver(&self, unique_id: &str, content: &[u8]) {
        self.deliver_at(unique_id, content, 0);
    }

    /// The same, received at that time: seconds since the Unix epoch.
    pub(crate) fn deliver_at(&self, unique_id: &str, content: &[u8], received: u64) {
        let mail = Mail {
            unique_id: unique_id.into(),
            received,
            content: content.into(),
        };
        self.memory.deliver(MAILDROP, mail);
    }

    /// With the users and the mail of another, for a node beside it.
    pub(crate) fn has_mail_of(&mut self, other: &Plan) {
        self.memory = Arc::clone(&other.memory);
        self.doctored = Doctored::new(&self.memory);
    }

    /// With a certificate of its own.
    pub(crate) fn tls(mut self) -> Self {
        self.own = Some(restante_server::tls::self_signed().unwrap());
        self
    }

    pub(crate) fn begin(self) -> World {
        let text = format!(
            "[listener.l]\naddress = \"127.0.0.1:0\"\ntls = \"off\"\n\
             [plugin.p]\ncomponent = \"builtin:p\"\n\
             [tenant.t]\nauthenticators = [\"p\"]\nstore = \"p\"\n{}",
            self.tenant_lines
        );
        let config = restante_config::Config::parse(
            &text,
            std::path::Path::new("test.toml"),
            std::path::Path::new("/"),
        )
        .unwrap();
        let mut server = config.server;
        server.hostname = "test.example".into();
        server.limits = self.limits.clone();
        let memory = || Arc::clone(&self.memory) as Arc<dyn Authenticator>;
        let authenticators = vec![self.authenticator.unwrap_or_else(memory)];
        server.utf8 = self.utf8;
        let tenant = Tenant {
            selectors: self.selectors,
            filters: self.filters,
            plaintext_login: self.plaintext_login,
            policy: Policy::new(&config.tenants[0]),
            utf8: config.tenants[0].utf8,
            scram: config.tenants[0].scram,
            apop: self.apop,
            cram_md5: self.cram_md5,
            limits: self.tenant_limits,
            default_domain: config.tenants[0].default_domain.clone(),
            when_in_use: config.tenants[0].when_in_use,
            ..Tenant::new("t", authenticators.clone(), Arc::new(self.doctored.clone()))
        };
        let mut tenants = Tenants::new();
        if self.other {
            let other = Tenant::new("other", authenticators, Arc::new(self.doctored.clone()));
            let domains = ["other.example".to_owned()];
            tenants.add(Arc::new(other), &domains, &[], false);
        }
        tenants.add(Arc::new(tenant), &self.domains, &[], self.default);
        let (trigger, signal) = shutdown::channel();
        World {
            memory: self.memory,
            doctored: self.doctored,
            serving: Arc::new(Serving {
                tenants,
                tls: self.own.as_ref().map(|own| Arc::clone(&own.contexts)),
                settings: SessionSettings::new(
                    &server,
                    &config.tenants,
                    mock_credentials(&server, [7; 32]),
                ),
                generation: GenerationMark::default(),
                ending: shutdown::Ending::default(),

                recorder: None,
            }),
            limits: self.limits,
            own: self.own,
            locks: Locks::new(),
            holds: None,
            verdicts: Arc::new(Verdicts::default()),
            penalties: Arc::new(Penalties::new()),
            known_names: Arc::default(),
            sessions: Sessions::new(),
            nobody: Ledger::new("_none"),
            room: EvictingSlots::new(1000),
            trigger,
            signal,
        }
    }
}

pub(crate) struct World {
    pub(crate) memory: Arc<Memory>,
    pub(crate) doctored: Doctored,
    pub(crate) serving: Arc<Serving>,
    pub(crate) limits: ServerLimits,
    pub(crate) own: Option<SelfSigned>,
    pub(crate) locks: Locks,
    /// What it shares with other worlds.
    pub(crate) holds: Option<Arc<dyn SharedHolds>>,
    pub(crate) verdicts: Arc<Verdicts>,
    pub(crate) penalties: Arc<Penalties>,
    pub(crate) known_names: Arc<KnownNames>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) nobody: Arc<Ledger>,
    pub(crate) room: Arc<EvictingSlots>,
    pub(crate) trigger: Trigger,
    pub(crate) signal: Signal,
}

impl World {
    /// A session over a pipe.
    pub(crate) fn pipe(&self, tls: ListenerTls) -> (Client<DuplexStream>, JoinHandle<End>) {
        let (near, far) = duplex(PIPE_BYTES);
        (Client::new(near), self.session(far, tls))
    }

    /// A session in the clear over a pipe, of a client at this address.
    pub(crate) fn pipe_from(&self, client: [u8; 4]) -> (Client<DuplexStream>, JoinHandle<End>) {
        let (near, far) = duplex(PIPE_BYTES);
        let peer = Peer {
            client: address::Client::at((client, 40_000).into()),
            ..peer(ListenerTls::Off)
        };
        (Client::new(near), self.session_of(far, peer))
    }

    /// The server's side of a connection.
    pub(crate) fn session<S>(&self, stream: S, tls: ListenerTls) -> JoinHandle<End>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.session_of(stream, peer(tls))
    }

    fn session_of<S>(&self, stream: S, peer: Peer) -> JoinHandle<End>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shared = Shared {
            serving: Arc::clone(&self.serving),
            locks: self.locks.clone(),
            holds: self.holds.clone(),
            verdicts: Arc::clone(&self.verdicts),
            awake: Arc::default(),
            penalties: Arc::clone(&self.penalties),
            known_names: Arc::clone(&self.known_names),
            sessions: Arc::clone(&self.sessions),
            nobody: Arc::clone(&self.nobody),
            shutdown: self.signal.clone(),
            place: self.room.enter(),
            socket: None,
        };
        tokio::spawn(serve(stream, peer, shared))
    }

    /// A client in the clear that is logged in as "u".
    pub(crate) async fn logged_in(&self) -> (Client<DuplexStream>, JoinHandle<End>) {
        let (mut client, session) = self.pipe(ListenerTls::Off);
        client.greeting_and_login().await;
        (client, session)
    }

    /// A listener on loopback, and what ends when all its connections have.
    pub(crate) fn listen(&self, tls: ListenerTls) -> (SocketAddr, JoinHandle<()>) {
        self.listen_behind(&[], tls)
    }

    /// The same, with proxies at these addresses.
    pub(crate) fn listen_behind(
        &self,
        proxies: &[&str],
        tls: ListenerTls,
    ) -> (SocketAddr, JoinHandle<()>) {
        let listener = Listener {
            name: "l".into(),
            address: ([127, 0, 0, 1], 0).into(),
            tls,
            tls_minimum: TlsVersion::V1_2,
            proxy_protocol_from: proxies.iter().map(|one| one.parse().unwrap()).collect(),
        };
        let bound = Bound::all(&[listener], HashMap::new()).unwrap();
        let address = bound[0].address();
        let serving = Arc::clone(&self.serving);
        let serving = Arc::new(move || Arc::clone(&serving));
        let front = Front::new(&self.limits, serving, Metrics::new(), self.holds.clone());
        (
            address,
            tokio::spawn(front.serve(bound, self.signal.clone())),
        )
    }

    /// The unique-ids in the maildrop.
    pub(crate) fn left(&self) -> Vec<String> {
        let mail = self.memory.mail(MAILDROP);
        mail.into_iter().map(|mail| mail.unique_id).collect()
    }
}

fn peer(tls: ListenerTls) -> Peer {
    Peer {
        listener: "pipe".into(),
        client: address::Client::at(FAR.into()),
        proxy: None,
        server_name: None,
        tls,
        tls_minimum: TlsVersion::V1_2,
    }
}

type Remedy = Box<dyn Fn() -> Result<Content, Failure> + Send + Sync>;

/// The in-memory store, where single answers can be replaced.
#[derive(Clone)]
pub(crate) struct Doctored {
    memory: Arc<Memory>,
    contents: Arc<Mutex<HashMap<usize, Remedy>>>,
    pub(crate) removal: Arc<Mutex<Option<Failure>>>,
    /// How long a removal takes.
    pub(crate) removal_time: Arc<Mutex<Duration>>,
    /// What happens while the store is woken.
    pub(crate) waking: Arc<Mutex<Option<Waking>>>,
    /// How many messages were asked for.
    pub(crate) asked: Arc<AtomicUsize>,
}

impl Doctored {
    fn new(memory: &Arc<Memory>) -> Self {
        Doctored {
            memory: Arc::clone(memory),
            contents: Arc::default(),
            removal: Arc::default(),
            removal_time: Arc::default(),
            waking: Arc::default(),
            asked: Arc::default(),
        }
    }

    /// From now on the message at this position has another content than the
    /// listing was made of.
    pub(crate) fn replace(
        &self,
        position: usize,
        remedy: impl Fn() -> Result<Content, Failure> + Send + Sync + 'static,
    ) {
        let mut contents = self.contents.lock().unwrap();
        contents.insert(position, Box::new(remedy));
    }
}

type Waking = Box<dyn Fn() + Send + Sync>;

#[async_trait]
impl Store for Doctored {
    async fn find(
        &self,
        connection: &Arc<Connection>,
        account: &Account,
    ) -> Result<Box<dyn FoundMaildrop>, Failure> {
        Ok(Box::new(DoctoredFound {
            store: self.clone(),
            inner: self.memory.find(connection, account).await?,
        }))
    }
}

struct DoctoredFound {
    store: Doctored,
    inner: Box<dyn FoundMaildrop>,
}

#[async_trait]
impl FoundMaildrop for DoctoredFound {
    fn lock_key(&self) -> &str {
        self.inner.lock_key()
    }

    fn shared_key(&self) -> Result<String, Failure> {
        self.inner.shared_key()
    }

    async fn open(self: Box<Self>) -> Result<Box<dyn Maildrop>, Failure> {
        Ok(Box::new(DoctoredMaildrop {
            store: self.store,
            inner: self.inner.open().await?,
        }))
    }
}

struct DoctoredMaildrop {
    store: Doctored,
    inner: Box<dyn Maildrop>,
}

#[async_trait]
impl Maildrop for DoctoredMaildrop {
    async fn listing(&mut self) -> Result<Arc<Entries>, Failure> {
        self.inner.listing().await
    }

    async fn content(&mut self, position: usize) -> Result<Content, Failure> {
        self.store.asked.fetch_add(1, Ordering::Relaxed);
        let replaced = {
            let contents = self.store.contents.lock().unwrap();
            contents.get(&position).map(|remedy| remedy())
        };
        match replaced {
            Some(content) => content,
            None => self.inner.content(position).await,
        }
    }

    async fn wake(&mut self) -> Result<(), Failure> {
        if let Some(happens) = &*self.store.waking.lock().unwrap() {
            happens();
        }
        self.inner.wake().await
    }

    async fn remove(&mut self, positions: &[usize]) -> Result<(), Failure> {
        let time = *self.store.removal_time.lock().unwrap();
        tokio::time::sleep(time).await;
        let failure = self.store.removal.lock().unwrap().clone();
        match failure {
            Some(failure) => Err(failure),
            None => self.inner.remove(positions).await,
        }
    }
}
