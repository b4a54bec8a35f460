//! The configuration as it is once it has been checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use glob::Pattern;
use ipnet::IpNet;
use restante_pop3::Retention;

use super::disk;
use super::endpoint::Endpoint;
use super::origin::HttpOrigin;
use super::problem::{Place, Problem};
use super::server::{Pem, Server, Signing, Utf8};
use super::signature::PublicKey;
use super::template::{Component, Template};

/// Everything the host is told by its configuration file.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file, then those that it includes, as messages call them.
    pub files: Vec<PathBuf>,
    /// What it includes.
    pub includes: Vec<Include>,
    /// What is said once for the whole process.
    pub server: Server,
    /// Where what servers share is kept, in the file's order.
    pub engines: Vec<Engine>,
    /// Databases of the operator's that plugins may be granted, in the file's order.
    pub databases: Vec<Database>,
    /// Where clients are awaited; at least one, in the file's order.
    pub listeners: Vec<Listener>,
    /// Components with a name, settings and grants, in the file's order.
    pub plugins: Vec<Plugin>,
    /// Who is served and by which plugins; at least one, in the file's order.
    pub tenants: Vec<Tenant>,
    /// Files that plugins and tenants name and that are not there, or not what
    /// they should be: their owners cannot be put to work.
    pub absent: Vec<Absent>,
    /// What is not wrong and yet probably not meant.
    pub warnings: Vec<Problem>,
    /// The values of keys that only a start can change, by section and name.
    pub(crate) fixed: BTreeMap<String, String>,
}

/// Whose a problem is, where it is not the whole server's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A plugin's, by name.
    Plugin(String),
    /// A tenant's, by name.
    Tenant(String),
}

/// A file that cannot be used, and who needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// Who needs it.
    pub owner: Owner,
    /// Which file it is.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

impl Config {
    /// The engine that says which maildrop is in use, with this server's name among those
    /// that share it; None: this process's memory.
    pub fn holds(&self) -> Option<(&Engine, &str)> {
        let name = self.server.holds.as_ref()?;
        let engine = self.engines.iter().find(|engine| engine.name == *name);
        engine.zip(self.server.node.as_deref())
    }

    /// What `next` says differently, of that which only a start can change.
    pub fn fixed_differences(&self, next: &Config) -> Vec<String> {
        let differs = |name: &String| {
            let value = |of: &Config| of.fixed.get(name).cloned();
            value(self) != value(next)
        };
        let names: BTreeSet<_> = self.fixed.keys().chain(next.fixed.keys()).collect();
        let differing = names.into_iter().filter(|name| differs(name));
        differing.cloned().collect()
    }

    /// What this plugin's signature must be like where that tenant uses it; None:
    /// where no tenant does. Keys of the plugin's own stand instead of the
    /// tenant's and the server's; where one of the three requires a signature, it
    /// is required. What is inside restante needs none.
    pub fn demand(&self, plugin: &Plugin, tenant: Option<&Tenant>) -> Demand {
        if matches!(plugin.component, ComponentSource::Builtin(_)) {
            return Demand::default();
        }
        let tenant = tenant.map(|tenant| &tenant.signing);
        let common = [Some(&self.server.signing), tenant];
        let required =
            plugin.signing.required || common.iter().flatten().any(|signing| signing.required);
        let mut keys = plugin.signing.keys.clone();
        if keys.is_empty() {
            for key in common.iter().flatten().flat_map(|signing| &signing.keys) {
                if !keys.contains(key) {
                    keys.push(key.clone());
                }
            }
        }
        Demand { keys, required }
    }
}

/// `[engine.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// What others call it by.
    pub name: String,
    /// What it is.
    pub kind: EngineKind,
    /// Where its larger messages are, if that is a bucket.
    pub s3: Option<BucketPlace>,
}

/// `[engine.NAME.s3]`: a bucket of a store that speaks S3's API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketPlace {
    /// Where the store is.
    pub endpoint: HttpOrigin,
    /// The bucket's name.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// What every key begins with.
    pub prefix: String,
    /// File with the key.
    pub credentials_file: PathBuf,
    /// Authorities in PEM instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether what was written is read again.
    pub read_back: bool,
    /// Octets of the largest message that is not in the bucket.
    pub max_inline: u64,
}

/// What an engine is, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineKind {
    /// Files of one process.
    Embedded {
        /// Where they are.
        directory: PathBuf,
    },
    /// A PostgreSQL database.
    Postgres(PostgresPlace),
}

/// Where a PostgreSQL database is, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresPlace {
    /// `postgresql://ROLE@HOST/DATABASE`, without a password.
    pub url: String,
    /// File whose first line is the password.
    pub password_file: Option<PathBuf>,
    /// Authorities in PEM instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl PostgresPlace {
    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.password_file.iter().chain(&self.ca_file)
    }
}

