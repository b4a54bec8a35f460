//! The keys of `[tenant.NAME]` and what is below it.

use super::key::{
    DAY, Default, GIB, KIB, Key, Kind, MAX_COUNT, MAX_INSTANCES, MIB, MINUTE, SECOND, Table,
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
