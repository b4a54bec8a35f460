//! An engine in memory, for plugins that are tried and whose maildrops are in an engine.

use std::sync::Arc;

use async_trait::async_trait;
use restante_engine::membership::{Answer, Held, Membership};
use restante_engine::memory::{Memory, MemoryBlobs};
use restante_engine::{
    Appended, Blobs, Entry, Folder, Holds, Limits, MAX_BLOB_CHUNK_BYTES, MailIndex, OWN_PLACE,
    Placed, Problem, Retention, blob_of_maildrop,
};
use restante_pop3::Scales;
use restante_roles::metrics::EngineCalls;
use restante_roles::shared_holds::{NotHeld, NotInForce, SharedHold, Visit};
use restante_wasm::{CallPlaces, EngineAccess, EnginePlaces, MailEngine, SharedEngine, TakenHold};
use tokio::sync::OnceCell;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

/// What the engine knows this process by.
const NODE: &str = "kit";

/// The engine, and what this process holds in it.
#[derive(Debug)]
pub(super) struct MemoryEngine {
    index: Memory,
    blobs: MemoryBlobs,
    /// Both as sessions have them.
    mail: MailEngine,
    membership: OnceCell<Arc<Membership>>,
}

/// A message on its way into a maildrop.
#[derive(Debug)]
pub(super) struct Delivery<'a> {
    pub(super) tenant: &'a str,
    pub(super) maildrop: &'a str,
    /// Of its octets, in the maildrop: what a store such as spool takes from the entry's name.
    pub(super) path: &'a str,
    /// Seconds since the Unix epoch.
    pub(super) received: u64,
    pub(super) octets: Vec<u8>,
}

impl Delivery<'_> {
    /// Where its octets go.
    pub(super) fn placed(&self) -> Result<Placed, Problem> {
        Ok(Placed {
            place: OWN_PLACE.to_owned(),
            path: blob_of_maildrop(self.tenant, self.maildrop, self.path)?,
        })
    }
}

impl MemoryEngine {
    /// With nothing in it.
    pub(super) fn new() -> Arc<Self> {
        let index = Memory::new(Retention::default());
        let blobs = MemoryBlobs::default();
        let mail = MailEngine {
            index: Arc::new(index.clone()),
            blobs: Arc::new(blobs.clone()),
        };
        Arc::new(MemoryEngine {
            index,
            blobs,
            mail,
            membership: OnceCell::new(),
        })
    }

    /// As one that grants call `name`.
    pub(super) fn shared(self: &Arc<Self>, name: &str) -> Arc<SharedEngine> {
        let index = CallPlaces {
            at_once: 1,
            has_one_writer: false,
        };
        let places = EnginePlaces { index, blobs: None };
        let access: Arc<dyn EngineAccess> = self.clone();
        SharedEngine::new(
            name,
            "memory".into(),
            access,
            places,
            EngineCalls::new(name),
        )
    }

    /// Puts a message behind those that are in its maildrop.
    pub(super) async fn deliver(&self, delivery: Delivery<'_>) -> Result<(), Problem> {
        let placed = delivery.placed()?;
        let folder = Folder::new(delivery.tenant, delivery.maildrop, "")?;
        let weight = Scales::weigh(&delivery.octets);
        let entry = Entry {
            unique_id: None,
            octets: weight.octets,
            surrogate: (weight.surrogate != weight.octets).then_some(weight.surrogate),
            received: delivery.received,
            name: delivery.path.to_owned(),
            digest: None,
            weight: delivery.octets.len() as u64,
        };
        self.index.intend(&placed).await?;
        let octets = delivery.octets.len() as u64;
        let mut blob = self.blobs.create(&placed.path, octets).await?;
        for chunk in delivery.octets.chunks(MAX_BLOB_CHUNK_BYTES) {
            blob.write(chunk.to_vec().into()).await?;
        }
        blob.finish().await?;
        let free = Limits::default();
        let appended = self.index.append(&folder, &entry, &free, Some(&placed));
        match appended.await? {
            Appended::Kept(_) => Ok(()),
            Appended::Duplicate | Appended::Full => Err(Problem::invalid(
                "it has more messages than a maildrop of an engine can hold",
            )),
        }
    }

    /// Forgets a tenant's maildrops, whose octets are in these places.
    pub(super) fn forget(&self, tenant: &str, placed: &[Placed]) {
        self.index.forget(tenant, placed);
        self.blobs.forget(placed.iter().map(|placed| &placed.path));
    }

    async fn join(&self) -> Result<Arc<Membership>, Problem> {
        let holds: Arc<dyn Holds> = Arc::new(self.index.clone());
        let heartbeat = Retention::default().heartbeat();
        let joining = Membership::join(holds, "memory", NODE, "plugins that are tried", heartbeat);
        // It logs that it has joined, and the log that is shown is about the plugin.
        joining.with_subscriber(NoSubscriber::new()).await
    }
}

#[async_trait]
impl EngineAccess for MemoryEngine {
    async fn open(&self) -> Result<MailEngine, Problem> {
        Ok(self.mail.clone())
    }

    /// One process has it, and what counts logins is not tried with a plugin.
    async fn hold(
        &self,
        key: &str,
        folders: &[Folder],
        _: Option<&Visit>,
    ) -> Result<TakenHold, NotHeld> {
        let unavailable = |problem: Problem| NotHeld::Unavailable(problem.to_string());
        let membership = self.membership.get_or_try_init(|| self.join()).await;
        let membership = membership.map_err(unavailable)?;
        let answer = membership.acquire_with_states(key, folders).await;
        match answer.map_err(unavailable)? {
            Answer::Held(mut held) => {
                let (hold, states) = (held.hold().clone(), held.take_states());
                Ok(TakenHold {
                    held: Box::new(Kept(held)),
                    hold,
                    states,
                })
            }
            Answer::InUse {
                node,
                since,
                fence,
                wait,
            } => Err(NotHeld::InUse {
                node,
                since,
                fence,
                wait,
            }),
            Answer::TooSoon(wait) => Err(NotHeld::TooSoon(wait)),
            Answer::TooMany => Err(NotHeld::TooManySessions),
        }
    }
}

/// A hold of a session's.
struct Kept(Held);

#[async_trait]
impl SharedHold for Kept {
    fn fence(&self) -> u64 {
        self.0.hold().fence
    }

    async fn check(&self) -> Result<(), NotInForce> {
        self.0.check().await.map_err(|problem| match problem {
            Problem::Lost => NotInForce::Lost,
            problem => NotInForce::Unavailable(problem.to_string()),
        })
    }

    fn logged_in(&self) {
        self.0.logged_in();
    }

    async fn release(self: Box<Self>) {
        self.0.release().await;
    }
}
