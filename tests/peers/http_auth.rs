//! Passwords that an HTTP service judges: a small one in Python, in the clear and
//! over TLS, and everything that it may say or fail to say.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use restante_tests::{
    Certificate, Plugin, Pop3, Process, Server, Site, binary, python, repository, run_to_end,
    wait_for,
};
use serde_json::{Value, json};

const SECRET: &str = "between-the-two-of-us";
const PASSWORD: &str = "p&ss w=rd \u{e9}";

/// Requests may take three quarters of it.
const LIMITS: &str = "wall-time = \"4s\"\n";
const NO_DELAY: &str = "failure-delay = \"0s\"\nmax-failure-delay = \"0s\"\n";

/// The running service.
struct Service {
    process: Process,
    origin: String,
    folder: PathBuf,
}

impl Service {
    fn start(folder: &Path, certificate: Option<&Certificate>) -> Option<Service> {
        let users = folder.join("users.json");
        let answer =
            json!({"user": "ada@example.org", "maildrop": "ada", "attributes": {"level": 3}});
        let accounts = json!({
            "ada": {"password": PASSWORD, "answer": answer},
            "bob": {"password": "x"},
        });
        fs::write(&users, accounts.to_string()).unwrap();
        let mut command = python("http_auth")?;
        command
            .arg(repository().join("tests/http_auth_service.py"))
            .arg(users)
            .arg(SECRET);
        if let Some(files) = certificate {
            command.arg(&files.certificate).arg(&files.key);
        }
        let process = Process::start(&mut command, &folder.join("service"));
        let port = wait_for("the service's port", || {
            let said = process.stdout();
            said.split_once('\n').map(|(port, _)| port.to_owned())
        });
        let scheme = if certificate.is_some() {
            "https"
        } else {
            "http"
        };
        Some(Service {
            process,
            origin: format!("{scheme}://localhost:{port}"),
            folder: folder.to_owned(),
        })
    }

    /// What it was asked so far, without passwords.
    fn asked(&self) -> Vec<Value> {
        let said = self.process.stdout();
        let requests = said.lines().skip(1);
        requests
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The built-in plugin, which knows the secret.
    fn plugin(&self, path: &str, settings: &str) -> Plugin {
        let secrets = self.folder.join("secrets");
        fs::create_dir_all(&secrets).unwrap();
        fs::write(secrets.join("service"), format!("{SECRET}\n")).unwrap();
        let mut plugin = Plugin::new("web", "builtin:http-auth");
        plugin.settings = format!(
            "url = \"{}{path}\"\nsecret-file = \"/secrets/service\"\n{settings}",
            self.origin
        );
        plugin.grants = format!(
            "http = [{:?}]\ndirectories = [{{ host = {secrets:?}, guest = \"/secrets\" }}]\n",
            self.origin
        );
        plugin.limits = LIMITS.to_owned();
        plugin
    }
}

/// Ada and Bob have a message each; the plugin judges their passwords.
fn site(plugin: Plugin) -> Site {
    let mut site = Site::new();
    site.limits = NO_DELAY.to_owned();
    site.plugins[0] = plugin;
    site.tenants[0].lines = "authenticators = [\"web\"]\nstore = \"mail\"\n".to_owned();
    // The maildrop's name is the service's to say.
    site.plugins[1].grants = format!(
        "maildrop = {:?}\nmissing-maildrop = \"empty\"\n",
        site.path().join("mail/{maildrop}")
    );
    for user in ["ada", "bob"] {
        site.maildir(user).deliver(b"Subject: hello\n\nbody\n");
    }
    site
}

fn login(server: &Server, user: &str, password: &str) -> Result<(), String> {
    let mut client = Pop3::connect(server.pop3());
    let status = client.authenticate(user, password);
    if !status.ok {
        return Err(status.text);
    }
    assert_eq!(client.stat(), (1, 24));
    client.quit();
    Ok(())
}

fn judged_by_a_service(tls: bool) {
    let folder = tempfile::tempdir().unwrap();
    let certificate = tls.then(|| Certificate::create(folder.path()));
    let Some(service) = Service::start(folder.path(), certificate.as_ref()) else {
        return;
    };
    for request in ["json", "form", "basic"] {
        let settings = format!("request = {request:?}\n");
        let mut plugin = service.plugin(&format!("/{request}"), &settings);
        if let Some(files) = &certificate {
            let authorities = format!("http-authorities = {:?}\n", files.authority);
            plugin.grants.push_str(&authorities);
        }
        let before = service.asked().len();
        let site = site(plugin);
        let server = site.start();
        assert_eq!(login(&server, "ada", PASSWORD), Ok(()), "{request}");
        assert_eq!(login(&server, "bob", "x"), Ok(()), "{request}");
        for (user, password) in [("ada", "x"), ("bob", PASSWORD), ("eve", "x")] {
            let refused = login(&server, user, password).unwrap_err();
            assert!(refused.starts_with("[AUTH]"), "{request}: {refused}");
        }
        let asked = &service.asked()[before..];
        assert_eq!(asked.len(), 5, "{asked:?}");
        if request != "basic" {
            assert_eq!(asked[0]["client_address"], "127.0.0.1");
            assert_eq!(asked[0]["protocol"], "pop3");
            assert_eq!(asked[0]["tenant"], "test");
        }
        let log = server.stop();
        assert!(!log.contains(PASSWORD) && !log.contains(SECRET), "{log}");
    }
}

#[test]
fn a_service_judges_passwords() {
    judged_by_a_service(false);
}

#[test]
fn a_service_judges_passwords_over_tls() {
    judged_by_a_service(true);
}

#[test]
fn a_service_with_a_certificate_of_nobodys_is_not_told_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = Certificate::create(folder.path());
    let Some(service) = Service::start(folder.path(), Some(&certificate)) else {
        return;
    };
    let site = site(service.plugin("/json", ""));
    let server = site.start();
    let refused = login(&server, "ada", PASSWORD).unwrap_err();
    assert!(refused.starts_with("[SYS/TEMP]"), "{refused}");
    assert_eq!(service.asked(), [Value::Null; 0]);
    server.stop();
}

