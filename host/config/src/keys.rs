//! Every key of the configuration file as data: what it is called, what it may be, what
//! it is without a word, whether it takes a restart, and what it means.
//!
//! The readers take ranges and defaults from here; the tables of
//! docs/configuration.md and `restante config --keys` are made of it.

use std::time::Duration;

use super::units;

/// Counts have an end, in any key.
pub(crate) const MAX_COUNT: u32 = 10_000_000;

/// Live instances of plugins, in any key: address space has an end.
pub const MAX_INSTANCES: u32 = 10_000;

// Durations, in milliseconds.
const MILLISECOND: u64 = 1;
const SECOND: u64 = 1000 * MILLISECOND;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

// Sizes, in octets.
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The keys of one section.
#[derive(Debug)]
pub struct Table {
    /// Which section, `NAME` for those that have names.
    pub section: &'static str,
    /// Its keys, in the order in which they are documented.
    pub keys: &'static [Key],
}

/// One key.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// What it is called.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// What holds where the file does not say it.
    pub default: Default,
    /// Whether a change takes a restart: a reload goes on with the old value, and says so.
    pub restart: bool,
    /// What it means, in Markdown.
    pub help: &'static str,
}

/// What a key's value may be.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number, from the first to the second.
    Count(u32, u32),
    /// A duration, from the first to the second, in milliseconds; and where the first is
    /// written, if it is not ours.
    Duration(u64, u64, &'static str),
    /// A size, from the first to the second, in octets; and where the first is written.
    Size(u64, u64, &'static str),
    /// `true` or `false`.
    Boolean,
    /// What its reader says.
    Other,
}

/// What holds where the file does not say a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Default {
    /// The file has to say it.
    Required,
    /// Nothing.
    None,
    /// This, as the file would have it.
    Value(&'static str),
    /// What these words say.
    Words(&'static str),
}

/// All of them, in the order in which they are documented.
pub const TABLES: [&Table; 12] = [
    &SERVER,
    &SERVER_LOG,
    &SERVER_LIMITS,
    &LISTENER,
    &PLUGIN,
    &PLUGIN_GRANTS,
    &DIRECTORY,
    &PLUGIN_LIMITS,
    &TENANT,
    &AUTHENTICATOR,
    &LISTED,
    &TENANT_LIMITS,
];

/// Keys that had another name before: section, old name, new name. The old one is an
/// error that names the new one.
pub(crate) const RENAMED: [(&str, &str, &str); 6] = [
    ("[server.limits]", "line", "max-line"),
    ("[server.limits]", "unauthenticated", "max-unauthenticated"),
    (
        "[server.limits]",
        "longest-failure-delay",
        "max-failure-delay",
    ),
    (
        "[tenant.NAME.limits]",
        "logins-a-minute",
        "logins-per-minute",
    ),
    (
        "[tenant.NAME.limits]",
        "guest-cpu-a-minute",
        "guest-cpu-per-minute",
    ),
    (
        "[tenant.NAME.limits]",
        "host-call-octets-a-minute",
        "host-call-octets-per-minute",
    ),
];

impl Table {
    /// What a key of this name is called now.
    pub(crate) fn renamed(&self, old: &str) -> Option<&'static str> {
        let entries = RENAMED.iter();
        let mut fitting =
            entries.filter(|(section, name, _)| *section == self.section && *name == old);
        fitting.next().map(|(_, _, new)| *new)
    }

    /// A key by its name.
    pub fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The same for a reader, which asks for what is in its table.
    ///
    /// # Panics
    /// If there is no such key.
    pub(crate) fn key(&self, name: &str) -> &'static Key {
        let key = self.find(name);
        key.unwrap_or_else(|| panic!("{name} is no key of {}", self.section))
    }
}

