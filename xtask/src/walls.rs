//! Which crate knows which: docs/architecture.md says it, the manifests hold it.

mod circles;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata};

use crate::cargo;

/// What a crate of the host may know of the others, by name.
type Walls = BTreeMap<String, BTreeSet<String>>;

/// The last column of the table of crates.
fn drawn(page: &str) -> Walls {
    let names = |cell: &str| {
        let quoted = cell.split('`').skip(1).step_by(2);
        quoted.map(str::to_owned).collect::<Vec<_>>()
    };
    let rows = page.lines().filter(|line| line.starts_with("| `restante"));
    rows.filter_map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').collect();
        let [name, _, _, knows] = *cells else {
            return None;
        };
        let name = names(name).pop()?;
        Some((name, names(knows).into_iter().collect()))
    })
    .collect()
}

/// What the manifests below host/ say. Tests may know more.
fn built(metadata: &Metadata, root: &Path) -> Walls {
    let host = root.join("host");
    let crates = metadata.packages.iter();
    let crates = crates.filter(|package| package.manifest_path.as_std_path().starts_with(&host));
    crates
        .map(|package| {
            let knows = package.dependencies.iter();
            let knows = knows.filter(|known| {
                known.kind != DependencyKind::Development && known.name.starts_with("restante")
            });
            let knows = knows.map(|known| known.name.clone()).collect();
            (package.name.to_string(), knows)
        })
        .collect()
}

#[test]
fn crates_know_what_the_page_says_and_no_more() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = root.canonicalize().expect("the checkout");
    let page = fs::read_to_string(root.join("docs/architecture.md")).expect("the page");
    let metadata = cargo::metadata(&root).expect("what cargo knows");
    let drawn = drawn(&page);
    assert!(
        drawn.len() >= 7,
        "the page's table was not found: {drawn:?}"
    );
    assert_eq!(built(&metadata, &root), drawn);
}

#[test]
fn one_crate_alone_knows_the_runtime() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let metadata = cargo::metadata(&root).expect("what cargo knows");
    let naming: Vec<_> = (metadata.packages.iter())
        .filter(|package| {
            let mut known = package.dependencies.iter();
            known.any(|known| known.name.starts_with("wasmtime"))
        })
        .map(|package| package.name.to_string())
        .collect();
    assert_eq!(naming, ["restante-wasm"]);
}

#[test]
fn one_crate_alone_knows_databases() {
    const DRIVERS: [&str; 3] = ["rusqlite", "rusty-s3", "tokio-postgres"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = root.canonicalize().expect("the checkout");
    let metadata = cargo::metadata(&root).expect("what cargo knows");
    let ours = metadata.packages.iter();
    let ours = ours.filter(|package| package.manifest_path.as_std_path().starts_with(&root));
    let naming: Vec<_> = ours
        .filter(|package| {
            let mut known = package.dependencies.iter();
            known.any(|known| DRIVERS.contains(&known.name.as_str()))
        })
        .map(|package| package.name.to_string())
        .collect();
    assert_eq!(naming, ["restante-engine"]);
}
