//! Files and directories that are not what the configuration says.

use super::*;

const REST: &str = "[listener.l]\naddress = '127.0.0.1:0'\ntls = 'implicit'\n\
                    [tenant.t]\nauthenticators = ['p']\nstore = 'p'\n";

/// What is said of the file `name` in `folder`, with the folder's path as "DIR".
fn load(folder: &Path, name: &str) -> Vec<String> {
    match Config::load(&folder.join(name)) {
        Ok(_) => Vec::new(),
        Err(Problems(problems)) => problems
            .iter()
            .map(|problem| {
                problem
                    .to_string()
                    .replace(&folder.display().to_string(), "DIR")
            })
            .collect(),
    }
}

#[test]
fn what_is_named_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("directory")).unwrap();
    for name in ["c.pem", "k.pem", "p.wasm"] {
        fs::write(folder.join(name), "x").unwrap();
    }
    let good = "[server]\nstate-dir = 'state'\ncertificate = 'c.pem'\nkey = 'k.pem'\n\
                [plugin.p]\ncomponent = 'p.wasm'\ngrants.directories = [{ host = 'directory', guest = '/d' }]\n";
    fs::write(folder.join("good.toml"), format!("{good}{REST}")).unwrap();
    let config = Config::load(&folder.join("good.toml")).unwrap();
    assert_eq!(config.server.state_dir, folder.join("state"));
    assert_eq!(
        config.plugins[0].component,
        ComponentSource::Path(folder.join("p.wasm"))
    );

    let swapped = "[server]\nstate-dir = 'c.pem'\ncertificate = 'directory'\nkey = 'none.pem'\n\
                   [plugin.p]\ncomponent = './directory'\ngrants.directories = [{ host = 'p.wasm', guest = '/d' }, { host = 'none', guest = '/n' }]\n";
    fs::write(folder.join("bad.toml"), format!("{swapped}{REST}")).unwrap();
    let create = "create it, or correct the path (a relative one starts at this file's folder)";
    assert_eq!(
        load(folder, "bad.toml"),
        [
            "DIR/bad.toml:2:13: state-dir `DIR/c.pem` is a file\n  name a directory".to_owned(),
            "DIR/bad.toml:3:15: certificate `DIR/directory` is a directory\n  name the file in it"
                .into(),
            format!("DIR/bad.toml:4:7: key `DIR/none.pem` does not exist\n  {create}"),
            "DIR/bad.toml:6:13: component `DIR/./directory` is a directory\n  name the file in it"
                .into(),
            "DIR/bad.toml:7:32: directory `DIR/p.wasm` is a file\n  name a directory".into(),
            format!("DIR/bad.toml:7:67: directory `DIR/none` does not exist\n  {create}"),
        ]
    );
}

#[test]
fn neither_file_nor_directory_is_not_opened() {
    // Opening a pipe nobody writes to would hang here.
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for wanted in [disk::Wanted::File, disk::Wanted::Directory] {
        assert!(matches!(
            disk::look(&socket, wanted),
            Err(disk::Trouble::IsOther)
        ));
    }
}

#[test]
fn a_file_that_may_not_be_read_is_named() {
    // No permission bit stops root, but a parent that is a file stops anyone.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let path = folder.path().join("file/key.pem");
    let trouble = disk::look(&path, disk::Wanted::File);
    assert!(
        matches!(trouble, Err(disk::Trouble::Unreadable(_))),
        "{trouble:?}"
    );
}

#[test]
fn the_configuration_file_itself() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("directory")).unwrap();
    fs::write(
        folder.join("latin1.toml"),
        b"[server]\n# \xc3\xa4\xc3\xa4 b\xfccher\n",
    )
    .unwrap();
    fs::write(folder.join("text.toml"), "Dear sir\nor madam\n").unwrap();
    for (name, expected) in [
        (
            "none.toml",
            "DIR/none.toml: there is no such file\n  name the configuration file with --config FILE",
        ),
        (
            "directory",
            "DIR/directory: this is a directory, not a configuration file\n  name the file in it",
        ),
        (
            "latin1.toml",
            "DIR/latin1.toml:2:7: the configuration file is not UTF-8\n  \
             save it as UTF-8, or write this character as \\u and four hex digits",
        ),
    ] {
        assert_eq!(load(folder, name), [expected]);
    }
    let said = load(folder, "text.toml");
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].starts_with("DIR/text.toml:1:6: not TOML: "),
        "{said:?}"
    );
    assert!(
        said[1].starts_with("DIR/text.toml:2:4: not TOML: "),
        "{said:?}"
    );
}

