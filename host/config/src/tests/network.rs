//! Where the server is reached, and what it shares with others.

use super::*;

/// Of the operator's side: where it is, and who may come there.
#[test]
fn admin_address_is_of_this_machine_and_guarded() {
    let server = |lines: &str| said(&["[server]\n", lines, LISTENER, PLUGIN, TENANT].concat());
    let admin = |lines: &str| {
        let text = ["[server]\n", lines, LISTENER, PLUGIN, TENANT].concat();
        good(&text).server.admin
    };
    let token = "admin-token-file = 'token'\n";
    let token_file = Some(PathBuf::from("/etc/restante/token"));
    let tcp = |address: &str| AdminAddress::Tcp(address.parse().unwrap());
    for address in ["127.0.0.1:9110", "[::1]:9110", "127.8.0.1:0"] {
        let address_of = admin(&format!("admin = '{address}'\n{token}"));
        let (address, token_file) = (tcp(address), token_file.clone());
        assert_eq!(
            address_of,
            Some(Admin {
                address,
                token_file
            })
        );
    }
    for (text, path) in [
        ("unix:/run/restante/admin.sock", "/run/restante/admin.sock"),
        ("unix:admin.sock", "/etc/restante/admin.sock"),
    ] {
        let address = AdminAddress::Unix(path.into());
        let without_token = Some(Admin {
            address,
            token_file: None,
        });
        assert_eq!(admin(&format!("admin = '{text}'\n")), without_token);
    }
    assert_eq!(admin(""), None);

    assert_eq!(
        server("admin = '0.0.0.0:9110'\nadmin-token-file = 'token'\n"),
        [
            "restante.toml:2:9: `admin` in [server] is 0.0.0.0:9110, which others reach than this machine\n  \
          write a loopback address such as \"127.0.0.1:9110\", or \"unix:/run/restante/admin.sock\""
        ]
    );
    assert_eq!(
        server("admin = '[::1]:9110'\n"),
        [
            "restante.toml:2:9: `admin` in [server] is a TCP port, which every program of this machine reaches, and there is no `admin-token-file`\n  \
          add admin-token-file = \"PATH\", or write \"unix:/run/restante/admin.sock\""
        ]
    );
    assert_eq!(
        server(token),
        [
            "restante.toml:2:20: `admin-token-file` in [server] is for `admin`, which is not there\n  \
          add admin = \"127.0.0.1:9110\", or remove it"
        ]
    );
    let mend =
        "write an IP address and a port: \"127.0.0.1:9110\", or \"unix:/run/restante/admin.sock\"";
    for wrong in ["localhost:9110", "127.0.0.1", "unix:"] {
        assert_eq!(
            server(&format!("admin = '{wrong}'\n{token}")),
            [format!(
                "restante.toml:2:9: `admin` in [server] is `{wrong}`\n  {mend}"
            )]
        );
    }
    let long = format!("admin = 'unix:/{}'\n", "x".repeat(107));
    assert_eq!(
        server(&long),
        [
            "restante.toml:2:9: `admin` in [server] is a path of 108 octets\n  \
          write one of at most 107: that is what a socket's name can have"
        ]
    );
    let taken = "admin = '127.0.0.1:1110'\nadmin-token-file = 'token'\n";
    assert_eq!(server(taken).len(), 1, "the listener has this address");
}

#[test]
fn proxies() {
    let listener = |from: &str| {
        let text = format!(
            "[listener.l]\naddress = '[::]:110'\ntls = 'off'\nproxy-protocol-from = [{from}]\n"
        );
        [&text, PLUGIN, TENANT].concat()
    };
    let config = good(&listener(
        "'10.0.0.0/8', '192.0.2.1', '::1', '2001:db8::/32', 'fe80::/10'",
    ));
    let from = &config.listeners[0].proxy_protocol_from;
    let shown: Vec<String> = from.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "10.0.0.0/8",
            "192.0.2.1/32",
            "::1/128",
            "2001:db8::/32",
            "fe80::/10"
        ]
    );
    assert_eq!(config.warnings, []);
    let everybody = good(&listener("'0.0.0.0/0', '::/0'")).warnings;
    assert_eq!(everybody.len(), 2, "{everybody:?}");
    assert!(everybody[0].what.contains("lets everybody say"));
}

#[test]
fn the_oldest_version_of_tls_is_a_listeners_and_a_tenants_own() {
    let listener =
        "[listener.l]\naddress = '127.0.0.1:1110'\ntls = 'starttls'\ntls-minimum = '1.3'\n";
    let server = "[server]\ncertificate = '/c.pem'\nkey = '/c.key'\n";
    let tenant = [TENANT, "tls-minimum = '1.3'\n"].concat();
    let config = good(&[server, listener, PLUGIN, &tenant].concat());
    assert_eq!(config.listeners[0].tls_minimum, TlsVersion::V1_3);
    assert_eq!(config.tenants[0].tls_minimum, TlsVersion::V1_3);
    assert_eq!(config.warnings, []);
    assert!(TlsVersion::V1_2 < TlsVersion::V1_3);
    // Where there is no TLS there is no version of it.
    let config = good(&[server, &listener.replace("starttls", "off"), PLUGIN, TENANT].concat());
    assert_eq!(config.warnings.len(), 1);
    assert!(
        config.warnings[0]
            .what
            .ends_with("is never used: tls = \"off\"")
    );
}