impl Key {
    /// Its default, where the file could say it.
    pub(crate) fn default_text(&self) -> Option<&'static str> {
        match self.default {
            Default::Value(text) => Some(text),
            _ => None,
        }
    }

    /// Its default as a duration.
    pub(crate) fn default_duration(&self) -> Option<Duration> {
        units::duration(self.default_text()?.trim_matches('"')).ok()
    }

    /// Its default as a size, in octets.
    pub(crate) fn default_size(&self) -> Option<u64> {
        units::size(self.default_text()?.trim_matches('"')).ok()
    }

    /// Its default as a number.
    pub(crate) fn default_count(&self) -> Option<u32> {
        self.default_text()?.parse().ok()
    }

    /// The least and the most that it may be, as the file would have them.
    pub fn range(&self) -> Option<String> {
        let written = |least: String, most: String, source: &str| match source {
            "" => format!("`\"{least}\"` to `\"{most}\"`"),
            source => format!("`\"{least}\"` ({source}) to `\"{most}\"`"),
        };
        match self.kind {
            Kind::Duration(least, most, source) => {
                let show = |length| units::show_duration(Duration::from_millis(length));
                Some(written(show(least), show(most), source))
            }
            Kind::Size(least, most, source) => Some(written(
                units::show_size(least),
                units::show_size(most),
                source,
            )),
            Kind::Count(..) | Kind::Boolean | Kind::Other => None,
        }
    }

    /// Its row of a table in docs/configuration.md.
    pub fn row(&self) -> String {
        let default = match self.default {
            Default::Required => "—".to_owned(),
            Default::None => "none".to_owned(),
            Default::Value(text) => format!("`{text}`"),
            Default::Words(words) => words.to_owned(),
        };
        let mut meaning = self.help.to_owned();
        if let Some(range) = self.range() {
            meaning.push_str(&format!(" From {range}."));
        }
        if self.restart {
            meaning.push_str(" Takes a restart.");
        }
        format!("| `{}` | {default} | {meaning} |", self.name)
    }
}

