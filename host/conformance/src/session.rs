//! A session's maildrop, opened as the server opens it: where the store keeps holds, the session
//! has one before the maildrop is opened, and gives it back when it ends.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use restante_roles::backend::{Account, Connection, Failure, Maildrop, Store};
use restante_roles::shared_holds::{NotHeld, SharedHold, SharedHolds};
use tokio::time::{Instant, sleep};

/// How long a session waits for the hold. A session that was broken off has it until the host
/// has done what it was asked, which is soon.
const HOLD_PATIENCE: Duration = Duration::from_secs(10);
/// How long until it asks for the hold once more.
const HOLD_RETRY: Duration = Duration::from_millis(5);

/// A maildrop that is open. When this is dropped the session is over, and what it held is free
/// as soon as nothing works for it any more.
pub struct OpenMaildrop {
    maildrop: Box<dyn Maildrop>,
    _exclusive: Option<Arc<Exclusive>>,
}

/// What the session's work in the host keeps until it is over.
struct Exclusive {
    _hold: Box<dyn SharedHold>,
}

/// Opens the account's maildrop for a session of its own.
///
/// # Errors
/// The store's failure, or that the maildrop is still held by another session.
pub async fn open(
    store: &dyn Store,
    connection: &Arc<Connection>,
    account: &Account,
) -> Result<OpenMaildrop, Failure> {
    let found = store.find(connection, account).await?;
    let holds = found.holds();
    let exclusive = match holds {
        Some(holds) => {
            // As the server has it: no two tenants have a maildrop in common there.
            let key = [&*connection.tenant, &found.shared_key()?].join(":");
            let hold = acquire(&*holds, &key).await?;
            let fence = hold.fence();
            let exclusive = Arc::new(Exclusive { _hold: hold });
            connection.hold.hold(&exclusive, Some(fence));
            Some(exclusive)
        }
        None => None,
    };
    Ok(OpenMaildrop {
        maildrop: found.open().await?,
        _exclusive: exclusive,
    })
}

async fn acquire(holds: &dyn SharedHolds, key: &str) -> Result<Box<dyn SharedHold>, Failure> {
    let patient_until = Instant::now() + HOLD_PATIENCE;
    loop {
        match holds.acquire(key).await {
            Ok(hold) => return Ok(hold),
            Err(NotHeld::InUse { .. }) if Instant::now() < patient_until => {
                sleep(HOLD_RETRY).await;
            }
            Err(in_use @ NotHeld::InUse { .. }) => return Err(Failure::InUse(in_use.to_string())),
            Err(unavailable) => return Err(Failure::Temporary(unavailable.to_string())),
        }
    }
}

impl Deref for OpenMaildrop {
    type Target = dyn Maildrop;

    fn deref(&self) -> &Self::Target {
        &*self.maildrop
    }
}

impl DerefMut for OpenMaildrop {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut *self.maildrop
    }
}
