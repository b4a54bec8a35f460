//! Where a session's maildrop is.

use std::path::PathBuf;

use crate::disk::maildrop_directory::{Identity, MaildropDirectory};
use crate::instance::maildrop::EngineMaildrop;

pub(super) enum Place {
    /// The plugin was granted none: it knows itself.
    Elsewhere,
    /// A directory, and which one the session's lock is for: it has no other, and none if
    /// none was there.
    Directory(MaildropDirectory, Option<Identity>),
    /// What an engine keeps.
    Engine(EngineMaildrop),
}

impl Place {
    /// As log lines name it, and as what is remembered of it tells it from others.
    pub(super) fn shown(&self) -> Option<PathBuf> {
        match self {
            Place::Elsewhere => None,
            Place::Directory(directory, _) => Some(directory.path.whole()),
            Place::Engine(maildrop) => Some(maildrop.to_string().into()),
        }
    }
}
