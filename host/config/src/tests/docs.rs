//! docs/configuration.md says what the code does: every example is good, every
//! key there is stands in a table, and every default is the one that is used.

use super::*;

const REFERENCE: &str = include_str!("../../../../docs/configuration.md");

/// Each ```toml block.
fn examples() -> Vec<&'static str> {
    let blocks = REFERENCE.split("```toml\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap())
        .collect()
}

/// Heading and rows (key, default) of each table of keys.
fn tables() -> Vec<(&'static str, Vec<(&'static str, &'static str)>)> {
    let mut tables = Vec::new();
    for section in REFERENCE.split("\n#").skip(1) {
        let heading = section
            .lines()
            .next()
            .unwrap()
            .trim_matches(['#', ' ', '`']);
        let rows: Vec<_> = section
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| {
                let cells: Vec<&str> = line.split('|').map(str::trim).collect();
                (cells[1].trim_matches('`'), cells[2])
            })
            .collect();
        if !rows.is_empty() {
            tables.push((heading, rows));
        }
    }
    tables
}

#[test]
fn every_example_is_good() {
    assert!(examples().len() >= 2);
    for example in examples() {
        let config = good(example);
        assert_eq!(config.warnings, [], "{example}");
    }
}

#[test]
fn every_key_stands_in_its_table() {
    // A key that nobody knows makes each section tell the ones it does.
    let text = "[server]\nqqqqqqqqqq = 1\n[server.log]\nqqqqqqqqqq = 1\n[server.limits]\nqqqqqqqqqq = 1\n\
                [engine.NAME]\nqqqqqqqqqq = 1\n[engine.NAME.s3]\nqqqqqqqqqq = 1\n[database.NAME]\nqqqqqqqqqq = 1\n[listener.NAME]\nqqqqqqqqqq = 1\n[plugin.NAME]\nqqqqqqqqqq = 1\n\
                [plugin.NAME.grants]\nqqqqqqqqqq = 1\ndirectories = [{ qqqqqqqqqq = 1 }]\n\
                [plugin.NAME.limits]\nqqqqqqqqqq = 1\n\
                [tenant.NAME]\nqqqqqqqqqq = 1\nauthenticators = [{ qqqqqqqqqq = 1 }]\n\
                filters = [{ qqqqqqqqqq = 1 }]\n[tenant.NAME.limits]\nqqqqqqqqqq = 1\n";
    let Err(Problems(problems)) = parse(text) else {
        panic!("unknown keys are let through");
    };
    let mut known = Vec::new();
    for problem in &problems {
        let Some(section) = problem.what.strip_prefix("unknown key `qqqqqqqqqq` in ") else {
            continue;
        };
        let mend = problem
            .mend
            .as_ref()
            .unwrap()
            .strip_prefix("known here: ")
            .unwrap();
        let keys: Vec<&str> = mend.split(", ").map(|key| key.trim_matches('`')).collect();
        known.push((section, keys));
    }
    let tables = tables();
    assert_eq!(known.len(), tables.len(), "{known:?}");
    for (heading, rows) in &tables {
        let section = match *heading {
            "An entry of `directories" => "an entry of `directories` in [plugin.NAME.grants]",
            "Acting as another" => "an entry of `authenticators` in [tenant.NAME]",
            "Shadows" => "an entry of `filters` in [tenant.NAME]",
            other => other,
        };
        let (_, keys) = known
            .iter()
            .find(|(name, _)| name == &section)
            .expect(section);
        let documented: Vec<&str> = rows.iter().map(|(key, _)| *key).collect();
        // Sections below this one have headings of their own.
        let below = |key: &str| {
            REFERENCE.contains(&format!("## `{}.{key}]`", section.trim_end_matches(']')))
        };
        for key in keys {
            assert!(
                documented.contains(key) || below(key),
                "{section} {key} is not documented"
            );
        }
        for key in documented {
            assert!(keys.contains(&key), "{section} {key} does not exist");
        }
    }
}

