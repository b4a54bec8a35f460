//! Whose hash is computed next. Hashes of passwords are slow by design, and there are
//! no more at once than processors: what waits for them is the server's own queue, and
//! nobody's failure.
//!
//! - Who has not failed lately never waits for one that has, but for what is begun.
//! - Tenants take turns, and within a tenant the networks of its clients do: a crowd
//!   in one of them waits for itself.
//! - Where there is a queue, a login waits before it, without an instance, while so many
//!   of its network are being authenticated; and who failed lately waits as long as
//!   the answer to its last failure did.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use thiserror::Error;
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};

use crate::address::{Client, Network};

/// How long anybody waits for the host's own resources.
pub const MAX_BUSY_WAIT: Duration = Duration::from_secs(10);

/// Logins of one network at one tenant that are authenticated at the same time while
/// there is a queue.
const MAX_OF_NETWORK: usize = 4;

/// Bits that tell clients apart, as for penalties.
const V4_BITS: u8 = 32;
const V6_BITS: u8 = 48;

/// It would take too long.
#[derive(Debug, Clone, Copy, Error)]
#[error("the server is busy: no turn within {} s", MAX_BUSY_WAIT.as_secs())]
pub struct Busy;

/// Whose piece of work it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    tenant: Arc<str>,
    /// None: the operator's.
    network: Option<Network>,
    /// A login of it failed lately.
    penalised: bool,
}

type Flow = (Arc<str>, Option<Network>);

impl Owner {
    /// A client's.
    pub fn client(tenant: &Arc<str>, client: Client, penalised: bool) -> Self {
        Owner {
            tenant: Arc::clone(tenant),
            network: Some(client.network(V4_BITS, V6_BITS)),
            penalised,
        }
    }

    /// The operator's.
    pub fn operator(tenant: &Arc<str>) -> Self {
        Owner {
            tenant: Arc::clone(tenant),
            network: None,
            penalised: false,
        }
    }

    /// Its tenant.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The network that its client counts as, where there is a client.
    pub fn network(&self) -> Option<Network> {
        self.network
    }

    fn flow(&self) -> Flow {
        (Arc::clone(&self.tenant), self.network)
    }
}

/// The queue.
#[derive(Debug)]
pub struct Turns {
    /// How many work at once.
    places: usize,
    /// How many of one tenant's do.
    places_of_tenant: usize,
    inner: Mutex<Inner>,
    left: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// Counts turns given.
    clock: u64,
    working: Vec<Owner>,
    /// In the order that they came in; each has an instance.
    waiting: Vec<Waiter>,
    /// When each that is here got a turn last, or came in.
    tenants: HashMap<Arc<str>, u64>,
    flows: HashMap<Flow, u64>,
    /// Logins that are being authenticated.
    entered: HashMap<Flow, usize>,
}

#[derive(Debug)]
struct Waiter {
    owner: Owner,
    ready: oneshot::Sender<Turn>,
}

/// The server's queue.
pub fn server() -> &'static Arc<Turns> {
    static TURNS: LazyLock<Arc<Turns>> = LazyLock::new(|| {
        let processors = std::thread::available_parallelism();
        let places = processors.map_or(2, std::num::NonZero::get);
        Turns::new(places, places)
    });
    &TURNS
}

impl Turns {
    /// For so many pieces of work at once, and so many of one tenant's.
    pub fn new(places: usize, places_of_tenant: usize) -> Arc<Self> {
        Arc::new(Turns {
            places,
            places_of_tenant,
            inner: Mutex::default(),
            left: Notify::new(),
        })
    }

    /// Waits for a turn, at most so long.
    ///
    /// # Errors
    /// It took longer.
    pub async fn turn(self: &Arc<Self>, owner: Owner, most: Duration) -> Result<Turn, Busy> {
        let turn = self.queue(owner);
        self.go_on();
        match timeout(most, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(Busy),
        }
    }

    fn queue(&self, owner: Owner) -> oneshot::Receiver<Turn> {
        let (ready, turn) = oneshot::channel();
        let mut inner = self.lock();
        let now = inner.clock;
        let tenant = Arc::clone(&owner.tenant);
        inner.tenants.entry(tenant).or_insert(now);
        inner.flows.entry(owner.flow()).or_insert(now);
        inner.waiting.push(Waiter { owner, ready });
        turn
    }

    /// A login is about to be authenticated. Waits before the queue, if there is one.
    /// `penalty`: what the client's last failure cost, if it counts still.
    ///
    /// # Errors
    /// It took too long.
    pub async fn enter(
        self: &Arc<Self>,
        owner: &Owner,
        penalty: Duration,
    ) -> Result<Entrance, Busy> {
        if !penalty.is_zero() && self.is_contended() {
            sleep(penalty.min(MAX_BUSY_WAIT)).await;
        }
        let entering = async {
            loop {
                let left = self.left.notified();
                tokio::pin!(left);
                // From here on nobody that leaves is missed.
                left.as_mut().enable();
                if let Some(entrance) = self.try_enter(owner) {
                    return entrance;
                }
                left.await;
            }
        };
        timeout(MAX_BUSY_WAIT, entering).await.map_err(|_| Busy)
    }

