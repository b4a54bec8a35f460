//! How a session takes a maildrop's hold among several processes.
//!
//! It comes after the process's own lock (lock.rs), so two sessions of one process never
//! ask for the same.

use std::time::Duration;

use restante_roles::shared_holds::{NotHeld, SharedHold, SharedHolds, Visit};
use tokio::time::sleep;

/// Before a hold that another node has is asked for once more: that node may be about to
/// give it back.
const RETRY_AFTER: Duration = Duration::from_millis(250);

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
