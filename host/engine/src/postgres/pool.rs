//! Connections, of a bounded number. One is taken for a statement and given back after
//! its answer; any other end throws it away, since nobody knows what state it is in.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_postgres::config::TargetSessionAttrs;

use super::counted::{self, Budget, drive};
use super::failure::Failure;
use super::settings::{Settings, Target};
use crate::meter::Meter;
use crate::problem::Problem;
use crate::thread_time::charged;

/// A connection that nobody used for so long is closed when it comes up next.
const MAX_IDLE: Duration = Duration::from_secs(60);

/// Connections to one database as one role.
pub(super) struct Pool {
    target: Target,
    /// Octets that may come for one call. None: whatever comes.
    max_call_octets: Option<u64>,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<(Arc<Connected>, Instant)>>,
}

/// A connection, and who is charged for what it computes.
struct Connected {
    client: Client,
    payer: Arc<Mutex<Option<Meter>>>,
    task: AbortHandle,
    /// None: whatever comes.
    budget: Option<Arc<Budget>>,
}

impl Pool {
    /// With so many connections at most. Connects to nothing yet.
    pub(super) fn new(settings: &Settings, connections: usize) -> Result<Arc<Self>, Problem> {
        let mut target = settings.target()?;
        (target.config).target_session_attrs(TargetSessionAttrs::ReadWrite);
        Ok(Self::of(target, connections, None))
    }

    /// The same for a target; with `max_call_octets`, no more come for a call.
    pub(super) fn of(
        target: Target,
        connections: usize,
        max_call_octets: Option<u64>,
    ) -> Arc<Self> {
        Arc::new(Self {
            target,
            max_call_octets,
            permits: Arc::new(Semaphore::new(connections)),
            idle: Mutex::new(Vec::new()),
        })
    }

    /// Which database, for the log.
    pub(super) fn name(&self) -> &str {
        &self.target.name
    }

    /// A connection; waits until one is free.
    pub(super) async fn take(self: &Arc<Self>) -> Result<Taken, Failure> {
        let permit = self.permits.clone().acquire_owned().await;
        let permit =
            permit.map_err(|_| Failure::Unconnected("the engine was closed".to_owned()))?;
        let connected = match self.idle() {
            Some(connected) => connected,
            None => self.connect().await?,
        };
        Ok(Taken {
            connected,
            is_clean: false,
            pool: self.clone(),
            _permit: permit,
        })
    }

    /// After something went wrong with one connection: the others are to the same server.
    pub(super) fn forget_idle(&self) {
        self.idle.lock().clear();
    }

    fn idle(&self) -> Option<Arc<Connected>> {
        let mut idle = self.idle.lock();
        // The one that was used last; those that are left over grow old.
        idle.retain(|(connected, since)| {
            !connected.client.is_closed() && since.elapsed() < MAX_IDLE
        });
        idle.pop().map(|(connected, _)| connected)
    }

    async fn connect(&self) -> Result<Arc<Connected>, Failure> {
        let budget = self.max_call_octets.map(|_| Budget::new());
        let (client, driver) = match &budget {
            Some(budget) => counted::connect(&self.target, budget).await?,
            None => {
                let connected = self.target.config.connect(self.target.tls.clone()).await;
                let connected = connected.map_err(|error| Failure::unconnected(&error))?;
                (connected.0, drive(connected.1))
            }
        };
        let name = self.target.name.clone();
        let payer = Arc::new(Mutex::new(None::<Meter>));
        let charge = {
            let payer = payer.clone();
            move |time| {
                if let Some(meter) = &*payer.lock() {
                    meter.charge(time);
                }
            }
        };
        let task = tokio::spawn(charged(charge, async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "{name}: a connection ended");
            }
        }));
        let task = task.abort_handle();
        Ok(Arc::new(Connected {
            client,
            payer,
            task,
            budget,
        }))
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Pool({})", self.target.name)
    }
}

/// A connection in use.
pub(super) struct Taken {
    connected: Arc<Connected>,
    is_clean: bool,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Taken {
    /// A call begins: what the connection computes is charged here.
    pub(super) fn begin_call(&self, meter: &Meter) {
        if let (Some(budget), Some(octets)) = (&self.connected.budget, self.pool.max_call_octets) {
            budget.begin_call(octets);
        }
        *self.connected.payer.lock() = Some(meter.clone());
    }

    /// Whether more came for the call than may.
    pub(super) fn is_over(&self) -> bool {
        let budget = self.connected.budget.as_ref();
        budget.is_some_and(|budget| budget.is_over())
    }

    /// All answers have come: somebody else may have it.
    pub(super) fn give_back(mut self) {
        self.is_clean = true;
        *self.connected.payer.lock() = None;
        let connected = self.connected.clone();
        self.pool.idle.lock().push((connected, Instant::now()));
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.is_clean {
            // At once: a connection that waits for answers would stay, beside those that
            // there may be.
            self.connected.task.abort();
        }
    }
}

impl Deref for Taken {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.connected.client
    }
}
