//! What nodes of an engine tell one another with their heartbeats: which sessions they have, and
//! what failed logins cost; and what one asks the others to do.
//!
//! All of it is for the operator's eyes and for limits: nothing that is told decides who has a
//! maildrop. What is lost on the way is told again, and what comes twice changes nothing.

use std::fmt;
use std::time::Duration;

use crate::bounds::{ASKING_HOLDER_LASTS, ASKING_LASTS};

/// A session, as its node tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSession {
    /// The node's name. Who reports need not say it.
    pub node: String,
    /// As the node's log calls the session.
    pub id: String,
    /// The user's tenant.
    pub tenant: String,
    /// The user's canonical name.
    pub user: String,
    /// Where the client speaks from.
    pub client: String,
    /// Where it came in.
    pub listener: String,
    /// The version of TLS; None: it speaks in the clear.
    pub tls: Option<String>,
    /// When it began, in seconds since the Unix epoch, by the node's clock.
    pub since: u64,
}

/// What failed logins of a client cost it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Penalty {
    /// The client's address or network, as text that is the same on all nodes.
    pub network: String,
    /// How many count.
    pub failures: u32,
    /// How long ago they were so many.
    pub age: Duration,
    /// How long some of them count still.
    pub remaining: Duration,
}

/// Which sessions somebody means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionChoice {
    /// The one that is called so.
    Session(String),
    /// Those of a user; of one tenant, where it is said.
    User {
        /// The user's canonical name.
        user: String,
        /// None: of all tenants.
        tenant: Option<String>,
    },
    /// Those of a tenant.
    Tenant(String),
    /// The one of a user that holds a key, for a later login of the same user.
    Holder {
        /// What is held ([`crate::membership::key`]).
        key: String,
        /// By which hold: a later one of the same session is not meant.
        fence: u64,
        /// The user's tenant.
        tenant: String,
        /// The user's canonical name.
        user: String,
        /// The session that wants it, as its node calls it.
        by: String,
    },
}

impl SessionChoice {
    /// For how long a node that does not hear of it is asked to end them.
    pub(crate) fn lasts(&self) -> Duration {
        match self {
            SessionChoice::Holder { .. } => ASKING_HOLDER_LASTS,
            _ => ASKING_LASTS,
        }
    }
}

impl NodeSession {
    /// Whether it is one of these.
    pub fn is_meant_by(&self, which: &SessionChoice) -> bool {
        match which {
            SessionChoice::Session(id) => self.id == *id,
            SessionChoice::User { user, tenant } => {
                self.user == *user && tenant.as_ref().is_none_or(|tenant| *tenant == self.tenant)
            }
            SessionChoice::Tenant(tenant) => self.tenant == *tenant,
            // What a session holds is not told.
            SessionChoice::Holder { tenant, user, .. } => {
                self.tenant == *tenant && self.user == *user
            }
        }
    }
}

/// What others are told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Nobody would hear what others told: nothing is told either way.
    pub is_deaf: bool,
    /// What was told of this node's sessions before is over; `begun` are the first of those that it
    /// has.
    pub is_whole: bool,
    /// Sessions that have begun, at most [`crate::MAX_REPORT_ROWS`].
    pub begun: Vec<NodeSession>,
    /// Sessions that are over, as they were called, likewise.
    pub ended: Vec<String>,
    /// What clients have come to owe here, likewise; of each one at most.
    pub penalties: Vec<Penalty>,
    /// What is asked for that was heard ([`News::asked`]): it is not told again.
    pub heard: Vec<u64>,
    /// [`News::last_penalty`] of the last answer.
    pub last_penalty: u64,
}

/// What came of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchanged {
    /// This is what others told.
    News(News),
    /// The heartbeat was one, and nothing was told. Why, for the operator.
    Failed(String),
}

/// What others tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// The engine has lost what it was told of sessions: a whole report is due.
    pub is_report_lost: bool,
    /// Sessions of this node's that others want to end, each with its number.
    pub asked: Vec<(u64, SessionChoice)>,
    /// What others' clients have come to owe since [`Report::last_penalty`], at most
    /// [`crate::MAX_NEWS_ROWS`], the newest first.
    pub penalties: Vec<Penalty>,
    /// So many older ones were left out.
    pub left_out: u64,
    /// Up to where this was told.
    pub last_penalty: u64,
}

/// Who tells and hears for a node.
pub trait Correspondent: Send + Sync + fmt::Debug {
    /// What to tell with this heartbeat.
    fn report(&self) -> Report;

    /// What became of it. None: it is not known whether it was heard.
    fn answered(&self, exchanged: Option<Exchanged>);
}
