//! `serve` and `check`: a configuration put to work, or looked over.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use restante::config::{Config, Log, LogFormat, Problems};
use restante::generation;
use restante::listener::{Bound, Front};
use restante::plugin::Runtime;
use restante::shutdown;
use restante::tenant::Serving;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

/// `restante serve`.
pub(super) fn serve(file: &Path) -> anyhow::Result<()> {
    let config = load(file)?;
    log(&config.server.log)?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    executor()?.block_on(async {
        let serving = prepare(&config, file).await?;
        run(&config, serving, |_| Ok(())).await
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
    executor()?.block_on(prepare(&config, file))?;
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

/// Compiles and checks all that the configuration names.
pub(super) async fn prepare(config: &Config, file: &Path) -> anyhow::Result<Arc<Serving>> {
    let runtime = Runtime::new(config.server.limits.instances, &config.server.state_dir)?;
    generation::build(config, file, &runtime)
        .await
        .map(Arc::new)
        .map_err(|problems| refused(file, &problems))
}

fn refused(file: &Path, problems: &Problems) -> anyhow::Error {
    let count = problems.0.len();
    let noun = if count == 1 { "problem" } else { "problems" };
    anyhow::anyhow!("{} has {count} {noun}\n{problems}", file.display())
}

/// Serves until a signal says to stop. `ready` is told the bound listeners
/// before the first client is accepted.
pub(super) async fn run(
    config: &Config,
    serving: Arc<Serving>,
    ready: impl FnOnce(&[Bound]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let limits = &config.server.limits;
    let bound = Bound::all(&config.listeners)?;
    let front = Front::new(limits, Arc::new(move || serving.clone()));
    let (trigger, end) = shutdown::channel();
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    ready(&bound)?;
    let mut served = std::pin::pin!(front.serve(bound, end));
    tokio::select! {
        () = &mut served => return Ok(()),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!(
        grace_seconds = limits.shutdown_grace.as_secs(),
        "stopping: no new connections, sessions may finish"
    );
    trigger.begin(limits.shutdown_grace);
    tokio::select! {
        () = &mut served => {}
        _ = terminate.recv() => hurry(&trigger, served).await?,
        _ = interrupt.recv() => hurry(&trigger, served).await?,
    }
    info!("stopped");
    Ok(())
}

/// A second signal: sessions end now, and nothing that they marked is deleted.
async fn hurry(
    trigger: &shutdown::Trigger,
    served: std::pin::Pin<&mut impl Future<Output = ()>>,
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
    let filter = EnvFilter::try_new(&settings.filter).context("[server.log] filter")?;
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
