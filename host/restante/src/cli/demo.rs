//! `demo`: the built-in plugins, sample mail and a certificate of its own, all
//! in a temporary directory that goes when the demo ends.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use restante::generation::Broken;
use restante::server::Server;
use restante_config::template::Template;
use restante_config::{Config, Log};
use restante_roles::passwords::{self, Scheme};
use restante_server::listener::Bound;
use restante_server::tls;
use tempfile::TempDir;

use super::compiler::compiler;
use super::serve;

/// The demo's one user.
const USER: &str = "demo";
/// Characters of the demo's password, which is made anew at each start.
const PASSWORD: usize = 12;

/// The sample maildrop: the file's base name, and the message.
const SAMPLE: [(&str, &str); 5] = [
    (
        "1700000001.M1P1.sample",
        include_str!("demo-mail/1-welcome.eml"),
    ),
    (
        "1700000002.M1P1.sample",
        include_str!("demo-mail/2-plugins.eml"),
    ),
    (
        "1700000003.M1P1.sample",
        include_str!("demo-mail/3-spam.eml"),
    ),
    (
        "1700000004.M1P1.sample",
        include_str!("demo-mail/4-dots.eml"),
    ),
    (
        "1700000005.M1P1.sample",
        include_str!("demo-mail/5-attachment.eml"),
    ),
];

/// `restante demo`.
pub(super) fn demo(
    listen: SocketAddr,
    listen_tls: SocketAddr,
    maildrop: Option<&Path>,
) -> anyhow::Result<()> {
    let queue = restante_log::begin(&Log::default())?;
    queue.start().context("the log")?;
    let mut home = Home::new()?;
    if let Some(path) = maildrop {
        home.maildrop = existing(path)?;
        home.of_anybody = true;
    }
    let (config, file) = home.configuration(listen, listen_tls, None)?;
    let compiler = compiler(&config.server)?;
    let server = Server::bind(config)?.broken(Broken::Refused);
    let served = serve::executor()?.block_on(async {
        let server = server.compiler(compiler);
        let prepared = serve::prepare(server, &file).await?;
        serve::run(prepared, |bound| home.greet(bound)).await
    });
    queue.flush();
    served?;
    home.close()
}

/// The demo's folder, with its mail; gone when this is.
pub(super) struct Home {
    folder: TempDir,
    maildrop: PathBuf,
    /// Whether the maildrop may be another user's: who starts the demo has named it.
    of_anybody: bool,
    password: String,
}

/// A plugin in the place of the demo's own.
pub(super) struct Own {
    /// Its file.
    pub(super) component: PathBuf,
    /// The roles that it exports.
    pub(super) roles: Vec<String>,
    /// Its settings.
    pub(super) settings: Vec<(String, String)>,
}

impl Home {
    /// With the sample maildrop, and a new password.
    pub(super) fn new() -> anyhow::Result<Home> {
        let folder = tempfile::Builder::new()
            .prefix("restante-demo-")
            .tempdir()
            .context("a temporary directory")?;
        Ok(Home {
            maildrop: sample(folder.path()).context("the sample maildrop")?,
            of_anybody: false,
            password: password()?,
            folder,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What is served, and its file.
    pub(super) fn configuration(
        &self,
        listen: SocketAddr,
        listen_tls: SocketAddr,
        own: Option<&Own>,
    ) -> anyhow::Result<(Config, PathBuf)> {
        let grant = self.maildrop_grant()?;
        let mut text = configuration(self.path(), &grant, &self.password, listen, listen_tls)?;
        text.push_str(&tenant(own, &grant)?);
        let file = self.path().join("restante.toml");
        fs::write(&file, &text)?;
        let config = Config::load(&file).map_err(|problems| anyhow::anyhow!("{problems}"))?;
        Ok((config, file))
    }

    /// The lines of a store's grants.
    fn maildrop_grant(&self) -> anyhow::Result<String> {
        // Braces in a path are not placeholders.
        let maildrop = quoted_text(&Template::escape(display(&self.maildrop)?));
        let owner = match self.of_anybody {
            true => "maildrop-owner = \"any\"\n",
            false => "",
        };
        Ok(format!("maildrop = {maildrop}\n{owner}"))
    }

    /// Says where the mail is and what to type next.
    pub(super) fn greet(&self, bound: &[Bound]) -> anyhow::Result<()> {
        let certificate = self.path().join("certificate.pem");
        greet(bound, &self.maildrop, &self.password, &certificate)
    }

    /// Removes it.
    pub(super) fn close(self) -> anyhow::Result<()> {
        self.folder.close().context("the temporary directory")
    }
}

/// A Maildir that is there already, by its full path.
fn existing(path: &Path) -> anyhow::Result<PathBuf> {
    let path = path
        .canonicalize()
        .with_context(|| format!("--maildrop {}", path.display()))?;
    if !path.join("cur").is_dir() || !path.join("new").is_dir() {
        bail!(
            "--maildrop {}: not a Maildir, it has no folders cur and new",
            path.display()
        );
    }
    Ok(path)
}

fn sample(home: &Path) -> anyhow::Result<PathBuf> {
    let maildrop = home.join("Maildir");
    for folder in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildrop.join(folder))?;
    }
    for (name, message) in SAMPLE {
        fs::write(maildrop.join("new").join(name), message)?;
    }
    Ok(maildrop)
}

/// Twelve letters and digits that nobody mistakes for one another.
fn password() -> anyhow::Result<String> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut octets = [0; PASSWORD];
    getrandom::fill(&mut octets).context("the system's randomness")?;
    Ok(octets
        .iter()
        .map(|octet| char::from(LETTERS[usize::from(octet % 32)]))
        .collect())
}

