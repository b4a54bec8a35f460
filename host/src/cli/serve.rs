//! `serve` and `check`: a configuration put to work, or looked over.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use async_trait::async_trait;
use restante::admin::{self, Admin, Reload};
use restante::config::{Config, Log, LogFormat, Problems, ServerLimits};
use restante::generation::{Before, Broken, Plugins, Reloaded};
use restante::listener::{Bound, CurrentServing, Front};
use restante::metrics::Metrics;
use restante::plugin::{CompileLimits, Compiler, Runtime};
use restante::shutdown;
use restante::{decoy, generation};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio::task;
use tracing::{error, info, warn};

/// `restante serve`.
pub(super) fn serve(file: &Path) -> anyhow::Result<()> {
    let config = load(file)?;
    log(&config.server.log)?;
    for warning in &config.warnings {
        warn!("{}", warning.one_line());
    }
    executor()?.block_on(async {
        let generations = Generations::first(&config, file, Broken::LeftOut).await?;
        run(config, generations, |_| Ok(())).await
    })
}

/// `restante check`.
pub(super) fn check(file: &Path) -> anyhow::Result<()> {
    let config = load(file)?;
    log(&Log {
        format: LogFormat::Text,
        filter: "warn".into(),
    })?;
    for warning in &config.warnings {
        eprintln!("warning: {warning}");
    }
    executor()?.block_on(Generations::first(&config, file, Broken::Refused))?;
    eprintln!(
        "{}: in order ({} tenants, {} plugins, {} listeners)",
        file.display(),
        config.tenants.len(),
        config.plugins.len(),
        config.listeners.len()
    );
    Ok(())
}

fn load(file: &Path) -> anyhow::Result<Config> {
    Config::load(file).map_err(|problems| refused(file, &problems))
}

fn refused(file: &Path, problems: &Problems) -> anyhow::Error {
    let count = problems.0.len();
    let noun = if count == 1 { "problem" } else { "problems" };
    anyhow::anyhow!("{} has {count} {noun}\n{problems}", file.display())
}

