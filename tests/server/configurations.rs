//! The configurations below examples/: `restante check` finds each of them in order,
//! without a warning, once the files are there that only an operator can have.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
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
        if is_toml(&from) {
            let root = root.to_str().unwrap();
            let server = format!("\n[server]\nstate-dir = \"{root}/state\"\n");
            text = text
                .replace("\"/var/", &format!("\"{root}/var/"))
                .replace("\"unix:/run/", &format!("\"unix:{root}/run/"))
                // Nobody answers there, and that shows at once.
                .replace("@db.example.org/", "@127.0.0.1:1/")
                .replace("\n[server]\n", &server);
        }
        fs::write(to, text).unwrap();
    }
}

fn is_toml(file: &Path) -> bool {
    file.extension().is_some_and(|end| end == "toml")
}

/// Makes what the configurations in `folder` and below name and the example cannot
/// bring along: certificates, keys, authorities, granted directories and secrets.
fn make_what_is_named(folder: &Path, made: &Certificate) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            make_what_is_named(&path, made);
        } else if is_toml(&path) {
            let configuration: Table = fs::read_to_string(&path).unwrap().parse().unwrap();
            for section in ["server", "tenant", "plugin"] {
                let section = configuration.get(section).and_then(Value::as_table);
                make_files(section.unwrap_or(&Table::new()), folder, made);
            }
            let plugins = configuration.get("plugin").and_then(Value::as_table);
            for plugin in plugins.iter().flat_map(|plugins| plugins.values()) {
                make_granted(plugin, folder);
            }
            for section in ["database", "engine"] {
                let section = configuration.get(section).and_then(Value::as_table);
                for of_role in section.iter().flat_map(|section| section.values()) {
                    make_password(of_role, folder);
                }
            }
        }
    }
}

/// The `server-names` of the configurations in `folder` and below, which a certificate
/// has to be for.
fn server_names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(server_names(&path));
        } else if is_toml(&path) {
            let configuration: Table = fs::read_to_string(&path).unwrap().parse().unwrap();
            let tenants = configuration.get("tenant").and_then(Value::as_table);
            for tenant in tenants.iter().flat_map(|tenants| tenants.values()) {
                let of_tenant = tenant.get("server-names").and_then(Value::as_array);
                let of_tenant = of_tenant.into_iter().flatten();
                names.extend(of_tenant.map(|name| name.as_str().unwrap().to_owned()));
            }
        }
    }
    names
}

fn make_files(section: &Table, folder: &Path, made: &Certificate) {
    for (key, value) in section {
        let from = match &**key {
            "certificate" => &made.certificate,
            "key" => &made.key,
            key if key.ends_with("-authorities") => &made.authority,
            _ => {
                if let Value::Table(below) = value {
                    make_files(below, folder, made);
                }
                continue;
            }
        };
        fs::copy(from, folder.join(value.as_str().unwrap())).unwrap();
    }
}

/// The directories of a plugin's grants, those above its maildrops too, and in them
/// the files of its settings.
fn make_granted(plugin: &Value, folder: &Path) {
    let part = |name: &str| plugin.get(name).and_then(Value::as_table).cloned();
    let grants = part("grants").unwrap_or_default();
    let maildrop = grants.get("maildrop").and_then(Value::as_str);
    if let Some(maildrop) = maildrop.filter(|maildrop| !maildrop.starts_with("engine:")) {
        let (fixed, _) = maildrop.split_once("/{").unwrap();
        fs::create_dir_all(folder.join(fixed)).unwrap();
    }
    let granted = grants.get("directories").and_then(Value::as_array);
    for entry in granted.into_iter().flatten() {
        let host = folder.join(entry["host"].as_str().unwrap());
        fs::create_dir_all(&host).unwrap();
        let guest = Path::new(entry["guest"].as_str().unwrap());
        for value in part("settings").unwrap_or_default().values() {
            let named = value.as_str().map(Path::new);
            let inside = named.and_then(|path| path.strip_prefix(guest).ok());
            if let Some(file) = inside.map(|file| host.join(file))
                && !file.exists()
            {
                fs::write(file, "a secret of the operator's\n").unwrap();
            }
        }
    }
}

/// The file with the password of a role in a database, which nobody else may read.
fn make_password(of_role: &Value, folder: &Path) {
    if let Some(file) = of_role.get("password-file") {
        let file = folder.join(file.as_str().unwrap());
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "a password of the operator's\n").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
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
        let mut names = server_names(&etc);
        names.push("localhost".to_owned());
        let made = Certificate::create_for(&root.path().join("made"), &names, 180);
        make_what_is_named(&etc, &made);
        // What a service manager makes.
        fs::create_dir_all(root.path().join("run/restante")).unwrap();
        let finished = run_to_end(
            Command::new(binary())
                .args(["check", "--config"])
                .arg(etc.join("restante.toml"))
                .env_remove("RUST_LOG"),
        );
        let shown = format!("{}: {finished:#?}", folder.display());
        assert_eq!(finished.code, Some(0), "{shown}");
        // No warning beside it, but of what this machine lacks: a database, too.
        let about_machine = |line: &&str| {
            line.starts_with("warning: the limit on file descriptors")
                || line.starts_with("warning: listener `")
                || line.contains("a call of a database failed")
                || line.contains("sql_users::load") && line.contains("does not answer")
        };
        let lines = finished.stderr.lines().filter(|line| !about_machine(line));
        assert_eq!(lines.count(), 1, "{shown}");
        assert!(finished.stderr.contains(": in order ("), "{shown}");
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
        let users: Vec<&str> = users
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        assert!(users.is_empty(), "{}: {users:?}", name(&folder));
    }
    assert!(count > 0, "no example has users in a file");
}
