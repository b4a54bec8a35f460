//! Everything a server needs to run, in a directory of the test's own.

use std::cell::Cell;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::{Certificate, Finished, Maildir, Server, binary, run_to_end, server};

/// A `[listener.NAME]`.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// "off", "starttls" or "implicit".
    pub tls: &'static str,
    /// Address and port; port 0 lets the system choose.
    pub address: String,
    /// Its other lines.
    pub lines: String,
}

/// A `[plugin.NAME]`.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// Its name.
    pub name: String,
    /// `builtin:NAME` or a path.
    pub component: String,
    /// Lines of `[plugin.NAME.settings]`.
    pub settings: String,
    /// Lines of `[plugin.NAME.grants]`.
    pub grants: String,
    /// Lines of `[plugin.NAME.limits]`.
    pub limits: String,
}

impl Plugin {
    /// A plugin with nothing but its component.
    pub fn new(name: &str, component: impl Into<String>) -> Plugin {
        Plugin {
            name: name.to_owned(),
            component: component.into(),
            settings: String::new(),
            grants: String::new(),
            limits: String::new(),
        }
    }
}

/// A `[tenant.NAME]`.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// Its lines.
    pub lines: String,
}

/// Users, maildrops, certificate and configuration. The public fields may be
/// changed before the next [`Site::start`].
#[derive(Debug)]
pub struct Site {
    directory: TempDir,
    users: Vec<String>,
    starts: Cell<u32>,
    /// The certificate of the server.
    pub certificate: Certificate,
    /// Whether the server watches its files; a test says when it reloads.
    pub watch: bool,
    /// Arguments of `restante serve` beside `--config`.
    pub arguments: Vec<String>,
    /// Lines above all sections.
    pub first: String,
    /// Lines of `[server]` beside the site's own.
    pub server: String,
    /// Lines of `[server.limits]`.
    pub limits: String,
    /// Where compiled components are kept: shared among the tests, so that
    /// each component is compiled once.
    pub state: PathBuf,
    /// "pop3" (in the clear), "stls" and "pop3s".
    pub listeners: Vec<Listener>,
    /// "users" (passwd-file) and "mail" (maildir).
    pub plugins: Vec<Plugin>,
    /// One that serves every domain from "users" and "mail".
    pub tenants: Vec<Tenant>,
}

impl Default for Site {
    fn default() -> Self {
        Site::new()
    }
}

impl Site {
    /// A site with the built-in plugins and nobody in it yet.
    pub fn new() -> Site {
        let directory = tempfile::Builder::new()
            .prefix("restante-test-")
            .tempdir()
            .unwrap();
        let root = directory.path();
        for part in ["users", "mail"] {
            fs::create_dir(root.join(part)).unwrap();
        }
        fs::write(root.join("users/passwd"), "").unwrap();
        let mut users = Plugin::new("users", "builtin:passwd-file");
        users.settings = "file = \"/users/passwd\"\n".to_owned();
        users.grants = format!(
            "directories = [{{ host = {:?}, guest = \"/users\", access = \"read\" }}]\n",
            root.join("users")
        );
        let mut mail = Plugin::new("mail", "builtin:maildir");
        mail.grants = format!(
            "maildrop = {:?}\nmissing-maildrop = \"empty\"\n",
            root.join("mail/{user}")
        );
        Site {
            certificate: Certificate::create(&root.join("tls")),
            users: Vec::new(),
            starts: Cell::new(0),
            watch: false,
            arguments: Vec::new(),
            first: String::new(),
            server: String::new(),
            limits: String::new(),
            state: server::build_directory().join("restante-test-state"),
            listeners: [("pop3", "off"), ("stls", "starttls"), ("pop3s", "implicit")]
                .map(|(name, tls)| Listener {
                    name: name.to_owned(),
                    tls,
                    address: "127.0.0.1:0".to_owned(),
                    lines: String::new(),
                })
                .to_vec(),
            plugins: vec![users, mail],
            tenants: vec![Tenant {
                name: "test".to_owned(),
                lines: "authenticators = [\"users\"]\nstore = \"mail\"\n".to_owned(),
            }],
            directory,
        }
    }

