//! Engines of the operator's that keep maildrops.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;
use tracing::warn;

use crate::instance::calls::{self, CallPlaces, Queues, SEE_LOG};
use restante_engine::{Blobs, Folder, Hold, MailIndex, Meter, Problem, Summary};
use restante_roles::metrics::{EngineCall, EngineCalls, EngineFailure};
use restante_roles::shared_holds::{NotHeld, SharedHold, Successor, Visit};
use restante_roles::throttle::Complaints;
use restante_roles::turns::Turns;

/// An engine that is open.
#[derive(Debug, Clone)]
pub struct MailEngine {
    /// What is in its maildrops.
    pub index: Arc<dyn MailIndex>,
    /// Where their octets are.
    pub blobs: Arc<dyn Blobs>,
}

/// The way to an engine, which may be away for now.
#[async_trait]
pub trait EngineAccess: Send + Sync + fmt::Debug {
    /// It, opened first if it is not open.
    ///
    /// # Errors
    /// It is away. The text is for the operator.
    async fn open(&self) -> Result<MailEngine, Problem>;

    /// Takes the hold of a key, if nobody has it, and has it bring what these folders hold. May
    /// be dropped at any point: nothing stays held then. `visit`: the login that it is for, if
    /// logins are counted with it.
    async fn hold(
        &self,
        key: &str,
        folders: &[Folder],
        visit: Option<&Visit>,
    ) -> Result<TakenHold, NotHeld>;

    /// As [`restante_roles::shared_holds::SharedHolds::ask_holder`].
    async fn ask_holder(&self, _node: &str, _key: &str, _successor: &Successor) -> bool {
        false
    }
}

/// A hold that was taken, and what came with it.
pub struct TakenHold {
    /// The hold itself.
    pub held: Box<dyn SharedHold>,
    /// What the engine's index checks before it removes.
    pub hold: Hold,
    /// What the folders that were asked for held when it was taken, in their order. None: that
    /// is not known.
    pub states: Option<Vec<Summary>>,
}

/// How many calls an engine can have at once.
#[derive(Debug, Clone, Copy)]
pub struct EnginePlaces {
    /// Of its index.
    pub index: CallPlaces,
    /// For messages' octets. None: they are among the index's, and take the same connections.
    pub blobs: Option<CallPlaces>,
}

/// An engine that tenants share.
#[derive(Debug)]
pub struct SharedEngine {
    name: Arc<str>,
    /// Where it is, in words in which no two places are alike.
    place: String,
    access: Arc<dyn EngineAccess>,
    index: Queues,
    blobs: Arc<Turns>,
    counts: Arc<EngineCalls>,
    complaints: Complaints,
}

impl SharedEngine {
    /// `name`: what grants call it. `place`: where it is; no two places of one name may be
    /// alike in it. `counts`: where it is counted how its calls go.
    pub fn new(
        name: &str,
        place: String,
        access: Arc<dyn EngineAccess>,
        places: EnginePlaces,
        counts: Arc<EngineCalls>,
    ) -> Arc<Self> {
        let index = Queues::new(places.index);
        Arc::new(SharedEngine {
            name: name.into(),
            place,
            access,
            blobs: match places.blobs {
                Some(places) => Queues::new(places).reads,
                None => index.reads.clone(),
            },
            index,
            counts,
            complaints: Complaints::default(),
        })
    }

    /// What grants call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Where a call waits for its place.
    pub(crate) fn turns(&self, call: EngineCall) -> &Arc<Turns> {
        match call {
            EngineCall::State | EngineCall::Read | EngineCall::Changes => &self.index.reads,
            EngineCall::Remove => &self.index.changes,
            EngineCall::OpenBlob | EngineCall::ReadBlob => &self.blobs,
        }
    }

    /// Takes the hold of a key, if nobody has it, and asks what these folders hold.
    pub(crate) async fn hold(
        &self,
        key: &str,
        folders: &[Folder],
        visit: Option<&Visit>,
    ) -> Result<TakenHold, NotHeld> {
        self.access.hold(key, folders, visit).await
    }

    /// Asks the node that has the key to end the session that has it.
    pub(crate) async fn ask_holder(&self, node: &str, key: &str, successor: &Successor) -> bool {
        self.access.ask_holder(node, key, successor).await
    }

    /// Makes a call of this kind. `meter` keeps what it holds until the last that is charged
    /// is over, also where nobody waits any longer ([`calls::charging`]).
    pub(crate) async fn ask<T, F>(
        &self,
        call: EngineCall,
        meter: Meter,
        deadline: Instant,
        ask: impl FnOnce(MailEngine) -> F + Send + 'static,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let begun = Instant::now();
        let access = self.access.clone();
        let asking = async move {
            // Whatever is wrong with it, it is the operator who can mend it.
            let away = |problem: Problem| Problem::Unavailable(problem.to_string());
            let engine = access.open().await.map_err(away)?;
            ask(engine).await
        };
        let answer = match calls::made(asking, meter, deadline).await {
            Ok(answer) => answer,
            Err(unfinished) if call == EngineCall::Remove && unfinished.has_begun => {
                Err(Problem::Unknown(unfinished.why.to_owned()))
            }
            Err(unfinished) => Err(Problem::unavailable(unfinished.why)),
        };
        self.counts.took(call, begun.elapsed());
        if let Err(problem) = &answer {
            self.counts.failed(match problem {
                Problem::Unavailable(_) => EngineFailure::Unavailable,
                Problem::Unknown(_) => EngineFailure::Unknown,
                Problem::Lost => EngineFailure::Lost,
                Problem::Invalid(_) => EngineFailure::Invalid,
            });
        }
        answer
    }

    /// What a guest is told of a problem; the operator is told the rest.
    pub(crate) fn told(&self, problem: Problem) -> Problem {
        let (cause, told) = match problem {
            Problem::Unavailable(cause) => (cause, Problem::unavailable(SEE_LOG)),
            Problem::Unknown(cause) => (cause, Problem::Unknown(SEE_LOG.to_owned())),
            Problem::Lost | Problem::Invalid(_) => return problem,
        };
        if let Some(left_out) = self.complaints.line() {
            warn!(
                engine = &*self.name,
                cause, left_out, "a call of an engine failed"
            );
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::instance::testing::TestEngine;

    /// A guest's time is over, and the engine goes on with what it was asked.
    #[tokio::test(start_paused = true)]
    async fn what_nobody_knows_is_told_as_such() {
        let (_, shared) = TestEngine::empty();
        for call in [EngineCall::Remove, EngineCall::Read] {
            let deadline = Instant::now() + Duration::from_secs(1);
            let never = |_| std::future::pending::<Result<(), Problem>>();
            let answer = shared.ask(call, Meter::nobody(), deadline, never).await;
            match (call, answer) {
                (EngineCall::Remove, Err(Problem::Unknown(_))) => {}
                (EngineCall::Read, Err(Problem::Unavailable(_))) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(shared.counts.failures(EngineFailure::Unknown), 1);
        assert_eq!(shared.counts.failures(EngineFailure::Unavailable), 1);
    }
}
