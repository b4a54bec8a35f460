//! The servers that are compared, each with its configuration, on ports of the
//! loopback address: the floor, Restante without and with the rules filter,
//! and Dovecot, tuned.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::client::{PASSWORD, Target, Tls};
use crate::mail::{Class, Tree, system_user};
use crate::process::Process;

/// A server that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Floor,
    Restante,
    /// Restante with a filter.
    Rules,
    Dovecot,
}

impl Kind {
    /// What tables call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Floor => "floor",
            Kind::Restante => "Restante",
            Kind::Rules => "Restante + rules",
            Kind::Dovecot => "Dovecot",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Kind::Floor => "floor",
            Kind::Restante => "restante",
            Kind::Rules => "rules",
            Kind::Dovecot => "dovecot",
        }
    }
}

/// Dovecot's programs.
#[derive(Debug, Clone)]
pub(crate) struct Dovecot {
    pub(crate) master: PathBuf,
    pub(crate) pop3: PathBuf,
    pub(crate) pop3_login: PathBuf,
}

/// What every server is started from.
pub(crate) struct Programs {
    pub(crate) restante: PathBuf,
    pub(crate) dovecot: Option<Dovecot>,
    /// For sockets, configurations and logs.
    pub(crate) scratch: PathBuf,
    /// Where Restante keeps compiled components.
    pub(crate) state: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// How a server is to be started.
#[derive(Debug, Clone)]
pub(crate) struct Setup<'a> {
    pub(crate) kind: Kind,
    pub(crate) tree: &'a Tree,
    pub(crate) classes: &'a [Class],
    /// Where Restante keeps compiled components, if not where all do.
    pub(crate) state: Option<PathBuf>,
    /// Tenants with a domain each, beside the one that serves everybody else.
    pub(crate) tenants: usize,
    /// An authenticator in a component of its own; its settings are none.
    pub(crate) authenticator: Option<PathBuf>,
    /// Lines of the section of an engine that keeps the maildrops, instead of the tree.
    pub(crate) engine: Option<String>,
}

impl<'a> Setup<'a> {
    pub(crate) fn new(kind: Kind, tree: &'a Tree, classes: &'a [Class]) -> Self {
        Setup {
            kind,
            tree,
            classes,
            state: None,
            tenants: 0,
            authenticator: None,
            engine: None,
        }
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) process: Process,
    plain: SocketAddr,
    implicit: SocketAddr,
    certificate: PathBuf,
    /// Its configuration and its log.
    pub(crate) folder: PathBuf,
}

impl Server {
    /// Where clients connect.
    pub(crate) fn target(&self, tls: Tls) -> Result<Target> {
        match tls {
            Tls::Off => Ok(Target::plain(self.plain)),
            Tls::Full => Target::tls(self.implicit, &self.certificate, false),
            Tls::Resumed => Target::tls(self.implicit, &self.certificate, true),
        }
    }
}

impl Programs {
    /// Starts a server and waits until it accepts.
    pub(crate) fn start(&self, setup: &Setup<'_>) -> Result<Server> {
        let name = setup.kind.file();
        let folder = tempfile::Builder::new()
            .prefix(&format!("{name}-"))
            .tempdir_in(&self.scratch)?
            .keep();
        let log = folder.join("log");
        let started = match setup.kind {
            Kind::Floor => self.start_floor(setup, &log),
            Kind::Restante | Kind::Rules => self.start_restante(setup, &folder, &log),
            Kind::Dovecot => self.start_dovecot(setup, &folder, &log),
        };
        let (process, plain, implicit) =
            started.with_context(|| format!("cannot start {}", setup.kind.name()))?;
        Ok(Server {
            process,
            plain,
            implicit,
            certificate: self.certificate.clone(),
            folder,
        })
    }

    fn start_floor(&self, setup: &Setup<'_>, log: &Path) -> Result<Started> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("floor");
        command.arg("--certificate").arg(&self.certificate);
        command.arg("--key").arg(&self.key);
        for class in setup.classes {
            command.arg("--class").arg(class.to_string());
        }
        let mut process = Process::start(&mut command, log)?;
        let (plain, tls) = process.wait_until(log, floor_addresses)?;
        Ok((process, plain, tls))
    }

    fn start_restante(&self, setup: &Setup<'_>, folder: &Path, log: &Path) -> Result<Started> {
        let users = folder.join("users");
        fs::create_dir(&users)?;
        fs::write(users.join("passwd"), passwd(setup.classes))?;
        let config = folder.join("restante.toml");
        fs::write(&config, self.restante_config(setup, &users))?;
        let mut command = Command::new(&self.restante);
        command.args(["serve", "--config"]).arg(&config);
        command.env_remove("RUST_LOG");
        let mut process = Process::start(&mut command, log)?;
        let (plain, tls) = process.wait_until(log, |said| {
            Some((listening(said, "pop3")?, listening(said, "pop3s")?))
        })?;
        Ok((process, plain, tls))
    }

