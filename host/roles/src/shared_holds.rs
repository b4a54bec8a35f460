//! Maildrops that several processes serve: who among all of them has which, kept by
//! something outside, of which a session knows no more than what is here.
//!
//! With files a check is a look before the act, since a file system has no transactions:
//! docs/scale.md says what remains possible.

use std::fmt;
use std::time::SystemTime;

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
    },
    /// Nobody can say whether it is free. The text is for the operator.
    #[error("the engine cannot say whether the maildrop is free: {0}")]
    Unavailable(String),
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
}

/// That this process has a maildrop, until it is released or dropped. What is dropped is
/// given back soon.
#[async_trait]
pub trait SharedHold: Send + Sync {
    /// Larger than that of each hold of this key that was given before, to whichever process.
    fn fence(&self) -> u64;

    /// Whether it is still in force.
    async fn check(&self) -> Result<(), NotInForce>;

    /// Gives it back, and waits a bounded time for others to be able to have it.
    async fn release(self: Box<Self>);
}