#[test]
fn servers_share_holds_by_an_engine_with_a_name_for_each() {
    let rest = [LISTENER, PLUGIN, TENANT].concat();
    let alone = good(&format!("[server]\nholds = 'memory'\n{rest}"));
    assert_eq!(alone.holds(), None);
    let engine = "[engine.db]\nkind = 'postgres'\nurl = 'postgresql://r@h1,h2/d'\n\
                  password-file = 'p'\nca-file = '/c'\n";
    let config = good(&format!(
        "[server]\nnode = 'mx-a'\nholds = 'db'\n{engine}{rest}"
    ));
    let (found, node) = config.holds().unwrap();
    assert_eq!((found.name.as_str(), node), ("db", "mx-a"));
    let kind = EngineKind::Postgres(PostgresPlace {
        url: "postgresql://r@h1,h2/d".into(),
        password_file: Some("/etc/restante/p".into()),
        ca_file: Some("/c".into()),
    });
    assert_eq!(found.kind, kind);
    assert_eq!(config.warnings, []);

    let warned = |text: &str| {
        let warnings = good(&format!("{text}{rest}")).warnings;
        warnings.iter().map(Problem::to_string).collect::<Vec<_>>()
    };
    let unused = warned(engine);
    assert!(
        unused[0].contains("[engine.db] is never used"),
        "{unused:?}"
    );
    let unused = warned("[server]\nnode = 'mx-a'\n");
    assert!(
        unused[0].contains("`node` in [server] is never used"),
        "{unused:?}"
    );
    let embedded = "[server]\nnode = 'mx-a'\nholds = 'e'\n\
                    [engine.e]\nkind = 'embedded'\ndirectory = 'x'\n";
    let of_one = warned(embedded);
    assert_eq!(of_one.len(), 1, "{of_one:?}");
    assert!(of_one[0].contains("one process alone"), "{of_one:?}");
}

/// A server would join both under its one name, and put itself out of the first.
#[test]
fn two_engines_are_two_places() {
    let rest = [LISTENER, PLUGIN, TENANT].concat();
    let url = "kind = 'postgres'\nurl = 'postgresql://r@h/d'\n";
    let engines = format!("[engine.a]\n{url}[engine.b]\n{url}");
    let told = said(&format!(
        "[server]\nnode = 'n'\nholds = 'a'\n{engines}{rest}"
    ));
    assert!(
        told.iter()
            .any(|line| line.contains("[engine.a] and [engine.b] are in the same place")),
        "{told:?}"
    );
}

const SPOOL: &str = "[server]\nnode = 'n'\n[listener.l]\naddress = '127.0.0.1:1110'\ntls = 'off'\n\
    [plugin.p]\ncomponent = 'builtin:p'\ngrants.maildrop = 'engine:a/{user}'\n\
    [tenant.t]\nauthenticators = ['p']\nstore = 'p'\n\
    [engine.a]\nkind = 'postgres'\nurl = 'postgresql://r@h/d'\n";
const BUCKET: &str =
    "endpoint = 'https://S3.example.org/'\nbucket = 'b'\ncredentials-file = 'key'\n";

#[test]
fn larger_messages_of_an_engine_may_be_in_a_bucket() {
    let bucket = |lines: &str| {
        let config = good(&format!("{SPOOL}[engine.a.s3]\n{BUCKET}{lines}"));
        assert_eq!(config.warnings, []);
        config.engines[0].s3.clone().unwrap()
    };
    let least = bucket("");
    let expected = BucketPlace {
        endpoint: HttpOrigin::new("https", "s3.example.org", None).unwrap(),
        bucket: "b".into(),
        region: "us-east-1".into(),
        prefix: String::new(),
        credentials_file: "/etc/restante/key".into(),
        ca_file: None,
        read_back: false,
        max_inline: 16 << 10,
    };
    assert_eq!(least, expected);
    assert_eq!(least.endpoint.to_string(), "https://s3.example.org");
    let most = bucket(
        "region = 'garage'\nprefix = 'mail/x/'\nca-file = '/ca'\nread-back = true\nmax-inline = '0B'\n",
    );
    let expected = BucketPlace {
        region: "garage".into(),
        prefix: "mail/x/".into(),
        ca_file: Some("/ca".into()),
        read_back: true,
        max_inline: 0,
        ..expected
    };
    assert_eq!(most, expected);
    assert_eq!(good(SPOOL).engines[0].s3, None);
    let embedded = SPOOL.replace(
        "kind = 'postgres'\nurl = 'postgresql://r@h/d'",
        "kind = 'embedded'\ndirectory = 'x'",
    );
    let config = good(&format!("{embedded}[engine.a.s3]\n{BUCKET}"));
    assert!(config.engines[0].s3.is_some());
    let for_this_machine = BUCKET.replace("https://S3.example.org/", "http://127.0.0.1:9000");
    good(&format!("{SPOOL}[engine.a.s3]\n{for_this_machine}"));
}