    fn restante_config(&self, setup: &Setup<'_>, users: &Path) -> String {
        let state = setup.state.as_ref().unwrap_or(&self.state);
        let component = match &setup.authenticator {
            None => "builtin:passwd-file".into(),
            Some(path) => path.display().to_string(),
        };
        let settings = match setup.authenticator {
            None => "settings = { file = \"/users/passwd\" }",
            Some(_) => "",
        };
        let (filter, filters) = match setup.kind {
            Kind::Rules => (RULES, "filters = [\"rules\"]\n"),
            _ => ("", ""),
        };
        // All find their mail in one tree, by name alone.
        let sharing = match setup.tenants {
            0 => "",
            _ => "shares-maildrops-with-other-tenants = true\n",
        };
        let roles =
            format!("authenticators = [\"users\"]\nstore = \"mail\"\n{filters}{sharing}{TENANT}");
        let (node, engine, store, maildrop) = match &setup.engine {
            None => {
                let maildrop = setup.tree.root().join("{local}");
                (
                    "",
                    String::new(),
                    "builtin:maildir",
                    format!("{maildrop:?}"),
                )
            }
            Some(section) => (
                "node = \"bench\"\n",
                format!("[engine.{ENGINE}]\n{section}"),
                "builtin:spool",
                format!("\"engine:{ENGINE}/{{tenant}}/{{user}}\""),
            ),
        };
        let mut config = format!(
            "[server]\nhostname = \"bench.example.net\"\nstate-dir = {state:?}\n{node}\
             certificate = {:?}\nkey = {:?}\n{LIMITS}{LISTENERS}{engine}\n\
             [plugin.users]\ncomponent = {component:?}\n{settings}\n[plugin.users.grants]\n\
             directories = [{{ host = {users:?}, guest = \"/users\" }}]\n\
             [plugin.mail]\ncomponent = {store:?}\n\
             grants = {{ maildrop = {maildrop} }}\nlimits = {{ memory = \"1GiB\", cpu-time = \"1m\", wall-time = \"10m\" }}\n\
             {filter}[tenant.{MAIN_TENANT}]\ndefault = true\n{roles}",
            self.certificate, self.key,
        );
        for tenant in 0..setup.tenants {
            write!(
                config,
                "[tenant.t{tenant}]\ndomains = [\"t{tenant}.example\"]\n{roles}"
            )
            .expect("a String takes everything");
        }
        config
    }

    fn start_dovecot(&self, setup: &Setup<'_>, folder: &Path, log: &Path) -> Result<Started> {
        let programs = self.dovecot.as_ref().context("there is no Dovecot")?;
        let (plain, implicit) = (free_address()?, free_address()?);
        let config = folder.join("dovecot.conf");
        fs::write(
            &config,
            self.dovecot_config(programs, setup, folder, [plain, implicit])?,
        )?;
        let mut command = Command::new(&programs.master);
        command.arg("-F").arg("-c").arg(&config);
        let mut process = Process::start(&mut command, log)?;
        process.wait_until(log, |_| {
            let both = [plain, implicit];
            both.iter()
                .all(|&address| TcpStream::connect(address).is_ok())
                .then_some(())
        })?;
        Ok((process, plain, implicit))
    }

    /// notes of Dovecot's own on large installations: login processes that
    /// serve many clients, mail processes kept ready and used again.
    fn dovecot_config(
        &self,
        programs: &Dovecot,
        setup: &Setup<'_>,
        folder: &Path,
        [plain, implicit]: [SocketAddr; 2],
    ) -> Result<String> {
        let (user, group) = dovecot_user()?;
        Ok(format!(
            "base_dir = {run}\nstate_dir = {run}\nlog_path = {log}\nprotocols = pop3\n\
             listen = 127.0.0.1\nssl = yes\nssl_cert = <{certificate}\nssl_key = <{key}\n\
             ssl_min_protocol = TLSv1.2\ndisable_plaintext_auth = no\nauth_mechanisms = plain\n\
             first_valid_uid = 1\nfirst_valid_gid = 1\nmail_max_userip_connections = 1000\n\
             mail_location = maildir:{tree}/%n\nmail_fsync = never\nmaildir_very_dirty_syncs = yes\n\
             default_client_limit = 20000\ndefault_process_limit = 3000\ndefault_vsz_limit = 0\n\
             passdb {{\n  driver = static\n  args = password={PASSWORD}\n}}\n\
             userdb {{\n  driver = static\n  args = uid={user} gid={group} home={tree}/%n\n}}\n\
             service pop3-login {{\n  executable = {login}\n  service_count = 0\n  process_min_avail = 2\n  \
             inet_listener pop3 {{\n    port = {plain}\n  }}\n  \
             inet_listener pop3s {{\n    port = {implicit}\n    ssl = yes\n  }}\n}}\n\
             service pop3 {{\n  executable = {pop3}\n  service_count = 10000\n  process_min_avail = 8\n}}\n",
            run = folder.join("run").display(),
            log = folder.join("dovecot.log").display(),
            certificate = self.certificate.display(),
            key = self.key.display(),
            tree = setup.tree.root().display(),
            login = programs.pop3_login.display(),
            pop3 = programs.pop3.display(),
            plain = plain.port(),
            implicit = implicit.port(),
        ))
    }
}

