//! `serve`: a configuration put to work.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use restante::server::{Prepared, Server, Serving, StartError};
use restante_config::{Config, Problems};
use restante_roles::recording::{self, Recorder};
use restante_roles::work::MAX_BLOCKING_THREADS;
use restante_server::admin::Reload;
use restante_server::listener::Bound;
use restante_server::shutdown;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::compiler::compiler;
use super::descriptors;
use super::service;
use super::table::counted;

/// Whether sessions are recorded, and which.
#[derive(clap::Args)]
pub(super) struct Record {
    /// Record the calls and answers of plugins in the sessions of one tenant, into files in this
    /// directory, with secrets replaced; `plugin replay` reads them
    #[arg(long, value_name = "DIR", requires = "record_tenant")]
    record: Option<PathBuf>,
    /// The tenant whose sessions are recorded
    #[arg(long, value_name = "NAME", requires = "record")]
    record_tenant: Option<String>,
    /// Record octets of mail too
    #[arg(long, requires = "record")]
    record_mail: bool,
    /// Stop recording after this many MiB in all
    #[arg(
        long, value_name = "MIB", requires = "record", default_value_t = 1024,
        value_parser = clap::value_parser!(u64).range(1..=MOST_MIB)
    )]
    record_size: u64,
}

/// The most of `--record-size`.
const MOST_MIB: u64 = 1 << 30;

impl Record {
    fn begin(self, config: &Config) -> anyhow::Result<Option<Arc<Recorder>>> {
        let (Some(directory), Some(tenant)) = (self.record, self.record_tenant) else {
            return Ok(None);
        };
        let names = config.tenants.iter().map(|tenant| tenant.name.as_str());
        let names: Vec<&str> = names.collect();
        ensure!(
            names.contains(&tenant.as_str()),
            "--record-tenant {tenant}: there is no [tenant.{tenant}]; there are {}",
            names.join(", ")
        );
        let shown = directory.display().to_string();
        let settings = recording::Settings {
            directory,
            tenant,
            mail: self.record_mail,
            octets: self.record_size << 20,
        };
        warn!(
            directory = shown,
            tenant = settings.tenant,
            mail = settings.mail,
            "the tenant's sessions are recorded"
        );
        let recorder = Recorder::begin(settings);
        Ok(Some(recorder.with_context(|| format!("--record {shown}"))?))
    }
}

/// `restante serve`.
pub(super) fn serve(file: &Path, record: Record) -> anyhow::Result<()> {
    let config = load(file)?;
    let queue = restante_log::begin(&config.server.log)?;
    for warning in &config.warnings {
        warn!("{}", warning.one_line());
    }
    // Before there are threads, and before anything is read or written that the
    // user is to have.
    let becoming = becoming(&config)?;
    let passed = service::passed_sockets(&config.listeners)?;
    let state_dir = config.server.state_dir.clone();
    let server = Server::bind_or_take(config.clone(), passed)?;
    if let Some(becoming) = becoming {
        becoming.become_it(&state_dir)?;
    }
    service::no_core_dumps();
    descriptors::raise_limit(&config);
    queue.start().context("the log")?;
    let recorder = record.begin(&config)?;
    let served = executor()?.block_on(async {
        let server = server
            .compiler(compiler(&config.server)?)
            .recorder(recorder.clone())
            .manager(Arc::new(service::Manager));
        run(prepare(server, file).await?, |_| Ok(())).await
    });
    if let Some(recorder) = recorder {
        recorder.finish();
    }
    queue.flush();
    served
}

/// Everything that is wrong with what `file` names is said.
pub(super) async fn prepare(server: Server, file: &Path) -> anyhow::Result<Prepared> {
    let prepared = server.prepare().await;
    prepared.map_err(|error| match error {
        StartError::Refused(problems) => refused(file, &problems),
        error => error.into(),
    })
}

/// Whom the configuration wants the server to become.
pub(super) fn becoming(config: &Config) -> anyhow::Result<Option<service::ProcessIdentity>> {
    let identity = config.server.identity.as_ref();
    identity.map(service::ProcessIdentity::look_up).transpose()
}

/// Reads a configuration; everything that is wrong with it is said.
pub(super) fn load(file: &Path) -> anyhow::Result<Config> {
    Config::load(file).map_err(|problems| refused(file, &problems))
}

pub(super) fn refused(file: &Path, problems: &Problems) -> anyhow::Error {
    let count = counted(problems.0.len(), "problem");
    anyhow::anyhow!("{} has {count}\n{problems}", file.display())
}

/// Serves until a signal says to stop. `ready` is told of the bound listeners
/// before the first client is accepted.
pub(super) async fn run(
    prepared: Prepared,
    ready: impl FnOnce(&[Bound]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("SIGHUP")?;
    ready(prepared.bound())?;
    let (trigger, end) = shutdown::channel();
    let mut serving = prepared.serve(end);
    let generations = Arc::clone(serving.generations());
    tokio::spawn(service::watchdog());
    service::ready();
    loop {
        tokio::select! {
            done = serving.ended() => return Ok(done?),
            _ = hangup.recv() => drop(generations.reload().await),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    service::stopping();
    let grace = generations.config().server.limits.shutdown_grace;
    info!(
        grace_seconds = grace.as_secs(),
        "stopping: no new connections, sessions may finish"
    );
    trigger.begin(grace);
    tokio::select! {
        done = serving.ended() => done?,
        _ = terminate.recv() => hurry(&trigger, &mut serving).await?,
        _ = interrupt.recv() => hurry(&trigger, &mut serving).await?,
    }
    info!("stopped");
    Ok(())
}

/// A second signal: sessions end now, and nothing that they marked is deleted.
async fn hurry(trigger: &shutdown::Trigger, serving: &mut Serving) -> anyhow::Result<()> {
    /// For sessions in the middle of a plugin's call.
    const LAST: Duration = Duration::from_secs(5);
    warn!("second signal received: ending all sessions now");
    trigger.begin(Duration::ZERO);
    if tokio::time::timeout(LAST, serving.ended()).await.is_err() {
        bail!("some sessions did not end within {} s", LAST.as_secs());
    }
    Ok(())
}

pub(super) fn executor() -> anyhow::Result<tokio::runtime::Runtime> {
    few_arenas();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .build()
        .context("the event loop cannot start")
}

/// Lets the allocator keep as many arenas as there are processors. glibc makes eight for
/// each, and the threads that wait for disks spread over them: with 200 clients what
/// lies unused in them grows to three times what is in use.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn few_arenas() {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let arenas = libc::c_int::try_from(processors).unwrap_or(libc::c_int::MAX);
    // SAFETY: mallopt(3) may be called at any time, and takes two numbers. Here no
    // other thread runs yet. If it refuses, there are more arenas.
    #[allow(unsafe_code, reason = "the C library's own setting")]
    let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, arenas.max(2)) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn few_arenas() {}
