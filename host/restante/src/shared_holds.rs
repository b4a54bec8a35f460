//! An engine's membership as what sessions know of shared holds, and counted.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use restante_engine::membership::{Answer, Held, Membership, Standing};
use restante_engine::{Correspondent, Folder, Holds, Problem, Retention};
use restante_roles::metrics::{HoldCounts, HoldFailure, Presence};
use restante_roles::shared_holds::{
    NotHeld, NotInForce, SharedHold, SharedHolds, Successor, Visit,
};
use restante_wasm::TakenHold;
use tracing::warn;

/// The holds of an engine that this server shares.
#[derive(Debug)]
pub(crate) struct EngineHolds {
    membership: Arc<Membership>,
    counts: Arc<HoldCounts>,
    /// Who tells others of this server, as long as this lives.
    correspondent: OnceLock<Arc<dyn Correspondent>>,
}

impl EngineHolds {
    /// Joins as a node of this name.
    ///
    /// # Errors
    /// The engine cannot be used.
    pub(crate) async fn join(
        holds: Arc<dyn Holds>,
        engine: &str,
        node: &str,
        counts: Arc<HoldCounts>,
    ) -> Result<Arc<Self>, Problem> {
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy();
        let about = format!("{host}, process {}", std::process::id());
        let heartbeat = Retention::default().heartbeat();
        let membership = Membership::join(holds, engine, node, &about, heartbeat).await?;
        Ok(Self::new(membership, counts))
    }

    fn new(membership: Arc<Membership>, counts: Arc<HoldCounts>) -> Arc<Self> {
        tokio::spawn(watch(membership.standing(), Presence::new(&counts)));
        Arc::new(EngineHolds {
            membership,
            counts,
            correspondent: OnceLock::new(),
        })
    }

    /// Asks the node that has a key to end the session that has it, if it is this user's.
    pub(crate) async fn ask(&self, node: &str, key: &str, successor: &Successor) -> bool {
        let user = (successor.tenant.as_str(), successor.user.as_str());
        let hold = (key, successor.fence);
        let asked = self
            .membership
            .ask_holder(node, hold, user, &successor.session);
        match asked.await {
            Ok(is_asked) => is_asked,
            Err(problem) => {
                warn!(node, %problem, "a node cannot be asked to end an older session");
                false
            }
        }
    }

    /// What others know this process by. None: it has the engine alone.
    pub(crate) fn among_others(&self) -> Option<&Arc<Membership>> {
        Some(&self.membership).filter(|membership| membership.has_others())
    }

    /// Who tells others of this server from now on.
    pub(crate) fn correspond(&self, correspondent: Arc<dyn Correspondent>) {
        let correspondent = self.correspondent.get_or_init(|| correspondent);
        self.membership.correspond(correspondent);
    }

    /// The server ends, and all that it held is free.
    pub(crate) async fn leave(&self) {
        self.membership.leave().await;
    }

    /// Takes the hold of a key, if nobody has it, and tells what an index checks before it
    /// removes, and what these folders of it hold.
    pub(crate) async fn hold(
        &self,
        key: &str,
        folders: &[Folder],
        visit: Option<&Visit>,
    ) -> Result<TakenHold, NotHeld> {
        let visit = visit.cloned().map(|visit| restante_engine::Visit {
            visitor: visit.visitor,
            delay: visit.delay,
            most_elsewhere: visit.most_elsewhere,
        });
        match self.membership.acquire_for(key, folders, visit).await {
            Ok(Answer::Held(mut held)) => {
                self.counts.acquired();
                let (hold, states) = (held.hold().clone(), held.take_states());
                let counted = Counted {
                    fence: hold.fence,
                    held: Some(held),
                    counts: self.counts.clone(),
                };
                Ok(TakenHold {
                    held: Box::new(counted),
                    hold,
                    states,
                })
            }
            Ok(Answer::InUse {
                node,
                since,
                fence,
                wait,
            }) => {
                self.counts.failed(HoldFailure::InUse);
                Err(NotHeld::InUse {
                    node,
                    since,
                    fence,
                    wait,
                })
            }
            // These are no failures of holds: they are counted as logins are.
            Ok(Answer::TooSoon(wait)) => Err(NotHeld::TooSoon(wait)),
            Ok(Answer::TooMany) => Err(NotHeld::TooManySessions),
            Err(problem) => {
                self.counts.failed(HoldFailure::Unavailable);
                Err(NotHeld::Unavailable(match problem {
                    Problem::Lost => format!(
                        "another process has joined as node {:?}",
                        self.membership.node()
                    ),
                    problem => problem.to_string(),
                }))
            }
        }
    }
}

