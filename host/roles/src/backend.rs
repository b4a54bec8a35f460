//! The roles a tenant's policy is made of, as traits and plain types.
//!
//! The session loop (`restante_server::connection`) and the view of a maildrop
//! (`restante_server::view`) know policy through this room alone; `restante_wasm`
//! implements it with WebAssembly components, [`crate::memory`] with vectors.
//! Nothing here knows what wasm, a socket or a configuration file is.

mod attributes;

use std::fmt;
use std::fs::File;
use std::ops::BitOr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
pub use attributes::wipe_secrets;
pub use attributes::{Attributes, SECRET_ATTRIBUTE};
pub use restante_pop3::Credentials;
use restante_pop3::{Listing, ScramHash, ScramKeys};

use crate::address::Client;
use crate::metrics::Ledger;
use crate::recording;
use crate::shared_holds::SharedHolds;
use crate::turns::Owner;
use crate::work::{WorkHold, WorkRoom};

/// What the host knows of a client before anyone is authenticated.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Stands in every log line of this session.
    pub session: String,
    /// Name of the tenant that the session belongs to.
    pub tenant: String,
    /// Where what its plugins use is counted.
    pub ledger: Arc<Ledger>,
    /// Name of the listener that accepted it.
    pub listener: String,
    /// Where the client speaks from.
    pub client: Client,
    /// A login from there failed lately.
    pub penalised: bool,
    /// None while the connection is in the clear.
    pub tls: Option<Tls>,
    /// Where what its plugins are asked is written down; None: nowhere.
    pub recording: Option<Arc<recording::Session>>,
    /// What the host's work for it holds: the lock of its maildrop, once it has it.
    pub hold: WorkHold,
}

impl Connection {
    /// Where the host does work for it that may wait.
    pub fn work(&self) -> WorkRoom {
        WorkRoom::new(self.ledger.clone()).holding(self.hold.clone())
    }

    /// Whose work it is that the host does for it.
    pub fn owner(&self) -> Owner {
        Owner::client(self.ledger.tenant(), self.client, self.penalised)
    }
}

/// The TLS side of a [`Connection`].
#[derive(Debug, Clone)]
pub struct Tls {
    /// "TLSv1.3" or "TLSv1.2".
    pub version: String,
    /// The cipher suite, by its IANA name.
    pub cipher: String,
    /// The name the client asked for (SNI).
    pub server_name: Option<String>,
    /// The client's certificate.
    pub client_certificate: Option<ClientCertificate>,
}

/// A client's certificate, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// DER.
    pub der: Vec<u8>,
    /// The tenant whose authorities stand behind it: to no other does it mean
    /// anything.
    pub tenant: String,
}

impl Tls {
    /// The same as this tenant may know it.
    pub fn seen_by(&self, tenant: &str) -> Tls {
        let mut seen = self.clone();
        seen.client_certificate
            .take_if(|certificate| certificate.tenant != tenant);
        seen
    }
}

/// Which kinds of credentials an authenticator can judge. Clients are offered what
/// follows from it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accepts {
    /// USER and PASS, PLAIN, LOGIN.
    pub password: bool,
    /// APOP, CRAM-MD5.
    pub digest: bool,
    /// OAUTHBEARER, XOAUTH2.
    pub bearer: bool,
    /// EXTERNAL.
    pub certificate: bool,
    /// SCRAM-SHA-1.
    pub scram_sha1: bool,
    /// SCRAM-SHA-256.
    pub scram_sha256: bool,
}

impl Accepts {
    /// Passwords alone.
    pub const PASSWORD: Accepts = Accepts {
        password: true,
        digest: false,
        bearer: false,
        certificate: false,
        scram_sha1: false,
        scram_sha256: false,
    };

    /// Whether credentials of this kind are judged.
    pub fn takes(self, credentials: &Credentials) -> bool {
        match credentials {
            Credentials::Password { .. } => self.password,
            Credentials::Digest { .. } => self.digest,
            Credentials::Bearer { .. } => self.bearer,
            Credentials::Certificate { .. } => self.certificate,
        }
    }

    /// Whether keys are looked up for this hash.
    pub fn scram(self, hash: ScramHash) -> bool {
        match hash {
            ScramHash::Sha1 => self.scram_sha1,
            ScramHash::Sha256 => self.scram_sha256,
        }
    }
}

impl BitOr for Accepts {
    type Output = Accepts;

    fn bitor(self, other: Accepts) -> Accepts {
        Accepts {
            password: self.password | other.password,
            digest: self.digest | other.digest,
            bearer: self.bearer | other.bearer,
            certificate: self.certificate | other.certificate,
            scram_sha1: self.scram_sha1 | other.scram_sha1,
            scram_sha256: self.scram_sha256 | other.scram_sha256,
        }
    }
}