#[test]
fn what_is_neither_yes_nor_no_is_temporary() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut service) = Service::start(folder.path(), None) else {
        return;
    };
    for path in ["/slow", "/broken"] {
        let site = site(service.plugin(path, ""));
        let server = site.start();
        let begun = Instant::now();
        let refused = login(&server, "ada", PASSWORD).unwrap_err();
        assert!(
            refused.starts_with("[SYS/TEMP] passwords cannot"),
            "{path}: {refused}"
        );
        assert!(begun.elapsed() < Duration::from_secs(15), "{path}");
        let log = server.stop();
        assert!(!log.contains("plugin call failed"), "{log}");
    }
    // Without the secret it says 500.
    let plugin = service.plugin("/json", "");
    fs::write(folder.path().join("secrets/service"), "another\n").unwrap();
    let site = site(plugin);
    let server = site.start();
    let refused = login(&server, "ada", PASSWORD).unwrap_err();
    assert!(refused.starts_with("[SYS/TEMP]"), "{refused}");
    server.logged(&["ERROR", "answers status 500"]);
    // And now it is down.
    service.process.kill();
    let refused = login(&server, "ada", PASSWORD).unwrap_err();
    assert!(refused.starts_with("[SYS/TEMP]"), "{refused}");
    server.stop();
}

#[test]
fn http_auth_keeps_every_rule() {
    let folder = tempfile::tempdir().unwrap();
    let Some(service) = Service::start(folder.path(), None) else {
        return;
    };
    service.plugin("/json", "");
    fs::write(folder.path().join("password"), PASSWORD).unwrap();
    let finished = run_to_end(
        Command::new(binary())
            .args(["plugin", "test", "--json", "builtin:http-auth"])
            .args(["--settings", &format!("url={}/json", service.origin)])
            .args(["--settings", "secret-file=/secrets/service"])
            .args(["--http", &service.origin, "--directory", "secrets:/secrets"])
            .args(["--user", "ada", "--password-file", "password"])
            .current_dir(folder.path())
            .env("XDG_CACHE_HOME", folder.path()),
    );
    let report: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(
        (finished.code, &report["failed"]),
        (Some(0), &0.into()),
        "{report:#}"
    );
    assert_eq!(report["skipped"].as_u64().unwrap_or(0), 0, "{report:#}");
}
