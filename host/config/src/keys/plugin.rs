//! The keys of `[plugin.NAME]` and what is below it.

use super::key::{Default, GIB, HOUR, KIB, Key, Kind, MAX_COUNT, MILLISECOND, Table};

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
            help: r#"Where the maildrops of a store plugin are: a path with placeholders, expanded for each login, of the directory that is `/maildrop` in the plugin; or `"engine:NAME/…"`, with placeholders too, for a [maildrop in an engine](#a-maildrop-in-an-engine)."#,
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
            help: r#"What happens at login if the directory is missing or empty, and `create-maildrop` is not set: `"refuse"` fails the login with `[SYS/TEMP]`; `"empty"` lets `maildir` and `mbox` show an empty maildrop (of a missing directory the plugin gets none in that session). Set it where the program that delivers mail makes the directory with a user's first message."#,
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
        Key {
            name: "databases",
            kind: Kind::Other,
            default: Default::Value("[]"),
            restart: false,
            help: r#"[Databases](#databasename) that the plugin may ask, by the names of their sections: `["users"]`, for `[database.users]`; no name twice. The plugin reaches the whole of what the database's role may see, like every other plugin with this grant."#,
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
            help: "Octets of the bodies of HTTP answers that one call receives, and as many of the bodies of requests that it sends.",
        },
    ],
};
