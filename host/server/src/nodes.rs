//! The other servers of the same maildrops, as an operator sees them from this one.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use crate::sessions::Which;

/// A session on another server, as that one has told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionElsewhere {
    /// The server.
    pub node: String,
    /// As in each of its log lines there.
    pub session: String,
    /// Its user's tenant.
    pub tenant: String,
    /// The canonical name.
    pub user: String,
    /// Where the client speaks from.
    pub client: String,
    /// Name of the listener.
    pub listener: String,
    /// "TLSv1.3"; none in the clear.
    pub tls: Option<String>,
    /// When it connected, in seconds since the Unix epoch, by that server's clock.
    pub since: u64,
}

/// Who knows other servers.
#[async_trait]
pub trait OtherNodes: Send + Sync + fmt::Debug {
    /// Within how long a server that is asked to end a session has heard of it.
    fn hears_within(&self) -> Duration;

    /// Sessions with a login on other servers.
    ///
    /// # Errors
    /// Why they are not known. The text is for the operator.
    async fn sessions(&self) -> Result<Vec<SessionElsewhere>, String>;

    /// Asks other servers, or the one of the name `only`, to end these. Those that are known to be
    /// meant; who is asked ends also what it has not told of yet.
    ///
    /// # Errors
    /// Why they cannot be asked. The text is for the operator.
    async fn end(&self, which: &Which, only: Option<&str>)
    -> Result<Vec<SessionElsewhere>, String>;
}