/// Process, address in the clear, address with TLS.
type Started = (Process, SocketAddr, SocketAddr);

/// Limits that one client on one address would run into. 20,000 is what the
/// descriptors of most machines allow.
const LIMITS: &str = "[server.limits]\nconnections = 20000\nconnections-per-address = 20000\n\
    connections-per-network = 20000\nmax-unauthenticated = 20000\n";

const LISTENERS: &str = "[listener.pop3]\naddress = \"127.0.0.1:0\"\ntls = \"off\"\n\
    [listener.pop3s]\naddress = \"127.0.0.1:0\"\ntls = \"implicit\"\n";

const TENANT: &str = "limits = { sessions = 20000, sessions-per-user = 100 }\n";

/// The tenant that serves everybody who is in no other tenant's domain.
pub(crate) const MAIN_TENANT: &str = "main";

/// What the configuration calls the engine that keeps maildrops.
const ENGINE: &str = "mail";

/// The name of a user's maildrop among those of [`MAIN_TENANT`], where an engine keeps it.
pub(crate) fn maildrop_in_engine(user: &str) -> String {
    format!("{MAIN_TENANT}/{user}")
}

/// Hides nothing that is there, and has to look at every message to know.
const RULES: &str = "[plugin.rules]\ncomponent = \"builtin:rules\"\n\
    settings = { hide-header = \"X-Spam-Flag: YES\" }\n";

/// Whom Dovecot's mail processes run as: it refuses to touch mail as root.
pub(crate) fn dovecot_user() -> Result<(u32, u32)> {
    system_user("dovecot")
}

fn passwd(classes: &[Class]) -> String {
    let mut text = String::new();
    for class in classes {
        for at in 0..class.users {
            writeln!(text, "{}:{{PLAIN}}{PASSWORD}", class.user(at))
                .expect("a String takes everything");
        }
    }
    text
}

/// The addresses in the floor's first line.
fn floor_addresses(said: &str) -> Option<(SocketAddr, SocketAddr)> {
    let (line, _) = said.split_once('\n')?;
    let mut words = line.strip_prefix("floor ")?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// The address in the line of the log with which a listener says that it accepts.
fn listening(log: &str, listener: &str) -> Option<SocketAddr> {
    let value = |line: &str, key: &str| {
        let word = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))?;
        Some(word.trim_matches('"').to_owned())
    };
    log.lines()
        .filter(|line| line.contains("listening"))
        .filter(|line| value(line, "listener").as_deref() == Some(listener))
        .find_map(|line| value(line, "address")?.parse().ok())
}

/// A port that is free now.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_what_servers_say() {
        let (plain, tls) = floor_addresses("floor 127.0.0.1:5 127.0.0.1:6\n").unwrap();
        assert_eq!((plain.port(), tls.port()), (5, 6));
        assert!(floor_addresses("floor 127.0.0.1:5 127.0.0.1:").is_none());

        let log = "x INFO listening listener=pop3s address=127.0.0.1:7 tls=implicit\n\
            x INFO listening listener=\"pop3\" address=127.0.0.1:8\n";
        assert_eq!(listening(log, "pop3").unwrap().port(), 8);
        assert_eq!(listening(log, "pop3s").unwrap().port(), 7);
        assert!(listening(log, "other").is_none());
    }

    #[test]
    fn every_user_has_a_line() {
        let class = Class {
            name: "some",
            users: 2,
            messages: 1,
            octets: 500,
        };
        assert_eq!(passwd(&[class]), "some-0:{PLAIN}x\nsome-1:{PLAIN}x\n");
    }
}
