//! What a session holds from its login on.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use restante_pop3::{MessageNumber, Retention};
use tracing::warn;

use crate::lock::Guard;
use crate::policy::OfUser;
use crate::tenant::{Tenant, UserPermit};
use crate::view::{OpenMaildrop, View};
use restante_roles::metrics::{Ledger, SessionEntry};
use restante_roles::shared_holds::{NotInForce, SharedHold};

/// A session's hold on its maildrop. The order of the fields is the order in
/// which they are let go of: the maildrop, what is counted, the hold among nodes, then the
/// lock, which the user's next session may be waiting for.
pub(super) struct Open {
    pub(super) maildrop: OpenMaildrop,
    pub(super) view: View,
    pub(super) tenant: Arc<Tenant>,
    pub(super) policy: OfUser,
    /// Visible positions, where the policy asks for them.
    pub(super) retrieved: HashSet<usize>,
    pub(super) _permit: UserPermit,
    pub(super) _entry: SessionEntry,
    /// With the place among the tenant's sessions. Work for the session that is still under
    /// way has it too.
    pub(super) exclusive: Arc<Exclusive>,
}

/// That nobody else has the maildrop: first no other process, then no other session of this
/// one. Given back in this order.
pub(super) struct Exclusive {
    /// None where no other process serves the maildrop.
    pub(super) hold: Option<Box<dyn SharedHold>>,
    pub(super) lock: Guard,
}

impl Open {
    /// The client has had the whole message.
    pub(super) fn retrieved(&mut self, message: MessageNumber) {
        if self.policy.expire == Some(Retention::Days(0)) {
            self.retrieved.insert(message.position());
        }
    }

    /// Whether no other node may have the maildrop.
    pub(super) async fn check_hold(&self) -> Result<(), NotInForce> {
        match &self.exclusive.hold {
            Some(hold) => hold.check().await,
            None => Ok(()),
        }
    }

    /// Lets go of everything, and returns once other nodes can have the maildrop, if that
    /// takes no longer than they wait for it. Where work of the session is still under way,
    /// the maildrop is given back when that is over, and nobody waits for it here.
    pub(super) async fn let_go(self) {
        let Open {
            maildrop,
            view,
            _permit,
            _entry,
            exclusive,
            ..
        } = self;
        drop((maildrop, view, _permit, _entry));
        if let Some(Exclusive { hold, lock }) = Arc::into_inner(exclusive) {
            if let Some(hold) = hold {
                hold.release().await;
            }
            drop(lock);
        }
    }

    /// Where what it does is counted.
    pub(super) fn ledger(&self) -> &Ledger {
        &self.tenant.ledger
    }

    /// Adds what the tenant's policy lets go of to the visible positions that the
    /// client wants removed, and says how many these are. `set_forward`: by how much the
    /// clock was, since the server started.
    pub(super) fn add_expired(&self, remove: &mut Vec<usize>, set_forward: Duration) -> usize {
        let marked = remove.len();
        if matches!(self.policy.expire, None | Some(Retention::Never)) {
            return 0;
        }
        let all = self.view.listing().len();
        // What the client wants removed takes no part in what share of the rest goes.
        let messages = all - marked;
        let expired = (0..all).filter(|position| {
            let retrieved = self.retrieved.contains(position);
            let received = self.view.received(*position);
            remove.binary_search(position).is_err() && self.policy.expires(received, retrieved)
        });
        let expired: Vec<usize> = expired.collect();
        // What was retrieved expires by no clock, and most users retrieve everything.
        if !expired.is_empty()
            && self.policy.expire != Some(Retention::Days(0))
            && let Some(why) = (self.tenant.policy).doubts(expired.len(), messages, set_forward)
        {
            warn!(
                tenant = self.tenant.name, expired = expired.len(), messages, %why,
                "expired messages are not removed"
            );
            self.ledger().expired_kept(expired.len() as u64);
            return 0;
        }
        remove.extend(expired);
        remove.sort_unstable();
        remove.len() - marked
    }
}
