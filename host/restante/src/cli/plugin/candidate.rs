//! A component made ready on the command line, without a configuration of its
//! own: what `plugin test` asks and `plugin run` runs.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::io::Read as _;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use parking_lot::Mutex;
use restante::databases::Databases;
use restante_config as config;
use restante_config::template::Template;
use restante_config::{Config, MaildropGrant, MissingMaildrop};
use restante_conformance::{MaildropSource, Maildrops};
use restante_pop3::MockCredentials;
use restante_pop3::without_url_secrets;
use restante_roles::backend::Accepts;
use restante_roles::metrics::{Ledger, Metrics};
use restante_roles::state_dir::StateDir;
use restante_server::tenant;
use restante_wasm::{Compiler, Plugin, Runtime, Services};
use tempfile::TempDir;
use tracing_subscriber::fmt::MakeWriter;

use super::engine_maildrops::{EngineMaildrops, is_maildir};
use super::memory_engine::MemoryEngine;
use crate::cli::compiler::compiler;

/// Instances that may live at once.
const INSTANCES: u32 = 64;
/// Octets of the longest password in a file.
const PASSWORD_OCTETS: u64 = 64 * 1024;
/// Octets of log lines that are kept until they are asked for.
const LOG_OCTETS: usize = 256 * 1024;

/// What `--engine` calls the engine in memory.
const ENGINE: &str = "memory";
/// Where a maildrop is in an engine: under what the account calls it.
const NAME_IN_ENGINE: &str = "/{maildrop}";

/// What a component is given to work with.
#[derive(clap::Args)]
pub(super) struct Given {
    /// A component's file, or builtin:NAME
    pub(super) component: String,
    /// A setting of the plugin; may be repeated
    #[arg(long = "settings", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Grant a directory under a path in the guest, for reading, or with :rw for writing too; may
    /// be repeated
    #[arg(long = "directory", value_name = "HOST:GUEST[:rw]")]
    directories: Vec<String>,
    /// Grant HTTP requests to an origin; may be repeated
    #[arg(long = "http", value_name = "ORIGIN")]
    http: Vec<String>,
    /// Grant TCP connections to a place, tls://HOST:PORT or tcp://HOST:PORT; may be repeated
    #[arg(long = "connect", value_name = "PLACE")]
    connect: Vec<String>,
    /// Grant a database: NAME=FILE of SQLite, or NAME=postgresql://ROLE@HOST/DATABASE; may be
    /// repeated
    #[arg(long = "database", value_name = "NAME=PLACE")]
    databases: Vec<String>,
    /// The file with the password of the PostgreSQL roles in its first line
    #[arg(long, value_name = "FILE")]
    database_password_file: Option<PathBuf>,
    /// Trust these certificate authorities besides the system's, for --http and --connect
    #[arg(long, value_name = "FILE")]
    authorities: Option<PathBuf>,
    /// The maildrop of a store, which gets copies of it: the original is not changed [default: a
    /// Maildir of unusual messages]
    #[arg(long, value_name = "DIR")]
    pub(super) maildrop: Option<PathBuf>,
    /// Keep a store's maildrops in an engine in memory, for components that import mail-index;
    /// --maildrop is a Maildir then
    #[arg(long)]
    engine: bool,
}

/// What becomes of listings between sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listings {
    /// They are remembered, as a server does.
    Remembered,
    /// Each session asks its store for all of it.
    Forgotten,
}

/// Where candidates are tried: a temporary folder, an engine, and a log that is kept.
pub(in crate::cli) struct Stage {
    pub(super) log: Lines,
    /// Where maildrops are granted: each is a folder of its own in it.
    granted: PathBuf,
    runtime: Arc<Runtime>,
    databases: Databases,
    salts: MockCredentials,
    compiler: Compiler,
    /// Gone when this is.
    home: TempDir,
}

impl Stage {
    /// `config`: how what is new is compiled, how SCRAM keys are made, and which databases
    /// may be granted.
    pub(super) async fn begin(
        config: &Config,
        log: Lines,
        listings: Listings,
    ) -> anyhow::Result<Stage> {
        let server = &config.server;
        let home = home()?;
        let granted = home.path().join("maildrops");
        fs::create_dir(&granted)?;
        let cache = cache(home.path());
        let compiler = compiler(server)?;
        let metrics = Metrics::new();
        let databases = Databases::of(config, None, &metrics).await;
        let runtime = match listings {
            Listings::Remembered => Runtime::new,
            Listings::Forgotten => Runtime::without_listings,
        };
        Ok(Stage {
            log,
            granted,
            runtime: runtime(
                INSTANCES,
                &StateDir::open(&cache),
                compiler.clone(),
                metrics,
            )?,
            databases,
            // Nobody logs in by these salts.
            salts: tenant::mock_credentials(server, [0; 32]),
            compiler,
            home,
        })
    }

