//! What plugins and tenants are given.

use super::*;

#[test]
fn what_oauth_clients_hear() {
    let read =
        |lines: &str| said(&[&format!("[server]\n{lines}"), LISTENER, PLUGIN, TENANT].concat());
    let text = "oauth-scope = 'openid email'\noauth-configuration = 'https://idp.example.org/x'\n";
    let config = good(&[&format!("[server]\n{text}"), LISTENER, PLUGIN, TENANT].concat());
    assert_eq!(config.server.oauth.scope.as_deref(), Some("openid email"));
    let url = config.server.oauth.configuration.as_deref();
    assert_eq!(url, Some("https://idp.example.org/x"));
    for bad in ["''", "' a'", "'a  b'", "'a\"b'", "\"a\\nb\"", "'\u{e4}'"] {
        let problems = read(&format!("oauth-scope = {bad}\n"));
        assert!(problems[0].contains("`oauth-scope`"), "{bad}: {problems:?}");
    }
    for bad in [
        "''",
        "'idp.example.org'",
        "'https://'",
        "'https://a b'",
        "'file:///x'",
    ] {
        let problems = read(&format!("oauth-configuration = {bad}\n"));
        assert!(
            problems[0].contains("`oauth-configuration`"),
            "{bad}: {problems:?}"
        );
    }
}

#[test]
fn connections_are_granted_place_by_place() {
    let read = |lines: &str| {
        let grants = format!("[plugin.p.grants]\n{lines}\n");
        said(&[LISTENER, PLUGIN, &grants, TENANT].concat())
    };
    for bad in [
        "['pop.example.org:995']",
        "['tls://pop.example.org']",
        "['*']",
        "[995]",
        "['tls://a.example:995', 'tcp://A.example:995']",
    ] {
        let problems = read(&format!("connect = {bad}"));
        assert!(
            problems.len() == 1 && problems[0].contains("`connect`"),
            "{problems:?}"
        );
    }
    let problems = read("connect-authorities = 'ca.pem'");
    assert!(
        problems[0].contains("stands without `connect`"),
        "{problems:?}"
    );
    let grants =
        "[plugin.p.grants]\nconnect = ['tcp://pop.example.org:110', 'tcp://localhost:110']\n";
    let clear = [LISTENER, PLUGIN, grants, TENANT].concat();
    let warnings = good(&clear).warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].to_string().contains("in the clear"));
}

#[test]
fn http_is_granted_origin_by_origin() {
    let read = |lines: &str| {
        said(
            &[
                LISTENER,
                PLUGIN,
                &format!("[plugin.p.grants]\n{lines}\n"),
                TENANT,
            ]
            .concat(),
        )
    };
    for bad in [
        "['idp.example.org']",
        "['https://idp.example.org/realm']",
        "['*']",
        "[5]",
    ] {
        let problems = read(&format!("http = {bad}"));
        assert!(
            problems.len() == 1 && problems[0].contains("`http`"),
            "{problems:?}"
        );
    }
    let problems = read("http-authorities = 'ca.pem'");
    assert!(
        problems[0].contains("stands without `http`"),
        "{problems:?}"
    );
    let clear = [
        LISTENER,
        PLUGIN,
        "[plugin.p.grants]\nhttp = ['http://idp.example.org', 'http://localhost']\n",
        TENANT,
    ];
    let warnings = good(&clear.concat()).warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].to_string().contains("in the clear"));
}

