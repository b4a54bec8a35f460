//! Why a copy did not come to its end.

use std::fmt;

use restante_engine::Problem;
use restante_roles::backend::Failure;
use restante_roles::content::ContentError;
use restante_roles::shared_holds::NotInForce;

/// What is wrong, and what to do about it, for the operator. What was copied by then stays.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CopyError(String);

impl CopyError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        CopyError(text.into())
    }

    /// The same with what to do about it.
    pub(super) fn with(self, remedy: &str) -> Self {
        CopyError(format!("{self}{remedy}"))
    }
}

impl From<NotInForce> for CopyError {
    fn from(error: NotInForce) -> Self {
        CopyError(format!(
            "{error}. Run one copy at a time on each server, and see whether the engine answers; then run this again: it goes on"
        ))
    }
}

/// Why one message was not copied.
#[derive(Debug, thiserror::Error)]
pub(super) enum MessageError {
    /// Its store does not say where it is.
    #[error("its store does not hand it out: {0} (the log lines above say why): {MEND}")]
    Store(Failure),
    /// It breaks off.
    #[error("it cannot be read: {0}: {MEND}")]
    Content(#[from] ContentError),
    /// It is not what the listing says.
    #[error(
        "it is listed with {listed} octets and has {actual}: if it was changed meanwhile, run this again; otherwise its file's name is wrong about its size (`,W=`): correct the name, which changes no unique-id, and run this again"
    )]
    Octets {
        /// As LIST has it.
        listed: u64,
        /// As it was read.
        actual: u64,
    },
    /// It was not the same when it was read a second time.
    #[error("it changed while it was copied: run this again")]
    Changed,
    /// The engine does not take it.
    #[error("the engine does not take it: {0}: {mend}", mend = mend(.0))]
    Engine(Problem),
    /// There is no room.
    #[error(
        "the maildrop is full in the engine: no listing can have more messages than are there. Take some out of the original and its copy, or copy into another maildrop"
    )]
    Full,
    /// The system's randomness fails.
    #[error("the system has no random numbers: {0}")]
    Randomness(getrandom::Error),
}

const MEND: &str =
    "mend that, or take the message out of the maildrop, and run this again: it goes on from there";

fn mend(problem: &Problem) -> &'static str {
    match problem {
        Problem::Invalid(_) => MEND,
        Problem::Unavailable(_) | Problem::Unknown(_) | Problem::Lost => {
            "see whether the engine and its disk answer, and run this again: it goes on from there"
        }
    }
}

/// A message, as error texts name it.
pub(super) struct Named<'a> {
    /// From 0.
    pub(super) position: usize,
    pub(super) plugin: &'a str,
    pub(super) unique_id: &'a str,
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Named {
            position,
            plugin,
            unique_id,
        } = self;
        write!(
            out,
            "message {} of `{plugin}` (unique-id {unique_id})",
            position + 1
        )
    }
}

impl Named<'_> {
    /// What is wrong with it.
    pub(super) fn error(&self, error: &dyn fmt::Display) -> CopyError {
        CopyError(format!("{self}: {error}"))
    }
}