/// Serves until a signal says to stop. `ready` is told the bound listeners
/// before the first client is accepted.
pub(super) async fn run(
    config: Config,
    generations: Arc<Generations>,
    ready: impl FnOnce(&[Bound]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let bound = Bound::all(&config.listeners)?;
    let admin_bound = config
        .server
        .admin
        .as_ref()
        .map(admin::Bound::new)
        .transpose()?;
    let current = generations.current.clone();
    let serving: CurrentServing = Arc::new(move || generation::current(&current));
    let metrics = generations.runtime.metrics().clone();
    let front = Front::new(&config.server.limits, serving.clone(), metrics.clone());
    let (trigger, end) = shutdown::channel();
    if let Some(bound) = admin_bound {
        let admin = Admin {
            metrics,
            sessions: front.sessions().clone(),
            serving,
            reload: generations.clone(),
            shutdown: end.clone(),
        };
        tokio::spawn(bound.serve(Arc::new(admin)));
    }
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("SIGHUP")?;
    ready(&bound)?;
    let mut served = tokio::spawn(front.serve(bound, end));
    loop {
        tokio::select! {
            done = &mut served => return done.context("the listeners failed"),
            _ = hangup.recv() => drop(generations.reload().await),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    let grace = generations.config().server.limits.shutdown_grace;
    info!(
        grace_seconds = grace.as_secs(),
        "stopping: no new connections, sessions may finish"
    );
    trigger.begin(grace);
    tokio::select! {
        done = &mut served => done.context("the listeners failed")?,
        _ = terminate.recv() => hurry(&trigger, served).await?,
        _ = interrupt.recv() => hurry(&trigger, served).await?,
    }
    info!("stopped");
    Ok(())
}

/// The generation that new sessions are served with, and what makes the next.
pub(super) struct Generations {
    file: PathBuf,
    runtime: Arc<Runtime>,
    decoy_secret: [u8; 32],
    current: generation::Current,
    /// What was read last and is in order.
    config: RwLock<Arc<Config>>,
    /// What the next generation is built with; held while it is.
    plugins: Mutex<Plugins>,
}

impl Generations {
    /// Compiles and checks all that the configuration names.
    pub(super) async fn first(
        config: &Config,
        file: &Path,
        broken: Broken,
    ) -> anyhow::Result<Arc<Self>> {
        let limits = &config.server.limits;
        let runtime = Runtime::new(
            limits.instances,
            &config.server.state_dir,
            compiler(limits),
            Metrics::new(),
        )?;
        let decoy_secret =
            decoy::secret(&config.server.state_dir).context("the system's randomness")?;
        let (serving, plugins) = generation::build(config, &runtime, decoy_secret, None, broken)
            .await
            .map_err(|problems| refused(file, &problems))?;
        Ok(Arc::new(Self {
            file: file.to_owned(),
            runtime,
            decoy_secret,
            current: generation::Current::new(RwLock::new(Arc::new(serving))),
            config: RwLock::new(Arc::new(config.clone())),
            plugins: Mutex::new(plugins),
        }))
    }

    /// What was read last and is in order.
    fn config(&self) -> Arc<Config> {
        // A pointer is stored whole or not at all.
        let config = self.config.read();
        config.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Reload for Generations {
    /// Builds the next generation beside the one that serves, and swaps them.
    /// If anything is wrong the old one goes on. Sessions keep theirs.
    async fn reload(&self) -> Result<Reloaded, Problems> {
        let mut plugins = self.plugins.lock().await;
        let started = Instant::now();
        let old = generation::current(&self.current);
        let file = self.file.clone();
        let read = task::spawn_blocking(move || Config::load(&file)).await;
        let built = match read.unwrap_or_else(|panic| resume_unwind(panic.into_panic())) {
            Ok(next) => {
                let before = Some(Before {
                    serving: &old,
                    plugins: &plugins,
                });
                let secret = self.decoy_secret;
                let runtime = &self.runtime;
                generation::build(&next, runtime, secret, before, Broken::Refused)
                    .await
                    .map(|built| (next, built))
            }
            Err(problems) => Err(problems),
        };
        let (next, (serving, loaded)) = match built {
            Ok(built) => built,
            Err(problems) => {
                for problem in &problems.0 {
                    error!("{}", problem.one_line());
                }
                error!(
                    problems = problems.0.len(),
                    "nothing reloaded, the old configuration goes on"
                );
                self.runtime.metrics().reloaded(false);
                return Err(problems);
            }
        };
        for warning in &next.warnings {
            warn!("{}", warning.one_line());
        }
        let restart = self.config().fixed_differences(&next);
        for key in &restart {
            warn!("{key} has changed; that takes a restart");
        }
        let reloaded = Reloaded {
            generation: serving.generation.number(),
            tenants: next.tenants.len(),
            plugins: next.plugins.len(),
            warnings: next.warnings.clone(),
            restart,
            took: started.elapsed(),
        };
        generation::swap(&self.current, serving);
        *plugins = loaded;
        // Whoever hears that it is done shall not count it any more.
        drop(old);
        self.runtime.metrics().reloaded(true);
        info!(
            tenants = reloaded.tenants,
            plugins = reloaded.plugins,
            milliseconds = u64::try_from(reloaded.took.as_millis()).unwrap_or(u64::MAX),
            "reloaded"
        );
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(reloaded)
    }
}

/// This program once more; in this process where the system does not say what
/// program it is.
pub(super) fn compiler(limits: &ServerLimits) -> Compiler {
    let limits = CompileLimits {
        time: limits.compile_time,
        memory: limits.compile_memory,
    };
    Compiler::this_program(limits).unwrap_or_else(|error| {
        warn!(
            %error,
            "the server cannot start itself as a compiler: components are compiled in its own process, without limits on time and memory"
        );
        Compiler::Here
    })
}

/// A second signal: sessions end now, and nothing that they marked is deleted.
async fn hurry(
    trigger: &shutdown::Trigger,
    served: tokio::task::JoinHandle<()>,
) -> anyhow::Result<()> {
    /// For sessions in the middle of a plugin's call.
    const LAST: Duration = Duration::from_secs(5);
    warn!("told twice: ending all sessions now");
    trigger.begin(Duration::ZERO);
    if tokio::time::timeout(LAST, served).await.is_err() {
        bail!("some sessions did not end within {} s", LAST.as_secs());
    }
    Ok(())
}

pub(super) fn executor() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the event loop cannot start")
}

/// Log lines go to stderr; stdout is for what a command was asked for.
pub(super) fn log(settings: &Log) -> anyhow::Result<()> {
    let filter = Log::read_filter(&settings.filter).context("[server.log] filter")?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    match settings.format {
        LogFormat::Text => builder
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
