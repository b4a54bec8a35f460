//! Maildrops that several processes serve: who among all of them has which, kept by
//! something outside, of which a session knows no more than what is here.
//!
//! With files a check is a look before the act, since a file system has no transactions:
//! docs/scale.md says what remains possible.

use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

/// Why there is no hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotHeld {
    /// Another node has the maildrop.
    #[error("node {node:?} has had the maildrop open for {} s", seconds_since(*since))]
    InUse {
        /// Its name.
        node: String,
        /// Since when, in seconds since the Unix epoch.
        since: u64,
        /// That of the hold ([`Successor::fence`]). 0: it is not known.
        fence: u64,
        /// A login of the same user has it, and a later one has to wait so long still before it
        /// may have the maildrop (zero: not at all). None: somebody else's has it, or nobody's.
        wait: Option<Duration>,
    },
    /// The user logged in so short a time ago, on whatever node, that it has to wait so long
    /// still.
    #[error("the user logged in a short time ago, perhaps on another node, and has to wait for {} s", .0.as_secs())]
    TooSoon(Duration),
    /// The user has as many sessions on other nodes as it may have beside those on this one.
    #[error("the user has too many sessions, some of them on other nodes")]
    TooManySessions,
    /// Nobody can say whether it is free. The text is for the operator.
    #[error("the engine cannot say whether the maildrop is free: {0}")]
    Unavailable(String),
}

/// A login that a hold is taken for, where nodes count logins together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// Who logs in: the same on all nodes, and nobody else.
    pub visitor: String,
    /// From the visitor's last login to this one. Zero: it may come at once.
    pub delay: Duration,
    /// So many sessions the visitor may have on other nodes.
    pub most_elsewhere: u32,
}

/// A login that wants a maildrop that an older session of the same user may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Successor {
    /// Its session, as in the log.
    pub session: String,
    /// The user's tenant.
    pub tenant: String,
    /// The user's canonical name.
    pub user: String,
    /// The hold that it wants to end: a session that has the maildrop by another one is left alone.
    pub fence: u64,
}

/// By this machine's clock, which is near enough for the log.
fn seconds_since(epoch: u64) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_secs().saturating_sub(epoch)
}

/// Why nothing may be removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotInForce {
    /// Another node may have the maildrop.
    #[error("another server has the maildrop by now, or has joined as this server's `node`")]
    Lost,
    /// Nobody can say whether it is in force. The text is for the operator.
    #[error("the engine cannot say whether the maildrop is still held: {0}")]
    Unavailable(String),
}

/// Who has which maildrop, among all processes that serve them.
#[async_trait]
pub trait SharedHolds: Send + Sync + fmt::Debug {
    /// Takes the hold of this key, if nobody has it. May be dropped at any point: nothing
    /// stays held then.
    async fn acquire(&self, key: &str) -> Result<Box<dyn SharedHold>, NotHeld>;

    /// The same for a login, which may have to wait, or be one too many. Who knows of no logins on
    /// other nodes takes the hold for each.
    async fn acquire_for(&self, key: &str, _visit: &Visit) -> Result<Box<dyn SharedHold>, NotHeld> {
        self.acquire(key).await
    }

    /// Asks the node that has the key to end the session that has it, if it is one of the same
    /// user's; it hears of it with its next heartbeat. False: no node can be asked.
    async fn ask_holder(&self, _node: &str, _key: &str, _successor: &Successor) -> bool {
        false
    }
}

/// That this process has a maildrop, until it is released or dropped. What is dropped is
/// given back soon.
#[async_trait]
pub trait SharedHold: Send + Sync {
    /// Larger than that of each hold of this key that was given before, to whichever process.
    fn fence(&self) -> u64;

    /// Whether it is still in force.
    async fn check(&self) -> Result<(), NotInForce>;

    /// The login that it was taken for has succeeded ([`SharedHolds::acquire_for`]).
    fn logged_in(&self) {}

    /// Gives it back, and waits a bounded time for others to be able to have it.
    async fn release(self: Box<Self>);
}
