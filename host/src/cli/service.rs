//! What the service manager hears of the server (sd_notify(3)), and that its memory,
//! which has mail in it, is left to nobody.

use std::io;
use std::time::Duration;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use sd_notify::NotifyState;
use tracing::{debug, warn};

/// A process that crashes leaves no image of its memory, neither in a file nor to a
/// program that collects them, and no other process of its user may look into it.
pub(super) fn no_core_dumps() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let files = setrlimit(Resource::Core, none);
    // The limit does not hold for what is piped to a program (core(5)).
    let pipes = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(error) = files.and(pipes) {
        warn!(error = %io::Error::from(error), "a crash may leave mail in a core dump");
    }
}

/// Clients are let in.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The end begins.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// A reload, for as long as this lives.
pub(super) struct Reloading;

impl Reloading {
    pub(super) fn begin() -> Self {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            // To say the one without the other ends the service (sd_notify(3)).
            Err(error) => debug!(%error, "the monotonic clock"),
        }
        Reloading
    }
}

impl Drop for Reloading {
    fn drop(&mut self) {
        ready();
    }
}

/// Tells the watchdog, where there is one, that the event loop is alive: twice in
/// its interval, for as long as this is polled.
pub(super) async fn watchdog() {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut ticks = tokio::time::interval((interval / 2).max(Duration::from_millis(1)));
    loop {
        ticks.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

/// Nothing, where no service manager listens.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "the service manager could not be told");
    }
}
