//! The room as its users see it: whole texts in, a [`Config`] or sentences out.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use std::collections::BTreeSet;

use super::*;

mod docs;
mod files;
mod grants;
mod include;
mod network;
mod problems;

/// Three sections that are right. None has a line break of its own in front,
/// so that a test's text keeps its line numbers when these follow it.
const LISTENER: &str = "[listener.l]\naddress = '127.0.0.1:1110'\ntls = 'off'\n";
const PLUGIN: &str = "[plugin.p]\ncomponent = 'builtin:p'\n";
const TENANT: &str = "[tenant.t]\nauthenticators = ['p']\nstore = 'p'\n";

/// Parses as if every path were what is wanted of it.
fn parse(text: &str) -> Result<Config, Problems> {
    let (name, base) = (Path::new("restante.toml"), Path::new("/etc/restante"));
    let disk = disk::Disk {
        look: |_, _| Ok(()),
        ..disk::ALONE
    };
    read::config(text, name, base, disk)
}

fn good(text: &str) -> Config {
    parse(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// What is said of a bad text, problem by problem.
fn said(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(_) => Vec::new(),
        Err(Problems(problems)) => problems.iter().map(Problem::to_string).collect(),
    }
}

/// A pattern that is prepared to be matched takes what memory and time it wants:
/// found by the fuzz target `config`.
#[test]
fn values_in_a_filter_are_no_patterns() {
    let never_ends = format!("info,[{{a=.*x{}}}]", ".".repeat(30));
    for filter in [&never_ends, "info,[{a=(}]"] {
        let log = format!("[server.log]\nfilter = '{filter}'\n");
        let config = good(&[&log, LISTENER, PLUGIN, TENANT].concat());
        assert_eq!(config.server.log.filter, filter);
    }
}

#[test]
fn the_least_takes_every_default() {
    let config = good(&[LISTENER, PLUGIN, TENANT].concat());
    assert_eq!(config.server.state_dir, Path::new("/var/lib/restante"));
    assert!(!config.server.hostname.is_empty());
    assert!(config.server.implementation);
    assert_eq!(config.server.utf8, Utf8::Surrogate);
    assert_eq!(config.server.certificate, None);
    assert_eq!(config.server.log, Log::default());
    assert_eq!(config.server.limits, ServerLimits::default());
    assert_eq!(
        config.listeners,
        [Listener {
            name: "l".into(),
            address: "127.0.0.1:1110".parse().unwrap(),
            tls: ListenerTls::Off,
            tls_minimum: TlsVersion::V1_2,
            proxy_protocol_from: vec![],
        }]
    );
    assert_eq!(
        config.plugins,
        [Plugin {
            place: config.plugins[0].place,
            name: "p".into(),
            component: ComponentSource::Builtin("p".into()),
            sha256: None,
            signing: Signing::default(),
            demands: vec![Demand::default()],
            settings: vec![],
            grants: Grants::default(),
            limits: PluginLimits::default(),
        }]
    );
    assert_eq!(
        config.tenants,
        [Tenant {
            place: config.tenants[0].place,
            name: "t".into(),
            domains: vec![],
            default_domain: None,
            server_names: vec![],
            default: true,
            certificate: None,
            client_authorities: None,
            signing: Signing::default(),
            authenticators: vec!["p".into()],
            acting_as: BTreeSet::new(),
            store: "p".into(),
            selectors: vec![],
            filters: vec![],
            filter_failure: FilterFailure::Refuse,
            shadows: ShadowNames::default(),
            admissions: vec![],
            plaintext_login: PlaintextLogin::Loopback,
            tls_minimum: TlsVersion::V1_2,
            expire: None,
            expire_max_share: 90,
            expire_max_clock_jump: Duration::from_secs(3600),
            login_delay: Duration::ZERO,
            policy_by_user: false,
            utf8: None,
            scram: Scram::Auto,
            apop: false,
            cram_md5: false,
            shares_maildrops: false,
            when_in_use: WhenInUse::Refuse,
            limits: TenantLimits::default(),
        }]
    );
    assert_eq!(config.warnings, []);
}

#[test]
fn an_authenticator_is_let_judge_who_acts_as_another_by_a_key() {
    let with = |authenticators: &str, rest: &str| {
        let tenant = format!("[tenant.t]\nauthenticators = {authenticators}\nstore = 'p'\n{rest}");
        [
            LISTENER,
            PLUGIN,
            "[plugin.q]\ncomponent = 'builtin:q'\n",
            &tenant,
        ]
        .concat()
    };
    for (entry, judges) in [
        ("'q'", false),
        ("{ plugin = 'q' }", false),
        ("{ plugin = 'q', acting-as = false }", false),
        ("{ plugin = 'q', acting-as = true }", true),
        ("{ plugin = 'q', shadow = true, acting-as = true }", true),
    ] {
        let config = good(&with(&format!("['p', {entry}]"), ""));
        let expected = judges.then(|| "q".to_owned());
        assert_eq!(
            config.tenants[0].acting_as,
            expected.into_iter().collect(),
            "{entry}"
        );
    }
    let entry = "{ plugin = 'q', acting-as = 'yes' }";
    let wrong = said(&with(&format!("['p', {entry}]"), ""));
    assert!(wrong[0].contains("`acting-as` in"), "{wrong:?}");
    // It is nothing for a filter to judge.
    let filters = "filters = [{ plugin = 'q', acting-as = true }]\n";
    let wrong = said(&with("['p']", filters));
    assert!(wrong[0].contains("unknown key `acting-as`"), "{wrong:?}");
}

#[test]
fn utf8_is_one_of_three() {
    for (text, utf8) in [
        ("surrogate", Utf8::Surrogate),
        ("refuse", Utf8::Refuse),
        ("off", Utf8::Off),
    ] {
        let server = format!("[server]\nutf8 = \"{text}\"\n");
        let config = good(&[&server, LISTENER, PLUGIN, TENANT].concat());
        assert_eq!(config.server.utf8, utf8);
    }
    assert_eq!(
        said(&["[server]\nutf8 = \"raw\"\n", LISTENER, PLUGIN, TENANT].concat()),
        [
            "restante.toml:2:8: `utf8` in [server] is `raw`\n  write one of `surrogate`, `refuse`, `off`"
        ]
    );
}

/// The example of the project's design, but for one plugin that it names and
/// leaves out.
const DESIGN: &str = r#"
[server]
hostname = "mail.example.org"
state-dir = "/var/lib/restante"        # compiled components; safe to delete
admin = "127.0.0.1:9110"
admin-token-file = "/etc/restante/admin.token"

[listener.pop3]
address = "[::]:110"
tls = "starttls"                       # "starttls" | "implicit" | "off"
[listener.pop3s]
address = "[::]:995"
tls = "implicit"

[plugin.users]
component = "builtin:passwd-file"      # builtin:NAME or a path; sha256 = "…" pins it
[plugin.users.settings]
file = "/users/passwd"
[plugin.users.grants]
directories = [{ host = "/etc/restante/users", guest = "/users", access = "read" }]

[plugin.mail]
component = "builtin:maildir"
[plugin.mail.grants]
maildrop = "/var/mail/{domain}/{local}/Maildir"   # becomes "/maildrop" in the guest

[tenant.acme]
domains = ["acme.example"]
server-names = ["pop.acme.example"]
certificate = "/etc/restante/acme.pem"
key = "/etc/restante/acme.key"
authenticators = ["users"]             # asked in order; the first that knows the user decides
store = "mail"
filters = ["hide-spam"]
[tenant.acme.limits]
sessions = 1000
sessions-per-user = 10
"#;

#[test]
fn the_design_parses_whole() {
    assert_eq!(
        said(DESIGN),
        ["restante.toml:34:12: there is no plugin `hide-spam`\n  known here: `users`, `mail`"]
    );
    let config = good(&format!(
        "{DESIGN}[plugin.hide-spam]\ncomponent = 'builtin:rules'\n"
    ));
    let names =
        |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).into()).collect() };
    assert_eq!(config.server.hostname, "mail.example.org");
    assert_eq!(
        config.server.admin,
        Some(Admin {
            address: AdminAddress::Tcp("127.0.0.1:9110".parse().unwrap()),
            token_file: Some("/etc/restante/admin.token".into()),
        })
    );
    // In the file's order, not the alphabet's.
    let plugins: Vec<&str> = config
        .plugins
        .iter()
        .map(|plugin| plugin.name.as_str())
        .collect();
    assert_eq!(plugins, ["users", "mail", "hide-spam"]);
    assert_eq!(config.listeners[0].tls, ListenerTls::StartTls);
    assert_eq!(config.listeners[1].tls, ListenerTls::Implicit);
    assert_eq!(config.listeners[1].address, "[::]:995".parse().unwrap());
    let users = &config.plugins[0];
    assert_eq!(users.settings, [("file".into(), "/users/passwd".into())]);
    assert_eq!(
        users.grants.directories,
        [DirectoryGrant {
            host: "/etc/restante/users".into(),
            guest: "/users".into(),
            write: false,
        }]
    );
    let maildrop = config.plugins[1].grants.maildrop.as_ref().unwrap();
    assert_eq!(
        maildrop.template().as_str(),
        "/var/mail/{domain}/{local}/Maildir"
    );
    let tenant = &config.tenants[0];
    assert_eq!(tenant.domains, names(&["acme.example"]));
    assert_eq!(tenant.server_names, names(&["pop.acme.example"]));
    assert_eq!(
        tenant.certificate,
        Some(Pem {
            certificate: "/etc/restante/acme.pem".into(),
            key: "/etc/restante/acme.key".into(),
        })
    );
    assert!(!tenant.default);
    assert_eq!(tenant.filters, names(&["hide-spam"]));
    assert_eq!(
        (tenant.limits.sessions, tenant.limits.sessions_per_user),
        (1000, 10)
    );
}

