//! `plugin dev`: a plugin's project built on every change, and a server on this
//! machine that goes on with what was built last.
//!
//! What is served is the project's own restante.toml, or else the demo's mail with
//! the plugin in the place of its roles. A build that fails changes nothing.

mod project;
mod talk;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use restante::generation::Broken;
use restante::generations::Generations;
use restante::server::{Prepared, Server};
use restante::watch::{Folder, INTERVAL, pause};
use restante_config as config;
use restante_config::{ComponentSource, Config, MaildropGrant};
use restante_server::admin::Reload;
use restante_server::listener::Bound;
use restante_wasm::inspect;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task;
use tokio::time::sleep;

use crate::cli::compiler::compiler;
use crate::cli::demo::{self, Home, Own};
use crate::cli::serve;
use project::{Project, Running};

/// What a project's own configuration is called.
const CONFIGURATION: &str = "restante.toml";

#[derive(clap::Args)]
pub(in crate::cli) struct Options {
    /// The project's folder, as `plugin new` makes one
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// A setting of the plugin, if the project has no restante.toml; may be repeated
    #[arg(long = "settings", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Listen here for POP3, if the project has no restante.toml
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:1110")]
    listen: SocketAddr,
    /// Check each build against the rules of its roles, as `plugin test` does
    #[arg(long)]
    test: bool,
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    talk::begin()?;
    let directory = &options.directory;
    let directory = directory
        .canonicalize()
        .with_context(|| directory.display().to_string())?;
    let project = Arc::new(Project::find(&directory)?);
    let own = directory.join(CONFIGURATION);
    let own = own.is_file().then_some(own);
    ensure!(
        own.is_none() || options.settings.is_empty(),
        "--settings: the project's settings are in its {CONFIGURATION}"
    );
    let running = Arc::new(Running::default());
    let executor = serve::executor()?;
    let developed = executor.block_on(develop(options, &project, own, &running));
    // Before the executor goes: it waits for whoever waits for a build.
    running.stop();
    developed
}