    fn try_enter(self: &Arc<Self>, owner: &Owner) -> Option<Entrance> {
        let mut inner = self.lock();
        let contended = !inner.waiting.is_empty();
        let flow = owner.flow();
        let entered = inner.entered.get(&flow).copied().unwrap_or_default();
        if contended && entered >= MAX_OF_NETWORK {
            return None;
        }
        inner.entered.insert(flow.clone(), entered + 1);
        Some(Entrance {
            turns: Arc::clone(self),
            flow,
        })
    }

    fn is_contended(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// Gives out the turns that there are.
    fn go_on(self: &Arc<Self>) {
        loop {
            let Some(next) = self.lock().next(self.places, self.places_of_tenant) else {
                return;
            };
            let turn = Turn {
                turns: Arc::clone(self),
                owner: next.owner,
            };
            // Who has given up meanwhile gives it back here.
            let _ = next.ready.send(turn);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change leaves whole entries behind.
        self.inner.lock()
    }
}

impl Inner {
    /// Who works next, and does from now on.
    fn next(&mut self, places: usize, places_of_tenant: usize) -> Option<Waiter> {
        let gone = |waiter: &mut Waiter| waiter.ready.is_closed();
        let gone: Vec<Waiter> = self.waiting.extract_if(.., gone).collect();
        for waiter in &gone {
            self.forget(&waiter.owner);
        }
        if self.working.len() >= places {
            return None;
        }
        let may_work = |at: &usize| {
            let tenant = &self.waiting[*at].owner.tenant;
            let working = self.working.iter().filter(|one| one.tenant == *tenant);
            working.count() < places_of_tenant
        };
        let waiting = (0..self.waiting.len()).filter(may_work);
        let at = waiting.min_by_key(|at| {
            let owner = &self.waiting[*at].owner;
            let working =
                |of: &dyn Fn(&Owner) -> bool| self.working.iter().filter(|one| of(one)).count();
            (
                owner.penalised,
                working(&|one| one.tenant == owner.tenant),
                self.tenants.get(&owner.tenant),
                working(&|one| one.tenant == owner.tenant && one.network == owner.network),
                self.flows.get(&owner.flow()),
                *at,
            )
        })?;
        let next = self.waiting.remove(at);
        self.clock += 1;
        let owner = &next.owner;
        self.tenants.insert(Arc::clone(&owner.tenant), self.clock);
        self.flows.insert(owner.flow(), self.clock);
        self.working.push(owner.clone());
        Some(next)
    }

    fn done(&mut self, owner: &Owner) {
        if let Some(at) = self.working.iter().position(|one| one == owner) {
            self.working.swap_remove(at);
        }
        self.forget(owner);
    }

    /// Somebody has left. Only those are remembered that are here: who they are is the
    /// choice of strangers.
    fn forget(&mut self, owner: &Owner) {
        let Inner {
            working,
            waiting,
            tenants,
            flows,
            ..
        } = self;
        let here = |of: &dyn Fn(&Owner) -> bool| {
            working.iter().any(of) || waiting.iter().any(|waiter| of(&waiter.owner))
        };
        if !here(&|one| one.tenant == owner.tenant) {
            tenants.remove(&owner.tenant);
        }
        if !here(&|one| one.tenant == owner.tenant && one.network == owner.network) {
            flows.remove(&owner.flow());
        }
    }
}

/// Leave to work, for as long as it lives.
#[derive(Debug)]
#[must_use = "the turn is over when it is dropped"]
pub struct Turn {
    turns: Arc<Turns>,
    owner: Owner,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.lock().done(&self.owner);
        self.turns.go_on();
    }
}

/// A login that is being authenticated, for as long as it lives.
#[derive(Debug)]
#[must_use = "the login has left when it is dropped"]
pub struct Entrance {
    turns: Arc<Turns>,
    flow: Flow,
}

impl Drop for Entrance {
    fn drop(&mut self) {
        let mut inner = self.turns.lock();
        if let Some(entered) = inner.entered.get_mut(&self.flow) {
            *entered -= 1;
            if *entered == 0 {
                inner.entered.remove(&self.flow);
            }
        }
        drop(inner);
        self.turns.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use tokio::task::{JoinSet, yield_now};

    use super::*;

    fn owner(tenant: &str, client: u8, penalised: bool) -> Owner {
        let client = Client::at(([127, 0, 0, client], 7).into());
        Owner::client(&tenant.into(), client, penalised)
    }

    /// In which order they work.
    async fn order(owners: &[(&'static str, Owner)]) -> Vec<&'static str> {
        let turns = Turns::new(1, 1);
        let first = turns
            .turn(owner("z", 99, false), MAX_BUSY_WAIT)
            .await
            .unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut all = JoinSet::new();
        for (name, owner) in owners.iter().cloned() {
            let (turns, order) = (Arc::clone(&turns), Arc::clone(&order));
            all.spawn(async move {
                let turn = turns.turn(owner, MAX_BUSY_WAIT).await.unwrap();
                order.lock().push(name);
                drop(turn);
            });
            yield_now().await;
        }
        drop(first);
        all.join_all().await;
        assert!(turns.lock().tenants.is_empty() && turns.lock().flows.is_empty());
        let order = order.lock();
        order.clone()
    }

    #[tokio::test]
    async fn a_crowd_waits_for_itself() {
        let crowd = || ("crowd", owner("t", 1, false));
        let mut all = vec![crowd(); 20];
        all.push(("other network", owner("t", 2, false)));
        all.push(("other tenant", owner("u", 1, false)));
        let order = order(&all).await;
        let at = |name| order.iter().position(|one| *one == name).unwrap();
        assert!(at("other network") <= 4, "{order:?}");
        assert!(at("other tenant") <= 2, "{order:?}");
    }

    #[tokio::test]
    async fn who_failed_lately_comes_last() {
        let mut all = vec![("failed", owner("t", 1, true)); 5];
        all.extend(vec![("clean", owner("t", 2, false)); 5]);
        all.extend(vec![("clean", owner("t", 1, false)); 5]);
        let order = order(&all).await;
        assert!(order[..10].iter().all(|name| *name == "clean"), "{order:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_keeps_no_place() {
        let turns = Turns::new(1, 1);
        let first = turns
            .turn(owner("t", 1, false), MAX_BUSY_WAIT)
            .await
            .unwrap();
        let second = turns.turn(owner("t", 1, false), MAX_BUSY_WAIT).await;
        assert!(second.is_err());
        drop(first);
        let third = turns.turn(owner("t", 1, false), MAX_BUSY_WAIT).await;
        assert_eq!(turns.lock().working.len(), 1);
        drop(third);
        assert!(turns.lock().working.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_has_some_of_the_places_and_the_rest_stay_free() {
        let turns = Turns::new(3, 2);
        let second = Duration::from_secs(1);
        let one = turns.turn(owner("t", 1, false), second).await.unwrap();
        let two = turns.turn(owner("t", 2, false), second).await.unwrap();
        let third = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move { turns.turn(owner("t", 3, false), MAX_BUSY_WAIT).await }
        });
        yield_now().await;
        let other = turns.turn(owner("u", 1, false), second).await.unwrap();
        assert!(turns.turn(owner("v", 1, false), second).await.is_err());
        drop(other);
        assert!(!third.is_finished());
        drop(one);
        let third = third.await.unwrap().unwrap();
        assert!(turns.turn(owner("t", 4, false), second).await.is_err());
        drop((two, third));
        assert!(turns.lock().working.is_empty());
    }

    /// Which networks wait is the choice of strangers, who need not wait to the end.
    #[tokio::test(start_paused = true)]
    async fn who_gives_up_leaves_nothing_behind() {
        let turns = Turns::new(1, 1);
        let first = turns.turn(owner("t", 1, false), MAX_BUSY_WAIT * 1000);
        let first = first.await.unwrap();
        for client in 2..100 {
            let tenant = format!("tenant{client}");
            let gave_up = turns.turn(owner(&tenant, client, false), Duration::from_millis(1));
            assert!(gave_up.await.is_err());
        }
        let here = || {
            let inner = turns.lock();
            (inner.flows.len(), inner.tenants.len(), inner.waiting.len())
        };
        // The one that works, and the last one that gave up.
        assert_eq!(here(), (2, 2, 1));
        drop(first);
        assert_eq!(here(), (0, 0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_of_a_network_enter_while_there_is_a_queue() {
        let turns = Turns::new(1, 1);
        let crowd = owner("t", 1, false);
        let mut all = Vec::new();
        for _ in 0..3 * MAX_OF_NETWORK {
            all.push(turns.enter(&crowd, Duration::ZERO).await.unwrap());
        }
        let working = turns.turn(crowd.clone(), MAX_BUSY_WAIT).await.unwrap();
        let waiting = tokio::spawn({
            let (turns, crowd) = (Arc::clone(&turns), crowd.clone());
            async move { turns.turn(crowd, MAX_BUSY_WAIT * 10).await }
        });
        yield_now().await;
        assert!(turns.enter(&crowd, Duration::ZERO).await.is_err());
        let other = turns.enter(&owner("t", 2, false), Duration::ZERO).await;
        assert!(other.is_ok());
        let began = tokio::time::Instant::now();
        let penalty = Duration::from_secs(3);
        let late = turns.enter(&owner("t", 3, true), penalty).await;
        assert!(late.is_ok() && began.elapsed() >= penalty);
        all.truncate(MAX_OF_NETWORK - 1);
        assert!(turns.enter(&crowd, Duration::ZERO).await.is_ok());
        drop(working);
        assert!(waiting.await.unwrap().is_ok());
        drop((all, other, late));
        assert!(turns.lock().entered.is_empty());
    }
}