    /// Compiles a component if it is new, and lets it look over its settings. Its
    /// maildrop is a directory of the stage, or in an engine in memory if it was granted one
    /// in an engine.
    pub(super) async fn ready(&self, section: &config::Plugin) -> anyhow::Result<Candidate> {
        let name = section.component.to_string();
        let engine = engine_of(section).map(|_| MemoryEngine::new());
        let plugin = self.loaded(section, engine.as_ref()).await?;
        warn(&name, &plugin);
        let ledger = Ledger::new("settings");
        let failed = |when: &str| {
            let said = self.log.take().join("\n");
            anyhow!("{name} fails when it {when}\n{said}")
        };
        let problems = plugin.validate(&ledger).await;
        let problems = problems.map_err(|_| failed("checks its settings"))?;
        if !problems.is_empty() {
            let problems = problems.join("\n");
            bail!("{name}: its settings are invalid\n{problems}");
        }
        let accepts = plugin.accepts(&ledger, None).await;
        let accepts = accepts.map_err(|_| failed("says which credentials it accepts"))?;
        Ok(Candidate {
            plugin,
            accepts,
            engine,
        })
    }

    /// Compiles a component if it is new, and asks it nothing.
    pub(super) async fn load(&self, section: &config::Plugin) -> anyhow::Result<Arc<Plugin>> {
        let engine = engine_of(section).map(|_| MemoryEngine::new());
        self.loaded(section, engine.as_ref()).await
    }

    /// `engine`: what the engine of its maildrops is, if they are in one.
    async fn loaded(
        &self,
        section: &config::Plugin,
        engine: Option<&Arc<MemoryEngine>>,
    ) -> anyhow::Result<Arc<Plugin>> {
        let name = section.component.to_string();
        let services = self.services(section, engine);
        let mut section = section.clone();
        let maildrop = match engine_of(&section) {
            Some(engine) => in_engine(engine)?,
            None => {
                let root = self.granted.to_str();
                let root = root.context("the temporary folder's name is not UTF-8")?;
                let maildrop = format!("{}/{{maildrop}}", Template::escape(root));
                // What the plugin makes of a maildrop that is not there is asked too.
                section.grants.missing_maildrop = MissingMaildrop::Empty;
                MaildropGrant::Directory(Template::parse(&maildrop).context("a template")?)
            }
        };
        section.grants.maildrop = Some(maildrop);
        let (runtime, salts) = (Arc::clone(&self.runtime), self.salts.clone());
        for database in &section.grants.databases {
            if let Some(problem) = self.databases.problem(database) {
                bail!("{name}: database `{database}`: {problem}");
            }
        }
        let loading = move || runtime.plugin(&section, &salts, &services, None);
        let loaded = tokio::task::spawn_blocking(loading).await;
        let loaded = loaded.context("the compiler failed")?;
        Ok(loaded.with_context(|| name)?.plugin)
    }

    /// How long it takes to compile a component that was never compiled before, and
    /// to make it ready.
    pub(super) async fn compile(&self, section: &config::Plugin) -> anyhow::Result<Duration> {
        let state = self.folder()?;
        let compiler = self.compiler.clone();
        let (section, salts) = (section.clone(), self.salts.clone());
        let services = self.services(&section, Some(&MemoryEngine::new()));
        let compiling = move || {
            let runtime = Runtime::new(1, &StateDir::open(&state), compiler, Metrics::new())?;
            let begun = Instant::now();
            runtime.plugin(&section, &salts, &services, None)?;
            anyhow::Ok(begun.elapsed())
        };
        let compiled = tokio::task::spawn_blocking(compiling).await;
        compiled.context("the compiler failed")?
    }

    /// What may be granted: of engines it is this one, if the maildrops are in one.
    fn services(&self, section: &config::Plugin, engine: Option<&Arc<MemoryEngine>>) -> Services {
        let granted = engine_of(section).zip(engine);
        let shared = granted.map(|(name, engine)| engine.shared(name));
        Services {
            databases: self.databases.shared(),
            engines: shared.into_iter().collect(),
        }
    }

    /// A new folder that goes with the stage.
    pub(super) fn folder(&self) -> anyhow::Result<PathBuf> {
        let folder = TempDir::new_in(self.home.path()).context("a temporary folder")?;
        Ok(folder.keep())
    }