/// Who logged in, as an authenticator decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The canonical user name: limits, locks and logs use this one.
    pub user: String,
    /// The maildrop to open.
    pub maildrop: String,
    /// Handed on to the store and the filters, untouched; but for secrets, which
    /// filters and selectors do not get.
    pub attributes: Attributes,
}

impl Account {
    /// Octets of all its texts.
    pub fn octets(&self) -> usize {
        self.user.len() + self.maildrop.len() + self.attributes.octets()
    }
}

/// Why nobody was logged in.
#[derive(Debug)]
pub enum Denial {
    /// Not a user of this authenticator: the next one is asked.
    Unknown,
    /// The credentials are wrong, and nobody else is asked.
    Rejected,
    /// It could not be decided.
    Failed(Failure),
}

/// Why a call could not be served. The text is for the client; what the
/// operator needs to know was logged where it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// `[SYS/TEMP]` (RFC 3206): trying again later may help.
    Temporary(String),
    /// `[SYS/PERM]` (RFC 3206): it fails until somebody acts.
    Permanent(String),
    /// `[IN-USE]` (RFC 2449): somebody else holds the maildrop.
    InUse(String),
    /// `[LOGIN-DELAY]` (RFC 2449): seconds until the next login is welcome.
    LoginDelay(u32),
    /// Another code and its text.
    Other(String, String),
}

impl Failure {
    /// The failure of something that is not the client's business.
    pub fn internal() -> Self {
        Failure::Temporary("internal failure, try again later".into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Temporary(text) => write!(out, "temporary: {text}"),
            Failure::Permanent(text) => write!(out, "permanent: {text}"),
            Failure::InUse(text) => write!(out, "in use: {text}"),
            Failure::LoginDelay(seconds) => write!(out, "login delay: {seconds} s"),
            Failure::Other(code, text) => write!(out, "[{code}] {text}"),
        }
    }
}

/// Role: decide who the client is.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// What it can judge: the same for as long as it lives.
    fn accepts(&self) -> Accepts;

    /// Whether its tenant lets it judge who may act as another user. If not,
    /// [`crate::acting`] tells it of no other user.
    fn judges_acting_as(&self) -> bool {
        false
    }

    /// Asked once for each login with something that it [`Accepts`].
    async fn authenticate(
        &self,
        connection: &Arc<Connection>,
        credentials: &Credentials,
    ) -> Result<Account, Denial>;

    /// The keys of a user for SCRAM, and the account to log in once the exchange
    /// succeeded. With `acting_as` the user wants to act as somebody else; no
    /// account: that is not allowed.
    async fn scram_keys(
        &self,
        _connection: &Arc<Connection>,
        _user: &str,
        _acting_as: Option<&str>,
        _hash: ScramHash,
    ) -> Result<(ScramKeys, Option<Account>), Denial> {
        Err(Denial::Unknown)
    }
}

/// Whether a client may talk to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// At once.
    Yes,
    /// After so many milliseconds.
    Delayed(u32),
    /// No, with these words.
    No(String),
}

/// Role: may this client talk to us at all?
#[async_trait]
pub trait Admission: Send + Sync {
    /// Asked before the greeting, and again when TLS is up.
    async fn admit(&self, connection: &Arc<Connection>) -> Result<Admitted, Failure>;
}

/// Role: keep the mail.
#[async_trait]
pub trait Store: Send + Sync {
    /// Finds the account's maildrop, and leaves the mail in it alone: the lock is still
    /// to be taken. A maildrop that does not exist may be made, empty.
    async fn find(
        &self,
        connection: &Arc<Connection>,
        account: &Account,
    ) -> Result<Box<dyn FoundMaildrop>, Failure>;
}

/// A maildrop that is known and not open yet.
#[async_trait]
pub trait FoundMaildrop: Send {
    /// What the exclusive lock on it is taken under (RFC 1939 section 4): two
    /// accounts that lead to the same mail give the same key.
    fn lock_key(&self) -> &str;

    /// What servers that share maildrops call it among them, the same on each: numbers of
    /// a machine's own are not in it. Two accounts of one tenant that lead to the same mail
    /// by the same path give the same key. Asked for only where servers share maildrops, or
    /// the store has [`holds`](Self::holds).
    ///
    /// # Errors
    /// Where it cannot be known.
    fn shared_key(&self) -> Result<String, Failure>;

    /// Where the hold on it is kept, if its store has a place of its own for that: there it
    /// is taken under [`shared_key`](Self::shared_key) before the maildrop is opened. None:
    /// it is kept where servers keep those on all maildrops, if they share any.
    fn holds(&self) -> Option<Arc<dyn SharedHolds>> {
        None
    }

    /// Opens it, for this session alone. The lock is held.
    async fn open(self: Box<Self>) -> Result<Box<dyn Maildrop>, Failure>;
}

