//! The generation that new sessions are served with, and what makes the next one:
//! whoever asks for it, and the files that it was built from.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use anyhow::Context;
use async_trait::async_trait;
use restante::admin::Reload;
use restante::config::{Config, Problems, Server};
use restante::generation::{Before, Broken, Plugins, Reloaded, Retired};
use restante::metrics::Metrics;
use restante::plugin::{CompileLimits, Compiler, Runtime};
use restante::recording::Recorder;
use restante::state_dir::StateDir;
use restante::watch::Watched;
use restante::{decoy, generation};
use tokio::sync::Mutex;
use tokio::task;
use tracing::{error, info, warn};

use super::serve::refused;
use super::service;

/// The generations of one server.
pub(super) struct Generations {
    file: PathBuf,
    recorder: Option<Arc<Recorder>>,
    runtime: Arc<Runtime>,
    decoy_secret: [u8; 32],
    current: generation::Current,
    /// What was read last and is in order.
    config: RwLock<Arc<Config>>,
    /// What the next generation is built with; held while it is.
    plugins: Mutex<Plugins>,
    retired: std::sync::Mutex<Retired>,
    /// The files that were looked at last, be it with success or not.
    watched: RwLock<Arc<Watched>>,
}

impl Generations {
    /// Compiles and checks all that the configuration names.
    pub(super) async fn first(
        config: &Config,
        file: &Path,
        broken: Broken,
        recorder: Option<Arc<Recorder>>,
    ) -> anyhow::Result<Arc<Self>> {
        let watched = Watched::of(config, None);
        let limits = &config.server.limits;
        let state_dir = StateDir::open(&config.server.state_dir);
        let runtime = Runtime::new(
            limits.instances,
            &state_dir,
            compiler(&config.server)?,
            Metrics::new(),
        )?;
        let decoy_secret = decoy::secret(&state_dir).context("the system's randomness")?;
        let (mut serving, plugins) =
            generation::build(config, &runtime, decoy_secret, None, broken)
                .await
                .map_err(|problems| refused(file, &problems))?;
        serving.recorder.clone_from(&recorder);
        Ok(Arc::new(Self {
            file: file.to_owned(),
            recorder,
            runtime,
            decoy_secret,
            current: generation::Current::new(RwLock::new(Arc::new(serving))),
            config: RwLock::new(Arc::new(config.clone())),
            plugins: Mutex::new(plugins),
            retired: std::sync::Mutex::default(),
            watched: RwLock::new(Arc::new(watched)),
        }))
    }

    /// What new sessions get.
    pub(super) fn current(&self) -> &generation::Current {
        &self.current
    }

    /// Where everything is counted.
    pub(super) fn metrics(&self) -> &Arc<Metrics> {
        self.runtime.metrics()
    }

    /// The files that were looked at last.
    pub(super) fn watched(&self) -> Arc<Watched> {
        let watched = self.watched.read();
        watched.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn watch(&self, watched: Watched) {
        let mut now = self.watched.write().unwrap_or_else(PoisonError::into_inner);
        *now = Arc::new(watched);
    }

    /// Reads the configuration, and notes which files it is about.
    async fn read(&self) -> Result<Config, Problems> {
        let (file, watched) = (self.file.clone(), self.watched());
        let reading = move || {
            // Looked at before they are read: what changes meanwhile is seen.
            let before = watched.now();
            match Config::load(&file) {
                Ok(config) => (Watched::of(&config, Some(&before)), Ok(config)),
                Err(problems) => (before, Err(problems)),
            }
        };
        let read = task::spawn_blocking(reading).await;
        let (watched, config) = read.unwrap_or_else(|panic| resume_unwind(panic.into_panic()));
        self.watch(watched);
        config
    }

    /// What was read last and is in order.
    pub(super) fn config(&self) -> Arc<Config> {
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
        let _told = service::Reloading::begin();
        let started = Instant::now();
        let old = generation::current(&self.current);
        let built = match self.read().await {
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
        let (next, (mut serving, loaded)) = match built {
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
        serving.recorder.clone_from(&self.recorder);
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
        drop(generation::swap(&self.current, serving));
        *plugins = loaded;
        let drain_time = next.server.limits.drain_time;
        let retired = self.retired.lock();
        retired
            .unwrap_or_else(PoisonError::into_inner)
            .add(&old, drain_time);
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
///
/// # Errors
/// This machine does not have the user that is to compile.
pub(super) fn compiler(server: &Server) -> anyhow::Result<Compiler> {
    let limits = CompileLimits {
        time: server.limits.compile_time,
        memory: server.limits.compile_memory,
    };
    let user = server.compiler_user.as_deref();
    let user = user.map(service::compiler_user).transpose()?;
    Ok(
        Compiler::this_program(limits, user.flatten()).unwrap_or_else(|error| {
            warn!(
                %error,
                "the server cannot start itself as a compiler: components are compiled in its own process, without limits on time and memory"
            );
            Compiler::Here
        }),
    )
}
