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
const HOST_SIDE: [&str; 3] = ["files", "passwords", "maildrop"];
/// WASI, as far as it is linked: docs/host-functions.md has a row for each of these.
const WASI: [&str; 31] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:config/store",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:logging/logging",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// Each function that the host has for guests has a row that says whose its work is,
/// what bounds it, what ends it, which place it holds and who pays.
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
    let mut wanted: Vec<String> = WASI.iter().map(|name| (*name).to_owned()).collect();
    for file in fs::read_dir(repository().join("wit")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|end| end == "wit") {
            wanted.extend(functions(&fs::read_to_string(path).unwrap()));
        }
    }
    assert!(wanted.len() > WASI.len() + 10, "{wanted:?}");
    for name in &wanted {
        let columns = rows.get(name.as_str());
        let columns = columns.unwrap_or_else(|| panic!("no row for {name}"));
        assert_eq!(columns.len(), 5, "{name}: {columns:?}");
        assert!(
            columns.iter().all(|column| !column.trim().is_empty()),
            "{name}"
        );
    }
    for name in rows.keys() {
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