    /// Copies of this maildrop, or of the kit's own, where the candidate finds its maildrops.
    pub(super) fn maildrops(
        &self,
        candidate: &Candidate,
        source: Option<&Path>,
    ) -> anyhow::Result<Arc<dyn MaildropSource>> {
        let directories = self.directories(source)?;
        let Some(engine) = &candidate.engine else {
            return Ok(Arc::new(directories));
        };
        let source = directories.source();
        ensure!(
            is_maildir(source),
            "--maildrop {}: the maildrops are in an engine, which gets the messages of a Maildir, and this directory has neither cur nor new",
            source.display()
        );
        let engine = Arc::clone(engine);
        Ok(Arc::new(EngineMaildrops::new(engine, source.to_owned())))
    }

    /// The same in directories.
    pub(super) fn directories(&self, source: Option<&Path>) -> anyhow::Result<Maildrops> {
        let Some(source) = source else {
            let sample = Maildrops::sample(self.home.path(), self.granted.clone());
            return sample.context("the sample maildrop");
        };
        ensure!(
            source.is_dir(),
            "--maildrop {}: this is no directory",
            source.display()
        );
        Ok(Maildrops::of(source.to_owned(), self.granted.clone()))
    }
}

/// A grant of maildrops in this engine, each under what its account calls it.
fn in_engine(engine: &str) -> anyhow::Result<MaildropGrant> {
    Ok(MaildropGrant::Engine {
        engine: engine.to_owned(),
        name: Template::parse(NAME_IN_ENGINE).context("a template")?,
    })
}

/// The engine that a plugin's maildrops are in, if they are in one.
fn engine_of(section: &config::Plugin) -> Option<&str> {
    let maildrop = section.grants.maildrop.as_ref();
    maildrop.and_then(MaildropGrant::engine)
}

/// Says what a component asks for and was not granted.
pub(super) fn warn(name: &str, plugin: &Plugin) {
    for words in plugin.ungranted() {
        eprintln!("warning: {name}: {words}");
    }
}

/// A component that is ready.
pub(super) struct Candidate {
    pub(super) plugin: Arc<Plugin>,
    pub(super) accepts: Accepts,
    /// Where its maildrops are. None: they are directories.
    engine: Option<Arc<MemoryEngine>>,
}

fn home() -> anyhow::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    let home = builder.prefix("restante-plugin-").tempdir();
    home.context("a temporary folder")
}

impl Given {
    /// What was given, on a stage of its own.
    pub(super) async fn ready(&self, listings: Listings) -> anyhow::Result<(Stage, Candidate)> {
        let (stage, section) = self.section(listings).await?;
        let candidate = stage.ready(&section).await?;
        if candidate.plugin.lacks_engine() && candidate.plugin.store().is_ok() {
            eprintln!(
                "hint: {}: add --engine, and its maildrops are in an engine in memory, which it reads with mail-index",
                self.component
            );
        }
        Ok((stage, candidate))
    }

    /// What was given as a configuration has it, and a stage.
    pub(super) async fn section(
        &self,
        listings: Listings,
    ) -> anyhow::Result<(Stage, config::Plugin)> {
        let log = Lines::begin()?;
        let (config, section) = self.parsed()?;
        Ok((Stage::begin(&config, log, listings).await?, section))
    }

    /// A component with settings and directories, and no maildrop of its own.
    pub(super) fn of(component: &str, settings: Vec<String>, directories: Vec<String>) -> Given {
        Given {
            component: component.to_owned(),
            settings,
            directories,
            http: Vec::new(),
            connect: Vec::new(),
            databases: Vec::new(),
            database_password_file: None,
            authorities: None,
            maildrop: None,
            engine: false,
        }
    }

    /// What was given as a configuration has it.
    pub(super) fn parsed(&self) -> anyhow::Result<(Config, config::Plugin)> {
        let here = std::env::current_dir().context("the working directory")?;
        let config = Config::parse(&self.configuration()?, Path::new("command line"), &here)
            .map_err(|problems| anyhow!("{}", without_places(&problems.to_string())))?;
        if let Some(absent) = config.absent.first() {
            bail!("{}", without_places(&absent.problem.to_string()));
        }
        let section = config.plugins.first().context("one plugin was asked for")?;
        let mut section = section.clone();
        if self.engine {
            section.grants.maildrop = Some(in_engine(ENGINE)?);
        }
        Ok((config, section))
    }

