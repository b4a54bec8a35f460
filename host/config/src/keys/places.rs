//! The keys of what the server listens at and what it connects to.

use super::key::{DAY, Default, GIB, KIB, Key, Kind, Table};

/// `[engine.NAME]`
pub const ENGINE: Table = Table {
    section: "[engine.NAME]",
    keys: &[
        Key {
            name: "kind",
            kind: Kind::Other,
            default: Default::Required,
            restart: true,
            help: r#"`"postgres"`: a PostgreSQL database, 15 or later, for any number of servers. `"embedded"`: files in `directory`, for one process."#,
        },
        Key {
            name: "url",
            kind: Kind::Other,
            default: Default::None,
            restart: true,
            help: "Required for `postgres`: `\"postgresql://ROLE@HOST/DATABASE\"`, without a password. Of several hosts, with commas between, the one that can be written to is used. Unless it has `sslmode=disable`, a host that is not this machine must show a certificate for its name.",
        },
        Key {
            name: "password-file",
            kind: Kind::Other,
            default: Default::None,
            restart: true,
            help: "For `postgres`: file whose first line is the role's password, read at the start. No other user should be able to read it.",
        },
        Key {
            name: "ca-file",
            kind: Kind::Other,
            default: Default::Words("the system's"),
            restart: true,
            help: "For `postgres`: authorities, PEM, by one of which the database's certificate must be signed.",
        },
        Key {
            name: "directory",
            kind: Kind::Other,
            default: Default::None,
            restart: true,
            help: "Required for `embedded`: a directory on a local file system that exists, belongs to the server's user or root, and that no other user can write to (mode 0700).",
        },
    ],
};

/// `[engine.NAME.s3]`
pub const ENGINE_S3: Table = Table {
    section: "[engine.NAME.s3]",
    keys: &[
        Key {
            name: "endpoint",
            kind: Kind::Other,
            default: Default::Required,
            restart: true,
            help: r#"Where the store is: `"https://HOST"` or `"https://HOST:PORT"`. The bucket's name becomes the first part of the path. `http://` is for an address of this machine only."#,
        },
        Key {
            name: "bucket",
            kind: Kind::Other,
            default: Default::Required,
            restart: true,
            help: "Name of the bucket, which must exist.",
        },
        Key {
            name: "region",
            kind: Kind::Other,
            default: Default::Value(r#""us-east-1""#),
            restart: true,
            help: "Its region, as the store has it.",
        },
        Key {
            name: "prefix",
            kind: Kind::Other,
            default: Default::Value(r#""""#),
            restart: true,
            help: r#"What the key of each object begins with, such as `"mail/"`. Two engines must not have one bucket and prefix, whichever servers they are on; servers that share an engine have the same."#,
        },
        Key {
            name: "credentials-file",
            kind: Kind::Other,
            default: Default::Required,
            restart: true,
            help: "File with the lines `aws_access_key_id = …` and `aws_secret_access_key = …`, and `aws_session_token = …` if there is one; one `[section]` line before them may be there. It is read when the engine is opened. No other user should be able to read it. The key must be allowed to read, write and delete objects, and to list the bucket.",
        },
        Key {
            name: "ca-file",
            kind: Kind::Other,
            default: Default::Words("the system's"),
            restart: true,
            help: "Authorities, PEM, by one of which the store's certificate must be signed.",
        },
        Key {
            name: "read-back",
            kind: Kind::Boolean,
            default: Default::Value("false"),
            restart: true,
            help: "Whether each message is read again after it was written, for stores that acknowledge what they have not kept.",
        },
        Key {
            name: "max-inline",
            kind: Kind::Size(0, 256 * KIB, ""),
            default: Default::Value(r#""16KiB""#),
            restart: true,
            help: "Messages of at most this size stay where the engine has them without a bucket. A change is for new messages: those that are there are found where they are.",
        },
    ],
};

/// `[database.NAME]`
pub const DATABASE: Table = Table {
    section: "[database.NAME]",
    keys: &[
        Key {
            name: "kind",
            kind: Kind::Other,
            default: Default::Required,
            restart: false,
            help: r#"`"postgres"`: a PostgreSQL database. `"sqlite"`: a SQLite file. The bounds of calls are below the table."#,
        },
        Key {
            name: "url",
            kind: Kind::Other,
            default: Default::None,
            restart: false,
            help: "Required for `postgres`: `\"postgresql://ROLE@HOST/DATABASE\"`, without a password. The role decides what plugins may read and change, so it should have no more rights than they need. You may name several hosts with commas between; the server uses the first that answers, which may be a read-only standby unless the URL has `target_session_attrs=read-write`. Unless it has `sslmode=disable`, a host that is not this machine must show a certificate for its name.",
        },
        Key {
            name: "password-file",
            kind: Kind::Other,
            default: Default::None,
            restart: false,
            help: "For `postgres`: file whose first line is the role's password. No other user should be able to read it.",
        },
        Key {
            name: "ca-file",
            kind: Kind::Other,
            default: Default::Words("the system's"),
            restart: false,
            help: "For `postgres`: authorities, PEM, by one of which the database's certificate must be signed.",
        },
        Key {
            name: "file",
            kind: Kind::Other,
            default: Default::None,
            restart: false,
            help: "Required for `sqlite`: path of the file, which must exist when the server starts or reloads. It is opened for writing only when a plugin changes something.",
        },
        Key {
            name: "cache-lifetime",
            kind: Kind::Duration(0, DAY, ""),
            default: Default::Value(r#""0s""#),
            restart: false,
            help: "How long the answer to an authenticator's query is remembered that has a row. See [remembered answers](#remembered-answers).",
        },
        Key {
            name: "cache-negative-lifetime",
            kind: Kind::Duration(0, DAY, ""),
            default: Default::Value(r#""0s""#),
            restart: false,
            help: "The same for an answer without a row: a user who is not there.",
        },
        Key {
            name: "cache-size",
            kind: Kind::Size(64 * KIB, GIB, ""),
            default: Default::Value(r#""8MiB""#),
            restart: false,
            help: "Memory for remembered answers, of all tenants together. If it is full, the tenant with the most of it loses what it has not used for longest.",
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
