//! How a session takes a maildrop's hold among several processes.
//!
//! It comes after the process's own lock (lock.rs), so two sessions of one process never
//! ask for the same.

use std::time::Duration;

use restante_roles::shared_holds::{NotHeld, SharedHold, SharedHolds, Successor, Visit};
use tokio::time::{Instant, sleep};

/// Before a hold that another node has is asked for once more: that node may be about to
/// give it back.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// For a node that was asked to end a session: it hears of that with a heartbeat, one each 2
/// seconds, and then gives the hold back. Longer than it is asked for this login (4 seconds): none
/// is ended for a login that is refused all the same.
const TAKE_OVER_WAIT: Duration = Duration::from_secs(5);

/// Takes the hold of `key`, for this login if it is one, and asks once more if another node has it.
///
/// # Errors
/// Another node has it still, the login may not be, or nobody can say.
pub async fn acquire(
    holds: &dyn SharedHolds,
    key: &str,
    visit: Option<&Visit>,
) -> Result<Box<dyn SharedHold>, NotHeld> {
    match ask(holds, key, visit).await {
        Err(NotHeld::InUse { .. }) => {
            sleep(RETRY_AFTER).await;
            ask(holds, key, visit).await
        }
        answered => answered,
    }
}

/// Takes the hold of `key`, which the node of this name has, once that node has ended the session
/// of the same user that has it. Other sessions keep it, also one that was faster meanwhile.
///
/// # Errors
/// As those of [`acquire`]; also if the node does not give it back in time.
pub async fn take_over(
    holds: &dyn SharedHolds,
    key: &str,
    visit: &Visit,
    node: &str,
    successor: &Successor,
) -> Result<Box<dyn SharedHold>, NotHeld> {
    let is_asked = holds.ask_holder(node, key, successor).await;
    let end = Instant::now() + TAKE_OVER_WAIT;
    loop {
        let acquired = ask(holds, key, Some(visit)).await;
        let is_in_use = matches!(
            acquired,
            Err(NotHeld::InUse { fence, .. }) if fence == successor.fence
        );
        if !is_asked || !is_in_use || Instant::now() >= end {
            return acquired;
        }
        sleep(RETRY_AFTER).await;
    }
}

async fn ask(
    holds: &dyn SharedHolds,
    key: &str,
    visit: Option<&Visit>,
) -> Result<Box<dyn SharedHold>, NotHeld> {
    match visit {
        Some(visit) => holds.acquire_for(key, visit).await,
        None => holds.acquire(key).await,
    }
}