/// `[database.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// What grants call it by.
    pub name: String,
    /// What it is.
    pub kind: DatabaseKind,
    /// What is remembered of its answers.
    pub cache: DatabaseCache,
}

/// How long answers of a database are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseCache {
    /// Those that have a row.
    pub lifetime: Duration,
    /// Those without one.
    pub negative_lifetime: Duration,
    /// Bytes of all of them.
    pub max_bytes: u64,
}

/// What a database is, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseKind {
    /// A PostgreSQL database.
    Postgres(PostgresPlace),
    /// A SQLite file.
    Sqlite {
        /// Where it is; absolute.
        file: PathBuf,
    },
}

/// `[listener.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Stands in log lines.
    pub name: String,
    /// Where to listen; no two listeners take the same place. Port 0 lets the
    /// system choose.
    pub address: SocketAddr,
    /// Whether and how TLS begins.
    pub tls: ListenerTls,
    /// The oldest version of TLS that is spoken on it.
    pub tls_minimum: TlsVersion,
    /// Where connections come from that begin with a PROXY header, and no others
    /// do.
    pub proxy_protocol_from: Vec<IpNet>,
}

/// Whether and how TLS begins on a listener. Where it does, the server or some
/// tenant has a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerTls {
    /// Never.
    Off,
    /// The client may ask for it with STLS (RFC 2595 section 4).
    StartTls,
    /// At once (RFC 8314 section 3.1).
    Implicit,
}

/// A version of TLS that this server speaks, the older one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

/// `[plugin.NAME]`: a component with a name, settings and grants.
#[derive(Clone, PartialEq)]
pub struct Plugin {
    /// Where the configuration file speaks of it.
    pub place: Place,
    /// What tenants call it by.
    pub name: String,
    /// Where the component is.
    pub component: ComponentSource,
    /// SHA-256 of the component; anything else is refused.
    pub sha256: Option<[u8; 32]>,
    /// Whose components are let in, for this plugin.
    pub signing: Signing,
    /// What the tenants that use it want of its signature, each demand once; the
    /// server's where no tenant uses it. At least one.
    pub demands: Vec<Demand>,
    /// Keys and values in the file's order, every value as text; a list is its
    /// elements with a line feed between them.
    pub settings: Vec<(String, String)>,
    /// What it may touch besides.
    pub grants: Grants,
    /// `[plugin.NAME.limits]`
    pub limits: PluginLimits,
}

// By hand: settings hold passwords and keys, so their values never print.
impl fmt::Debug for Plugin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = self.settings.iter().map(|(key, _)| key.as_str()).collect();
        out.debug_struct("Plugin")
            .field("name", &self.name)
            .field("component", &self.component)
            .field("sha256", &self.sha256)
            .field("signing", &self.signing)
            .field("settings", &keys)
            .field("grants", &self.grants)
            .field("limits", &self.limits)
            .finish()
    }
}

/// What a component's signature must be like for one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    /// Whose signatures count.
    pub keys: Vec<PublicKey>,
    /// Whether there must be one.
    pub required: bool,
}

/// Where a component comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ComponentSource {
    /// Embedded in this binary, by its name. Whether there is one of that name
    /// is for the catalog to say.
    Builtin(String),
    /// A file.
    Path(PathBuf),
}

/// As it is written in a configuration.
impl fmt::Display for ComponentSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ComponentSource::Builtin(name) => write!(out, "builtin:{name}"),
            ComponentSource::Path(path) => path.display().fmt(out),
        }
    }
}

/// `[plugin.NAME.grants]`: what a plugin may touch. Nothing else answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Directories, each under a name of its own in the guest.
    pub directories: Vec<DirectoryGrant>,
    /// Where the maildrops are, expanded with the account of each session.
    pub maildrop: Option<MaildropGrant>,
    /// Whether a maildrop directory that does not exist is made.
    pub create_maildrop: bool,
    /// Whether one that is not there and is not made is an empty maildrop.
    pub missing_maildrop: MissingMaildrop,
    /// Name of a file that has to be in the template's fixed part.
    pub maildrop_marker: Option<String>,
    /// Whether symbolic links below the template's fixed part are followed.
    pub follow_links: bool,
    /// Whose a maildrop directory may be beside the server's own user.
    pub maildrop_owner: MaildropOwner,
    /// Where it may send HTTP requests.
    pub http: Vec<HttpOrigin>,
    /// Authorities that may have signed those servers' certificates, besides the
    /// system's own: a PEM file.
    pub http_authorities: Option<PathBuf>,
    /// Where it may open TCP connections; no place twice.
    pub connect: Vec<Endpoint>,
    /// As `http_authorities`, for the places that are reached under TLS.
    pub connect_authorities: Option<PathBuf>,
    /// Names of the databases that it may ask; none twice, and each is one of
    /// [`Config::databases`].
    pub databases: Vec<String>,
}

