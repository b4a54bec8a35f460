//! Everything that an engine in memory holds: one lock is over all of it, so that each
//! call is one transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use super::cluster::Cluster;
use super::folder::Contents;
use crate::hold::{Hold, Token};
use crate::index::{Folder, Placed, Summary};
use crate::problem::Problem;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) folders: BTreeMap<Folder, Contents>,
    pub(super) intents: HashMap<Placed, Instant>,
    pub(super) garbage: BTreeSet<Placed>,
    pub(super) nodes: HashMap<String, Term>,
    pub(super) holds: HashMap<String, Holder>,
    pub(super) fence: u64,
    /// The last login that had each key: who, and when it was acquired.
    pub(super) visits: HashMap<String, (String, Instant)>,
    pub(super) cluster: Cluster,
}

/// A node's term.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    pub(super) number: u64,
    /// The last heartbeat; None: it was left.
    pub(super) beat: Option<Instant>,
}

/// Who has a key.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) token: Token,
    pub(super) fence: u64,
    pub(super) node: String,
    pub(super) term: u64,
    /// Seconds since the Unix epoch.
    pub(super) since: u64,
    pub(super) acquired: Instant,
    pub(super) visitor: Option<String>,
}

impl State {
    /// What a folder holds, in short.
    pub(super) fn summary(&self, folder: &Folder) -> Summary {
        let contents = self.folders.get(folder);
        contents.map(Contents::summary).unwrap_or_default()
    }

    /// # Errors
    /// [`Problem::Lost`] if the hold is not in force.
    pub(super) fn check(&self, hold: &Hold) -> Result<(), Problem> {
        match self.holds.get(&hold.key) {
            Some(holder) if holder.token == hold.token => Ok(()),
            _ => Err(Problem::Lost),
        }
    }
}