async fn develop(
    options: &Options,
    project: &Arc<Project>,
    own: Option<PathBuf>,
    running: &Arc<Running>,
) -> anyhow::Result<()> {
    say(&format!(
        "{}: a plugin in {}, built with {}. Ctrl-C ends it.",
        project.directory().display(),
        project.language(),
        project.command()
    ));
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let config = own.as_deref().and_then(|file| Config::load(file).ok());
    let written = config.as_ref().map(written).unwrap_or_default();
    let mut builds = Builds {
        project: Arc::clone(project),
        running: Arc::clone(running),
        seen: Folder::of(project.directory(), &written),
        written,
        generated: BTreeSet::new(),
        test: options.test,
        given: given(options, config.as_ref()),
        component: config.as_ref().and_then(component_of),
    };
    let component = tokio::select! {
        component = builds.first() => component?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    // From here on the server hears the signals.
    drop((terminate, interrupt));
    match own {
        Some(file) => serve_own(&file, builds).await,
        None => serve_demo(options, &component, builds).await,
    }
}

/// A server that is not started where anything is wrong.
async fn prepare(config: Config, file: &Path) -> anyhow::Result<Prepared> {
    let compiler = compiler(&config.server)?;
    let server = Server::bind(config)?.broken(Broken::Refused);
    serve::prepare(server.compiler(compiler), file).await
}

/// The configuration that the project has.
async fn serve_own(file: &Path, builds: Builds) -> anyhow::Result<()> {
    let config = Config::load(file).map_err(|problems| serve::refused(file, &problems))?;
    let project = Arc::clone(&builds.project);
    let prepared = prepare(config, file).await?;
    let watching = task::spawn(builds.go_on(Arc::clone(prepared.generations()), None));
    let served = serve::run(prepared, |bound| greet_own(file, bound, &project));
    let served = served.await;
    watching.abort();
    served
}

/// The demo's mail, with the plugin in the place of its roles.
async fn serve_demo(options: &Options, component: &Path, builds: Builds) -> anyhow::Result<()> {
    let home = Home::new()?;
    // A build that is under way is not what is served.
    let served = home.path().join("plugin.wasm");
    take(component, &served)?;
    let own = Own {
        roles: roles(&served)?,
        component: served.clone(),
        settings: settings(&options.settings)?,
    };
    let tls = SocketAddr::new(options.listen.ip(), 0);
    let (config, file) = home.configuration(options.listen, tls, Some(&own))?;
    let prepared = prepare(config, &file).await?;
    let watching = task::spawn(builds.go_on(Arc::clone(prepared.generations()), Some(served)));
    let greeting = |bound: &[Bound]| {
        home.greet(bound)?;
        say(&format!(
            "In place of the demo's own: {}. {}",
            own.roles.join(", "),
            match own.roles.iter().any(|role| role == "authenticator") {
                true => "For users that it does not know, the demo's passwd-file is asked.",
                false => "Change a file of the project, and the project is built and loaded.",
            }
        ));
        Ok(())
    };
    let done = serve::run(prepared, greeting).await;
    watching.abort();
    done?;
    home.close()
}

fn settings(given: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let split = |setting: &String| {
        let pair = setting.split_once('=');
        let pair = pair.map(|(key, value)| (key.to_owned(), value.to_owned()));
        pair.with_context(|| format!("--settings {setting}: a setting is written KEY=VALUE"))
    };
    given.iter().map(split).collect()
}

/// The roles of a component; refused if it has none, or cannot be let in.
fn roles(component: &Path) -> anyhow::Result<Vec<String>> {
    let source = ComponentSource::Path(component.to_owned());
    let (inspection, _) = inspect(&source)?;
    ensure!(
        inspection.problems.is_empty(),
        "the new component would be refused: {}",
        inspection.problems.join("; ")
    );
    Ok(inspection.roles)
}

/// The component in a configuration's file that is not a built-in one.
fn component_of(config: &Config) -> Option<PathBuf> {
    match &section(config)?.component {
        ComponentSource::Path(path) => Some(path.clone()),
        ComponentSource::Builtin(_) => None,
    }
}

fn section(config: &Config) -> Option<&config::Plugin> {
    let is_own = |plugin: &&config::Plugin| matches!(plugin.component, ComponentSource::Path(_));
    config.plugins.iter().find(is_own)
}

/// What the plugin is given, as `plugin test` is told it.
fn given(options: &Options, config: Option<&Config>) -> Vec<String> {
    let mut given = Vec::new();
    let mut give = |option: &str, value: String| given.extend([option.to_owned(), value]);
    for setting in &options.settings {
        give("--settings", setting.clone());
    }
    if let Some(section) = config.and_then(section) {
        for (key, value) in &section.settings {
            give("--settings", format!("{key}={value}"));
        }
        for grant in &section.grants.directories {
            let access = if grant.write { ":rw" } else { "" };
            let (host, guest) = (grant.host.display(), &grant.guest);
            give("--directory", format!("{host}:{guest}{access}"));
        }
        for origin in &section.grants.http {
            give("--http", origin.to_string());
        }
    }
    given
}

/// Folders that plugins write to: what changes there is no change of the project.
fn written(config: &Config) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for plugin in &config.plugins {
        let grants = &plugin.grants;
        let maildrop = grants.maildrop.as_ref();
        let directory = maildrop.and_then(MaildropGrant::directory);
        folders.extend(directory.map(|template| template.prefix()));
        let directories = grants.directories.iter().filter(|grant| grant.write);
        folders.extend(directories.map(|grant| grant.host.clone()));
    }
    folders
}

/// Puts a component in the place of another, whole.
fn take(from: &Path, to: &Path) -> anyhow::Result<()> {
    let next = to.with_extension("next");
    fs::copy(from, &next).with_context(|| from.display().to_string())?;
    fs::rename(&next, to)?;
    Ok(())
}

struct Builds {
    project: Arc<Project>,
    running: Arc<Running>,
    /// The files that the last build was begun with.
    seen: Folder,
    /// Folders that plugins write to.
    written: Vec<PathBuf>,
    /// Files that builds write.
    generated: BTreeSet<PathBuf>,
    test: bool,
    /// Arguments of `plugin test`.
    given: Vec<String>,
    /// What is built, where it is known.
    component: Option<PathBuf>,
}

