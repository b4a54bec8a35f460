//! What may come of a call but an answer.

/// Why an engine did not do what it was asked. The texts are for the operator: what
/// happened, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It does not answer, not in time, or cannot write (a full disk). Trying again later
    /// may help. A change of an index was not made, and will not be.
    #[error("{0}")]
    Unavailable(String),
    /// The same of a change of an index, of which nobody knows whether it was made.
    #[error("{0}; whether anything was changed is not known")]
    Unknown(String),
    /// The hold or the node's term is not in force any more. Nothing was changed.
    #[error("the maildrop is not held any more: its hold was released or taken over")]
    Lost,
    /// It cannot be done, however often it is tried. Nothing was changed.
    #[error("{0}")]
    Invalid(String),
}

impl Problem {
    /// [`Problem::Unavailable`] with this text.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Problem::Unavailable(text.into())
    }

    /// [`Problem::Invalid`] with this text.
    pub fn invalid(text: impl Into<String>) -> Self {
        Problem::Invalid(text.into())
    }
}

/// What kinds of engines say alike.
impl Problem {
    /// An entry of this unique-id is in the folder.
    pub(crate) fn is_there(unique_id: &str) -> Self {
        Problem::invalid(format!("unique-id {unique_id} is in the folder already"))
    }

    /// No entry of this unique-id is in the folder.
    pub(crate) fn is_not_there(unique_id: &str) -> Self {
        Problem::invalid(format!("unique-id {unique_id} is not in the folder"))
    }

    /// An entry would have a blob that is not its own.
    pub(crate) fn not_intended(place: &str, path: &str) -> Self {
        Problem::invalid(format!(
            "nothing was placed under {path:?} of {place}, it was too long ago, or another entry has it"
        ))
    }

    /// An intent would be of a path that is not free.
    pub(crate) fn in_use(place: &str, path: &str) -> Self {
        Problem::invalid(format!(
            "{path:?} of {place} is being placed or removed already: take another path"
        ))
    }

    /// A blob would be written over.
    pub(crate) fn exists(path: &str) -> Self {
        Problem::invalid(format!("something is under blob path {path:?} already"))
    }

    /// A blob of more octets than were announced.
    pub(crate) fn more_octets(path: &str, octets: u64) -> Self {
        Problem::invalid(format!(
            "more than {octets} octets came for blob path {path:?}"
        ))
    }

    /// A blob of fewer octets than were announced.
    pub(crate) fn fewer_octets(path: &str, octets: u64) -> Self {
        Problem::invalid(format!(
            "fewer than {octets} octets came for blob path {path:?}"
        ))
    }
}
