//! Who has a maildrop to itself (RFC 1939 section 4), among all processes that share an
//! engine.
//!
//! Two things with two purposes. *Safety* is a hold's token: a removal checks it in its
//! own transaction, and no clock has a part in it. *Liveness* is a node's term: while a
//! node's heartbeats come, nobody else gets what it holds; after a crash its holds are
//! free once the term has run out, or at once when it starts again. An engine that only one
//! process can have needs no heartbeats: what it holds ends with the process.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::bounds::MAX_HOLD_FOLDERS;
use crate::cluster::{Exchanged, NodeSession, Report, SessionChoice};
use crate::index::types::{Folder, Summary};
use crate::names;
use crate::problem::Problem;
use crate::random;

/// A process that holds maildrops, for as long as it lives: a name, and the term that
/// [`Holds::join`] gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// As the configuration has it (`node` in `[server]`).
    pub name: String,
    /// Larger than that of each process of this name before.
    pub term: u64,
}

/// What tells a hold from all others: random, so nobody has it who was not given it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub [u8; 16]);

impl Token {
    /// A new one.
    ///
    /// # Errors
    /// [`Problem::Unavailable`] if the system has no random numbers.
    pub fn new() -> Result<Self, Problem> {
        random::octets().map(Token)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Token(…)")
    }
}

/// That somebody holds a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// What is held.
    pub key: String,
    /// Checked wherever something is changed.
    pub token: Token,
    /// Larger than that of each hold of the key that was given before, also if the engine has lost
    /// the last of them in a crash.
    pub fence: u64,
}

/// What came of [`Holds::acquire`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acquired {
    /// It is held now.
    Held(Hold),
    /// Somebody else has it.
    InUse {
        /// Name of the node.
        node: String,
        /// Since when, in seconds since the Unix epoch.
        since: u64,
        /// That of the hold. 0: this node is about to take it.
        fence: u64,
        /// For how long the visitor would have to wait still ([`Visit::delay`]) if it gave this
        /// up, which a login of its own has. None: somebody else's has it, or nobody's.
        wait: Option<Duration>,
    },
    /// The visitor was here so short a time ago that it has to wait so long still
    /// ([`Visit::delay`]). It is not held.
    TooSoon(Duration),
    /// Other nodes hold more for the visitor than they may ([`Visit::most_elsewhere`]), also without
    /// this one. It is not held.
    TooMany,
}

/// A login that a hold is taken for, where nodes count logins together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// Who logs in, of 1 to [`crate::MAX_NAME_OCTETS`] octets: the same on all nodes.
    pub visitor: String,
    /// From the hold of this visitor's last login ([`Holds::release_login`]) to the next one. Zero:
    /// the next one may come at once.
    pub delay: Duration,
    /// So many keys other nodes may hold for this visitor.
    pub most_elsewhere: u32,
}

/// Who holds what.
#[async_trait]
pub trait Holds: Send + Sync + fmt::Debug {
    /// Whether a node's term runs out when its heartbeats stop. False: only one process can have
    /// the engine, so that no other waits for what this one holds, and no heartbeat need come.
    fn has_terms(&self) -> bool {
        true
    }

    /// A process of this name begins: its term is a new one, which runs out when
    /// heartbeats stop for [`crate::Retention::term`] ([`Holds::has_terms`]). Holds of earlier terms of the name
    /// are free. `about` is for the operator, who sees which process it is: its host and
    /// process id, say. Both have 1 to
    /// [`crate::MAX_NAME_OCTETS`] octets.
    async fn join(&self, name: &str, about: &str) -> Result<Node, Problem>;

    /// A heartbeat: the term runs for [`crate::Retention::term`] from now on, by the
    /// engine's clock, even if it had run out and no other process has taken the name.
    ///
    /// # Errors
    /// [`Problem::Lost`] if this is not the name's term any more.
    async fn beat(&self, node: &Node) -> Result<(), Problem> {
        let nothing = Report {
            is_deaf: true,
            ..Report::default()
        };
        self.exchange(node, &nothing).await.map(drop)
    }

