//! `[server]` as it is once it has been checked.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use super::signature::PublicKey;

/// What a socket's path has in front.
pub(crate) const UNIX: &str = "unix:";

/// What `holds` is where it names no engine.
pub(crate) const MEMORY: &str = "memory";

/// `user` and `group` of `[server]`: names of the system's, which may not know them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user: String,
    /// The group; None: the user's own.
    pub group: Option<String>,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The name this host greets with; the machine's own where none is given.
    pub hostname: String,
    /// Compiled components are kept here; safe to delete.
    pub state_dir: PathBuf,
    /// Shown where no tenant has a certificate for the name that was asked for.
    pub certificate: Option<Pem>,
    /// Where health, metrics and the operator's commands are answered.
    pub admin: Option<Admin>,
    /// Whom the server becomes once it has its listeners; None: it stays who it is.
    pub identity: Option<Identity>,
    /// Whom the compiler becomes where the server is root; None: `nobody`.
    pub compiler_user: Option<String>,
    /// Whose components are let in, for every tenant.
    pub signing: Signing,
    /// What this server is called among those that share holds; there is one where `holds`
    /// is an engine.
    pub node: Option<String>,
    /// Name of the engine that says which maildrop is in use; None: this process's memory.
    pub holds: Option<String>,
    /// Whether a change of the configuration's files on disk is a reload.
    pub watch: bool,
    /// Whether CAPA announces IMPLEMENTATION (RFC 2449 section 6.9).
    pub implementation: bool,
    /// The iteration count that SCRAM shows of users whom nobody knows (RFC 5802
    /// section 5.1): what the users' own keys have.
    pub scram_iterations: u32,
    /// File with the secret behind what SCRAM shows of unknown users; None: it is in
    /// `state_dir`.
    pub mock_secret_file: Option<PathBuf>,
    /// What a client gets that has not said UTF8.
    pub utf8: Utf8,
    /// What clients hear whose OAuth token is refused.
    pub oauth: OAuth,
    /// `[server.log]`
    pub log: Log,
    /// `[server.limits]`
    pub limits: ServerLimits,
}

/// What becomes of a message with octets beyond ASCII in a header, for a client
/// that has not said UTF8 (RFC 6856 sections 2.1 and 5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Utf8 {
    /// A surrogate is sent in its place (RFC 6858).
    #[default]
    Surrogate,
    /// It is refused, if what is read before the answer shows the need; else a
    /// surrogate is sent.
    Refuse,
    /// It is sent as it is, and UTF8 is not offered.
    Off,
}

/// Where OAuth clients get a token that will do (RFC 7628 section 3.2.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OAuth {
    /// The scopes to ask for, parted by blanks (RFC 6749 section 3.3).
    pub scope: Option<String>,
    /// URL of the issuer's OpenID configuration.
    pub configuration: Option<String>,
}

/// A certificate chain and its private key, both files in PEM form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pem {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// `[server.log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// Which lines there are, in the syntax of tracing-subscriber's `EnvFilter`;
    /// it was tried when the configuration was read.
    pub filter: String,
    /// Which names of failed logins stand in it.
    pub user_names: UserNames,
}

/// Which names of failed logins stand in the log as the client gave them: it may have
/// given a password. The others stand there as a digest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UserNames {
    /// Those that are known to be names: somebody has logged in with them, or a tenant
    /// claims their domain.
    #[default]
    Known,
    /// All that look like names.
    Full,
}

impl Log {
    /// Reads a filter.
    ///
    /// # Errors
    /// When it is none.
    pub fn read_filter(filter: &str) -> Result<EnvFilter, ParseError> {
        // Values are compared as text: a pattern may take minutes and gigabytes
        // before anything is compared with it.
        EnvFilter::builder().with_regex(false).parse(filter)
    }
}

impl Default for Log {
    fn default() -> Self {
        Log {
            format: LogFormat::Text,
            filter: "info".into(),
            user_names: UserNames::default(),
        }
    }
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[server.limits]`: what one process takes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLimits {
    /// Open connections on all listeners together.
    pub connections: usize,
    /// Open connections of one client address.
    pub connections_per_address: usize,
    /// Open connections of one client network.
    pub connections_per_network: usize,
    /// How many of them may be not logged in; never more than `connections`.
    pub unauthenticated: usize,
    /// Live plugin instances.
    pub instances: u32,
    /// From accept to the end of a PROXY header.
    pub proxy_timeout: Duration,
    /// From accept to login.
    pub login_timeout: Duration,
    /// The autologout timer: at least ten minutes (RFC 1939 section 3).
    pub autologout: Duration,
    /// From a connection's first octet of TLS to a finished handshake.
    pub handshake_timeout: Duration,
    /// How long a client may take no octet of what is sent to it.
    pub write_timeout: Duration,
    /// Octets of a command line, CRLF included; at least 255 (RFC 2449 section 4).
    pub line: usize,
    /// Commands that are wrong, before login; then the connection is closed.
    pub bad_commands_before_login: u32,
    /// Commands that are wrong, after login; then the connection is closed.
    pub bad_commands_after_login: u32,
    /// Failed logins of one connection; then it is closed.
    pub login_failures: u32,
    /// How long the first failed login of an address waits for its answer.
    pub failure_delay: Duration,
    /// What that grows to with more of them; never less than `failure_delay`.
    pub max_failure_delay: Duration,
    /// How long a failed login counts.
    pub failure_decay: Duration,
    /// What SIGTERM gives the sessions that are running.
    pub shutdown_grace: Duration,
    /// How long sessions may go on with a generation that another took the place
    /// of. None: as long as they last.
    pub drain_time: Option<Duration>,
    /// CPU time for the compilation of one component, all threads together.
    pub compile_time: Duration,
    /// Octets of memory for the compilation of one component.
    pub compile_memory: u64,
}

/// `signature-keys` and `signed` of one section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signing {
    /// Whose signatures count.
    pub keys: Vec<PublicKey>,
    /// Whether there must be one.
    pub required: bool,
}

/// Where health, metrics and the operator's commands are answered, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where.
    pub address: AdminAddress,
    /// What has to be shown is the text of this file; there is one where the
    /// address is a port.
    pub token_file: Option<PathBuf>,
}

/// An address of this machine alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddress {
    /// On loopback.
    Tcp(SocketAddr),
    /// A socket in the file system, for whoever may open it.
    Unix(PathBuf),
}

/// A text that names no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither an IP address with a port (127.0.0.1:9110) nor unix: and a path")]
pub struct NoAdminAddress;

impl FromStr for AdminAddress {
    type Err = NoAdminAddress;

    fn from_str(text: &str) -> Result<Self, NoAdminAddress> {
        match text.strip_prefix(UNIX) {
            Some("") => Err(NoAdminAddress),
            Some(path) => Ok(AdminAddress::Unix(path.into())),
            None => text
                .parse()
                .map(AdminAddress::Tcp)
                .map_err(|_| NoAdminAddress),
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdminAddress::Tcp(address) => address.fmt(out),
            AdminAddress::Unix(path) => write!(out, "{UNIX}{}", path.display()),
        }
    }
}
