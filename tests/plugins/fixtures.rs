//! Components that were built for released versions of the contract, in each
//! language: today's host loads them, and they keep every rule of the kit.
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use restante_tests::{Tool, binary, repository, require, run_to_end};

const XZ: Tool = Tool {
    name: "xz",
    probe: &["xz", "--version"],
    packages: &["xz-utils"],
};

/// What is compiled of them is kept for the next run: Python takes seconds.
fn cache() -> PathBuf {
    std::env::temp_dir().join("restante-test-fixtures")
}

/// A component of tests/fixtures, unpacked into this folder.
fn unpacked(packed: &Path, folder: &Path) -> PathBuf {
    let component = folder.join("component.wasm");
    let status = Command::new("xz")
        .args(["--decompress", "--stdout"])
        .arg(packed)
        .stdout(File::create(&component).unwrap())
        .status()
        .unwrap();
    assert!(status.success(), "{}", packed.display());
    component
}

/// What the kit needs to know of a fixture, the files in its folder made.
fn arguments(name: &str, folder: &Path) -> Vec<String> {
    let user = ["--user", "ada", "--password-file", "password"];
    fs::write(folder.join("password"), "x\n").unwrap();
    let settings: &[&str] = match name {
        "rust-one-user" | "javascript-one-user" => {
            &["--settings", "user=ada", "--settings", "hash={PLAIN}x"]
        }
        "c-static-users" => &["--settings", "users=ada:{PLAIN}x"],
        "python-ldap-like" => {
            let directory = folder.join("directory");
            fs::create_dir(&directory).unwrap();
            let entry = "dn: uid=ada,dc=example\nuid: ada\nuserPassword: {PLAIN}x\n";
            fs::write(directory.join("users"), entry).unwrap();
            &[
                "--settings",
                "file=/directory/users",
                "--directory",
                "directory:/directory",
            ]
        }
        "rust-rules" => return vec!["--settings".into(), "hide-header=X-Spam-Flag: YES".into()],
        "rust-maildir" => return Vec::new(),
        other => panic!("{other}: how is it tested?"),
    };
    settings
        .iter()
        .chain(&user)
        .map(|part| (*part).to_owned())
        .collect()
}

#[test]
fn what_was_built_for_a_released_contract_is_served_for_ever() {
    if !require("fixtures", &[&XZ]) {
        return;
    }
    let mut languages = Vec::new();
    for packed in fs::read_dir(repository().join("tests/fixtures/0.1.0")).unwrap() {
        let packed = packed.unwrap().path();
        let file = packed.file_name().unwrap().to_str().unwrap();
        let Some(name) = file.strip_suffix(".wasm.xz") else {
            continue;
        };
        let folder = tempfile::tempdir().unwrap();
        let component = unpacked(&packed, folder.path());
        let finished = run_to_end(
            Command::new(binary())
                .args(["plugin", "test"])
                .arg(&component)
                .args(arguments(name, folder.path()))
                .current_dir(folder.path())
                .env("XDG_CACHE_HOME", cache()),
        );
        assert_eq!(finished.code, Some(0), "{name}: {finished:#?}");
        assert!(
            finished.stdout.contains(" 0 failed"),
            "{name}: {finished:#?}"
        );
        let inspected = run_to_end(
            Command::new(binary())
                .args(["plugin", "inspect"])
                .arg(&component),
        );
        let contract = "restante:plugin 0.1.0 ";
        assert!(
            inspected.stdout.contains(contract),
            "{name}: {inspected:#?}"
        );
        languages.push(name.split('-').next().unwrap().to_owned());
    }
    languages.sort();
    languages.dedup();
    assert_eq!(languages, ["c", "javascript", "python", "rust"]);
}
