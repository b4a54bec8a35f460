//! What tests of host functions stand on: an instance's state without an instance, and engines
//! in memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use restante_pop3::MockCredentials;
use tokio::time::Instant;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;

use crate::disk::ahead::Ahead;
use crate::disk::left_out::AllLeftOut;
use crate::instance::calls::CallPlaces;
use crate::instance::engines::{EngineAccess, EnginePlaces, MailEngine, SharedEngine, TakenHold};
use crate::instance::errors::WriteFailures;
use crate::instance::facts::Witness;
use crate::instance::http::Http;
use crate::instance::output::Voice;
use crate::instance::recall::Recall;
use crate::instance::sockets::Sockets;
use crate::instance::state::{Border, CallWork, Limits, State};
use restante_engine::memory::{Memory, MemoryBlobs};
use restante_engine::{Acquired, Blobs, Folder, Holds, Problem};
use restante_roles::metrics::{EngineCalls, Ledger};
use restante_roles::shared_holds::{NotHeld, NotInForce, SharedHold, Visit};
use restante_roles::turns::Owner;
use restante_roles::work::WorkHold;

/// Far more than anything takes.
const LONG: Duration = Duration::from_secs(60);

/// An instance's state, in a call without an end.
pub(crate) fn state(ledger: &Arc<Ledger>) -> State {
    state_holding(ledger, WorkHold::default())
}

/// The same of a session that has its maildrop by this.
pub(crate) fn state_holding(ledger: &Arc<Ledger>, hold: WorkHold) -> State {
    let limits = Limits::new(0, ledger.instance(true).holding(hold));
    let meter = limits.meter();
    let mut work = CallWork::new(meter.work());
    work.begin_call(LONG);
    let sockets = Sockets::new(None, meter.clone());
    sockets.clock.set(Instant::now() + LONG);
    State {
        wasi: WasiCtx::builder().build(),
        table: ResourceTable::new(),
        http: Http::new(None, meter.work()),
        sockets,
        limits,
        settings: Arc::default(),
        maildrop: None,
        mail: None,
        directories: Arc::default(),
        databases: Arc::default(),
        voice: Arc::new(Mutex::new(Voice::new("p".into(), "t".into(), 0))),
        salts: MockCredentials::new([0; 32], 4096, 16),
        owner: Owner::operator(&"t".into()),
        border: Border::Live,
        witness: Witness::default(),
        recall: Recall::default(),
        ahead: Ahead::default(),
        left_out: AllLeftOut::default(),
        write_failures: WriteFailures::default(),
        preopened: None,
        work,
    }
}

/// An engine in memory, which can be away, or slow.
#[derive(Debug)]
pub(crate) struct TestEngine {
    pub(crate) memory: Memory,
    pub(crate) is_away: Mutex<bool>,
    /// What each call takes.
    pub(crate) delay: Mutex<Duration>,
    blobs: Arc<dyn Blobs>,
}

impl TestEngine {
    /// With these blobs, and shared as "mail".
    pub(crate) fn with(blobs: Arc<dyn Blobs>) -> (Arc<Self>, Arc<SharedEngine>) {
        let engine = Arc::new(TestEngine {
            memory: Memory::default(),
            is_away: Mutex::new(false),
            delay: Mutex::default(),
            blobs,
        });
        let index = CallPlaces {
            at_once: 2,
            has_one_writer: true,
        };
        let places = EnginePlaces { index, blobs: None };
        let calls = EngineCalls::new("mail");
        let shared = SharedEngine::new("mail", "here".into(), engine.clone(), places, calls);
        (engine, shared)
    }

    pub(crate) fn empty() -> (Arc<Self>, Arc<SharedEngine>) {
        Self::with(Arc::new(MemoryBlobs::default()))
    }
}

#[async_trait]
impl EngineAccess for TestEngine {
    async fn open(&self) -> Result<MailEngine, Problem> {
        if *self.is_away.lock() {
            return Err(Problem::invalid("db.internal does not answer"));
        }
        let delay = *self.delay.lock();
        tokio::time::sleep(delay).await;
        Ok(MailEngine {
            index: Arc::new(self.memory.clone()),
            blobs: self.blobs.clone(),
        })
    }

    async fn hold(
        &self,
        key: &str,
        folders: &[Folder],
        _: Option<&Visit>,
    ) -> Result<TakenHold, NotHeld> {
        let away = |problem: Problem| NotHeld::Unavailable(problem.to_string());
        let node = self.memory.join("n", "a test").await.map_err(away)?;
        let acquired = self.memory.acquire_with_states(key, &node, folders).await;
        match acquired.map_err(away)? {
            (Acquired::Held(hold), states) => Ok(TakenHold {
                held: Box::new(Unchecked { fence: hold.fence }),
                hold,
                states,
            }),
            (
                Acquired::InUse {
                    node,
                    since,
                    fence,
                    wait,
                },
                _,
            ) => Err(NotHeld::InUse {
                node,
                since,
                fence,
                wait,
            }),
            (other, _) => Err(NotHeld::Unavailable(format!("{other:?}"))),
        }
    }
}

/// A hold that nobody looks at.
struct Unchecked {
    fence: u64,
}

#[async_trait]
impl SharedHold for Unchecked {
    fn fence(&self) -> u64 {
        self.fence
    }

    async fn check(&self) -> Result<(), NotInForce> {
        Ok(())
    }

    async fn release(self: Box<Self>) {}
}