/// `[server]`
pub const SERVER: Table = Table {
    section: "[server]",
    keys: &[
        Key {
            name: "hostname",
            kind: Kind::Other,
            default: Default::Words("the machine's name"),
            restart: false,
            help: "The domain name in the greeting.",
        },
        Key {
            name: "state-dir",
            kind: Kind::Other,
            default: Default::Value(r#""/var/lib/restante""#),
            restart: true,
            help: "Directory for compiled components with the key of their seals, and for the secret behind SCRAM's answers for unknown users. It is made when it is needed, and is safe to delete. It and each directory above it must belong to root or to the server's user, and no other user may be able to write to it (above it, a sticky directory such as `/tmp` is allowed). Otherwise nothing is kept, and the log says why.",
        },
        Key {
            name: "certificate",
            kind: Kind::Other,
            default: Default::None,
            restart: false,
            help: "Certificate chain, PEM, the server's own certificate first. Comes with `key`.",
        },
        Key {
            name: "key",
            kind: Kind::Other,
            default: Default::None,
            restart: false,
            help: "The private key of `certificate`, PEM. The log warns if users other than its owner and group can read it, or users other than its owner can write to it; likewise for the admin token.",
        },
        Key {
            name: "admin",
            kind: Kind::Other,
            default: Default::None,
            restart: true,
            help: r#"Address for [health, metrics and commands](operations.md#the-admin-address): `"unix:PATH"`, or a loopback address and a port."#,
        },
        Key {
            name: "admin-token-file",
            kind: Kind::Other,
            default: Default::None,
            restart: true,
            help: "File with the token for the admin address; required if `admin` is a port.",
        },
        Key {
            name: "user",
            kind: Kind::Other,
            default: Default::None,
            restart: true,
            help: "User to switch to after binding the listeners, when started as root: see [as a service](operations.md#as-a-service).",
        },
        Key {
            name: "group",
            kind: Kind::Other,
            default: Default::Words("the user's"),
            restart: true,
            help: "Group to switch to, likewise.",
        },
        Key {
            name: "compiler-user",
            kind: Kind::Other,
            default: Default::Words("`nobody` (65534)"),
            restart: true,
            help: "User that [compiles components](operations.md#the-compiler) if the server runs as root; it needs no file and no permission, and should do nothing else. Not together with `user`.",
        },
        Key {
            name: "signature-keys",
            kind: Kind::Other,
            default: Default::Value("[]"),
            restart: false,
            help: "Minisign public keys whose signatures of components count. See [signatures](plugins/trust.md#whose-component-it-is).",
        },
        Key {
            name: "signed",
            kind: Kind::Other,
            default: Default::Value(r#""optional""#),
            restart: false,
            help: r#"`"required"`: a component without a valid signature by one of the keys is refused. This is the default if `signature-keys` is not empty."#,
        },
        Key {
            name: "watch",
            kind: Kind::Boolean,
            default: Default::Value("true"),
            restart: false,
            help: "Whether the server reloads automatically when a file of the configuration changes: see [watching](operations.md#watching).",
        },
        Key {
            name: "implementation",
            kind: Kind::Boolean,
            default: Default::Value("true"),
            restart: false,
            help: "Whether CAPA announces IMPLEMENTATION (RFC 2449 section 6.9).",
        },
        Key {
            name: "oauth-scope",
            kind: Kind::Other,
            default: Default::None,
            restart: false,
            help: "OAuth scopes, separated by spaces, that are sent to a client when its token is refused (RFC 7628 section 3.2.2).",
        },
        Key {
            name: "oauth-configuration",
            kind: Kind::Other,
            default: Default::None,
            restart: false,
            help: "URL of the issuer's OpenID configuration, sent to the client likewise.",
        },
        Key {
            name: "scram-iterations",
            kind: Kind::Count(4096, MAX_COUNT),
            default: Default::Value("4096"),
            restart: false,
            help: "SCRAM iteration count for unknown users, and for users whose keys are derived from a password at each login. Set it to the count of your stored keys; otherwise clients can tell which users exist.",
        },
        Key {
            name: "mock-secret-file",
            kind: Kind::Other,
            default: Default::Words("a secret in `state-dir`"),
            restart: true,
            help: "File with the secret behind SCRAM's answers for unknown users and the salts of derived keys: one line of 32 to 1024 letters, digits and signs, such as `openssl rand -hex 32` makes. Give all servers that clients take for one the same file; otherwise a client that asks two of them learns which users exist.",
        },
        Key {
            name: "utf8",
            kind: Kind::Other,
            default: Default::Value(r#""surrogate""#),
            restart: false,
            help: r#"How messages with octets beyond ASCII in a header are sent to clients that have not issued UTF8: `"surrogate"`, `"refuse"` or `"off"`. See [UTF-8 in headers](#utf-8-in-headers)."#,
        },
    ],
};

/// `[server.log]`
pub const SERVER_LOG: Table = Table {
    section: "[server.log]",
    keys: &[
        Key {
            name: "format",
            kind: Kind::Other,
            default: Default::Value(r#""text""#),
            restart: true,
            help: r#"`"text"` for people, `"json"` for one object per line."#,
        },
        Key {
            name: "filter",
            kind: Kind::Other,
            default: Default::Value(r#""info""#),
            restart: true,
            help: r#"Which lines are logged: a level (`error`, `warn`, `info`, `debug`, `trace`), or levels by origin: `"info,restante=debug"`."#,
        },
        Key {
            name: "user-names",
            kind: Kind::Other,
            default: Default::Value(r#""known""#),
            restart: false,
            help: r#"Which names of failed logins are written as the client gave them, because people type passwords there: `"known"` names only, or `"full"` for all that look like names. See [operations.md](operations.md#names-of-failed-logins)."#,
        },
    ],
};

/// `[server.limits]`
pub const SERVER_LIMITS: Table = Table {
    section: "[server.limits]",
    keys: &[
        Key {
            name: "connections",
            kind: Kind::Count(1, MAX_COUNT),
            default: Default::Value("10000"),
            restart: true,
            help: "Open connections on all listeners together.",
        },
        Key {
            name: "connections-per-address",
            kind: Kind::Count(1, MAX_COUNT),
            default: Default::Value("50"),
            restart: true,
            help: "Open connections of one client address; for IPv6, a network of 64 bits counts as one address.",
        },
        Key {
            name: "connections-per-network",
            kind: Kind::Count(1, MAX_COUNT),
            default: Default::Value("200"),
            restart: true,
            help: "Open connections of one client network: 24 bits of IPv4, 48 bits of IPv6.",
        },
        Key {
            name: "max-unauthenticated",
            kind: Kind::Count(1, MAX_COUNT),
            default: Default::Value("1000"),
            restart: true,
            help: "Open connections that are not logged in; at most `connections`, which also bounds this default.",
        },
        Key {
            name: "instances",
            kind: Kind::Count(1, MAX_INSTANCES),
            default: Default::Value("1000"),
            restart: true,
            help: "Live plugin instances, `10000` at most. A session holds one while it is not idle, a login up to three for a moment. For the largest number that was ever live at once, up to 128 KiB each stays allocated for the next instances.",
        },
        Key {
            name: "proxy-timeout",
            kind: Kind::Duration(SECOND, MINUTE, ""),
            default: Default::Value(r#""3s""#),
            restart: true,
            help: "From accept to the end of a PROXY header.",
        },
        Key {
            name: "login-timeout",
            kind: Kind::Duration(SECOND, DAY, ""),
            default: Default::Value(r#""3m""#),
            restart: false,
            help: "From accept to login.",
        },
        Key {
            name: "autologout",
            kind: Kind::Duration(10 * MINUTE, 7 * DAY, "RFC 1939 section 3"),
            default: Default::Value(r#""10m""#),
            restart: false,
            help: "Idle time after login, after which the connection is closed without UPDATE.",
        },
        Key {
            name: "handshake-timeout",
            kind: Kind::Duration(SECOND, DAY, ""),
            default: Default::Value(r#""30s""#),
            restart: false,
            help: "For a TLS handshake.",
        },
        Key {
            name: "write-timeout",
            kind: Kind::Duration(SECOND, DAY, ""),
            default: Default::Value(r#""5m""#),
            restart: false,
            help: "How long a client may accept no octet of what is sent to it.",
        },
        Key {
            name: "compile-time",
            kind: Kind::Duration(SECOND, HOUR, ""),
            default: Default::Value(r#""2m""#),
            restart: true,
            help: "CPU time to compile one component, in whole seconds, over all processors.",
        },
        Key {
            name: "compile-memory",
            kind: Kind::Size(256 * MIB, 1024 * GIB, ""),
            default: Default::Value(r#""4GiB""#),
            restart: true,
            help: "Memory to compile one component.",
        },
        Key {
            name: "max-line",
            kind: Kind::Size(255, MIB, "RFC 2449 section 4"),
            default: Default::Value(r#""8KiB""#),
            restart: false,
            help: "Length of a command line, CRLF included.",
        },
        Key {
            name: "bad-commands-before-login",
            kind: Kind::Count(1, MAX_COUNT),
            default: Default::Value("5"),
            restart: false,
            help: "Wrong commands before login; then the connection is closed.",
        },
        Key {
            name: "bad-commands-after-login",
            kind: Kind::Count(1, MAX_COUNT),
            default: Default::Value("20"),
            restart: false,
            help: "Wrong commands after login; then the connection is closed.",
        },
        Key {
            name: "login-failures",
            kind: Kind::Count(1, MAX_COUNT),
            default: Default::Value("3"),
            restart: false,
            help: "Failed logins of one connection; then it is closed.",
        },
        Key {
            name: "failure-delay",
            kind: Kind::Duration(0, MINUTE, ""),
            default: Default::Value(r#""2s""#),
            restart: false,
            help: "How long the answer to the first failed login of a client address is delayed.",
        },
        Key {
            name: "max-failure-delay",
            kind: Kind::Duration(0, MINUTE, ""),
            default: Default::Value(r#""15s""#),
            restart: false,
            help: r#"The longest delay: each further failure doubles it up to this; `failure-delay` to `"1m"`. The default is also at least `failure-delay`."#,
        },
        Key {
            name: "failure-decay",
            kind: Kind::Duration(SECOND, DAY, ""),
            default: Default::Value(r#""1m""#),
            restart: false,
            help: "After this long without another failure, one failed login is forgotten.",
        },
        Key {
            name: "drain-time",
            kind: Kind::Duration(SECOND, 7 * DAY, ""),
            default: Default::None,
            restart: false,
            help: "How long sessions may go on with a configuration that a reload has replaced. After it, such sessions get `-ERR [SYS/TEMP]` as the answer to their next command, and nothing is deleted; an answer that is still being sent is cut off a minute later. Without the key they may go on until they end.",
        },
        Key {
            name: "shutdown-grace",
            kind: Kind::Duration(0, DAY, ""),
            default: Default::Value(r#""30s""#),
            restart: false,
            help: "How long running sessions may go on after SIGTERM.",
        },
    ],
};

/// `[listener.NAME]`
pub const LISTENER: Table = Table {
    section: "[listener.NAME]",
    keys: &[
        Key {
            name: "address",
            kind: Kind::Other,
            default: Default::Required,
            restart: true,
            help: r#"IP address and port: `"[::]:995"`, `"127.0.0.1:1110"`. Port 0 lets the system choose."#,
        },
        Key {
            name: "tls",
            kind: Kind::Other,
            default: Default::Required,
            restart: true,
            help: r#"`"implicit"`: TLS from the first octet (port 995). `"starttls"`: in the clear until the client issues STLS (port 110). `"off"`: never TLS. The first two need a certificate, the server's or a tenant's."#,
        },
        Key {
            name: "tls-minimum",
            kind: Kind::Other,
            default: Default::Value(r#""1.2""#),
            restart: true,
            help: r#"The oldest version of TLS: `"1.2"`, or `"1.3"`. A tenant may want a newer one. See [versions of TLS](#versions-of-tls)."#,
        },
        Key {
            name: "proxy-protocol-from",
            kind: Kind::Other,
            default: Default::Value("[]"),
            restart: true,
            help: r#"Networks and addresses of proxies, such as `["10.0.0.0/8", "::1"]`: their connections, and no others, must begin with a PROXY header. See [behind a proxy](#behind-a-proxy)."#,
        },
    ],
};

/// `[plugin.NAME]`
pub const PLUGIN: Table = Table {
    section: "[plugin.NAME]",
    keys: &[
        Key {
            name: "component",
            kind: Kind::Other,
            default: Default::Required,
            restart: false,
            help: r#"`"builtin:NAME"` for a built-in component, or else the path of a component file."#,
        },
        Key {
            name: "sha256",
            kind: Kind::Other,
            default: Default::None,
            restart: false,
            help: "The component's digest, 64 hex digits; a component with another digest is refused.",
        },
        Key {
            name: "signature-keys",
            kind: Kind::Other,
            default: Default::Value("[]"),
            restart: false,
            help: "Minisign public keys that count for this plugin, instead of the tenant's and the server's.",
        },
        Key {
            name: "signed",
            kind: Kind::Other,
            default: Default::Value(r#""optional""#),
            restart: false,
            help: "As in `[server]`.",
        },
    ],
};

/// `[plugin.NAME.grants]`
pub const PLUGIN_GRANTS: Table = Table {
    section: "[plugin.NAME.grants]",
    keys: &[
        Key {
            name: "directories",
            kind: Kind::Other,
            default: Default::Value("[]"),
            restart: false,
            help: "Directories, each a table as below.",
        },
        Key {
            name: "maildrop",
            kind: Kind::Other,
            default: Default::None,
            restart: false,
            help: "The directory that is `/maildrop` in a store plugin: a path with placeholders, expanded for each login.",
        },
        Key {
            name: "create-maildrop",
            kind: Kind::Boolean,
            default: Default::Value("false"),
            restart: false,
            help: "Whether a missing directory, and those above it below the [fixed part](#the-directory-of-a-maildrop), is created at login, accessible only to the server's user.",
        },
        Key {
            name: "missing-maildrop",
            kind: Kind::Other,
            default: Default::Value(r#""refuse""#),
            restart: false,
            help: r#"What happens at login if the directory is missing and is not created: `"refuse"` fails the login with `[SYS/TEMP]`; `"empty"` gives the plugin no directory in that session, and `maildir` shows an empty maildrop. Set it where the program that delivers mail makes the directory with a user's first message."#,
        },
        Key {
            name: "maildrop-marker",
            kind: Kind::Other,
            default: Default::None,
            restart: false,
            help: "Name of a file in the fixed part of `maildrop`. While it is missing, each login fails with `[SYS/TEMP]`: a file system that is not mounted has no such file.",
        },
        Key {
            name: "follow-links",
            kind: Kind::Boolean,
            default: Default::Value("false"),
            restart: false,
            help: "Whether symbolic links below the fixed part of `maildrop` are followed, wherever they lead. Set it only if nobody but you can create links there.",
        },
        Key {
            name: "maildrop-owner",
            kind: Kind::Other,
            default: Default::Words("the server's user"),
            restart: false,
            help: r#"Who may own that directory besides the server's user: the name of a user, a user's number, or `"any"`."#,
        },
        Key {
            name: "http",
            kind: Kind::Other,
            default: Default::Value("[]"),
            restart: false,
            help: r#"Origins that the plugin may send HTTP requests to: scheme, host and, if it is not the scheme's default, port. `["https://idp.example.org", "http://127.0.0.1:8080"]`; at most 100."#,
        },
        Key {
            name: "http-authorities",
            kind: Kind::Other,
            default: Default::None,
            restart: false,
            help: "Certificate authorities to trust for those servers, besides the system's, PEM.",
        },
        Key {
            name: "connect",
            kind: Kind::Other,
            default: Default::Value("[]"),
            restart: false,
            help: r#"Places that the plugin may open TCP connections to: `tls` or `tcp`, host and port. `["tls://pop.example.org:995", "tcp://127.0.0.1:110"]`; at most 100, no host and port twice."#,
        },
        Key {
            name: "connect-authorities",
            kind: Kind::Other,
            default: Default::None,
            restart: false,
            help: "Likewise, for the places of `connect` under TLS.",
        },
    ],
};

/// An entry of `directories` in [plugin.NAME.grants].
pub const DIRECTORY: Table = Table {
    section: "an entry of `directories` in [plugin.NAME.grants]",
    keys: &[
        Key {
            name: "host",
            kind: Kind::Other,
            default: Default::Required,
            restart: false,
            help: "The directory on this machine.",
        },
        Key {
            name: "guest",
            kind: Kind::Other,
            default: Default::Required,
            restart: false,
            help: "Its path in the plugin: absolute, each once, not `/maildrop`.",
        },
        Key {
            name: "access",
            kind: Kind::Other,
            default: Default::Value(r#""read""#),
            restart: false,
            help: r#"`"read"` or `"read-write"`."#,
        },
    ],
};

/// `[plugin.NAME.limits]`
pub const PLUGIN_LIMITS: Table = Table {
    section: "[plugin.NAME.limits]",
    keys: &[
        Key {
            name: "memory",
            kind: Kind::Size(64 * KIB, GIB, ""),
            default: Default::Value(r#""64MiB""#),
            restart: false,
            help: "Linear memory of one instance.",
        },
        Key {
            name: "cpu-time",
            kind: Kind::Duration(MILLISECOND, HOUR, ""),
            default: Default::Value(r#""2s""#),
            restart: false,
            help: "Processor time of one call: the guest's own computing, and what the host does for it synchronously.",
        },
        Key {
            name: "wall-time",
            kind: Kind::Duration(MILLISECOND, HOUR, ""),
            default: Default::Value(r#""30s""#),
            restart: false,
            help: "Time of one call, waiting included.",
        },
        Key {
            name: "log-lines",
            kind: Kind::Count(0, MAX_COUNT),
            default: Default::Value("1000"),
            restart: false,
            help: "Lines that one instance may log; further lines are dropped.",
        },
        Key {
            name: "http-octets",
            kind: Kind::Size(KIB, GIB, ""),
            default: Default::Value(r#""1MiB""#),
            restart: false,
            help: "Octets of the bodies of HTTP answers that one call receives.",
        },
    ],
};

/// `[tenant.NAME]`
pub const TENANT: Table = Table {
    section: "[tenant.NAME]",
    keys: &[
        Key {
            name: "domains",
            kind: Kind::Other,
            default: Default::Value("[]"),
            restart: false,
            help: "The part after the last `@` of its users, without regard to case. No two tenants may have the same domain, and a tenant with `domains` serves no users of other domains.",
        },
        Key {
            name: "default-domain",
            kind: Kind::Other,
            default: Default::None,
            restart: false,
            help: "Domain of users who log in without one: `alice` is `alice@` and this domain, for its plugins too. If the tenant has `domains`, one of them. See [names of users](#names-of-users).",
        },
        Key {
            name: "server-names",
            kind: Kind::Other,
            default: Default::Value("[]"),
            restart: false,
            help: r#"Names that clients ask for (SNI): exact, or `"*.example.org"` for one label in front. No two tenants may have the same name."#,
        },
        Key {
            name: "default",
            kind: Kind::Boolean,
            default: Default::Value("false"),
            restart: false,
            help: "Whether it serves clients that match no other tenant. At most one tenant may have it.",
        },
        Key {
            name: "certificate",
            kind: Kind::Other,
            default: Default::None,
            restart: false,
            help: "Certificate chain for `server-names`, PEM; without it, the server's. Comes with `key`.",
        },
        Key {
            name: "key",
            kind: Kind::Other,
            default: Default::None,
            restart: false,
            help: "The private key of `certificate`, PEM.",
        },
        Key {
            name: "client-authorities",
            kind: Kind::Other,
            default: Default::None,
            restart: false,
            help: "PEM file of certificate authorities: client certificates that they issued are requested and accepted for `server-names` (for the default tenant also without such a name), and EXTERNAL uses them. A client certificate of another authority ends the handshake; a client without a certificate may connect.",
        },
        Key {
            name: "signature-keys",
            kind: Kind::Other,
            default: Default::Value("[]"),
            restart: false,
            help: "Minisign public keys that count for this tenant's plugins, beside the server's.",
        },
        Key {
            name: "signed",
            kind: Kind::Other,
            default: Default::Value(r#""optional""#),
            restart: false,
            help: "As in `[server]`.",
        },
        Key {
            name: "authenticators",
            kind: Kind::Other,
            default: Default::Required,
            restart: false,
            help: "Plugins that know the users, asked in order; the first that knows the user decides. An entry may be a table: [acting as another](#acting-as-another), [shadows](#shadows).",
        },
        Key {
            name: "store",
            kind: Kind::Other,
            default: Default::Required,
            restart: false,
            help: "The plugin that keeps the mail.",
        },
        Key {
            name: "admissions",
            kind: Kind::Other,
            default: Default::Value("[]"),
            restart: false,
            help: "Plugins that decide whether a client may connect; all must admit it. They are called before the greeting and again when TLS is up, if the server name determines the tenant or no other tenant has `domains`; otherwise at login.",
        },
        Key {
            name: "selectors",
            kind: Kind::Other,
            default: Default::Value("[]"),
            restart: false,
            help: "Plugins that decide which part of a maildrop a login sees, in order.",
        },
        Key {
            name: "filters",
            kind: Kind::Other,
            default: Default::Value("[]"),
            restart: false,
            help: "Plugins that decide what a client sees of each message, in order.",
        },
        Key {
            name: "filter-failure",
            kind: Kind::Other,
            default: Default::Value(r#""refuse""#),
            restart: false,
            help: r#"What happens to a message on which a filter fails (a trap, a time-out, an invalid answer, a reported failure): `"refuse"` refuses the login; `"show"` shows the message as if there were no filter; `"hide"` hides it: it has no number in this session, and is not deleted. The filter is asked again at the next login. After three failures in one login, it is not asked about the remaining messages."#,
        },
        Key {
            name: "plaintext-login",
            kind: Kind::Other,
            default: Default::Value(r#""loopback""#),
            restart: false,
            help: r#"Whether clients may send a password without TLS: `"loopback"` (127.0.0.0/8 and ::1), `"always"`, `"never"`."#,
        },
        Key {
            name: "tls-minimum",
            kind: Kind::Other,
            default: Default::Value(r#""1.2""#),
            restart: false,
            help: r#"The oldest version of TLS that its users may log in with: `"1.2"`, or `"1.3"`; of this and the listener's the newer one counts. See [versions of TLS](#versions-of-tls)."#,
        },
        Key {
            name: "expire",
            kind: Kind::Other,
            default: Default::None,
            restart: false,
            help: r#"How long messages are kept at least: `"never"`, or days such as `"30d"`. It is announced as EXPIRE (RFC 2449 section 6.7) and enforced: at QUIT the host also removes those messages of the session's listing that are older, by the store's time of delivery; with `"0d"` those that the session retrieved. Without the key nothing expires."#,
        },
        Key {
            name: "expire-max-share",
            kind: Kind::Other,
            default: Default::Value(r#""90%""#),
            restart: false,
            help: r#"Largest share of the messages that `expire` removes at one QUIT, of those that the client has not deleted itself, `"1%"` to `"100%"`. If more would go, none goes, and the log warns. With `expire = "0d"` it has no effect. See [messages that expire](operations.md#messages-that-expire)."#,
        },
        Key {
            name: "expire-max-clock-jump",
            kind: Kind::Duration(MINUTE, 3650 * DAY, ""),
            default: Default::Value(r#""1h""#),
            restart: false,
            help: "How far the system's clock may have been set forward since the server started. If it was set further, `expire` removes nothing, and the log warns.",
        },
        Key {
            name: "login-delay",
            kind: Kind::Duration(SECOND, DAY, ""),
            default: Default::None,
            restart: false,
            help: r#"How soon a user may log in again, `"5m"`. It is announced as LOGIN-DELAY (RFC 2449 section 6.5); an earlier login is refused with `[LOGIN-DELAY]`."#,
        },
        Key {
            name: "policy-by-user",
            kind: Kind::Boolean,
            default: Default::Value("false"),
            restart: false,
            help: "Whether an account's attributes `expire` and `login-delay`, written the same way, may be less strict than the tenant's. CAPA then has `USER` for them before login.",
        },
        Key {
            name: "utf8",
            kind: Kind::Other,
            default: Default::Words("the server's"),
            restart: false,
            help: r#"As in `[server]`, for this tenant's users. With `"off"`, clients may still issue UTF8 if the server or another tenant offers it, because the tenant is not known before login."#,
        },
        Key {
            name: "shares-maildrops-with-other-tenants",
            kind: Kind::Boolean,
            default: Default::Value("false"),
            restart: false,
            help: "Whether its maildrops may be the same as those of other tenants with this key: `maildrop` is then not refused for these tenants, and their sessions respect each other's locks. A tenant still cannot serve a domain that another claims. A person who controls an authenticator or store of one of these tenants can read the others' mail.",
        },
        Key {
            name: "when-in-use",
            kind: Kind::Other,
            default: Default::Value(r#""refuse""#),
            restart: false,
            help: r#"What happens if a user logs in whose maildrop an older session of the same user has open: `"refuse"` refuses the login with `[IN-USE]`; `"take-over"` ends the older session, and nothing is deleted. See [a maildrop in use](operations.md#a-maildrop-in-use)."#,
        },
        Key {
            name: "scram",
            kind: Kind::Other,
            default: Default::Value(r#""auto""#),
            restart: false,
            help: r#"Whether SCRAM is offered: `"auto"` if it locks no user out, `"on"` or `"off"`. See [mechanisms](#mechanisms)."#,
        },
        Key {
            name: "apop",
            kind: Kind::Boolean,
            default: Default::Value("false"),
            restart: false,
            help: "Whether APOP is offered (RFC 1939 section 7). It needs an authenticator that keeps passwords in the clear. MD5 is broken, and so is APOP's use of it: use it only for clients that support nothing better.",
        },
        Key {
            name: "cram-md5",
            kind: Kind::Boolean,
            default: Default::Value("false"),
            restart: false,
            help: "Whether CRAM-MD5 is offered (RFC 2195). Likewise.",
        },
    ],
};

/// An entry of `authenticators` in [tenant.NAME].
pub const AUTHENTICATOR: Table = Table {
    section: "an entry of `authenticators` in [tenant.NAME]",
    keys: &[
        Key {
            name: "plugin",
            kind: Kind::Other,
            default: Default::Required,
            restart: false,
            help: "The plugin's name.",
        },
        Key {
            name: "acting-as",
            kind: Kind::Boolean,
            default: Default::Value("false"),
            restart: false,
            help: "Whether it judges who may act as another user. Set it only for a plugin whose documentation says that it does: a plugin that ignores the other user's name may let one user in as another.",
        },
        Key {
            name: "shadow",
            kind: Kind::Boolean,
            default: Default::Value("false"),
            restart: false,
            help: "Whether it is a [shadow](#shadows).",
        },
    ],
};

/// An entry of `filters` in [tenant.NAME].
pub const LISTED: Table = Table {
    section: "an entry of `filters` in [tenant.NAME]",
    keys: &[
        Key {
            name: "plugin",
            kind: Kind::Other,
            default: Default::Required,
            restart: false,
            help: "The plugin's name.",
        },
        Key {
            name: "shadow",
            kind: Kind::Boolean,
            default: Default::Value("false"),
            restart: false,
            help: "Whether it is a shadow.",
        },
    ],
};

/// `[tenant.NAME.limits]`
pub const TENANT_LIMITS: Table = Table {
    section: "[tenant.NAME.limits]",
    keys: &[
        Key {
            name: "sessions",
            kind: Kind::Count(1, MAX_COUNT),
            default: Default::Value("1000"),
            restart: false,
            help: "Sessions that are logged in, over all users.",
        },
        Key {
            name: "sessions-per-user",
            kind: Kind::Count(1, MAX_COUNT),
            default: Default::Value("10"),
            restart: false,
            help: "Sessions that are logged in, of one user; a further login gets `[IN-USE]`.",
        },
        Key {
            name: "logins-per-minute",
            kind: Kind::Count(1, MAX_COUNT),
            default: Default::None,
            restart: false,
            help: "Login attempts, including failed ones: a token bucket of this size, which refills evenly over a minute.",
        },
        Key {
            name: "instances",
            kind: Kind::Count(1, MAX_INSTANCES),
            default: Default::None,
            restart: false,
            help: "Live instances of its plugins, `10000` at most. A session holds one while it is not idle, a login up to three for a moment. If none is free, a call waits, at most for its `wall-time`.",
        },
        Key {
            name: "guest-memory",
            kind: Kind::Size(MIB, 1024 * 1024 * GIB, ""),
            default: Default::None,
            restart: false,
            help: "Linear memory of all its plugins' instances.",
        },
        Key {
            name: "guest-cpu-per-minute",
            kind: Kind::Duration(SECOND, DAY, ""),
            default: Default::None,
            restart: false,
            help: "Processor time of its plugins' calls in a minute, counted as for `cpu-time`, over all processors.",
        },
        Key {
            name: "host-call-octets-per-minute",
            kind: Kind::Size(64 * KIB, 1024 * 1024 * GIB, ""),
            default: Default::None,
            restart: false,
            help: "Octets in a minute of mail, of files and of listings that its plugins read or hand over through the calls of the contract, of files that they read or write through `wasi:filesystem`, and of their network connections in both directions. Files that the host sends itself do not count.",
        },
    ],
};
