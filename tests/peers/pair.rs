//! The two servers, set up alike for one dialogue: each with its own copy of the
//! Maildir, on loopback.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use restante_tests::{Certificate, GLANCE, Maildir, Process, Server, Site, wait_for};
use rustix::process::{getegid, geteuid};
use tempfile::TempDir;

use crate::dialogue::{Channel, Dialogue};

/// Not the address that clients come from: where both are one, Dovecot takes the
/// way between them for safe, and allows passwords in the clear.
const DOVECOTS_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// How long Dovecot may take to end before it is killed.
const DOVECOTS_END: Duration = Duration::from_secs(5);
/// How often another port is tried, when somebody took the chosen one.
const PORTS: u32 = 5;

/// A server that plays.
pub(crate) trait Player {
    /// Where it listens.
    fn address(&self) -> SocketAddr;
    /// Its copy of the mail.
    fn maildir(&self) -> &Maildir;
}

/// The server under test.
pub(crate) struct Restante {
    server: Option<Server>,
    address: SocketAddr,
    maildir: Maildir,
}

impl Restante {
    pub(crate) fn start(site: &mut Site, dialogue: &Dialogue) -> Restante {
        site.user(&dialogue.user, &dialogue.password);
        // One maildrop for any name, even one that no path could hold.
        let root = site.path().join("mail/drop");
        for plugin in &mut site.plugins {
            if plugin.name == "mail" {
                plugin.grants = format!("maildrop = {root:?}\nmissing-maildrop = \"empty\"\n");
            }
        }
        site.limits = "failure-delay = \"0s\"\nmax-failure-delay = \"0s\"\n".to_owned();
        for (name, value) in &dialogue.limits {
            site.limits.push_str(&format!("{name} = {value}\n"));
        }
        if !dialogue.plaintext {
            let tenant = &mut site.tenants[0].lines;
            tenant.push_str("plaintext-login = \"never\"\n");
        }
        let maildir = filled(&root, dialogue);
        let server = site.start();
        let address = server.address(match dialogue.channel {
            Channel::Clear => "pop3",
            Channel::StartTls => "stls",
            Channel::Implicit => "pop3s",
        });
        Restante {
            server: Some(server),
            address,
            maildir,
        }
    }
}

impl Player for Restante {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn maildir(&self) -> &Maildir {
        &self.maildir
    }
}

impl Drop for Restante {
    fn drop(&mut self) {
        if let Some(server) = self.server.take().filter(|_| !std::thread::panicking()) {
            server.stop();
        }
    }
}

/// A Dovecot of the test's own, as an ordinary user.
pub(crate) struct Dovecot {
    process: Process,
    address: SocketAddr,
    maildir: Maildir,
    _directory: TempDir,
}

impl Dovecot {
    pub(crate) fn start(certificate: &Certificate, dialogue: &Dialogue) -> Dovecot {
        let directory = tempfile::Builder::new()
            .prefix("restante-dovecot-")
            .tempdir()
            .expect("a temporary directory");
        let root = directory.path();
        let user = User::for_dovecot();
        for part in ["run", "state", "mail"] {
            fs::create_dir(root.join(part)).expect("a new directory");
        }
        for (from, to) in [
            (&certificate.certificate, "server.pem"),
            (&certificate.key, "server.key"),
        ] {
            fs::copy(from, root.join(to)).expect("the certificate can be copied");
        }
        // It looks names up as it would quote them in a query.
        let mut quoted = String::new();
        for letter in dialogue.user.chars() {
            if ['"', '\'', '\\'].contains(&letter) {
                quoted.push('\\');
            }
            quoted.push(letter);
        }
        let password = format!("{quoted}:{{PLAIN}}{}\n", dialogue.password);
        fs::write(root.join("passwd"), password).expect("a new file");
        let maildir = filled(&root.join("mail/drop"), dialogue);
        user.owns(root);

        for _ in 0..PORTS {
            let address = free_address();
            let config = root.join("dovecot.conf");
            let text = configuration(root, &user, address.port(), dialogue);
            fs::write(&config, text).expect("a new file");
            let mut command = Command::new("dovecot");
            command.arg("-F").arg("-c").arg(&config);
            if geteuid().is_root() {
                command.uid(user.uid).gid(user.gid);
            }
            let mut process = Process::start(&mut command, &root.join("dovecot"));
            let accepts = wait_for("Dovecot to accept", || {
                let accepts = TcpStream::connect(address).is_ok();
                (accepts || !process.is_running()).then_some(accepts)
            });
            if accepts {
                return Dovecot {
                    process,
                    address,
                    maildir,
                    _directory: directory,
                };
            }
            eprintln!("{}", process.stderr());
        }
        let log = fs::read_to_string(root.join("log")).unwrap_or_default();
        panic!("Dovecot does not start:\n{log}");
    }
}