#[test]
fn every_default_is_the_one_that_is_used() {
    let rest = "[listener.NAME]\naddress = '127.0.0.1:1110'\ntls = 'off'\n";
    let plugin = "component = 'builtin:p'\n";
    let tenant = "domains = ['a.example']\nauthenticators = ['NAME']\nstore = 'NAME'\n";
    let engine = "kind = 'embedded'\ndirectory = 'x'\n";
    let s3 = "endpoint = 'https://h'\nbucket = 'b'\ncredentials-file = 'x'\n";
    let database = "kind = 'sqlite'\nfile = 'x'\n";
    let bare = format!(
        "{rest}[engine.NAME]\n{engine}[engine.NAME.s3]\n{s3}[database.NAME]\n{database}[plugin.NAME]\n{plugin}[tenant.NAME]\n{tenant}"
    );
    let mut bare = good(&bare);
    let mut explicit = rest.to_owned();
    let mut count = 0;
    for (heading, rows) in tables() {
        if !heading.starts_with('[') || heading == "[listener.NAME]" {
            continue;
        }
        explicit.push_str(&format!("{heading}\n"));
        explicit.push_str(match heading {
            "[engine.NAME]" => engine,
            "[engine.NAME.s3]" => s3,
            "[database.NAME]" => database,
            "[plugin.NAME]" => plugin,
            "[tenant.NAME]" => tenant,
            _ => "",
        });
        for (key, default) in rows {
            let default = default
                .strip_prefix('`')
                .and_then(|rest| rest.strip_suffix('`'));
            if let (Some(default), false) = (default, key == "domains") {
                explicit.push_str(&format!("{key} = {default}\n"));
                count += 1;
            }
        }
    }
    let mut explicit = good(&explicit);
    bare.warnings.clear();
    explicit.warnings.clear();
    explicit.plugins[0].place = bare.plugins[0].place;
    explicit.tenants[0].place = bare.tenants[0].place;
    assert_eq!(explicit, bare);
    assert_eq!(count, 72);
}

/// The tables are made of the keys: `RESTANTE_BLESS=1` writes them into the page.
#[test]
fn the_tables_are_made_of_the_keys() {
    let mut page = REFERENCE.to_owned();
    for table in crate::keys::TABLES {
        let heading = match table.section {
            "an entry of `directories` in [plugin.NAME.grants]" => "### An entry of `directories`",
            "an entry of `authenticators` in [tenant.NAME]" => "### Acting as another",
            "an entry of `filters` in [tenant.NAME]" => "### Shadows",
            section => &format!("## `{section}`"),
        };
        let begin = page.find(&format!("\n{heading}\n")).expect(heading);
        let first = begin + page[begin..].find("\n| `").expect(heading) + 1;
        let rest = &page[first..];
        let end = rest.find("\n\n").unwrap_or(rest.len() - 1);
        let rows: Vec<String> = table.keys.iter().map(crate::keys::Key::row).collect();
        page.replace_range(first..first + end, &rows.join("\n"));
    }
    if std::env::var_os("RESTANTE_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        std::fs::write(path, &page).unwrap();
    } else {
        assert!(
            page == REFERENCE,
            "docs/configuration.md is not made of the keys: RESTANTE_BLESS=1 cargo test -p restante-config tables_are_made"
        );
    }
}

/// What only a start can change is told, key by key, however it is written.
#[test]
fn a_change_that_takes_a_restart_is_named() {
    let base = "[listener.l]\naddress = '127.0.0.1:1'\ntls = 'off'\n[plugin.p]\ncomponent = 'builtin:p'\n\
                [tenant.t]\nauthenticators = ['p']\nstore = 'p'\n";
    let with = |text: &str| good(&format!("{text}{base}"));
    let named = |before: &str, after: &str| with(before).fixed_differences(&with(after));
    for (before, after) in [
        (
            "",
            "[server.limits]\ninstances = 1000\nproxy-timeout = '3000ms'\n",
        ),
        ("[server.limits]\ncompile-memory = '4096MiB'\n", ""),
        (
            "[server.limits]\nautologout = '11m'\n",
            "[server.limits]\nautologout = '12m'\n",
        ),
    ] {
        assert_eq!(named(before, after), [""; 0], "{before} {after}");
    }
    let every = "[engine.NAME]\nkind = 'postgres'\nurl = 'postgresql://r@h/d'\npassword-file = 'p'\nca-file = 'c'\n[engine.NAME.s3]\nendpoint = 'https://h'\nbucket = 'b'\ncredentials-file = 'x'\n[server]\nnode = 'n'\nholds = 'NAME'\nstate-dir = 'x'\nadmin = 'unix:y'\nuser = 'nobody'\ngroup = 'nogroup'\nmock-secret-file = 'z'\n\
                 [server.log]\nformat = 'json'\nfilter = 'debug'\n[server.limits]\nconnections = 9\n\
                 connections-per-address = 8\nconnections-per-network = 8\nmax-unauthenticated = 7\n\
                 instances = 6\nproxy-timeout = '2s'\ncompile-time = '1m'\ncompile-memory = '1GiB'\n";
    let mut marked: Vec<String> = (crate::keys::TABLES.iter())
        .flat_map(|table| table.keys.iter().map(move |key| (table, key)))
        .filter(|(table, key)| key.restart && table.section != "[listener.NAME]")
        .map(|(table, key)| format!("{} {}", table.section, key.name))
        // It stands beside a port only.
        .filter(|name| name != "[server] admin-token-file")
        // It does not stand beside `user`.
        .filter(|name| name != "[server] compiler-user")
        .collect();
    marked.sort();
    assert_eq!(named("", every), marked);
    let other = base.replace("127.0.0.1:1", "127.0.0.1:2");
    assert_eq!(
        good(base).fixed_differences(&good(&other)),
        ["[listener.l] address"]
    );
}