#[test]
fn what_is_wrong_with_a_bucket_is_said_in_words() {
    let told = |lines: &str| said(&format!("{SPOOL}[engine.a.s3]\n{lines}"));
    let missing = told("").join("\n");
    for key in ["endpoint", "bucket", "credentials-file"] {
        assert!(
            missing.contains(&format!("`{key}` is missing in [engine.a.s3]")),
            "{missing}"
        );
    }
    for (key, value, words) in [
        ("endpoint", "'s3.example.org'", "write \"https://HOST\""),
        ("endpoint", "'https://h/bucket'", "without the bucket"),
        ("endpoint", "'http://h'", "could be read on the way"),
        (
            "endpoint",
            "'http://10.0.0.1:9000'",
            "could be read on the way",
        ),
        ("endpoint", "'ftp://h'", "write \"https://HOST\""),
        (
            "endpoint",
            "'https://hidden:hidden@h'",
            "`credentials-file` names",
        ),
        ("endpoint", "1", "write a URL"),
        ("bucket", "''", "write the bucket's name"),
        ("bucket", "'a/b'", "write the bucket's name"),
        ("bucket", "'..'", "write the bucket's name"),
        ("bucket", "'ä'", "write the bucket's name"),
        ("region", "''", "write the region"),
        ("region", "'a b'", "write the region"),
        ("region", "'a/b'", "write the region"),
        ("prefix", "'/a'", "do not begin with"),
        ("prefix", "'a//'", "at most 512 octets"),
        ("prefix", "'a/../b'", "at most 512 octets"),
        ("credentials-file", "''", "write a path"),
        ("ca-file", "1", "a path, in quotes"),
        ("read-back", "'yes'", "write true or false"),
        ("max-inline", "'257KiB'", "at most \"256KiB\""),
        ("max-inline", "16", "has no unit"),
    ] {
        let lines: String = (BUCKET.lines())
            .filter(|line| !line.starts_with(key))
            .map(|line| format!("{line}\n"))
            .collect();
        let told = told(&format!("{lines}{key} = {value}\n"));
        assert_eq!(told.len(), 1, "{key} = {value}: {told:?}");
        assert!(
            told[0].contains(&format!("`{key}` in [engine.a.s3]")) && told[0].contains(words),
            "{key} = {value}: {told:?}"
        );
        assert!(!told[0].contains("hidden"), "{told:?}");
    }
    let misspelt = told(&format!("{BUCKET}prefx = 'a'\n")).join("\n");
    assert!(misspelt.contains("`prefix`"), "{misspelt}");
    let no_table = said(&format!("{SPOOL}s3 = 'b'\n")).join("\n");
    assert!(no_table.contains("[engine.a.s3]"), "{no_table}");
}

/// Objects of the one would be written over by the other.
#[test]
fn two_engines_are_two_parts_of_a_bucket() {
    let second = |bucket: &str| {
        let engine = "[engine.c]\nkind = 'postgres'\nurl = 'postgresql://r@h/e'\n[engine.c.s3]\n";
        said(&format!("{SPOOL}[engine.a.s3]\n{BUCKET}{engine}{bucket}"))
    };
    for same in [
        BUCKET.to_owned(),
        BUCKET.replace("S3.example.org/", "s3.example.org:443"),
        format!("{BUCKET}region = 'other'\nmax-inline = '1B'\n"),
    ] {
        let told = second(&same);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains("[engine.a.s3] and [engine.c.s3] are in the same place")
                && told[0].contains("`prefix`"),
            "{told:?}"
        );
    }
    for other in [
        format!("{BUCKET}prefix = 'c/'\n"),
        BUCKET.replace("bucket = 'b'", "bucket = 'c'"),
        BUCKET.replace("S3.", "s4."),
    ] {
        assert_eq!(second(&other), [""; 0]);
    }
}

#[test]
fn a_bucket_without_mail_is_warned_of() {
    let text = format!("{SPOOL}[engine.a.s3]\n{BUCKET}")
        .replace("node = 'n'", "node = 'n'\nholds = 'a'")
        .replace("grants.maildrop = 'engine:a/{user}'\n", "");
    let warnings = good(&text).warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].what.contains("[engine.a.s3] is never used"));
}
