//! What a connection is made of, and how long is waited for it.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// What a connection is made of.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// When the call under way has waited long enough.
#[derive(Clone)]
pub(crate) struct Clock(Arc<Mutex<Instant>>);

impl Default for Clock {
    fn default() -> Self {
        Clock(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Clock {
    pub(crate) fn deadline(&self) -> Instant {
        // An instant is whole or not there.
        *self.0.lock()
    }

    pub(crate) fn set(&self, deadline: Instant) {
        *self.0.lock() = deadline;
    }
}