    fn configuration(&self) -> anyhow::Result<String> {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let mut text = String::from(
            "[listener.none]\naddress = \"127.0.0.1:0\"\ntls = \"off\"\n[plugin.candidate]\n",
        );
        let _ = writeln!(text, "component = {}", quoted(&self.component));
        text.push_str("[plugin.candidate.settings]\n");
        for setting in &self.settings {
            let (key, value) = setting
                .split_once('=')
                .with_context(|| format!("--settings {setting}: a setting is written KEY=VALUE"))?;
            let _ = writeln!(text, "{} = {}", quoted(key), quoted(value));
        }
        text.push_str("[plugin.candidate.grants]\n");
        let mut directories = Vec::new();
        for grant in &self.directories {
            let (rest, access) = match grant.strip_suffix(":rw") {
                Some(rest) => (rest, "read-write"),
                None => (grant.as_str(), "read"),
            };
            let (host, guest) = rest.rsplit_once(':').with_context(|| {
                format!(
                    "--directory {grant}: a directory is written HOST:GUEST, as in ./users:/users"
                )
            })?;
            let (host, guest) = (quoted(host), quoted(guest));
            directories.push(format!(
                "{{ host = {host}, guest = {guest}, access = {} }}",
                quoted(access)
            ));
        }
        let _ = writeln!(text, "directories = [{}]", directories.join(", "));
        let mut sections = String::new();
        let mut names = Vec::new();
        for grant in &self.databases {
            let (name, place) = grant.split_once('=').with_context(|| {
                format!("--database {grant}: a database is written NAME=PLACE, as in users=./users.sqlite")
            })?;
            names.push(quoted(name));
            let _ = writeln!(sections, "[database.{}]", quoted(name));
            match place.starts_with("postgres") && place.contains("://") {
                false => {
                    let _ = writeln!(sections, "kind = \"sqlite\"\nfile = {}", quoted(place));
                }
                true => {
                    let _ = writeln!(sections, "kind = \"postgres\"\nurl = {}", quoted(place));
                    if let Some(file) = &self.database_password_file {
                        let file = (file.to_str())
                            .context("--database-password-file: its name is not UTF-8")?;
                        let _ = writeln!(sections, "password-file = {}", quoted(file));
                    }
                }
            }
        }
        let _ = writeln!(text, "databases = [{}]", names.join(", "));
        for (grant, places) in [("http", &self.http), ("connect", &self.connect)] {
            if places.is_empty() {
                continue;
            }
            let places: Vec<String> = places.iter().map(|place| quoted(place)).collect();
            let _ = writeln!(text, "{grant} = [{}]", places.join(", "));
            if let Some(file) = &self.authorities {
                let file = file
                    .to_str()
                    .context("--authorities: its name is not UTF-8")?;
                let _ = writeln!(text, "{grant}-authorities = {}", quoted(file));
            }
        }
        text.push_str(&sections);
        text.push_str(
            "[tenant.none]\ndefault = true\nauthenticators = [\"candidate\"]\nstore = \"candidate\"\n",
        );
        Ok(text)
    }
}

/// The text is nobody's file.
fn without_places(problems: &str) -> String {
    let lines = problems.lines().map(|line| {
        let place = line.strip_prefix("command line:");
        let place = place.and_then(|rest| rest.split_once(": "));
        place.map_or(line, |(_, what)| what)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Where what was compiled is found again the next time; the temporary folder if
/// the user has no such place.
fn cache(home: &Path) -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
        .filter(|base| base.is_absolute());
    let cache = base.map(|base| base.join("restante"));
    let made = cache.filter(|cache| {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(cache).is_ok()
    });
    made.unwrap_or_else(|| home.join("state"))
}

/// A password from the first line of a file, or of stdin for "-".
pub(in crate::cli) fn password(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let mut input: Box<dyn std::io::Read> = match file.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(fs::File::open(file).with_context(|| file.display().to_string())?),
    };
    input
        .by_ref()
        .take(PASSWORD_OCTETS)
        .read_to_string(&mut text)
        .with_context(|| file.display().to_string())?;
    let line = text.lines().next().unwrap_or_default();
    ensure!(
        !line.is_empty(),
        "{}: its first line is empty",
        file.display()
    );
    Ok(line.to_owned())
}

/// Log lines, kept until somebody asks.
#[derive(Clone, Default)]
pub(in crate::cli) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// From now on everything that is logged is kept here.
    pub(in crate::cli) fn begin() -> anyhow::Result<Lines> {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_target(false)
            .without_time()
            .with_ansi(false)
            .with_writer(lines.clone());
        subscriber
            .try_init()
            .map_err(|error| anyhow!("the log cannot be kept: {error}"))?;
        Ok(lines)
    }

    /// What was logged since the last time.
    pub(in crate::cli) fn take(&self) -> Vec<String> {
        let octets = std::mem::take(&mut *self.0.lock());
        let text = String::from_utf8_lossy(&octets);
        let lines = text.lines().map(|line| without_url_secrets(line.trim()));
        lines.map(Cow::into_owned).collect()
    }
}

impl std::io::Write for Lines {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        let mut kept = self.0.lock();
        let room = LOG_OCTETS.saturating_sub(kept.len());
        kept.extend_from_slice(&octets[..octets.len().min(room)]);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Lines;

    fn make_writer(&self) -> Lines {
        self.clone()
    }
}