/// Whether tenants a (a.example), b (b.example) and, with nothing, rest can be
/// served from stores with these templates.
#[test]
fn maildrops_keep_tenants_apart() {
    let refused = |templates: [&str; 3], lines: &str| -> Vec<String> {
        let tenant = |(name, template): (&str, &str)| {
            let claim = match name {
                "rest" => "default = true".to_owned(),
                name => format!("domains = ['{name}.example']"),
            };
            format!(
                "[plugin.m-{name}]\ncomponent = 'builtin:m'\ngrants.maildrop = '{template}'\n\
                 [tenant.{name}]\n{claim}\nauthenticators = ['p']\nstore = 'm-{name}'\n{lines}"
            )
        };
        let tenants = ["a", "b", "rest"].into_iter().zip(templates).map(tenant);
        let engines = ["e", "f"]
            .map(|name| format!("[engine.{name}]\nkind = 'embedded'\ndirectory = '/{name}'\n"));
        let text = tenants.chain([LISTENER.into(), PLUGIN.into()]);
        said(&text.chain(engines).collect::<String>())
    };
    let apart = |template| refused([template; 3], "").is_empty();
    for template in [
        "/mail/{tenant}/{user}",
        "/mail/x-{tenant}/{local}",
        "/mail/{domain}/{local}",
        "/mail/{local}/{domain}",
        "/mail/{local}/{tenant}",
    ] {
        assert!(apart(template), "{template}");
    }
    for template in [
        "/mail",
        "/mail/{user}",
        "/mail/{local}",
        "/mail/{maildrop}",
        "/mail/{attribute.home}",
        "/mail/x{domain}/{local}",
        "/mail/{tenant}{local}",
    ] {
        let said = refused([template; 3], "");
        assert!(!said.is_empty(), "{template}");
        let lines = "shares-maildrops-with-other-tenants = true\n";
        let said = refused([template; 3], lines);
        assert!(said.is_empty(), "{template}: {said:?}");
    }
    // In an engine each tenant has maildrops of its own, whatever it shares otherwise.
    let shared = "shares-maildrops-with-other-tenants = true\n";
    assert!(!refused(["engine:e/{user}"; 3], shared).is_empty());
    assert!(refused(["engine:e/{tenant}/{user}"; 3], shared).is_empty());
    for (templates, expected) in [
        (["/a/{local}", "/b/{local}", "/rest/{local}"], true),
        // Engines beside directories, and beside other engines.
        (["/e/{local}", "engine:e/{local}", "engine:f/{local}"], true),
        (
            ["/engine:e/{local}", "engine:e/{local}", "/e/{local}"],
            true,
        ),
        (
            ["engine:e/{local}", "engine:e/{local}", "/e/{local}"],
            false,
        ),
        (["engine:e/{domain}/{local}"; 3], true),
        (
            [
                "engine:e/a/{local}",
                "engine:e/b/{local}",
                "engine:e/c/{local}",
            ],
            true,
        ),
        (
            [
                "engine:e/a/{local}",
                "engine:e/a/b/{local}",
                "engine:e/c/{local}",
            ],
            false,
        ),
        (["/a/{local}", "/a/b/{local}", "/rest/{local}"], false),
        (["/A/{local}", "/a/{local}", "/rest/{local}"], false),
        (["/m/{domain}", "/m/b.example/{local}", "/m/{domain}"], true),
        (
            ["/m/{domain}", "/m/a.example/{local}", "/m/{domain}"],
            false,
        ),
        (["/m/{domain}", "/m/{domain}", "/m/c.example"], true),
        (["/m/{domain}", "/m/c.example", "/m/{domain}"], false),
        (["/m/{domain}", "/m/{local}", "/rest/{local}"], false),
    ] {
        let said = refused(templates, "");
        assert_eq!(said.is_empty(), expected, "{templates:?}: {said:?}");
    }
    let said = refused(["/m/{user}", "/m/{user}", "/rest/{user}"], "");
    assert_eq!(
        said,
        [
            "restante.toml:8:9: `maildrop` of [plugin.m-a] and [plugin.m-b] can lead users of \
          [tenant.a] and of [tenant.b] to the same mail\n  put {tenant} into it as a folder, or \
          {domain} where all of these tenants but one have `domains`"
        ]
    );
}

