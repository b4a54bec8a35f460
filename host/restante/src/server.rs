//! A server from a configuration: bind, prepare, serve.
//!
//! The command line and programs of others use the same few steps:
//!
//! ```no_run
//! # async fn example() -> Result<(), restante::server::StartError> {
//! use restante::server::Server;
//! use restante_config::Config;
//! use restante_server::shutdown;
//!
//! let config = Config::load("restante.toml".as_ref())?;
//! let (trigger, signal) = shutdown::channel();
//! # drop(trigger);
//! Server::bind(config)?.run(signal).await
//! # }
//! ```

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::Arc;

use futures_core::future::BoxFuture;
use restante_config::Config;
use restante_roles::recording::Recorder;
use restante_roles::shared_holds::SharedHolds;
use restante_server::admin::{self, Admin};
use restante_server::listener::{BindErrors, Bound, CurrentServing, Front};
use restante_server::nodes::OtherNodes;
use restante_server::shutdown::Signal;
use restante_wasm::Compiler;
use tokio::task::JoinHandle;

use crate::correspondence::{Correspondence, EngineNodes};
use crate::generation::{self, Broken};
use crate::generations::{Generations, Manager};
use crate::reload;
use crate::shared_holds::EngineHolds;
pub use crate::start_error::StartError;

/// A server that has its addresses. It accepts no connection yet: clients wait in
/// the kernel's queue.
pub struct Server {
    config: Config,
    bound: Vec<Bound>,
    compiler: Compiler,
    broken: Broken,
    recorder: Option<Arc<Recorder>>,
    manager: Arc<dyn Manager>,
}

impl Server {
    /// Takes the addresses of all listeners.
    ///
    /// # Errors
    /// Every listener that cannot have its address.
    pub fn bind(config: Config) -> Result<Server, BindErrors> {
        Server::bind_or_take(config, HashMap::new())
    }

    /// The same; a listener whose socket is among `passed`, by its name, has that one.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub fn bind_or_take(
        config: Config,
        passed: HashMap<String, TcpListener>,
    ) -> Result<Server, BindErrors> {
        Ok(Server {
            bound: Bound::all(&config.listeners, passed)?,
            config,
            compiler: Compiler::Here,
            broken: Broken::LeftOut,
            recorder: None,
            manager: Arc::new(()),
        })
    }

    /// Who compiles components. Without a word it is this process, in which a
    /// compilation has no limits on time and memory: a program that hands
    /// [`restante_wasm::COMPILE_COMMAND`] on to [`restante_wasm::serve_compiler`] can
    /// have [`Compiler::this_program`].
    #[must_use]
    pub fn compiler(self, compiler: Compiler) -> Server {
        Server { compiler, ..self }
    }

    /// What becomes of a start with tenants that cannot be served. Without a word they
    /// are left out, and the others are served.
    #[must_use]
    pub fn broken(self, broken: Broken) -> Server {
        Server { broken, ..self }
    }

    /// Records a tenant's sessions.
    #[must_use]
    pub fn recorder(self, recorder: Option<Arc<Recorder>>) -> Server {
        Server { recorder, ..self }
    }

    /// Who is told of reloads.
    #[must_use]
    pub fn manager(self, manager: Arc<dyn Manager>) -> Server {
        Server { manager, ..self }
    }

    /// Compiles and checks all that the configuration names, and takes the admin
    /// address. Seconds, where components are new.
    ///
    /// # Errors
    /// Everything that is in the way of serving it.
    pub fn prepare(self) -> BoxFuture<'static, Result<Prepared, StartError>> {
        Box::pin(async move {
            let Server {
                config,
                bound,
                compiler,
                broken,
                recorder,
                manager,
            } = self;
            let generations =
                Generations::first(&config, compiler, broken, recorder, manager).await?;
            let admin = config
                .server
                .admin
                .as_ref()
                .map(admin::Bound::new)
                .transpose()?;
            // Last: whoever joins takes the node's name from a server that has it.
            let holds = generations.engines().holds(&config).await?;
            Ok(Prepared {
                config,
                bound,
                admin,
                generations,
                holds,
            })
        })
    }

    /// Serves until the end that `shutdown` tells of is over.
    ///
    /// # Errors
    /// As [`Server::prepare`]; or the listeners panicked.
    pub fn run(self, shutdown: Signal) -> BoxFuture<'static, Result<(), StartError>> {
        Box::pin(async move { self.prepare().await?.serve(shutdown).ended().await })
    }
}

/// A server with everything that it needs. It accepts no connection yet.
pub struct Prepared {
    config: Config,
    bound: Vec<Bound>,
    admin: Option<admin::Bound>,
    generations: Arc<Generations>,
    holds: Option<Arc<EngineHolds>>,
}

impl Prepared {
    /// The listeners, with the addresses that they really have.
    pub fn bound(&self) -> &[Bound] {
        &self.bound
    }

    /// The generation that is served first, and what makes the next one.
    pub fn generations(&self) -> &Arc<Generations> {
        &self.generations
    }

    /// Accepts connections from now on. Sessions that are logged in when the end
    /// begins have its grace time.
    pub fn serve(self, shutdown: Signal) -> Serving {
        let Prepared {
            config,
            bound,
            admin,
            generations,
            holds,
        } = self;
        let current = generations.current().clone();
        let serving: CurrentServing = Arc::new(move || generation::current(&current));
        let metrics = generations.metrics().clone();
        let shared = holds.clone().map(|holds| holds as Arc<dyn SharedHolds>);
        generations.engines().begin(&config);
        let limits = &config.server.limits;
        let front = Front::new(limits, serving.clone(), metrics.clone(), shared);
        let mut others: Option<Arc<dyn OtherNodes>> = None;
        if let Some(holds) = &holds
            && let Some(membership) = holds.among_others()
        {
            holds.correspond(Correspondence::new(
                front.sessions(),
                front.penalties(),
                serving.clone(),
                metrics.holds(),
            ));
            others = Some(EngineNodes::new(membership));
        }
        if let Some(bound) = admin {
            let admin = Admin {
                metrics,
                sessions: front.sessions().clone(),
                serving,
                reload: generations.clone(),
                shutdown: shutdown.clone(),
                node: config.server.node.clone(),
                others,
            };
            tokio::spawn(bound.serve(Arc::new(admin)));
        }
        Serving {
            served: tokio::spawn(front.serve(bound, shutdown.clone())),
            watching: tokio::spawn(watch(generations.clone(), shutdown)),
            generations,
        }
    }
}

/// Reloads when files change, until the end begins.
async fn watch(generations: Arc<Generations>, shutdown: Signal) {
    tokio::select! {
        () = reload::watch(generations) => {}
        () = shutdown.draining() => {}
    }
}

/// A server that accepts connections. It goes on when this is dropped.
pub struct Serving {
    served: JoinHandle<()>,
    watching: JoinHandle<()>,
    generations: Arc<Generations>,
}

impl Serving {
    /// What reloads, and what is served now.
    pub fn generations(&self) -> &Arc<Generations> {
        &self.generations
    }

    /// Returns once the last session has ended after the server was told to end. To
    /// stop waiting loses nothing: it may be called again.
    ///
    /// # Errors
    /// The listeners panicked.
    pub async fn ended(&mut self) -> Result<(), StartError> {
        let ended = (&mut self.served).await;
        self.watching.abort();
        self.generations.engines().leave().await;
        Ok(ended?)
    }
}
