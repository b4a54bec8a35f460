//! What calls of the interfaces have in common behind which the session's maildrop in an engine
//! is: mail-index and blobs.

use restante_engine::{Meter, Problem};
use restante_roles::metrics::EngineCall;

use crate::bindings::restante::plugin::mail_index as wit;
use crate::instance::calls::charging;
use crate::instance::engines::SharedEngine;
use crate::instance::maildrop::EngineMaildrop;
use crate::instance::state::State;

impl State {
    /// The session's maildrop.
    ///
    /// # Errors
    /// It has none in an engine.
    pub(super) fn engine_maildrop(&self) -> Result<EngineMaildrop, Problem> {
        self.mail.clone().ok_or_else(|| {
            Problem::invalid(
                "this session has no maildrop in an engine: `maildrop` of the plugin's grants \
                 names none, or the plugin is not asked as a store",
            )
        })
    }

    /// Waits for a place among the engine's calls of this kind, which is taken for as long as
    /// anybody is charged for the call, as the session's maildrop is.
    ///
    /// # Errors
    /// No place came free in time, or the session is over.
    pub(super) async fn engine_place(
        &mut self,
        engine: &SharedEngine,
        call: EngineCall,
    ) -> Result<Meter, Problem> {
        let turn = self.turn(engine.turns(call)).await.map_err(|_| {
            Problem::unavailable("no free place in time: other calls of this engine take too long")
        })?;
        let meter = charging(self.limits.meter().work(), turn);
        meter.map_err(|_| Problem::unavailable("the session is over"))
    }

    /// What the guest is told of a problem. What it was not told is no ground for an answer.
    pub(super) fn told_by_engine<T>(
        &mut self,
        answer: Result<T, Problem>,
    ) -> Result<T, wit::Problem> {
        if matches!(answer, Err(Problem::Unavailable(_) | Problem::Unknown(_))) {
            self.witness.failed();
        }
        answer.map_err(|problem| match problem {
            Problem::Unavailable(text) => wit::Problem::Unavailable(text),
            Problem::Unknown(text) => wit::Problem::Unknown(text),
            Problem::Lost => wit::Problem::Lost,
            Problem::Invalid(text) => wit::Problem::Invalid(text),
        })
    }
}