#[test]
fn plugins_are_granted_databases_by_name() {
    let rest = [LISTENER, TENANT].concat();
    let databases = "[database.users]\nkind = 'postgres'\nurl = 'postgresql://r@h1,h2/d'\n\
                     password-file = 'p'\nca-file = '/c'\n\
                     [database.old]\nkind = 'sqlite'\nfile = 'old.sqlite'\n";
    let plugin = |names: &str| format!("{PLUGIN}grants.databases = {names}\n");
    let config = good(&[databases, &plugin("['old', 'users']"), &rest].concat());
    let cache = DatabaseCache {
        lifetime: Duration::ZERO,
        negative_lifetime: Duration::ZERO,
        max_bytes: 8 << 20,
    };
    let users = Database {
        cache,
        name: "users".into(),
        kind: DatabaseKind::Postgres(PostgresPlace {
            url: "postgresql://r@h1,h2/d".into(),
            password_file: Some("/etc/restante/p".into()),
            ca_file: Some("/c".into()),
        }),
    };
    let old = Database {
        cache,
        name: "old".into(),
        kind: DatabaseKind::Sqlite {
            file: "/etc/restante/old.sqlite".into(),
        },
    };
    assert_eq!(config.databases, [users, old]);
    assert_eq!(config.plugins[0].grants.databases, ["old", "users"]);
    assert_eq!(config.warnings, []);
    let none = good(&[PLUGIN, &rest].concat());
    assert_eq!(none.plugins[0].grants.databases, [""; 0]);

    // Two plugins may have the same one; it may have an engine's name; all of it is
    // reloaded.
    let engine = "[server]\nnode = 'n'\nholds = 'old'\n\
                  [engine.old]\nkind = 'postgres'\nurl = 'postgresql://r@h/d'\n";
    let filter = "[plugin.f]\ncomponent = 'builtin:f'\ngrants.databases = ['old']\n";
    let more = "filters = ['f']\n";
    let granted = plugin("['old', 'users']");
    let config = good(&[engine, databases, &granted, filter, &rest, more].concat());
    assert_eq!(config.warnings, []);
    let without = good(&[engine, PLUGIN, &rest].concat());
    assert_eq!(config.fixed_differences(&without), [""; 0]);

    let unused = good(&[databases, &plugin("['old']"), &rest].concat()).warnings;
    let unused: Vec<String> = unused.iter().map(Problem::to_string).collect();
    assert_eq!(
        unused,
        ["restante.toml:1:11: [database.users] is never used\n  \
             remove it, or name it in `databases` of a plugin's grants"]
    );
}

#[test]
fn maildrops_are_granted_in_an_engine() {
    let grant = |maildrop: &str| format!("{PLUGIN}grants.maildrop = '{maildrop}'\n");
    let embedded = "[engine.mail]\nkind = 'embedded'\ndirectory = '/e'\n";
    let rest = [LISTENER, TENANT].concat();
    let text = [
        &grant("engine:mail/{tenant}/{domain}/{local}"),
        embedded,
        &rest,
    ]
    .concat();
    let config = good(&text);
    assert_eq!(config.warnings, []);
    let granted = config.plugins[0].grants.maildrop.as_ref().unwrap();
    assert_eq!(
        (granted.engine(), granted.directory()),
        (Some("mail"), None)
    );
    assert_eq!(granted.template().as_str(), "/{tenant}/{domain}/{local}");
    // What changes nothing may stand there.
    let idle = "grants.create-maildrop = false\ngrants.missing-maildrop = 'refuse'\n";
    let text = [&grant("engine:mail/{user}"), idle, embedded, &rest].concat();
    assert_eq!(good(&text).warnings, []);
    // One that servers share needs this server's name, and no `holds`.
    let postgres = "[server]\nnode = 'a'\n\
                    [engine.mail]\nkind = 'postgres'\nurl = 'postgresql://r@h/d'\n";
    let text = [postgres, &grant("engine:mail/{user}"), &rest].concat();
    assert_eq!(good(&text).warnings, []);
    // A brace is written twice, as in paths.
    let text = [&grant("engine:mail/{{x}}/{user}"), embedded, &rest].concat();
    let template = good(&text).plugins[0].grants.maildrop.clone().unwrap();
    assert_eq!(template.components("t").len(), 3);
}