#[test]
fn values_become_types() {
    let text = r#"
[server.limits]
connections = 500
autologout = "1h"
max-line = "1MiB"
failure-delay = "20s"
[server.log]
format = "json"
filter = "warn,restante::plugin=trace"
user-names = "full"
[plugin.p]
component = "lib/p.wasm"
sha256 = "00ff10AB00000000000000000000000000000000000000000000000000000001"
[plugin.p.settings]
text = "a\nb"
number = 0x10
big = 1_000
negative = -5
float = 1.50
yes = true
list = ["X: y", 3, false]
none = []
"dotted.key" = ""
[plugin.p.grants]
maildrop = "mail/{tenant}/{user}"
create-maildrop = true
follow-links = true
maildrop-owner = "vmail"
missing-maildrop = "empty"
maildrop-marker = ".mounted"
directories = [{ host = "users", guest = "/" }, { host = "/w", guest = "/a/b", access = "read-write" }]
http = ["HTTPS://IdP.example.org:443/", "http://127.0.0.1:8080", "https://idp.example.org"]
http-authorities = "ca.pem"
connect = ["TLS://Pop.example.org:995", "tcp://[::1]:110"]
connect-authorities = "pop.pem"
[plugin.p.limits]
memory = "1GiB"
http-octets = "64KiB"
cpu-time = "500ms"
log-lines = 0
"#;
    let tenant = "[tenant.t]\ndomains = ['ACME.Example']\nserver-names = ['*.Acme.example']\ndefault = true\n\
                  authenticators = ['p']\nstore = 'p'\nplaintext-login = 'never'\n";
    let config = good(&[text, LISTENER, tenant].concat());
    let limits = &config.server.limits;
    assert_eq!((limits.connections, limits.unauthenticated), (500, 500));
    assert_eq!(limits.autologout, Duration::from_secs(3600));
    assert_eq!(limits.line, 1 << 20);
    // What grows does not begin beyond its end.
    assert_eq!(limits.failure_delay, Duration::from_secs(20));
    assert_eq!(limits.max_failure_delay, limits.failure_delay);
    assert_eq!(config.server.log.format, LogFormat::Json);
    assert_eq!(config.server.log.filter, "warn,restante::plugin=trace");
    assert_eq!(config.server.log.user_names, UserNames::Full);
    let plugin = &config.plugins[0];
    assert_eq!(
        plugin.component,
        ComponentSource::Path("/etc/restante/lib/p.wasm".into())
    );
    let digest = plugin.sha256.unwrap();
    assert_eq!(
        (&digest[..5], digest[31]),
        (&[0, 0xff, 0x10, 0xab, 0][..], 1)
    );
    let settings: Vec<(&str, &str)> = plugin
        .settings
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        settings,
        [
            ("text", "a\nb"),
            ("number", "16"),
            ("big", "1000"),
            ("negative", "-5"),
            ("float", "1.50"),
            ("yes", "true"),
            ("list", "X: y\n3\nfalse"),
            ("none", ""),
            ("dotted.key", ""),
        ]
    );
    let maildrop = plugin.grants.maildrop.as_ref().unwrap();
    assert_eq!(
        maildrop.template().as_str(),
        "/etc/restante/mail/{tenant}/{user}"
    );
    assert!(plugin.grants.create_maildrop && plugin.grants.follow_links);
    assert_eq!(plugin.grants.missing_maildrop, MissingMaildrop::Empty);
    assert_eq!(plugin.grants.maildrop_marker.as_deref(), Some(".mounted"));
    let owner = MaildropOwner::User("vmail".into());
    assert_eq!(plugin.grants.maildrop_owner, owner);
    let directories = &plugin.grants.directories;
    assert_eq!(directories[0].host, Path::new("/etc/restante/users"));
    assert_eq!((directories[0].write, directories[1].write), (false, true));
    let origins: Vec<String> = plugin.grants.http.iter().map(ToString::to_string).collect();
    assert_eq!(
        origins,
        ["https://idp.example.org", "http://127.0.0.1:8080"]
    );
    assert_eq!(
        plugin.grants.http_authorities.as_deref(),
        Some(Path::new("/etc/restante/ca.pem"))
    );
    let places = plugin.grants.connect.iter().map(ToString::to_string);
    let places: Vec<String> = places.collect();
    assert_eq!(places, ["tls://pop.example.org:995", "tcp://[::1]:110"]);
    assert_eq!(
        plugin.grants.connect_authorities.as_deref(),
        Some(Path::new("/etc/restante/pop.pem"))
    );
    assert_eq!(plugin.limits.http_octets, 64 << 10);
    assert_eq!(plugin.limits.memory, 1 << 30);
    assert_eq!(plugin.limits.cpu_time, Duration::from_millis(500));
    assert_eq!(plugin.limits.log_lines, 0);
    let tenant = &config.tenants[0];
    assert_eq!(tenant.domains, ["acme.example"]);
    assert_eq!(tenant.server_names, ["*.acme.example"]);
    assert_eq!(tenant.plaintext_login, PlaintextLogin::Never);
}

