//! What the requests of one call share, and how long is waited for what.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use wasmtime_wasi_http::RequestOptions;

/// Name look-up, TCP and TLS, at most.
pub(super) const CONNECT: Duration = Duration::from_secs(5);

/// What the requests of one call from outside share.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) deadline: Instant,
    /// Octets of requests' bodies that may still go.
    pub(super) sent: Allowance,
    /// Octets of answers' bodies that may still come.
    pub(super) received: Allowance,
}

/// Octets of bodies that are left of a bound. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Allowance(Arc<AtomicU64>);

impl Allowance {
    /// This many are left from now on.
    pub(super) fn set(&self, octets: u64) {
        self.0.store(octets, Ordering::Relaxed);
    }

    /// Takes octets out of what is left. False: it is too much.
    pub(super) fn take(&self, octets: u64) -> bool {
        let less = |left: u64| left.checked_sub(octets);
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.is_ok()
    }

    pub(super) fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long is waited for what.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// Until the answer's header is there.
    pub(super) header: Instant,
    /// Between two parts of its body.
    pub(super) between: Duration,
}

impl Patience {
    /// From the request to the header of its answer, at most.
    const HEADER: Duration = Duration::from_secs(15);
    /// Between two parts of the body, at most.
    const BETWEEN: Duration = Duration::from_secs(10);

    /// What the guest wants, within the host's bounds and the call's.
    pub(super) fn new(options: &RequestOptions, call: &Call) -> Self {
        let longest = |option: Option<Duration>| option.unwrap_or(Self::HEADER).min(Self::HEADER);
        let header = longest(options.connect_timeout) + longest(options.first_byte_timeout);
        let header = Instant::now() + header.min(Self::HEADER);
        let between = options.between_bytes_timeout.unwrap_or(Self::BETWEEN);
        Patience {
            header: header.min(call.deadline),
            between: between.min(Self::BETWEEN),
        }
    }
}
