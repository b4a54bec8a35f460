//! How the places for work are shared out: so many of one tenant's, so many in all, and
//! the more of them a tenant has, the sooner it is told to wait for its own.
//!
//! Disks that do not answer keep places for as long as they do not answer, so a bound by
//! tenant and one in all are not enough: a few tenants on one hung file server would have
//! all places. Each tenant therefore has places of three ranks, and the higher ranks end
//! where half, and three quarters, of all places are taken. The last quarter is kept for
//! the first piece of work of each tenant.

use std::sync::{Arc, LazyLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Pieces of work that one tenant may have under way.
pub const MAX_TENANT_PLACES: usize = FIRST + NEXT + MORE;

/// Pieces of work that all tenants together may have under way.
pub const MAX_PLACES: usize = 1536;

/// Threads that the runtime has for what waits: those for the work of tenants, and some
/// for what has to do with no tenant (a reload, hashes, a file of the operator's).
pub const MAX_BLOCKING_THREADS: usize = MAX_PLACES + 512;

/// A tenant's place that comes out of all there are.
const FIRST: usize = 1;
/// A tenant's places that come out of three quarters of all.
const NEXT: usize = 3;
/// A tenant's places that come out of half of all.
const MORE: usize = 12;

static SERVER: LazyLock<Arc<Places>> = LazyLock::new(|| Arc::new(Places::new(MAX_PLACES)));

/// The places of this process.
pub(super) fn server() -> &'static Arc<Places> {
    &SERVER
}

/// The places of all tenants.
#[derive(Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    three_quarters: Arc<Semaphore>,
    half: Arc<Semaphore>,
}

/// The places of one tenant, by rank.
#[derive(Debug)]
pub struct TenantPlaces {
    first: Arc<Semaphore>,
    next: Arc<Semaphore>,
    more: Arc<Semaphore>,
}

/// A place that is taken, until it is dropped.
#[derive(Debug)]
#[must_use = "the place is free when this is dropped"]
pub(super) struct Place {
    _permits: Permits,
}

/// The tenant's own, and one from each bound over all tenants that holds for its rank.
type Permits = [Option<OwnedSemaphorePermit>; 4];

impl Places {
    /// So many in all.
    pub(super) fn new(most: usize) -> Self {
        Places {
            all: Arc::new(Semaphore::new(most)),
            three_quarters: Arc::new(Semaphore::new(most * 3 / 4)),
            half: Arc::new(Semaphore::new(most / 2)),
        }
    }

    /// Waits for a place of a tenant's, of whichever rank comes free first.
    pub(super) async fn take(&self, tenant: &TenantPlaces) -> Place {
        let (all, three_quarters) = (Some(&self.all), Some(&self.three_quarters));
        let permits = tokio::select! {
            biased;
            first = take(&tenant.first, [None, None, all]) => first,
            next = take(&tenant.next, [None, three_quarters, all]) => next,
            more = take(&tenant.more, [Some(&self.half), three_quarters, all]) => more,
        };
        Place { _permits: permits }
    }
}

/// One of the tenant's own and then one of each bound: always in this order, so that
/// nobody waits in a circle.
async fn take(own: &Arc<Semaphore>, bounds: [Option<&Arc<Semaphore>>; 3]) -> Permits {
    let mut permits = [const { None }; 4];
    for (bound, permit) in std::iter::once(Some(own)).chain(bounds).zip(&mut permits) {
        if let Some(bound) = bound {
            let taken = Arc::clone(bound).acquire_owned().await;
            *permit = Some(taken.expect("nobody closes it"));
        }
    }
    permits
}

impl Default for TenantPlaces {
    fn default() -> Self {
        TenantPlaces {
            first: Arc::new(Semaphore::new(FIRST)),
            next: Arc::new(Semaphore::new(NEXT)),
            more: Arc::new(Semaphore::new(MORE)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    /// A place, if there is one now.
    fn now(places: &Places, tenant: &TenantPlaces) -> Option<Place> {
        let mut taking = pin!(places.take(tenant));
        match taking
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            std::task::Poll::Ready(place) => Some(place),
            std::task::Poll::Pending => None,
        }
    }

    /// As many as it gets.
    fn all_it_gets(places: &Places, tenant: &TenantPlaces) -> Vec<Place> {
        std::iter::from_fn(|| now(places, tenant)).collect()
    }

    #[test]
    fn a_tenant_that_is_alone_has_all_its_places_and_no_more() {
        let (places, tenant) = (Places::new(MAX_PLACES), TenantPlaces::default());
        let taken = all_it_gets(&places, &tenant);
        assert_eq!(taken.len(), MAX_TENANT_PLACES);
        drop(taken);
        assert_eq!(all_it_gets(&places, &tenant).len(), MAX_TENANT_PLACES);
    }

    #[test]
    fn tenants_with_hung_disks_leave_places_for_others() {
        // All together they have twice as many places as there are.
        let most = 96;
        let hung: Vec<_> = std::iter::repeat_with(TenantPlaces::default)
            .take(2 * most / MAX_TENANT_PLACES)
            .collect();
        let places = Places::new(most);
        let taken: Vec<_> = (hung.iter())
            .map(|tenant| all_it_gets(&places, tenant))
            .collect();
        assert!(taken.iter().all(|of_one| !of_one.is_empty()));
        let others: Vec<_> = std::iter::repeat_with(TenantPlaces::default)
            .take(most / 4 - hung.len())
            .collect();
        let served: Vec<_> = (others.iter())
            .map(|tenant| now(&places, tenant).expect("the hung ones have all places"))
            .collect();
        assert_eq!(served.len(), others.len());
    }

    #[test]
    fn who_waits_has_the_first_place_of_any_rank_that_comes_free() {
        let (places, tenant) = (Places::new(MAX_PLACES), TenantPlaces::default());
        for at in [0, FIRST, MAX_TENANT_PLACES - 1] {
            let mut taken = all_it_gets(&places, &tenant);
            let mut waiting = pin!(places.take(&tenant));
            let context = &mut Context::from_waker(Waker::noop());
            assert!(waiting.as_mut().poll(context).is_pending());
            drop(taken.remove(at));
            assert!(waiting.as_mut().poll(context).is_ready());
        }
        assert_eq!(all_it_gets(&places, &tenant).len(), MAX_TENANT_PLACES);
    }
}