#[test]
fn settings_never_print() {
    let secret = "[plugin.p.settings]\npassword = 'hunter2'\n";
    let config = good(&[LISTENER, PLUGIN, secret, TENANT].concat());
    let shown = format!("{config:?} {config:#?}");
    assert!(
        shown.contains("password") && !shown.contains("hunter2"),
        "{shown}"
    );
    for bad in [
        "{ a = 'hunter2' }",
        "[['hunter2']]",
        "[\"hunter2\\nhunter2\"]",
    ] {
        let bad = format!("[plugin.p.settings]\npassword = {bad}\n");
        let shown = said(&[LISTENER, PLUGIN, &bad, TENANT].concat()).concat();
        assert!(
            shown.contains("`password`") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}

#[test]
fn odd_but_allowed_is_a_warning() {
    let text = "[plugin.spare]\ncomponent = 'builtin:p'\n\
                [plugin.m]\ncomponent = 'builtin:m'\ngrants.maildrop = '/mail/{local}'\n\
                [tenant.a]\ndomains = ['a.example']\nauthenticators = ['p']\nstore = 'm'\n";
    let second = "[tenant.b]\ndomains = ['b.example']\nauthenticators = ['p']\nstore = 'm'\n";
    let warned = |text: &str| -> Vec<String> {
        good(&[text, LISTENER, PLUGIN].concat())
            .warnings
            .iter()
            .map(Problem::to_string)
            .collect()
    };
    let spare =
        "restante.toml:1:9: no tenant uses the plugin `spare`\n  name it in a tenant, or remove it";
    assert_eq!(warned(text), [spare]);
    let shared = "restante.toml:3:9: users of 2 domains share the maildrops of [plugin.m] \
                  where their names agree before the `@`\n  put {domain} into its `maildrop`";
    let two = text.replace("'a.example'", "'a.example', 'c.example'");
    assert_eq!(warned(&two), [spare, shared]);
    let apart = two.replace("{local}", "{tenant}/{local}");
    assert_eq!(warned(&[&apart, second].concat()), [spare, shared]);
    assert_eq!(warned(&two.replace("{local}", "{domain}/{local}")), [spare]);
}

#[test]
fn whose_signatures_count() {
    const VENDOR: &str = "RWTN9ZieJZV14nzJE6AJlBO8AmSFSL2L5D3e9Sas5xFDp+oENUqH5a5L";
    const OTHER: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    // Server, plugin, tenant: lines of each; then the ids that count, and
    // whether there must be a signature.
    let demands = |server: &str, plugin: &str, tenant: &str| {
        let text = format!(
            "[server]\n{server}\n{LISTENER}[plugin.p]\ncomponent = './p.wasm'\n{plugin}\n{TENANT}{tenant}\n"
        );
        let config = good(&text);
        let demands = &config.plugins[0].demands;
        assert_eq!(
            demands,
            &[config.demand(&config.plugins[0], Some(&config.tenants[0]))]
        );
        let ids: Vec<String> = demands[0]
            .keys
            .iter()
            .map(|key| key.id().to_string())
            .collect();
        (ids.join(" "), demands[0].required)
    };
    let keys = |key: &str| format!("signature-keys = ['{key}', '{key}']");
    let (vendor, other) = ("E27595259E98F5CD", "E7620F1842B4E81F");
    let optional = |lines: String| format!("{lines}\nsigned = 'optional'");
    assert_eq!(demands("", "", ""), (String::new(), false));
    assert_eq!(demands(&keys(VENDOR), "", ""), (vendor.into(), true));
    assert_eq!(demands("", "", &keys(VENDOR)), (vendor.into(), true));
    assert_eq!(
        demands(&keys(VENDOR), "", &keys(OTHER)),
        (format!("{vendor} {other}"), true)
    );
    assert_eq!(
        demands(&keys(VENDOR), &keys(OTHER), &keys(VENDOR)),
        (other.into(), true)
    );
    assert_eq!(
        demands(&optional(keys(VENDOR)), "", ""),
        (vendor.into(), false)
    );
    // Required anywhere is required.
    assert_eq!(
        demands(&optional(keys(VENDOR)), "", "signed = 'required'"),
        (vendor.into(), true)
    );
    assert_eq!(
        demands(&keys(VENDOR), "signed = 'optional'", "signed = 'optional'"),
        (vendor.into(), true)
    );
    // What is inside needs none; nobody's signature is no signature.
    let config = good(&format!(
        "[server]\n{}\n{LISTENER}{PLUGIN}{TENANT}",
        keys(VENDOR)
    ));
    assert_eq!(config.plugins[0].demands, [Demand::default()]);
    let hopeless =
        format!("[plugin.p]\ncomponent = './p.wasm'\nsigned = 'required'\n{LISTENER}{TENANT}");
    assert_eq!(
        said(&hopeless),
        [
            "restante.toml:1:9: the component of [plugin.p] must be signed, and nobody's signature counts\n  \
          add signature-keys = [\"RW…\"] to [server], to its tenant or to the plugin"
        ]
    );
    let path = format!("[server]\nsignature-keys = ['minisign.pub']\n{LISTENER}{PLUGIN}{TENANT}");
    assert_eq!(
        said(&path),
        [
            "restante.toml:2:19: `minisign.pub` in `signature-keys` of [server] is no minisign public key\n  \
          write the second line of the minisign.pub, 56 characters that begin with RW"
        ]
    );
}
