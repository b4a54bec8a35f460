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
