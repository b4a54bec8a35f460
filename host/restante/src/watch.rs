//! The files that a configuration is about, and whether any of them has changed:
//! those it was read from, and components, signatures, certificates, keys and
//! authorities. What plugins are granted is the plugins' own.
//!
//! They are looked at, not read, and by their names: it is the same for files that
//! are written over, renamed over or behind a link that is turned, on any file
//! system.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use restante_config::signature::ENDING;
use restante_config::{ComponentSource, Config, DatabaseKind, Include, Pem};
use restante_roles::stamp::Stamp;

/// Between two looks, at least. A change counts once it is the same in two looks.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// How much of the time may go into looking: one part of so many.
const SHARE: u32 = 100;

/// Files at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    files: BTreeMap<PathBuf, Stamp>,
    includes: Vec<Include>,
    /// Those that are included, or would be.
    included: BTreeMap<PathBuf, Stamp>,
}

impl Watched {
    /// The files of a configuration as they are now; those that were looked at
    /// `before` it was read, as they were then.
    pub fn of(config: &Config, before: Option<&Watched>) -> Self {
        let stamp = |path: &PathBuf| {
            let known = before.and_then(|before| {
                let known = before.files.get(path);
                known.or_else(|| before.included.get(path))
            });
            known.cloned().unwrap_or_else(|| Stamp::of(path))
        };
        let files = files(config).into_iter();
        let includes = config.includes.clone();
        let included = included(&includes).into_iter();
        Watched {
            files: files.map(|path| (path.clone(), stamp(&path))).collect(),
            included: included.map(|path| (path.clone(), stamp(&path))).collect(),
            includes,
        }
    }