    /// The site's directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Adds a user, and replaces the passwd file as an administrator's tool
    /// does: a new file, renamed over the old one.
    pub fn user(&mut self, user: &str, password: &str) {
        self.user_with_hash(user, &format!("{{PLAIN}}{password}"));
    }

    /// The same with what the passwd file has behind the name.
    pub fn user_with_hash(&mut self, user: &str, hash: &str) {
        self.users
            .retain(|line| !line.starts_with(&format!("{user}:")));
        self.users.push(format!("{user}:{hash}"));
        self.write_users();
    }

    /// Takes a user out of the passwd file.
    pub fn forget_user(&mut self, user: &str) {
        self.users
            .retain(|line| !line.starts_with(&format!("{user}:")));
        self.write_users();
    }

    fn write_users(&self) {
        let mut text = self.users.join("\n");
        text.push('\n');
        let next = self.path().join("users/passwd.next");
        fs::write(&next, text).unwrap();
        fs::rename(&next, self.path().join("users/passwd")).unwrap();
    }

    /// Makes the Maildir of a user.
    pub fn maildir(&self, user: &str) -> Maildir {
        Maildir::create(self.maildir_path(user))
    }

    /// Where the Maildir of a user is, or would be.
    pub fn maildir_path(&self, user: &str) -> PathBuf {
        self.path().join("mail").join(user)
    }

    /// Adds the built-in rules as a filter and a selector of the tenant.
    pub fn rules(&mut self, settings: &str) {
        let mut rules = Plugin::new("rules", "builtin:rules");
        rules.settings = settings.to_owned();
        self.plugins.push(rules);
        self.tenants[0]
            .lines
            .push_str("filters = [\"rules\"]\nselectors = [\"rules\"]\n");
    }

    /// The configuration as text.
    pub fn config(&self) -> String {
        let mut text = format!(
            "{}[server]\nhostname = \"pop.test.example\"\nwatch = {}\nstate-dir = {:?}\ncertificate = {:?}\nkey = {:?}\n{}\n[server.limits]\n{}",
            self.first,
            self.watch,
            self.state,
            self.certificate.certificate,
            self.certificate.key,
            self.server,
            self.limits
        );
        for Listener {
            name,
            tls,
            address,
            lines,
        } in &self.listeners
        {
            write!(
                text,
                "\n[listener.{name}]\naddress = {address:?}\ntls = {tls:?}\n{lines}"
            )
            .unwrap();
        }
        for plugin in &self.plugins {
            let name = &plugin.name;
            write!(
                text,
                "\n[plugin.{name}]\ncomponent = {:?}\n",
                plugin.component
            )
            .unwrap();
            for (section, lines) in [
                ("settings", &plugin.settings),
                ("grants", &plugin.grants),
                ("limits", &plugin.limits),
            ] {
                if !lines.is_empty() {
                    write!(text, "[plugin.{name}.{section}]\n{lines}").unwrap();
                }
            }
        }
        // One directory of maildrops by user, for several tenants: they have to say so.
        let by_user = |plugin: &Plugin| plugin.grants.contains("/mail/{user}\"");
        let shared = self.tenants.len() > 1 && self.plugins.iter().any(by_user);
        let sharing = match shared {
            true => "shares-maildrops-with-other-tenants = true\n",
            false => "",
        };
        for Tenant { name, lines } in &self.tenants {
            write!(text, "\n[tenant.{name}]\n{sharing}{lines}").unwrap();
        }
        text
    }

    /// Writes a configuration into the site; its path.
    pub fn write_config(&self, text: &str) -> PathBuf {
        let path = self.path().join("restante.toml");
        fs::write(&path, text).unwrap();
        path
    }

    /// What `restante check` says of this site.
    pub fn check(&self) -> Finished {
        let config = self.write_config(&self.config());
        let mut check = Command::new(binary());
        run_to_end(check.args(["check", "--config"]).arg(config))
    }

    /// Starts a server on this site and waits until it accepts.
    pub fn start(&self) -> Server {
        let config = self.write_config(&self.config());
        self.starts.set(self.starts.get() + 1);
        let outputs = self.path().join(format!("start-{}", self.starts.get()));
        let names: Vec<String> = self.listeners.iter().map(|l| l.name.clone()).collect();
        Server::start(&config, &outputs, &names, &self.arguments)
    }
}