/// Counts how it stands, until it is gone.
async fn watch(mut standing: tokio::sync::watch::Receiver<Standing>, presence: Presence) {
    while standing.changed().await.is_ok() {
        let now = *standing.borrow_and_update();
        presence.set_away(matches!(now, Standing::Away | Standing::Lost));
    }
}

#[async_trait]
impl SharedHolds for EngineHolds {
    async fn acquire(&self, key: &str) -> Result<Box<dyn SharedHold>, NotHeld> {
        Ok(self.hold(key, &[], None).await?.held)
    }

    async fn acquire_for(&self, key: &str, visit: &Visit) -> Result<Box<dyn SharedHold>, NotHeld> {
        Ok(self.hold(key, &[], Some(visit)).await?.held)
    }

    async fn ask_holder(&self, node: &str, key: &str, successor: &Successor) -> bool {
        self.ask(node, key, successor).await
    }
}

/// A hold that is counted for as long as it lives.
struct Counted {
    fence: u64,
    held: Option<Held>,
    counts: Arc<HoldCounts>,
}

#[async_trait]
impl SharedHold for Counted {
    fn fence(&self) -> u64 {
        self.fence
    }

    async fn check(&self) -> Result<(), NotInForce> {
        let Some(held) = &self.held else {
            return Err(NotInForce::Lost);
        };
        held.check().await.map_err(|problem| match problem {
            Problem::Lost => {
                self.counts.failed(HoldFailure::Lost);
                NotInForce::Lost
            }
            problem => {
                self.counts.failed(HoldFailure::Unavailable);
                NotInForce::Unavailable(problem.to_string())
            }
        })
    }

    fn logged_in(&self) {
        if let Some(held) = &self.held {
            held.logged_in();
        }
    }

    async fn release(mut self: Box<Self>) {
        if let Some(held) = self.held.take() {
            held.release().await;
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.counts.released();
    }
}

#[cfg(test)]
mod tests {
    use restante_engine::memory::Memory;

    use super::*;

    async fn node(engine: &Arc<dyn Holds>, name: &str) -> (Arc<EngineHolds>, Arc<HoldCounts>) {
        let heartbeat = Retention::default().heartbeat();
        let joined = Membership::join(engine.clone(), "e", name, "a test", heartbeat).await;
        let counts = Arc::<HoldCounts>::default();
        (EngineHolds::new(joined.unwrap(), counts.clone()), counts)
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_of_holds_is_told_to_sessions_and_counted() {
        let engine: Arc<dyn Holds> = Arc::new(Memory::new(Retention::default()));
        let (a, counts) = node(&engine, "mx-a").await;
        let (b, others) = node(&engine, "mx-b").await;
        let held = a.acquire("k").await.ok().unwrap();
        let fence = held.fence();
        assert_eq!(counts.held(), 1);
        match b.acquire("k").await.err().unwrap() {
            NotHeld::InUse {
                node,
                fence: of,
                wait,
                ..
            } => assert_eq!((node.as_str(), of, wait), ("mx-a", fence, None)),
            other => panic!("{other}"),
        }
        assert_eq!(others.failures(HoldFailure::InUse), 1);
        held.check().await.unwrap();
        held.release().await;
        assert_eq!(counts.held(), 0);
        let next = b.acquire("k").await.ok().unwrap();
        assert!(next.fence() > fence, "{} after {fence}", next.fence());
        drop(next);

        let held = a.acquire("k2").await.ok().unwrap();
        let (_twin, _) = node(&engine, "mx-a").await;
        tokio::time::sleep(2 * Retention::default().heartbeat()).await;
        assert_eq!(counts.engines_away(), 1);
        assert_eq!(held.check().await, Err(NotInForce::Lost));
        assert_eq!(counts.failures(HoldFailure::Lost), 1);
        let refused = a.acquire("k3").await.err().unwrap();
        assert!(refused.to_string().contains("mx-a"), "{refused}");
        assert_eq!(counts.failures(HoldFailure::Unavailable), 1);
        drop(held);
        assert_eq!(counts.held(), 0);
    }
}