    /// The same files as they are now, and those that would be included now.
    pub fn now(&self) -> Self {
        let files = self.files.keys();
        let included = included(&self.includes).into_iter();
        Watched {
            files: files.map(|path| (path.clone(), Stamp::of(path))).collect(),
            included: included
                .map(|path| (path.clone(), Stamp::of(&path)))
                .collect(),
            includes: self.includes.clone(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.files.len() + self.included.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The files of a folder and of those in it, at one moment; what tools make for
/// themselves is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(BTreeMap<PathBuf, Stamp>);

/// Files of a folder that are looked at, and folders within folders.
const FILES: usize = 20_000;
const DEPTH: usize = 16;

impl Folder {
    /// As it is now, but for what is in these folders.
    pub fn of(path: &Path, without: &[PathBuf]) -> Self {
        let mut files = BTreeMap::new();
        look(path, without, DEPTH, &mut files);
        Folder(files)
    }

    /// The files that came, went or changed since.
    pub fn changed(&self, before: &Folder) -> BTreeSet<PathBuf> {
        let (Folder(now), Folder(before)) = (self, before);
        let paths = now.keys().chain(before.keys());
        let changed = paths.filter(|path| now.get(*path) != before.get(*path));
        changed.cloned().collect()
    }
}

fn look(folder: &Path, without: &[PathBuf], depth: usize, files: &mut BTreeMap<PathBuf, Stamp>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else {
            continue;
        };
        let left_out = is_of_tools(&entry.file_name()) || without.contains(&path);
        if left_out || files.len() == FILES {
            continue;
        }
        if kind.is_dir() && depth > 0 {
            look(&path, without, depth - 1, files);
        } else if !kind.is_dir() {
            let stamp = Stamp::of(&path);
            files.insert(path, stamp);
        }
    }
}

/// Whether a file or folder of this name is a tool's own: what is built, what is
/// fetched, what is hidden, what an editor has open.
fn is_of_tools(name: &OsStr) -> bool {
    const FOLDERS: [&str; 8] = [
        "target",
        "node_modules",
        "__pycache__",
        "bindings",
        "build",
        "dist",
        "state",
        "venv",
    ];
    const ENDINGS: [&str; 6] = [".wasm", ".o", ".d", ".lock", ".swp", "~"];
    let name = name.to_string_lossy();
    name.starts_with('.')
        || FOLDERS.contains(&&*name)
        || name == "package-lock.json"
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// How long to wait after a look that took so long.
pub fn pause(look: Duration) -> Duration {
    INTERVAL.max(look * SHARE)
}

fn included(includes: &[Include]) -> BTreeSet<PathBuf> {
    includes.iter().flat_map(Include::matching).collect()
}

fn files(config: &Config) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    // Those that are included are looked for by their patterns.
    files.extend(config.files.first().cloned());
    let mut pem = |pem: &Option<Pem>| {
        if let Some(Pem { certificate, key }) = pem {
            files.extend([certificate.clone(), key.clone()]);
        }
    };
    pem(&config.server.certificate);
    for tenant in &config.tenants {
        pem(&tenant.certificate);
    }
    files.extend(
        config
            .tenants
            .iter()
            .flat_map(|tenant| tenant.client_authorities.clone()),
    );
    for plugin in &config.plugins {
        if let ComponentSource::Path(path) = &plugin.component {
            files.extend([path.clone(), signature(path)]);
        }
        files.extend(plugin.grants.http_authorities.clone());
        files.extend(plugin.grants.connect_authorities.clone());
    }
    for database in &config.databases {
        if let DatabaseKind::Postgres(place) = &database.kind {
            files.extend(place.files().cloned());
        }
    }
    files
}

fn signature(component: &Path) -> PathBuf {
    let mut name = component.as_os_str().to_owned();
    name.push(ENDING);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_a_configuration_is_watched() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("tenants.d")).unwrap();
        let main = "include = 'tenants.d/*.toml'\n[server]\ncertificate = 'c.pem'\nkey = 'c.key'\n\
                    [listener.l]\naddress = '127.0.0.1:0'\ntls = 'off'\n\
                    [plugin.p]\ncomponent = './p.wasm'\ngrants = { http = ['https://a.example'], http-authorities = 'h.pem', connect = ['tls://a.example:995'], connect-authorities = 'p.pem' }\n\
                    [tenant.t]\nserver-names = ['t.example']\ncertificate = 't.pem'\nkey = 't.key'\n\
                    client-authorities = 'a.pem'\nauthenticators = ['p']\nstore = 'p'\n";
        fs::write(at("main.toml"), main).unwrap();
        for name in ["c.pem", "c.key"] {
            fs::write(at(name), "").unwrap();
        }
        let config = Config::load(&at("main.toml")).unwrap();
        let mut watched = Watched::of(&config, None);
        assert_eq!(watched, watched.now());
        for name in [
            "main.toml",
            "c.pem",
            "c.key",
            "p.wasm",
            "p.wasm.minisig",
            "h.pem",
            "p.pem",
            "t.pem",
            "t.key",
            "a.pem",
            "tenants.d/new.toml",
            "tenants.d/new.toml",
        ] {
            let name = at(name);
            let is_there = fs::read(&name).unwrap_or_default();
            fs::write(&name, [&is_there[..], b"#"].concat()).unwrap();
            let now = watched.now();
            assert_ne!(now, watched, "{name:?} was written");
            watched = now;
        }
        fs::remove_file(at("tenants.d/new.toml")).unwrap();
        assert_ne!(watched.now(), watched);
        fs::write(at("tenants.d/new.txt"), "").unwrap();
        fs::write(at("beside.pem"), "").unwrap();
        let without = watched.now();
        assert_eq!(without.len() + 1, watched.len());
    }

    #[test]
    fn of_a_folder_its_own_files_are_watched_and_not_those_of_tools() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        };
        let without = [folder.path().join("mail")];
        let before = Folder::of(folder.path(), &without);
        for name in [
            "mail/new/1",
            "target/a",
            ".git/b",
            "src/p.wasm",
            "node_modules/c",
            "p.py~",
        ] {
            write(name);
        }
        assert_eq!(Folder::of(folder.path(), &without), before);
        write("src/lib.rs");
        write("Makefile");
        let now = Folder::of(folder.path(), &without);
        let expected = ["Makefile", "src/lib.rs"].map(|name| folder.path().join(name));
        assert_eq!(now.changed(&before), BTreeSet::from(expected));
        assert_eq!(before.changed(&now).len(), 2);
    }

    #[test]
    fn looking_takes_a_hundredth_of_the_time() {
        assert_eq!(pause(Duration::from_millis(3)), INTERVAL);
        assert_eq!(pause(Duration::from_millis(50)), Duration::from_secs(5));
    }
}