/// A new file with secrets in it, which its owner alone may read.
fn private_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)
}

fn configuration(
    home: &Path,
    maildrop_grant: &str,
    password: &str,
    listen: SocketAddr,
    listen_tls: SocketAddr,
) -> anyhow::Result<String> {
    let users = home.join("users");
    fs::create_dir(&users)?;
    let hash = |scheme| passwords::hash(scheme, 4096, password);
    let (argon2, scram) = (hash(Scheme::Argon2id)?, hash(Scheme::ScramSha256)?);
    let line = format!("{USER}:{argon2}|{scram}\n");
    private_file(&users.join("passwd"), line.as_bytes())?;
    let (certificate, key) = (home.join("certificate.pem"), home.join("key.pem"));
    let own = tls::self_signed()?;
    fs::write(&certificate, own.certificate_pem)?;
    private_file(&key, own.key_pem.as_bytes())?;
    let quote = |path: &Path| quoted(path);
    Ok(format!(
        r#"# What `restante demo` serves. Your own could begin like this.
[server]
hostname = "localhost"
state-dir = {state}
certificate = {certificate}
key = {key}

[listener.pop3]
address = "{listen}"
tls = "starttls"

[listener.pop3s]
address = "{listen_tls}"
tls = "implicit"

[plugin.users]
component = "builtin:passwd-file"
[plugin.users.settings]
file = "/users/passwd"
[plugin.users.grants]
directories = [{{ host = {users}, guest = "/users", access = "read" }}]

[plugin.mail]
component = "builtin:maildir"
[plugin.mail.grants]
{maildrop_grant}
[plugin.no-spam]
component = "builtin:rules"
[plugin.no-spam.settings]
hide-header = "X-Spam-Flag: YES"
"#,
        state = quote(&home.join("state"))?,
        certificate = quote(&certificate)?,
        key = quote(&key)?,
        users = quote(&users)?,
    ))
}

/// The demo's one tenant, and the plugin that stands in for its own.
fn tenant(own: Option<&Own>, maildrop_grant: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    if let Some(own) = own {
        text.push_str("\n[plugin.own]\ncomponent = ");
        text.push_str(&quoted(&own.component)?);
        text.push_str("\n[plugin.own.settings]\n");
        for (key, value) in &own.settings {
            text.push_str(&format!("{} = {}\n", quoted_text(key), quoted_text(value)));
        }
        if own.plays("store") {
            text.push_str(&format!("[plugin.own.grants]\n{maildrop_grant}"));
        }
    }
    let plays = |role| own.is_some_and(|own| own.plays(role));
    text.push_str("\n[tenant.demo]\n");
    text.push_str(match plays("authenticator") {
        true => "authenticators = [\"own\", \"users\"]\n",
        false => "authenticators = [\"users\"]\n",
    });
    text.push_str(match plays("store") {
        true => "store = \"own\"\n",
        false => "store = \"mail\"\n",
    });
    text.push_str(match plays("filter") {
        true => "filters = [\"own\"]\n",
        false => "filters = [\"no-spam\"]\n",
    });
    for (role, key) in [("selector", "selectors"), ("admission", "admissions")] {
        if plays(role) {
            text.push_str(&format!("{key} = [\"own\"]\n"));
        }
    }
    Ok(text)
}

impl Own {
    fn plays(&self, role: &str) -> bool {
        self.roles.iter().any(|known| known == role)
    }
}

fn quoted(path: &Path) -> anyhow::Result<String> {
    Ok(quoted_text(display(path)?))
}

fn quoted_text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn display(path: &Path) -> anyhow::Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))
}

/// Says where the mail is and what to type next.
fn greet(
    bound: &[Bound],
    maildrop: &Path,
    password: &str,
    certificate: &Path,
) -> anyhow::Result<()> {
    let [plain, tls] = bound else {
        bail!("two listeners were asked for, {} are bound", bound.len());
    };
    let (plain, tls) = (plain.address(), tls.address());
    let (bold, end) = if std::io::stdout().is_terminal() {
        ("\x1b[1m", "\x1b[0m")
    } else {
        ("", "")
    };
    let (plain_at, tls_at) = (reachable(plain), reachable(tls));
    let mut out = std::io::stdout().lock();
    write!(
        out,
        "
{bold}Restante is serving mail.{end}  Ctrl-C ends it.

  POP3        {plain}  (STLS offered)
  POP3 + TLS  {tls}
  user        {bold}{USER}{end}
  password    {bold}{password}{end}
  maildrop    {maildrop}

Type next, in another terminal:

  curl -u {USER}:{password} pop3://{plain_at}/1
  curl -u {USER}:{password} --cacert {certificate} pop3s://{tls_at}/
  openssl s_client -quiet -crlf -CAfile {certificate} -connect {tls_at}

",
        maildrop = maildrop.display(),
        certificate = certificate.display(),
    )?;
    out.flush()?;
    Ok(())
}

/// An address that a client on this machine reaches the listener by.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
