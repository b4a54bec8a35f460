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
                [listener.NAME]\nqqqqqqqqqq = 1\n[plugin.NAME]\nqqqqqqqqqq = 1\n\
                [plugin.NAME.grants]\nqqqqqqqqqq = 1\ndirectories = [{ qqqqqqqqqq = 1 }]\n\
                [plugin.NAME.limits]\nqqqqqqqqqq = 1\n\
                [tenant.NAME]\nqqqqqqqqqq = 1\nfilters = [{ qqqqqqqqqq = 1 }]\n[tenant.NAME.limits]\nqqqqqqqqqq = 1\n";
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
    let bare = format!("{rest}[plugin.NAME]\n{plugin}[tenant.NAME]\n{tenant}");
    let mut bare = good(&bare);
    let mut explicit = rest.to_owned();
    let mut count = 0;
    for (heading, rows) in tables() {
        if !heading.starts_with('[') || heading == "[listener.NAME]" {
            continue;
        }
        explicit.push_str(&format!("{heading}\n"));
        explicit.push_str(match heading {
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
    assert_eq!(count, 56);
}