impl Player for Dovecot {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn maildir(&self) -> &Maildir {
        &self.maildir
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // Its children end with it if it ends in order.
        let asked = Instant::now();
        if self.process.is_running() {
            self.process.terminate();
        }
        while self.process.is_running() && asked.elapsed() < DOVECOTS_END {
            std::thread::sleep(GLANCE);
        }
    }
}

/// The dialogue's mail as a delivery agent leaves it.
fn filled(root: &Path, dialogue: &Dialogue) -> Maildir {
    let mut maildir = Maildir::create(root);
    for mail in &dialogue.mail {
        maildir.deliver(&mail.content);
    }
    maildir
}

/// Free a moment ago; another process may take it before Dovecot does.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((DOVECOTS_ADDRESS, 0)).expect("loopback has a free port");
    listener
        .local_addr()
        .expect("a bound socket has an address")
}

/// Whom Dovecot runs as. It refuses to serve mail as root.
struct User {
    name: String,
    group: String,
    uid: u32,
    gid: u32,
}

impl User {
    fn for_dovecot() -> User {
        let known = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let (users, groups) = (known("/etc/passwd"), known("/etc/group"));
        let user = match geteuid().is_root() {
            true => entry(&users, 0, "nobody"),
            false => entry(&users, 2, &geteuid().as_raw().to_string()),
        };
        let user = user.expect("the user that Dovecot runs as is in /etc/passwd");
        let number = |at: usize| -> u32 { user[at].parse().expect("a number in /etc/passwd") };
        let gid = match geteuid().is_root() {
            true => number(3),
            false => getegid().as_raw(),
        };
        let group = entry(&groups, 2, &gid.to_string());
        User {
            name: user[0].to_owned(),
            group: group.expect("its group is in /etc/group")[0].to_owned(),
            uid: number(2),
            gid,
        }
    }

    /// Gives it a directory and all that is in it.
    fn owns(&self, path: &Path) {
        if !geteuid().is_root() {
            return;
        }
        chown(path, Some(self.uid), Some(self.gid)).expect("root may");
        if path.is_dir() {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("root may");
            for entry in fs::read_dir(path).expect("a readable directory") {
                self.owns(&entry.expect("a readable directory").path());
            }
        }
    }
}

/// The line of a file such as /etc/passwd that has this in a column.
fn entry<'a>(text: &'a str, column: usize, value: &str) -> Option<Vec<&'a str>> {
    text.lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|columns| columns.get(column) == Some(&value))
}

/// Dovecot 2.3's. What it delays or refuses on account of earlier sessions is
/// turned off, as it is in ours; unique-ids are file names, as ours are.
fn configuration(root: &Path, user: &User, port: u16, dialogue: &Dialogue) -> String {
    let User {
        name, group, uid, ..
    } = user;
    let root = root.display();
    let (plain, implicit) = match dialogue.channel {
        Channel::Implicit => (0, port),
        Channel::Clear | Channel::StartTls => (port, 0),
    };
    let ssl = match dialogue.channel {
        Channel::Clear => "no",
        Channel::StartTls if !dialogue.plaintext => "required",
        Channel::StartTls | Channel::Implicit => "yes",
    };
    let no_plaintext = if dialogue.plaintext { "no" } else { "yes" };
    format!(
        "protocols = pop3
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/log
listen = {DOVECOTS_ADDRESS}
default_internal_user = {name}
default_internal_group = {group}
default_login_user = {name}
first_valid_uid = {uid}
ssl = {ssl}
ssl_cert = <{root}/server.pem
ssl_key = <{root}/server.key
disable_plaintext_auth = {no_plaintext}
auth_mechanisms = plain login
auth_failure_delay = 0
auth_username_chars =
auth_username_format = %u
mail_location = maildir:{root}/mail/drop
pop3_uidl_format = %f
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {root}/passwd
}}
userdb {{
  driver = static
  args = uid={name} gid={group} home={root}/mail
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {plain}
  }}
  inet_listener pop3s {{
    port = {implicit}
    ssl = yes
  }}
}}
"
    )
}