/// Where the maildrops of a plugin are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MaildropGrant {
    /// The directory that becomes "/maildrop" in the guest.
    Directory(Template),
    /// In an engine.
    Engine {
        /// Which one: the name of one of [`Config::engines`].
        engine: String,
        /// What a maildrop is called there: what the template gives, without its first "/".
        name: Template,
    },
}

impl MaildropGrant {
    /// What is expanded with each account.
    pub fn template(&self) -> &Template {
        match self {
            MaildropGrant::Directory(template) | MaildropGrant::Engine { name: template, .. } => {
                template
            }
        }
    }

    /// The template of a directory. None: it is in an engine.
    pub fn directory(&self) -> Option<&Template> {
        match self {
            MaildropGrant::Directory(template) => Some(template),
            MaildropGrant::Engine { .. } => None,
        }
    }

    /// The name of the engine. None: it is in a directory.
    pub fn engine(&self) -> Option<&str> {
        match self {
            MaildropGrant::Directory(_) => None,
            MaildropGrant::Engine { engine, .. } => Some(engine),
        }
    }

    /// What maildrops are made of for this tenant. Those of an engine and directories have
    /// no first component in common.
    pub fn components(&self, tenant: &str) -> Vec<Component> {
        // No component of a path has a "/" in it.
        let engine = self.engine().map(|engine| format!("engine:/{engine}"));
        let engine = engine.map(Component::Text).into_iter();
        engine.chain(self.template().components(tenant)).collect()
    }
}

/// What a maildrop is whose directory is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MissingMaildrop {
    /// None: the login fails, and may succeed later.
    #[default]
    Refuse,
    /// Empty.
    Empty,
}

/// Whose a maildrop's directory may be. The server's own user may own it in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum MaildropOwner {
    /// Nobody else's.
    #[default]
    Server,
    /// This user's too, by name. Whether there is one is not for this room to say.
    User(String),
    /// This user's too, by number.
    Id(u32),
    /// Anybody's.
    Any,
}

/// A directory a plugin may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryGrant {
    /// On this machine.
    pub host: PathBuf,
    /// In the guest: absolute, without "." and "..", never "/maildrop" or below it.
    pub guest: String,
    /// Whether the guest may change what is in it.
    pub write: bool,
}

/// `[plugin.NAME.limits]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginLimits {
    /// Octets of linear memory, one instance.
    pub memory: u64,
    /// The guest's own computing, one call.
    pub cpu_time: Duration,
    /// One call from outside, everything it waits for included.
    pub wall_time: Duration,
    /// Lines that one instance may log.
    pub log_lines: u32,
    /// Octets of the bodies of HTTP answers that one call from outside may receive, and as
    /// many of requests' bodies that it may send.
    pub http_octets: u64,
}

/// `[tenant.NAME]`: who is served, and by which plugins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Where the configuration file speaks of it.
    pub place: Place,
    /// Stands in log lines and in `{tenant}`; always fit to be a file's name.
    pub name: String,
    /// What stands behind the last "@" of its users, in lower case; no two
    /// tenants share one.
    pub domains: Vec<String>,
    /// The domain of a user's name that has none, in lower case.
    pub default_domain: Option<String>,
    /// Names that clients ask for (SNI), in lower case, exact or
    /// "*.example.org"; no two tenants share one.
    pub server_names: Vec<String>,
    /// Whether it serves who fits no tenant; at most one does.
    pub default: bool,
    /// Shown to clients that ask for one of `server_names`.
    pub certificate: Option<Pem>,
    /// Authorities whose client certificates EXTERNAL goes by: a PEM file.
    /// Without it clients are not asked for one.
    pub client_authorities: Option<PathBuf>,
    /// Whose components are let in, for this tenant.
    pub signing: Signing,
    /// Plugins that know the users, asked in order; at least one.
    pub authenticators: Vec<String>,
    /// Those of them, and of their shadows, that are let judge who may act as another
    /// user.
    pub acting_as: BTreeSet<String>,
    /// The plugin that keeps the mail.
    pub store: String,
    /// Plugins that say which part of a maildrop a login sees.
    pub selectors: Vec<String>,
    /// Plugins that say what is seen of each message.
    pub filters: Vec<String>,
    /// What happens where one of these fails.
    pub filter_failure: FilterFailure,
    /// Plugins that say whether a client may talk to us; each has to let it.
    pub admissions: Vec<String>,
    /// Plugins that are asked beside them, with answers that change nothing.
    pub shadows: ShadowNames,
    /// Where a password may come in the clear.
    pub plaintext_login: PlaintextLogin,
    /// The oldest version of TLS that its users may log in with, where a listener's is
    /// not newer.
    pub tls_minimum: TlsVersion,
    /// How long messages stay at least (EXPIRE, RFC 2449 section 6.7). None:
    /// nothing is said and nothing expires.
    pub expire: Option<Retention>,
    /// How much of a maildrop may expire at once, in percent of its messages.
    pub expire_max_share: u8,
    /// How far the clock may have been set forward since the start for anything to
    /// expire.
    pub expire_max_clock_jump: Duration,
    /// How soon a user may log in again (LOGIN-DELAY, RFC 2449 section 6.5); zero:
    /// at once, and nothing is said.
    pub login_delay: Duration,
    /// Whether an account's attributes `expire` and `login-delay` may be milder
    /// than these two.
    pub policy_by_user: bool,
    /// What its users' clients get that have not said UTF8; None: what the server says.
    pub utf8: Option<Utf8>,
    /// Whether SCRAM is offered.
    pub scram: Scram,
    /// Whether APOP is offered (RFC 1939 section 7).
    pub apop: bool,
    /// Whether CRAM-MD5 is offered (RFC 2195).
    pub cram_md5: bool,
    /// `shares-maildrops-with-other-tenants`: whether its maildrops may be those of
    /// other tenants that have this too.
    pub shares_maildrops: bool,
    /// What becomes of a session whose user logs in once more.
    pub when_in_use: WhenInUse,
    /// `[tenant.NAME.limits]`
    pub limits: TenantLimits,
}

