//! Calls of services that tenants share: databases and engines of the operator's. Each has one
//! of a few places, of which a tenant has some at most, until the service is done with it, and
//! its tenant is charged for what the host computes meanwhile.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use restante_engine::Meter;
use restante_roles::turns::{Turn, Turns};
use restante_roles::work::{WorkError, WorkRoom};

/// Calls of one tenant that a service has at the same time.
const MAX_OF_TENANT: usize = 4;

/// What a guest is told in place of the service's own words: where it is, and what is wrong
/// with it, is the operator's matter.
pub(crate) const SEE_LOG: &str = "the server's log says why";

/// How many calls a service can have at once.
#[derive(Debug, Clone, Copy)]
pub struct CallPlaces {
    /// Of all tenants.
    pub at_once: usize,
    /// Whether changes wait for each other, beside the others.
    pub has_one_writer: bool,
}

/// Where calls wait for their places.
#[derive(Debug)]
pub(crate) struct Queues {
    pub(crate) reads: Arc<Turns>,
    pub(crate) changes: Arc<Turns>,
}

impl Queues {
    /// Of few places a tenant has half.
    pub(crate) fn new(places: CallPlaces) -> Self {
        let of_tenant = MAX_OF_TENANT.min(places.at_once.div_ceil(2));
        let reads = Turns::new(places.at_once, of_tenant);
        Queues {
            changes: match places.has_one_writer {
                true => Turns::new(1, 1),
                false => reads.clone(),
            },
            reads,
        }
    }
}

/// Charges a tenant for a call, which holds its place and its session's maildrop while anybody
/// may still charge.
///
/// # Errors
/// The session has given its maildrop back.
pub(crate) fn charging(room: WorkRoom, turn: Turn) -> Result<Meter, WorkError> {
    let held = room.held()?;
    Ok(Meter::new(move |time| {
        let _until_it_is_over = (&turn, &held);
        room.charge(time);
    }))
}

/// Why there is no answer to a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unfinished {
    /// Then nobody knows what becomes of it.
    pub(crate) has_begun: bool,
    pub(crate) why: &'static str,
}

/// Makes a call, which goes on to its own end though nobody waits for it any more: `meter` is
/// charged for it, and keeps what it holds as long ([`charging`]). It does not begin after
/// the deadline.
///
/// # Errors
/// There is no answer in time, or the call panicked.
pub(crate) async fn made<T: Send + 'static>(
    call: impl Future<Output = T> + Send + 'static,
    meter: Meter,
    deadline: Instant,
) -> Result<T, Unfinished> {
    const LATE: &str = "no answer in the time that the plugin's call may take";
    let unfinished = |why| Unfinished {
        has_begun: true,
        why,
    };
    if Instant::now() >= deadline {
        return Err(Unfinished {
            has_begun: false,
            why: LATE,
        });
    }
    let call = tokio::spawn(async move { meter.pay_for(call).await });
    match timeout_at(deadline, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(unfinished("the call failed inside the server")),
        Err(_) => Err(unfinished(LATE)),
    }
}
