//! What the service manager hears of the server (sd_notify(3)), told by a thread of its own
//! out of a short queue: a manager that does not read holds up that thread and nothing else.

use std::io;
use std::sync::LazyLock;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::{debug, warn};

/// Messages that wait for the manager to read; what is over that is not told.
const MAX_QUEUED: usize = 32;

/// One datagram.
type Message = Vec<NotifyState<'static>>;

/// The way to the service manager. None: there is none, or the system has no thread.
static MANAGER: LazyLock<Option<Notifier>> = LazyLock::new(|| {
    // Where it is not set sd_notify does nothing.
    std::env::var_os("NOTIFY_SOCKET")?;
    let notifier = Notifier::start(sd_notify::notify);
    notifier
        .inspect_err(|error| warn!(%error, "the service manager cannot be told of the server"))
        .ok()
});

/// Clients are let in.
pub(in crate::cli) fn ready() {
    tell(vec![NotifyState::Ready]);
}

/// The end begins.
pub(in crate::cli) fn stopping() {
    tell(vec![NotifyState::Stopping]);
}

/// The service manager, told of reloads.
pub(in crate::cli) struct Manager;

impl restante::generations::Manager for Manager {
    fn reloading(&self) -> Box<dyn Send> {
        Box::new(Reloading::begin())
    }
}

/// A reload, for as long as this lives.
struct Reloading;

impl Reloading {
    fn begin() -> Self {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(vec![NotifyState::Reloading, now]),
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
pub(in crate::cli) async fn watchdog() {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut ticks = tokio::time::interval((interval / 2).max(Duration::from_millis(1)));
    loop {
        ticks.tick().await;
        tell(vec![NotifyState::Watchdog]);
    }
}

/// Nothing, where no service manager listens.
fn tell(message: Message) {
    if let Some(manager) = &*MANAGER
        && !manager.tell(message)
    {
        debug!("the service manager does not read what it is told");
    }
}

/// A thread that tells, and its queue.
struct Notifier(SyncSender<Message>);

impl Notifier {
    /// `deliver` may wait.
    fn start(
        deliver: impl Fn(&[NotifyState<'_>]) -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, messages) = sync_channel::<Message>(MAX_QUEUED);
        thread::Builder::new()
            .name("notify".into())
            .spawn(move || {
                for message in messages {
                    if let Err(error) = deliver(&message) {
                        debug!(%error, "the service manager could not be told");
                    }
                }
            })?;
        Ok(Notifier(queue))
    }

    /// Never waits. False: the queue is full.
    fn tell(&self, message: Message) -> bool {
        !matches!(self.0.try_send(message), Err(TrySendError::Full(_)))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn manager_that_does_not_read_holds_nobody_up() {
        let (ours, managers) = UnixDatagram::pair().expect("two sockets");
        let notifier = Notifier::start(move |message| {
            let text: String = message.iter().map(ToString::to_string).collect();
            ours.send(text.as_bytes()).map(|_| ())
        });
        let notifier = notifier.expect("a thread");
        assert!(notifier.tell(vec![NotifyState::Ready]));
        // Until the socket's queue is full, which the system bounds, and then ours.
        let (mut told, mut in_vain) = (1_u32, 0);
        while in_vain < 50 {
            if notifier.tell(vec![NotifyState::Watchdog]) {
                (told, in_vain) = (told + 1, 0);
                assert!(told < 10_000_000, "nothing is bounded");
            } else {
                in_vain += 1;
                thread::sleep(Duration::from_millis(1));
            }
        }
        assert!(told >= MAX_QUEUED as u32);
        // Once it reads it has them in order, and there is room again.
        let mut octets = [0; 100];
        let mut next = || {
            let length = managers.recv(&mut octets).expect("a datagram");
            String::from_utf8_lossy(&octets[..length]).into_owned()
        };
        assert_eq!(next(), "READY=1");
        for _ in 1..told {
            assert_eq!(next(), "WATCHDOG=1");
        }
        assert!(notifier.tell(vec![NotifyState::Stopping]));
        assert_eq!(next(), "STOPPING=1");
    }
}