/// Whether a tenant offers SCRAM (RFC 5802, RFC 7677). Clients prefer it to a password,
/// whether or not their user has keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scram {
    /// With each hash for which all users have keys.
    #[default]
    Auto,
    /// With SHA-256 in any case, and with SHA-1 as before.
    On,
    /// Never.
    Off,
}

/// What becomes of a session that has the maildrop when its user logs in once more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenInUse {
    /// It goes on, and the login is refused, unless the session is ending or its client
    /// is gone.
    #[default]
    Refuse,
    /// It is ended, and nothing is removed.
    TakeOver,
}

/// Where a password may come over a connection without TLS (RFC 8314 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaintextLogin {
    /// From 127.0.0.0/8 and ::1.
    Loopback,
    /// From anywhere.
    Always,
    /// From nowhere.
    Never,
}

/// Plugins that are shadows, by role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShadowNames {
    /// Of `authenticators`.
    pub authenticators: Vec<String>,
    /// Of `admissions`.
    pub admissions: Vec<String>,
    /// Of `filters`.
    pub filters: Vec<String>,
}

/// What becomes of a message that a filter failed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterFailure {
    /// The login is refused.
    Refuse,
    /// It is shown as if the filter had said nothing.
    Show,
    /// It is hidden for this session, and not deleted.
    Hide,
}

/// `[tenant.NAME.limits]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantLimits {
    /// Sessions that are logged in, all users together.
    pub sessions: usize,
    /// Sessions that are logged in, one user.
    pub sessions_per_user: usize,
    /// What its logins and plugins may use.
    pub share: ShareLimits,
}

/// Those of `[tenant.NAME.limits]` that bound what logins and plugins use. None:
/// as much as the server has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShareLimits {
    /// Logins in a minute, failed ones too.
    pub logins_per_minute: Option<u32>,
    /// Live instances of plugins.
    pub instances: Option<u32>,
    /// Octets of linear memory of all of them.
    pub guest_memory: Option<u64>,
    /// Guests' own computing in a minute.
    pub guest_cpu_per_minute: Option<Duration>,
    /// Octets of mail, files and listings between guests and host in a minute.
    pub host_call_octets_per_minute: Option<u64>,
}

impl Tenant {
    /// Whether any of its roles is that plugin's.
    pub fn uses(&self, plugin: &str) -> bool {
        self.plugins().any(|name| name == plugin)
    }

    /// The plugins of all its roles; one that has several comes several times.
    pub fn plugins(&self) -> impl Iterator<Item = &str> {
        let lists = [
            &self.authenticators,
            &self.admissions,
            &self.selectors,
            &self.filters,
            &self.shadows.authenticators,
            &self.shadows.admissions,
            &self.shadows.filters,
        ];
        let listed = lists.into_iter().flatten().map(String::as_str);
        std::iter::once(self.store.as_str()).chain(listed)
    }
}

/// What `include` says: files of one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// Absolute, but for a configuration without a folder of its own.
    pub folder: PathBuf,
    /// What the names of its files have to be like.
    pub pattern: Pattern,
}

impl Include {
    /// The files that it names now; none where the folder cannot be looked into.
    pub fn matching(&self) -> Vec<PathBuf> {
        disk::matching(&self.folder, &self.pattern).unwrap_or_default()
    }
}