impl Builds {
    /// Builds until a build succeeds; the component.
    async fn first(&mut self) -> anyhow::Result<PathBuf> {
        loop {
            match self.build().await {
                Ok(component) => return Ok(component),
                Err(error) => say(&format!(
                    "{error:#}\nNothing is served yet: fix this first."
                )),
            }
            self.change().await;
        }
    }

    /// Goes on for as long as it is polled. `served`: where what was built is put.
    async fn go_on(mut self, generations: Arc<Generations>, served: Option<PathBuf>) {
        loop {
            self.change().await;
            let begun = Instant::now();
            match self.take_in(&generations, served.as_deref()).await {
                Ok(()) => say(&format!(
                    "built and loaded after {} ms: new sessions use it.",
                    begun.elapsed().as_millis()
                )),
                Err(error) => say(&format!("{error:#}\nThe previous build stays in service.")),
            }
        }
    }

    async fn take_in(
        &mut self,
        generations: &Generations,
        served: Option<&Path>,
    ) -> anyhow::Result<()> {
        let component = self.build().await?;
        let before = served.map(fs::read).transpose()?;
        if let Some(served) = served {
            roles(&component)?;
            take(&component, served)?;
        }
        let reloaded = generations.reload().await;
        if reloaded.is_err()
            && let (Some(served), Some(before)) = (served, before)
        {
            // What is served and what is there are to be the same.
            fs::write(served, before)?;
        }
        reloaded.map_err(|problems| anyhow::anyhow!("it is not loaded\n{problems}"))?;
        Ok(())
    }

    async fn build(&mut self) -> anyhow::Result<PathBuf> {
        let before = self.look().await?;
        self.seen = before.clone();
        let (project, running) = (Arc::clone(&self.project), Arc::clone(&self.running));
        let known = self.component.clone();
        let built = task::spawn_blocking(move || project.build(&running, known.as_deref())).await;
        let after = self.look().await?;
        let changed = after.changed(&before);
        // What changes in two builds in a row is the build's own doing.
        if changed.is_subset(&self.generated) {
            self.seen = after;
        } else {
            self.generated = changed;
        }
        let component = built.context("the build failed")??;
        if self.test {
            self.examine(&component).await?;
        }
        Ok(component)
    }

    /// The conformance kit, in a process of its own.
    async fn examine(&self, component: &Path) -> anyhow::Result<()> {
        let program = std::env::current_exe().context("this program")?;
        let mut command = std::process::Command::new(program);
        command.args(["plugin", "test"]).arg(component);
        command.args(&self.given);
        let running = Arc::clone(&self.running);
        let examined = task::spawn_blocking(move || running.run(command, "plugin test")).await;
        examined.context("the kit failed")?
    }

    /// Returns once files of the project are others than when it was built, and
    /// the same in two looks.
    async fn change(&mut self) {
        let mut changed: Option<Folder> = None;
        let mut next = INTERVAL;
        loop {
            sleep(next).await;
            let begun = Instant::now();
            let Ok(now) = self.look().await else {
                continue;
            };
            next = pause(begun.elapsed());
            if now == self.seen {
                changed = None;
            } else if changed.as_ref() == Some(&now) {
                return;
            } else {
                changed = Some(now);
            }
        }
    }

    async fn look(&self) -> anyhow::Result<Folder> {
        let directory = self.project.directory().to_owned();
        let written = self.written.clone();
        let look = task::spawn_blocking(move || Folder::of(&directory, &written)).await;
        look.context("the project's files cannot be looked at")
    }
}

fn greet_own(file: &Path, bound: &[Bound], project: &Project) -> anyhow::Result<()> {
    let Some(first) = bound.first() else {
        bail!("{}: it has no listener", file.display());
    };
    let at = demo::reachable(first.address());
    let mut text = format!(
        "\n{} is served, POP3 at {at}. Type next, in another terminal:\n\n",
        file.display()
    );
    let mut lines = project.curl_lines();
    if lines.is_empty() {
        lines.push(format!("curl -u USER:PASSWORD pop3://{at}/"));
    }
    for line in lines {
        text.push_str(&format!("  {line}\n"));
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// To whoever develops.
#[allow(clippy::print_stderr, reason = "what it is for")]
fn say(text: &str) {
    eprintln!("dev: {text}");
}