    /// The same, and tells other nodes this and hears what they told, in the same call. What is
    /// told may be told again. What goes wrong with it alone keeps no heartbeat from being one.
    /// An engine that has no terms ([`Holds::has_terms`]) has no other nodes to tell.
    ///
    /// # Errors
    /// [`Problem::Lost`] if this is not the name's term any more.
    async fn exchange(&self, node: &Node, report: &Report) -> Result<Exchanged, Problem>;

    /// What nodes but this one have told of their sessions, as long as their terms run; at most
    /// [`crate::MAX_SESSIONS_TOLD`], those that began first.
    async fn sessions_elsewhere(&self, node: &Node) -> Result<Vec<NodeSession>, Problem>;

    /// Asks the others, or the one of the name `only`, to end these sessions: they hear of it with
    /// their next heartbeat. The sessions that are known to be meant. All that are asked end what
    /// they have, also what they have not told yet.
    async fn end_elsewhere(
        &self,
        node: &Node,
        which: &SessionChoice,
        only: Option<&str>,
    ) -> Result<Vec<NodeSession>, Problem>;

    /// The process ends: its holds are free at once. No problem if its term is over.
    async fn leave(&self, node: &Node) -> Result<(), Problem>;

    /// Holds a key of 1 to [`crate::MAX_NAME_OCTETS`] octets, if nobody has it whose term is
    /// running. What this node holds itself is in use too.
    ///
    /// # Errors
    /// [`Problem::Lost`] if this is not the name's term any more, or it has run out.
    async fn acquire(&self, key: &str, node: &Node) -> Result<Acquired, Problem> {
        let (acquired, _) = self.acquire_with_states(key, node, &[]).await?;
        Ok(acquired)
    }

    /// The same, and if it is held, what these folders of the engine's index hold, at most
    /// [`MAX_HOLD_FOLDERS`] and in the same order: all that was removed before the hold was taken is removed in it. Costs no round
    /// trip more. None: it is not held, or they could not be read, which is no reason not to
    /// hold it.
    ///
    /// # Errors
    /// As those of [`acquire`](Self::acquire); [`Problem::Invalid`] if they are too many.
    async fn acquire_with_states(
        &self,
        key: &str,
        node: &Node,
        folders: &[Folder],
    ) -> Result<(Acquired, Option<Vec<Summary>>), Problem> {
        self.acquire_for(key, node, folders, None).await
    }

    /// The same for a login, which may have to wait or be one too many. An engine that has no
    /// terms ([`Holds::has_terms`]) is one process's, which counts its logins itself: there a
    /// visit means nothing. Costs no round trip more.
    ///
    /// # Errors
    /// As those of [`acquire_with_states`](Self::acquire_with_states).
    async fn acquire_for(
        &self,
        key: &str,
        node: &Node,
        folders: &[Folder],
        visit: Option<&Visit>,
    ) -> Result<(Acquired, Option<Vec<Summary>>), Problem>;

    /// Gives it back. No problem if it is not in force any more.
    async fn release(&self, hold: &Hold) -> Result<(), Problem>;

    /// The same after a login that was one: from when the key was acquired its visitor's
    /// [`Visit::delay`] runs.
    async fn release_login(&self, hold: &Hold) -> Result<(), Problem>;

    /// Whether nobody has taken it over.
    ///
    /// # Errors
    /// [`Problem::Lost`] if it is not in force any more.
    async fn check(&self, hold: &Hold) -> Result<(), Problem>;
}

/// Whether a login is one of somebody who can be known again.
///
/// # Errors
/// [`Problem::Invalid`] if not.
pub(crate) fn check_visit(visit: Option<&Visit>) -> Result<(), Problem> {
    match visit {
        Some(visit) => names::check("who logs in", &visit.visitor),
        None => Ok(()),
    }
}

/// Whether a hold can bring the state of these.
///
/// # Errors
/// [`Problem::Invalid`] if they are too many.
pub(crate) fn check_folders(folders: &[Folder]) -> Result<(), Problem> {
    match folders.len() {
        0..=MAX_HOLD_FOLDERS => Ok(()),
        count => Err(Problem::invalid(format!(
            "a hold brings the state of {MAX_HOLD_FOLDERS} folders at most, not of {count}"
        ))),
    }
}