/// What is fixed of `maildrop` is there, or somebody should know before the first login.
#[test]
fn a_maildrop_without_its_fixed_part_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let warnings = |maildrop: &str| {
        let text = format!(
            "[plugin.p]\ncomponent = 'builtin:p'\ngrants.maildrop = '{maildrop}'\n\
             [listener.l]\naddress = '127.0.0.1:0'\ntls = 'off'\n[tenant.t]\nauthenticators = ['p']\nstore = 'p'\n"
        );
        let path = folder.path().join("main.toml");
        fs::write(&path, text).unwrap();
        let config = Config::load(&path).unwrap();
        assert_eq!(config.absent, []);
        let warnings = config.warnings.iter().map(ToString::to_string);
        warnings.collect::<Vec<_>>()
    };
    let said = warnings("mail/here/{user}/Maildir");
    assert_eq!(said.len(), 1, "{said:?}");
    let away = folder.path().join("mail/here").display().to_string();
    assert!(said[0].contains("main.toml:3:19: "), "{said:?}");
    assert!(
        said[0].contains(&format!("begins with `{away}`")),
        "{said:?}"
    );
    fs::create_dir_all(folder.path().join("mail")).unwrap();
    fs::write(folder.path().join("mail/here"), "").unwrap();
    assert_eq!(warnings("mail/here/{user}/Maildir"), said);
    fs::remove_file(folder.path().join("mail/here")).unwrap();
    fs::create_dir(folder.path().join("mail/here")).unwrap();
    for there in ["mail/here/{user}/Maildir", "{user}", "mail/{{user}}{user}"] {
        assert_eq!(warnings(there), [""; 0], "{there}");
    }
}

#[test]
fn a_relative_name_leads_to_absolute_paths() {
    let config = Config::parse(
        "server.state-dir = 'x'\n[plugin.p]\ncomponent = 'builtin:p'\ngrants.maildrop = 'm/{user}'\n\
         [listener.l]\naddress = '127.0.0.1:0'\ntls = 'off'\n[tenant.t]\nauthenticators = ['p']\nstore = 'p'\n",
        Path::new("restante.toml"),
        Path::new(""),
    )
    .unwrap();
    let here: PathBuf = std::env::current_dir().unwrap();
    assert_eq!(config.server.state_dir, here.join("x"));
    let maildrop = config.plugins[0].grants.maildrop.as_ref().unwrap();
    assert_eq!(
        maildrop.template().as_str(),
        format!("{}/m/{{user}}", here.display())
    );
}

#[test]
fn files_of_databases_are_their_plugins_own() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = "[database.s]\nkind = 'sqlite'\nfile = 'none'\n\
                [database.p]\nkind = 'postgres'\nurl = 'postgresql://r@h/d'\npassword-file = '.'\nca-file = 'none'\n\
                [plugin.p]\ncomponent = 'builtin:p'\ngrants.databases = ['s', 'p']\n";
    let rest = REST.replace("implicit", "off");
    fs::write(folder.join("bad.toml"), format!("{text}{rest}")).unwrap();
    let create = "create it, or correct the path (a relative one starts at this file's folder)";
    let config = Config::load(&folder.join("bad.toml")).unwrap();
    let plugin = Owner::Plugin("p".into());
    assert!(config.absent.iter().all(|absent| absent.owner == plugin));
    let told = config.absent.iter().map(|absent| {
        let told = absent.problem.to_string();
        told.replace(&folder.display().to_string(), "DIR")
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            format!("DIR/bad.toml:3:8: database `DIR/none` does not exist\n  {create}"),
            "DIR/bad.toml:7:17: password-file `DIR/.` is a directory\n  name the file in it".into(),
            format!("DIR/bad.toml:8:11: ca-file `DIR/none` does not exist\n  {create}"),
        ]
    );
}
