//! The generation that new sessions are served with, and what makes the next one:
//! whoever asks for it, and the files that it was built from.

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures_core::future::BoxFuture;
use parking_lot::RwLock;
use restante_config::{Config, Problems};
use restante_roles::metrics::Metrics;
use restante_roles::recording::Recorder;
use restante_roles::state_dir::StateDir;
use restante_server::admin::{Reload, Reloaded};
use restante_server::mock_secret;
use restante_wasm::{Compiler, Runtime};
use tokio::sync::Mutex;
use tokio::task;
use tracing::{error, info, warn};

use crate::databases::Databases;
use crate::generation::{self, Before, Broken, Plugins, Retired};
use crate::mail_engines::Engines;
use crate::start_error::StartError;
use crate::watch::Watched;

/// Whoever manages the server as a service, and is told how it does.
pub trait Manager: Send + Sync {
    /// A reload begins. What is returned is dropped when it is over.
    fn reloading(&self) -> Box<dyn Send>;
}

/// Nobody does.
impl Manager for () {
    fn reloading(&self) -> Box<dyn Send> {
        Box::new(())
    }
}

/// The generations of one server.
pub struct Generations {
    file: PathBuf,
    recorder: Option<Arc<Recorder>>,
    told: Arc<dyn Manager>,
    runtime: Arc<Runtime>,
    /// Of all generations.
    engines: Arc<Engines>,
    mock_secret: [u8; 32],
    current: generation::Current,
    /// What was read last and is in order.
    config: RwLock<Arc<Config>>,
    /// Those that the current generation asks.
    databases: RwLock<Arc<Databases>>,
    /// What the next generation is built with; held while it is.
    plugins: Mutex<Plugins>,
    retired: parking_lot::Mutex<Retired>,
    /// The files that were looked at last, be it with success or not.
    watched: RwLock<Arc<Watched>>,
}

impl Generations {
    /// Compiles and checks all that the configuration names.
    ///
    /// # Errors
    /// Everything that is in the way of serving it; nothing is served then.
    pub fn first(
        config: &Config,
        compiler: Compiler,
        broken: Broken,
        recorder: Option<Arc<Recorder>>,
        told: Arc<dyn Manager>,
    ) -> BoxFuture<'_, Result<Arc<Self>, StartError>> {
        Box::pin(async move {
            let state_dir = StateDir::open(&config.server.state_dir);
            Self::build(config, &state_dir, compiler, broken, recorder, told).await
        })
    }

    /// Compiles and checks all that the configuration names, as [`Generations::first`] does,
    /// and leaves the state directory as it is.
    ///
    /// # Errors
    /// Everything that is in the way of serving it.
    pub fn check(config: &Config, compiler: Compiler) -> BoxFuture<'_, Result<(), StartError>> {
        Box::pin(async move {
            let state_dir = StateDir::look(&config.server.state_dir);
            let (broken, told) = (Broken::Refused, Arc::new(()));
            let built = Self::build(config, &state_dir, compiler, broken, None, told).await;
            built.map(drop)
        })
    }

    async fn build(
        config: &Config,
        state_dir: &StateDir,
        compiler: Compiler,
        broken: Broken,
        recorder: Option<Arc<Recorder>>,
        told: Arc<dyn Manager>,
    ) -> Result<Arc<Self>, StartError> {
        let watched = Watched::of(config, None);
        let limits = &config.server.limits;
        let runtime = Runtime::new(limits.instances, state_dir, compiler, Metrics::new())?;
        let engines = Engines::of(config, runtime.metrics());
        let mock_secret = match &config.server.mock_secret_file {
            Some(file) => mock_secret::shared(file)?,
            None => mock_secret::secret(state_dir).map_err(StartError::Randomness)?,
        };
        let (mut serving, plugins) =
            generation::build(config, &runtime, &engines, mock_secret, None, broken).await?;
        serving.recorder.clone_from(&recorder);
        Ok(Arc::new(Self {
            file: config.files[0].clone(),
            recorder,
            told,
            runtime,
            engines,
            mock_secret,
            current: generation::Current::new(RwLock::new(Arc::new(serving))),
            config: RwLock::new(Arc::new(config.clone())),
            databases: RwLock::new(plugins.databases().clone()),
            plugins: Mutex::new(plugins),
            retired: parking_lot::Mutex::default(),
            watched: RwLock::new(Arc::new(watched)),
        }))
    }

    /// What new sessions get.
    pub fn current(&self) -> &generation::Current {
        &self.current
    }

    /// The engines that it was started with.
    pub(crate) fn engines(&self) -> &Arc<Engines> {
        &self.engines
    }

    /// Where everything is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        self.runtime.metrics()
    }

    /// The files that were looked at last.
    pub(crate) fn watched(&self) -> Arc<Watched> {
        let watched = self.watched.read();
        watched.clone()
    }

    fn watch(&self, watched: Watched) {
        let mut now = self.watched.write();
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
    pub fn config(&self) -> Arc<Config> {
        // A pointer is stored whole or not at all.
        let config = self.config.read();
        config.clone()
    }
}

#[async_trait]
impl Reload for Generations {
    /// Builds the next generation beside the one that serves, and swaps them.
    /// If anything is wrong the old one goes on. Sessions keep theirs.
    async fn reload(&self) -> Result<Reloaded, Problems> {
        let mut plugins = self.plugins.lock().await;
        let _told = self.told.reloading();
        let started = Instant::now();
        let old = generation::current(&self.current);
        let built = match self.read().await {
            Ok(next) => {
                let before = Some(Before {
                    serving: &old,
                    plugins: &plugins,
                });
                let secret = self.mock_secret;
                let (runtime, engines) = (&self.runtime, &self.engines);
                generation::build(&next, runtime, engines, secret, before, Broken::Refused)
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
                    "nothing reloaded, keeping the current configuration"
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
            warn!("{key} has changed; restart the server to apply it");
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
        *self.databases.write() = loaded.databases().clone();
        *plugins = loaded;
        let drain_time = next.server.limits.drain_time;
        self.retired.lock().add(&old, drain_time);
        // Whoever hears that it is done shall not count it any more.
        drop(old);
        self.runtime.metrics().reloaded(true);
        info!(
            tenants = reloaded.tenants,
            plugins = reloaded.plugins,
            milliseconds = u64::try_from(reloaded.took.as_millis()).unwrap_or(u64::MAX),
            "reloaded"
        );
        *self.config.write() = Arc::new(next);
        Ok(reloaded)
    }

    fn flush_caches(&self) -> usize {
        let databases = self.databases.read();
        databases.flush()
    }
}
