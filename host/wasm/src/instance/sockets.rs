//! `wasi:sockets`: TCP connections to the places that a plugin was granted, and to
//! nowhere else.
//!
//! The host looks up the granted names, and a guest may connect to what the host
//! found; TLS, where the grant says so, is the host's too: to the guest a
//! connection is plain octets. [`dialer`] is a plugin's, [`Sockets`] an instance's
//! share in it; network, tcp and lookup are the interfaces; [`link`] is a connection, which
//! ends with its instance. UDP, listening and binding are not granted to anybody.

mod dialer;
pub(crate) mod io;
pub(crate) mod link;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;

pub(crate) use dialer::Dialer;
use io::Clock;

use restante_config::{Endpoint, PluginLimits};
use restante_roles::metrics::Meter;

/// Connections that one instance may have at once.
const CONNECTIONS: usize = 4;
/// Connections and look-ups that may begin in one call from outside.
const ATTEMPTS: u32 = 32;
/// Part of a call's wall-time that may be spent waiting for the network, in
/// quarters: the rest is left to the guest, which can then still say what went
/// wrong.
const QUARTERS: u32 = 3;

/// One instance's way onto the network.
pub(crate) struct Sockets {
    /// None: nothing was granted.
    dialer: Option<Arc<Dialer>>,
    places: Arc<Semaphore>,
    pub(crate) clock: Clock,
    attempts_left: u32,
    /// What the host found behind granted names, the latest answer last.
    found: Vec<(String, Vec<IpAddr>)>,
    pub(crate) meter: Meter,
}

impl Sockets {
    pub(crate) fn new(dialer: Option<Arc<Dialer>>, meter: Meter) -> Self {
        Sockets {
            dialer,
            places: Arc::new(Semaphore::new(CONNECTIONS)),
            clock: Clock::default(),
            attempts_left: 0,
            found: Vec::new(),
            meter,
        }
    }

    /// The call under way may take so much longer.
    pub(crate) fn postpone(&mut self, time: Duration) {
        self.clock.set(self.clock.deadline() + time);
    }

    /// A new call begins, within these limits.
    pub(crate) fn begin_call(&mut self, limits: &PluginLimits) {
        let deadline = Instant::now() + limits.wall_time / 4 * QUARTERS;
        self.clock.set(deadline);
        self.attempts_left = ATTEMPTS;
    }

    /// The dialer, if anything was granted at all.
    pub(crate) fn dialer(&self) -> Result<&Arc<Dialer>, ErrorCode> {
        self.dialer.as_ref().ok_or(ErrorCode::AccessDenied)
    }

    /// Takes one attempt out of the call's.
    pub(crate) fn attempt(&mut self) -> Result<(), ErrorCode> {
        let left = self.attempts_left.checked_sub(1);
        self.attempts_left = left.ok_or(ErrorCode::NewSocketLimit)?;
        Ok(())
    }

    /// A place among the instance's connections.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, ErrorCode> {
        let place = self.places.clone().try_acquire_owned();
        place.map_err(|_| ErrorCode::NewSocketLimit)
    }

    /// The host looked a granted name up for this instance.
    pub(crate) fn found(&mut self, name: &str, addresses: Vec<IpAddr>) {
        self.found.retain(|(known, _)| known != name);
        self.found.push((name.to_owned(), addresses));
    }

    /// The grant under which the guest may connect to an address: one that names
    /// it, or whose name led to it when the host looked it up. Of several names
    /// behind one address it is the one that was asked for last.
    pub(crate) fn granted(&self, address: SocketAddr) -> Option<&Endpoint> {
        let endpoints = self.dialer.as_ref()?.endpoints();
        let ip = address.ip().to_canonical();
        let here = |endpoint: &&Endpoint| endpoint.port() == address.port();
        let by_name = self.found.iter().rev().find_map(|(name, addresses)| {
            let mut named = endpoints.iter().filter(here);
            let endpoint = named.find(|endpoint| endpoint.host() == name)?;
            addresses.contains(&ip).then_some(endpoint)
        });
        by_name.or_else(|| {
            let mut here = endpoints.iter().filter(here);
            here.find(|endpoint| endpoint.address() == Some(ip))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
