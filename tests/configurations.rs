//! The configurations below examples/: `restante check` finds each of them in order,
//! without a warning, once the files are there that only an operator can have.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use restante_tests::{Certificate, binary, repository, run_to_end};
use toml::{Table, Value};

/// The folders below examples/.
fn examples() -> Vec<PathBuf> {
    let entries = fs::read_dir(repository().join("examples")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = paths.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn name(folder: &Path) -> &str {
    folder.file_name().unwrap().to_str().unwrap()
}

/// Copies an example, with the machine's own folders moved below `root`.
fn install(from: &Path, to: &Path, root: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let from = entry.unwrap().path();
        let to = to.join(from.file_name().unwrap());
        if from.is_dir() {
            install(&from, &to, root);
            continue;
        }
        let mut text = fs::read_to_string(&from).unwrap();
        if from.extension().is_some_and(|end| end == "toml") {
            let root = root.to_str().unwrap();
            text = text
                .replace("\"/var/", &format!("\"{root}/var/"))
                .replace("\"unix:/run/", &format!("\"unix:{root}/run/"))
                .replace(
                    "\n[server]\n",
                    &format!("\n[server]\nstate-dir = \"{root}/state\"\n"),
                );
            make_what_is_named(text.parse().unwrap(), to.parent().unwrap(), root);
        }
        fs::write(to, text).unwrap();
    }
}

/// Makes the certificates, keys, authorities and granted directories that a
/// configuration in `folder` names.
fn make_what_is_named(configuration: Table, folder: &Path, root: &str) {
    let made = Certificate::create(&Path::new(root).join("made"));
    let mut left = vec![Value::Table(configuration)];
    while let Some(value) = left.pop() {
        let table = match value {
            Value::Array(values) => {
                left.extend(values);
                continue;
            }
            Value::Table(table) => table,
            _ => continue,
        };
        for (key, value) in table {
            let Value::String(path) = &value else {
                left.push(value);
                continue;
            };
            let path = folder.join(path);
            let from = match &*key {
                "certificate" => &made.certificate,
                "key" => &made.key,
                key if key.ends_with("-authorities") => &made.authority,
                "host" => {
                    fs::create_dir_all(&path).unwrap();
                    continue;
                }
                _ => continue,
            };
            // Not yet, where this is the folder's first file.
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::copy(from, path).unwrap();
        }
    }
}

#[test]
fn each_example_is_in_order() {
    let all = examples();
    assert!(all.len() >= 6, "{all:?}");
    for folder in all {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc");
        install(&folder, &etc, root.path());
        let finished = run_to_end(
            Command::new(binary())
                .args(["check", "--config"])
                .arg(etc.join("restante.toml"))
                .env_remove("RUST_LOG"),
        );
        let shown = format!("{}: {finished:#?}", folder.display());
        assert_eq!(finished.code, Some(0), "{shown}");
        assert!(finished.stdout.contains("in order"), "{shown}");
        assert!(finished.stderr.is_empty(), "{shown}");
    }
}

#[test]
fn each_example_has_its_line_in_the_readme() {
    let page = fs::read_to_string(repository().join("examples/README.md")).unwrap();
    for folder in examples() {
        let name = name(&folder);
        let link = format!("| [{name}]({name}/restante.toml) |");
        assert!(page.contains(&link), "no {link} in examples/README.md");
    }
}

/// A password in an example would be in use on somebody's server tomorrow.
#[test]
fn no_example_brings_a_user_along() {
    let mut count = 0;
    for folder in examples() {
        let Ok(users) = fs::read_to_string(folder.join("users/passwd")) else {
            continue;
        };
        count += 1;
        let users: Vec<&str> = users.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(users.is_empty(), "{}: {users:?}", name(&folder));
    }
    assert!(count > 0, "no example has users in a file");
}