/// A maildrop, open for one session. Messages are named by their *position* in
/// the store's own listing, from 0; a message-number (from 1, RFC 1939
/// section 5) is the session's word and never comes here.
#[async_trait]
pub trait Maildrop: Send {
    /// The maildrop as it stood when it was opened, oldest first.
    async fn listing(&mut self) -> Result<Arc<Entries>, Failure>;

    /// Where one message's octets come from.
    async fn content(&mut self, position: usize) -> Result<Content, Failure>;

    /// Waits for what a store that rests needs before it can be asked: what is called next
    /// does not wait for that, unless the session is silent meanwhile.
    async fn wake(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// The UPDATE state: remove exactly these, and make it last before
    /// answering.
    async fn remove(&mut self, positions: &[usize]) -> Result<(), Failure>;

    /// The message is not what the listing said: nothing that is remembered of it
    /// is to be trusted.
    async fn doubt(&mut self, _position: usize) {}

    /// The client says nothing for a while: what can be made again may be given
    /// back.
    async fn rest(&mut self) {}
}

/// A store's listing: what the client may see of it, and when each message came.
#[derive(Debug)]
pub struct Entries {
    /// Unique-ids and octets.
    pub listing: Arc<Listing>,
    /// The same with the octets that a client gets that has not said UTF8, as far
    /// as the store knows them (RFC 6856 section 2.1).
    pub surrogates: Arc<Listing>,
    /// Seconds since the Unix epoch, one for each message; 0: not known.
    pub received: Vec<u64>,
}

/// Where a message's octets come from; line ends and stuffing are still to do.
pub enum Content {
    /// Here they are.
    Inline(Vec<u8>),
    /// A regular file, opened below the session's grant.
    File(FileRange),
    /// Pulled chunk by chunk.
    Reader(Box<dyn ContentReader>),
}

/// Part of an open file.
#[derive(Debug)]
pub struct FileRange {
    /// The file.
    pub file: File,
    /// For log lines.
    pub path: PathBuf,
    /// First octet.
    pub offset: u64,
    /// How many octets there are to send, fixed when the file was opened.
    pub length: u64,
    /// Where it is read if that takes waiting.
    pub work: WorkRoom,
}

/// A message that is pulled out of its store.
#[async_trait]
pub trait ContentReader: Send {
    /// At most `limit` octets; none is the end.
    async fn read(&mut self, limit: u32) -> Result<Vec<u8>, Failure>;

    /// How many octets are still to come, where that is known beforehand.
    fn octets_left(&self) -> Option<u64> {
        None
    }
}

/// Positions `start..start + length` of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First position.
    pub start: u32,
    /// How many.
    pub length: u32,
}

/// Role: which part of a maildrop a login sees.
#[async_trait]
pub trait Selector: Send + Sync {
    /// As the configuration calls it, for log lines.
    fn name(&self) -> &str;

    /// The positions to hide, as spans in rising order.
    async fn select(
        &self,
        connection: &Arc<Connection>,
        account: &Account,
        entries: &Arc<Entries>,
    ) -> Result<Vec<Span>, Failure>;
}

/// What a filter says of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// As it is.
    Show,
    /// As if it were not in the maildrop.
    Hide,
    /// With these header fields in front, each "Name: value" without line end.
    Annotate(Vec<String>),
}

/// Role: what a client sees of each message.
#[async_trait]
pub trait Filter: Send + Sync {
    /// As the configuration calls it, for log lines.
    fn name(&self) -> &str;

    /// Everything a verdict depends on but account and message: plugin,
    /// version of the component, settings. Verdicts are remembered under it.
    fn identity(&self) -> &str;

    /// Makes ready to screen the messages of one login.
    async fn screener(
        &self,
        connection: &Arc<Connection>,
        account: &Account,
    ) -> Result<Box<dyn Screener>, Failure>;
}

/// A [`Filter`] at work on one login.
#[async_trait]
pub trait Screener: Send {
    /// Asked once for each message.
    async fn screen(&mut self, message: Arc<dyn Message>) -> Result<Verdict, Failure>;
}

/// A message as a filter may look at it: nothing is read until it asks.
#[async_trait]
pub trait Message: Send + Sync {
    /// Its unique-id.
    fn unique_id(&self) -> &str;
    /// Its octets, as LIST would say.
    fn octets(&self) -> u64;
    /// Seconds since the Unix epoch; 0: not known.
    fn received(&self) -> u64;
    /// The header section with CRLF line ends, as far as the host's limit.
    async fn header(&self) -> Result<Vec<u8>, Failure>;
    /// At most `length` octets from `offset`, as they go to the client
    /// (CRLF line ends, no byte-stuffing).
    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Failure>;
}
