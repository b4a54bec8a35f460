//! docs/security.md names a test for each thing that it says: each of them has to
//! be there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use restante_tests::repository;

/// The rooms that have tests.
const ROOMS: [&str; 5] = ["guest-sdk", "host", "plugins", "tests", "xtask"];

#[test]
fn every_test_of_the_threat_model_exists() {
    let text = fs::read_to_string(repository().join("docs/security.md")).unwrap();
    let mut tests = BTreeMap::new();
    for room in ROOMS {
        collect(&repository().join(room), &mut tests);
    }
    let mut named = 0;
    let mut wrong = Vec::new();
    for row in text.lines().filter(|line| line.starts_with("| ")) {
        // The last column of each table.
        let Some(column) = row.trim_end_matches('|').rsplit('|').next() else {
            continue;
        };
        let names: Vec<&str> = column.split('`').skip(1).step_by(2).collect();
        let heading = column.trim() == "shown by";
        if names.is_empty() && !heading {
            wrong.push(format!("no test: {row}"));
        }
        for name in names {
            named += 1;
            match tests.get(name) {
                Some(1) => {}
                Some(count) => wrong.push(format!("{count} tests are called {name}")),
                None => wrong.push(format!("there is no test {name}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(named > 50, "the tables were not found: {named} names");
}

/// How many tests there are by each name.
fn collect(folder: &Path, tests: &mut BTreeMap<String, usize>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, tests);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim_start) {
                let line = line.strip_prefix("async ").unwrap_or(line);
                if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                    is_test = true;
                } else if let Some(rest) = line.strip_prefix("fn ") {
                    if let (true, Some((name, _))) = (is_test, rest.split_once('(')) {
                        *tests.entry(name.to_owned()).or_default() += 1;
                    }
                    is_test = false;
                }
            }
        }
    }
}

/// Interfaces of the contract that the host implements: world `host-side`.
const HOST_SIDE: [&str; 7] = [
    "files",
    "passwords",
    "maildrop",
    "database",
    "mail-index",
    "blobs",
    "hold",
];
/// Each function of the contract that the host has for guests has a row that says whose its
/// work is, what bounds it, what ends it, which place it holds and who pays. Of WASI it is
/// `each_linked_interface_of_wasi_is_accounted_for`, which knows what is linked.
#[test]
fn every_function_of_the_host_is_accounted_for() {
    let page = fs::read_to_string(repository().join("docs/host-functions.md")).unwrap();
    let rows: BTreeMap<&str, Vec<&str>> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| {
            let (name, rest) = line.split_once('`')?;
            Some((name, rest.trim_matches([' ', '|']).split(" | ").collect()))
        })
        .collect();
    let mut wanted: Vec<String> = Vec::new();
    for file in fs::read_dir(repository().join("wit")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|end| end == "wit") {
            wanted.extend(functions(&fs::read_to_string(path).unwrap()));
        }
    }
    assert!(wanted.len() > 10, "{wanted:?}");
    for name in &wanted {
        let columns = rows.get(name.as_str());
        let columns = columns.unwrap_or_else(|| panic!("no row for {name}"));
        assert_eq!(columns.len(), 5, "{name}: {columns:?}");
        assert!(
            columns.iter().all(|column| !column.trim().is_empty()),
            "{name}"
        );
    }
    for name in rows.keys().filter(|name| !name.starts_with("wasi:")) {
        assert!(
            wanted.iter().any(|wanted| wanted == name),
            "no function {name}"
        );
    }
}

/// "files.scan", "maildrop.message.read": what the host's interfaces of a WIT file have.
fn functions(wit: &str) -> Vec<String> {
    let (mut interface, mut resource) = (None, None);
    let mut found = Vec::new();
    for line in wit.lines() {
        let text = line.trim();
        let named = |kind: &str| text.strip_prefix(kind)?.strip_suffix(" {");
        if let Some(name) = named("interface ") {
            interface = HOST_SIDE.contains(&name).then_some(name);
            resource = None;
        } else if let Some(name) = named("resource ") {
            resource = Some(name);
        } else if line == "    }" {
            resource = None;
        } else if let (Some(interface), Some((name, _))) = (interface, text.split_once(": func(")) {
            let name = name.trim_start_matches('%');
            found.push(match resource {
                Some(resource) => format!("{interface}.{resource}.{name}"),
                None => format!("{interface}.{name}"),
            });
        }
    }
    found
}
