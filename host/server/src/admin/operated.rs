//! What the operator's side looks at and acts on.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::listener::CurrentServing;
use crate::nodes::OtherNodes;
use crate::sessions::Sessions;
use crate::shutdown::Signal;
use restante_config::{Problem, Problems};
use restante_roles::metrics::Metrics;

/// What a reload came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reloaded {
    /// The number of the generation that new sessions get now.
    pub generation: u64,
    /// How many tenants it has.
    pub tenants: usize,
    /// How many plugins.
    pub plugins: usize,
    /// What is not wrong and yet probably not meant.
    pub warnings: Vec<Problem>,
    /// Keys that have changed and take a restart.
    pub restart: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// Builds the next generation, for whoever asks.
#[async_trait]
pub trait Reload: Send + Sync {
    /// One at a time: who comes meanwhile waits, and then gets a reload of its own.
    ///
    /// # Errors
    /// Everything that is in the way of it; nothing has changed then.
    async fn reload(&self) -> Result<Reloaded, Problems>;

    /// Forgets what is remembered of databases' answers, and tells how many answers that were.
    fn flush_caches(&self) -> usize;
}

/// What the operator's side looks at and acts on.
pub struct Admin {
    /// Everything that is counted.
    pub metrics: Arc<Metrics>,
    /// Who is connected.
    pub sessions: Arc<Sessions>,
    /// The current generation.
    pub serving: CurrentServing,
    /// Builds the next one.
    pub reload: Arc<dyn Reload>,
    /// The end of the server.
    pub shutdown: Signal,
    /// What other servers know this one by, if it has a name.
    pub node: Option<String>,
    /// The others, if this one shares its holds with any.
    pub others: Option<Arc<dyn OtherNodes>>,
}
