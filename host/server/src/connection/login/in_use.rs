//! A maildrop that another session has: who may wait for it, and who gets it.
//!
//! After a lost connection the older session is often its user's own, which
//! nobody uses any more. Whatever happens to it here, nothing is removed: only QUIT
//! removes, and a session that has said it is left to finish.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::info;

use crate::lock::{Guard, Held, Holder, Locks};
use crate::sessions::EndedBy;
use crate::shared_holds;
use crate::socket::FarEnd;
use crate::tenant::{SessionPermit, Tenant};
use crate::user_names::Name;
use restante_config::WhenInUse;
use restante_roles::shared_holds::{NotHeld, SharedHold, SharedHolds, Successor, Visit};

/// For a session that is ending to give its maildrop back.
const WAIT: Duration = Duration::from_secs(2);

/// The lock under `key`, for a session of this tenant, and the place among the tenant's
/// sessions that its holder had, if it was one of the tenant's; None: another one keeps it.
pub(super) async fn lock(
    locks: &Locks,
    key: &str,
    holder: &Arc<Holder>,
    tenant: &Tenant,
) -> Option<(Guard, Option<SessionPermit>)> {
    let mut held = match locks.try_lock(key, holder) {
        Ok(guard) => return Some((guard, None)),
        Err(held) => held,
    };
    let _waiting = held.wait()?;
    let older = held.holder().session.clone();
    let may_take_over =
        tenant.when_in_use == WhenInUse::TakeOver && held.holder().is_same_user(holder);
    let far_end = older.socket().map(|socket| socket.far_end());
    let free = if older.is_updating() {
        released(&mut held).await
    } else if far_end == Some(FarEnd::Gone) {
        locks.end_holder(key, &held, EndedBy::ClientGone);
        released(&mut held).await
    } else if far_end == Some(FarEnd::Finished) && released(&mut held).await {
        // It sends nothing more, and was through with what it had sent.
        true
    } else if may_take_over && !older.is_logged_in() {
        // It is opening the maildrop still: of many that would end one another, nobody
        // would get in.
        released(&mut held).await
    } else if may_take_over {
        let by = EndedBy::TakeOver(holder.session.id().to_owned());
        locks.end_holder(key, &held, by);
        released(&mut held).await
    } else {
        // The client tries again soon: until then it may be known who is still there.
        if let Some(socket) = older.socket() {
            socket.probe();
        }
        false
    };
    if !free {
        return None;
    }
    // Of several that waited, one gets it.
    let guard = locks.try_lock(key, holder).ok()?;
    if let Some(by) = older.ended_by() {
        let why = match by {
            EndedBy::ClientGone => "its client is gone",
            EndedBy::TakeOver(_) => "when-in-use",
            EndedBy::Operator => "an operator ended it",
        };
        info!(
            user = ?Name(&holder.user), older = older.id(), client = %older.client(), why,
            "an older session had the maildrop and was ended"
        );
        if matches!(by, EndedBy::TakeOver(_)) {
            tenant.ledger.took_over();
        }
    }
    let is_tenants = held.holder().tenant == holder.tenant;
    let place = held.inherit(&guard).filter(|_| is_tenants);
    Some((guard, place))
}

/// The hold of a maildrop among all nodes. Where the tenant has it so, a session of the same user
/// that has it on another node is ended for it.
pub(super) async fn acquire(
    holds: &dyn SharedHolds,
    key: &str,
    visit: &Visit,
    holder: &Holder,
    tenant: &Tenant,
) -> Result<Box<dyn SharedHold>, NotHeld> {
    let acquired = shared_holds::acquire(holds, key, Some(visit)).await;
    let (node, fence) = match acquired {
        Err(NotHeld::InUse {
            node,
            fence,
            wait: Some(wait),
            ..
        }) if tenant.when_in_use == WhenInUse::TakeOver => {
            if !wait.is_zero() {
                // The older session would be ended for a login that is refused all the same.
                return Err(NotHeld::TooSoon(wait));
            }
            (node, fence)
        }
        acquired => return acquired,
    };
    let successor = Successor {
        session: holder.session.id().to_owned(),
        tenant: holder.tenant.to_string(),
        user: holder.user.clone(),
        fence,
    };
    let held = shared_holds::take_over(holds, key, visit, &node, &successor).await?;
    info!(
        user = ?Name(&holder.user), node,
        "a session on another node had the maildrop, and has given it back for this login"
    );
    tenant.ledger.took_over();
    Ok(held)
}

async fn released(held: &mut Held) -> bool {
    timeout(WAIT, held.released()).await.is_ok()
}
