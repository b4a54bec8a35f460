//! One process among those that share an engine's holds: it joins under its node's name,
//! its heartbeats come, and it leaves.
//!
//! What is held here is given back whatever becomes of its holder, by a task of the
//! membership's own: an engine that is away when a session ends hears of it later. What a
//! session gives up while it waits for an answer is given back as well.

mod returns;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tracing::{error, info, warn};

use crate::bounds::CALL_DEADLINE;
use crate::cluster::{Correspondent, Exchanged, NodeSession, Report, SessionChoice};
use crate::hold::{Acquired, Hold, Holds, Node, Visit};
use crate::index::{Folder, Summary};
use crate::meter::Meter;
use crate::names;
use crate::problem::Problem;
use returns::{Return, Returns};

/// How long to wait for a call: longer than engines give their own, which say why there is
/// no answer.
const PATIENCE: Duration = CALL_DEADLINE.saturating_add(Duration::from_secs(1));
/// How long [`Held::release`] waits before the task goes on with it.
const RELEASE_WAIT: Duration = Duration::from_secs(1);

/// How a process stands with the engine whose holds it shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its heartbeats are answered.
    Member,
    /// The last heartbeat was not answered. After a term of this, others may have what it
    /// holds.
    Away,
    /// Another process has taken the node's name: what was held is lost, for good.
    Lost,
    /// It has left.
    Left,
}

/// A process that shares an engine's holds.
pub struct Membership {
    holds: Arc<dyn Holds>,
    /// As the configuration calls it, for the log.
    engine: String,
    node: Node,
    heartbeat: Duration,
    standing: watch::Sender<Standing>,
    returns: Arc<Returns>,
    away_since: Mutex<Option<Instant>>,
    /// How many are held.
    in_use: AtomicUsize,
    /// Who tells others of this node, and hears of them.
    correspondent: OnceLock<Weak<dyn Correspondent>>,
    /// An exchange failed, and the log says so.
    is_unheard: AtomicBool,
}

/// What came of [`Membership::acquire`].
#[derive(Debug)]
pub enum Answer {
    /// It is held until this is released or dropped.
    Held(Held),
    /// Somebody else has it.
    InUse {
        /// Name of the node.
        node: String,
        /// Since when, in seconds since the Unix epoch.
        since: u64,
        /// That of the hold. 0: this node is about to take it.
        fence: u64,
        /// For how long the visitor would have to wait still if it gave this up, which a login of
        /// its own has. None: somebody else's has it, or nobody's.
        wait: Option<Duration>,
    },
    /// Its visitor has to wait so long still.
    TooSoon(Duration),
    /// Other nodes hold more for its visitor than they may.
    TooMany,
}

impl Membership {
    /// Joins as a node of this name, `about` being said to operators, and sends a heartbeat
    /// each `heartbeat` from then on ([`crate::Retention::heartbeat`]) if the engine needs any
    /// ([`Holds::has_terms`]); without, it stays a member until it is told that it is none. `engine` is what the
    /// log calls the engine.
    ///
    /// # Errors
    /// The engine's; [`Problem::Unavailable`] also if it does not answer in time.
    pub async fn join(
        holds: Arc<dyn Holds>,
        engine: &str,
        name: &str,
        about: &str,
        heartbeat: Duration,
    ) -> Result<Arc<Membership>, Problem> {
        let node = within(PATIENCE, holds.join(name, about)).await?;
        info!(
            engine,
            node = node.name,
            term = node.term,
            "joined: holds are shared"
        );
        let membership = Arc::new(Membership {
            returns: Returns::begin(holds.clone(), heartbeat),
            holds,
            engine: engine.to_owned(),
            node,
            heartbeat,
            standing: watch::Sender::new(Standing::Member),
            away_since: Mutex::default(),
            in_use: AtomicUsize::new(0),
            correspondent: OnceLock::new(),
            is_unheard: AtomicBool::new(false),
        });
        if membership.holds.has_terms() {
            tokio::spawn(beat(Arc::downgrade(&membership), heartbeat));
        }
        Ok(membership)
    }

    /// How it stands, now and whenever that changes.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        &self.node.name
    }

    /// Whether there may be other nodes, which hear with each heartbeat of what is told them.
    pub fn has_others(&self) -> bool {
        self.holds.has_terms()
    }

    /// From when on a session that another node was asked to end has ended: its next heartbeat, and
    /// the one before may be under way.
    pub fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    /// Who tells others of this node with its heartbeats from now on, as long as somebody has it.
    /// The first one stays.
    pub fn correspond(&self, correspondent: &Arc<dyn Correspondent>) {
        let _ = self.correspondent.set(Arc::downgrade(correspondent));
    }

    /// What other nodes have told of their sessions.
    ///
    /// # Errors
    /// The engine's; none is waited for while it is away.
    pub async fn sessions_elsewhere(&self) -> Result<Vec<NodeSession>, Problem> {
        self.is_member()?;
        within(PATIENCE, self.holds.sessions_elsewhere(&self.node)).await
    }

    /// Asks other nodes, or the one of the name `only`, to end these sessions. Those that are known
    /// to be meant.
    ///
    /// # Errors
    /// The engine's; none is waited for while it is away.
    pub async fn end_elsewhere(
        &self,
        which: &SessionChoice,
        only: Option<&str>,
    ) -> Result<Vec<NodeSession>, Problem> {
        self.is_member()?;
        let asking = self.holds.end_elsewhere(&self.node, which, only);
        within(PATIENCE, asking).await
    }

    /// Asks a node to end the session of this user that holds `name` by the hold of this fence, for
    /// the session `by` of the same user. False: there is nobody here who would hear of it if others asked so, and others
    /// are as this one is.
    ///
    /// # Errors
    /// The engine's; none is waited for while it is away.
    pub async fn ask_holder(
        &self,
        node: &str,
        (name, fence): (&str, u64),
        (tenant, user): (&str, &str),
        by: &str,
    ) -> Result<bool, Problem> {
        if !self.has_others() || self.correspondent.get().is_none() {
            return Ok(false);
        }
        let which = SessionChoice::Holder {
            key: key(name),
            fence,
            tenant: tenant.to_owned(),
            user: user.to_owned(),
            by: by.to_owned(),
        };
        self.end_elsewhere(&which, Some(node)).await?;
        Ok(true)
    }

    /// Holds `name`, which may have any octets, if nobody else does. While the engine is
    /// away nobody waits for it.
    ///
    /// # Errors
    /// [`Problem::Lost`] if another process has the node's name, and the engine's.
    pub async fn acquire(self: &Arc<Self>, name: &str) -> Result<Answer, Problem> {
        self.acquire_with_states(name, &[]).await
    }

    /// The same, and asks in the same call what these folders hold ([`Held::take_states`]).
    /// Who pays for the call is who pays for the task that asks.
    ///
    /// # Errors
    /// As those of [`acquire`](Self::acquire).
    pub async fn acquire_with_states(
        self: &Arc<Self>,
        name: &str,
        folders: &[Folder],
    ) -> Result<Answer, Problem> {
        self.acquire_for(name, folders, None).await
    }

    /// The same for a login. Its visitor's name may have any octets.
    ///
    /// # Errors
    /// As those of [`acquire`](Self::acquire).
    pub async fn acquire_for(
        self: &Arc<Self>,
        name: &str,
        folders: &[Folder],
        visit: Option<Visit>,
    ) -> Result<Answer, Problem> {
        self.is_member()?;
        let (membership, key) = (self.clone(), key(name));
        let (folders, meter) = (folders.to_vec(), Meter::of_task());
        let visit = visit.map(|visit| Visit {
            visitor: self::key(&visit.visitor),
            ..visit
        });
        // Seen through, also if whoever asked waits no longer: a call that is dropped may
        // have acquired it all the same, and what was acquired for nobody is given back.
        let asking = async move {
            let (answered, states) = membership.ask(&key, &folders, visit.as_ref()).await?;
            Ok(match answered {
                Acquired::Held(hold) => Answer::Held(Held::new(membership, hold, states)),
                Acquired::InUse {
                    node,
                    since,
                    fence,
                    wait,
                } => Answer::InUse {
                    node,
                    since,
                    fence,
                    wait,
                },
                Acquired::TooSoon(wait) => Answer::TooSoon(wait),
                Acquired::TooMany => Answer::TooMany,
            })
        };
        let asking = tokio::spawn(async move { meter.pay_for(asking).await });
        let answer = async {
            asking.await.unwrap_or_else(|error| {
                Err(Problem::unavailable(format!("asking the engine: {error}")))
            })
        };
        within(PATIENCE, answer).await
    }

    async fn ask(
        &self,
        key: &str,
        folders: &[Folder],
        visit: Option<&Visit>,
    ) -> Result<(Acquired, Option<Vec<Summary>>), Problem> {
        if let Some(own) = self.returns.take(key) {
            // The session before has ended, and the engine has yet to hear of it.
            if let Err(problem) = own.give_back(&*self.holds).await {
                self.returns.add(own);
                return Err(problem);
            }
        }
        let acquire = || self.holds.acquire_for(key, &self.node, folders, visit);
        match acquire().await {
            // The term may have run out while the engine was away: a heartbeat tells whether
            // it can go on.
            Err(Problem::Lost) if self.holds.has_terms() => {
                self.beat_once().await?;
                acquire().await
            }
            Err(Problem::Lost) => {
                self.stand(Standing::Lost, None);
                Err(Problem::Lost)
            }
            answered => answered,
        }
    }

    /// Leaves, if the engine can be told in time: what was held is free at once then, and
    /// after a term otherwise. Where work for a session that has ended is still under way,
    /// the engine is not told: nobody else may have those maildrops before the term is over.
    pub async fn leave(&self) {
        let before = self.standing.send_replace(Standing::Left);
        self.returns.end();
        if !matches!(before, Standing::Member | Standing::Away) {
            return;
        }
        let free = match self.holds.has_terms() {
            true => "once its term (10 s) is over",
            false => "once this process has ended",
        };
        let in_use = self.in_use.load(Ordering::Relaxed);
        if in_use > 0 {
            warn!(
                engine = self.engine,
                node = self.node.name,
                in_use,
                "maildrops are in use while this server stops, perhaps because a disk does not answer: others can open its maildrops {free}"
            );
            return;
        }
        match within(PATIENCE, self.holds.leave(&self.node)).await {
            Ok(()) => info!(engine = self.engine, node = self.node.name, "left"),
            Err(problem) => warn!(
                engine = self.engine, node = self.node.name, %problem,
                "the engine does not know that this node has ended: its maildrops are free {free}"
            ),
        }
    }

    fn is_member(&self) -> Result<(), Problem> {
        match *self.standing.borrow() {
            Standing::Member => Ok(()),
            Standing::Away => Err(Problem::unavailable(
                "the engine has not answered the last heartbeat",
            )),
            Standing::Lost | Standing::Left => Err(Problem::Lost),
        }
    }

    /// One heartbeat, and what it says of the standing.
    async fn beat_once(&self) -> Result<(), Problem> {
        self.stand_after(within(self.heartbeat, self.holds.beat(&self.node)).await)
    }

    /// The same, and tells others what there is to tell.
    async fn beat_and_tell(&self) {
        let Some(correspondent) = self.correspondent.get().and_then(Weak::upgrade) else {
            // What it says is in the standing.
            let _ = self.beat_once().await;
            return;
        };
        // What there is to tell may be what takes so long. The bare heartbeat counts by itself, and
        // the engine is worth more than that again once it is answered.
        let standing = *self.standing.borrow();
        if standing == Standing::Away && self.beat_once().await.is_err() {
            correspondent.answered(None);
            return;
        }
        let report = correspondent.report();
        let exchanged = self.exchange_once(&report).await;
        correspondent.answered(exchanged);
    }

    /// None: it is not known whether the engine has heard of it.
    async fn exchange_once(&self, report: &Report) -> Option<Exchanged> {
        let exchanging = self.holds.exchange(&self.node, report);
        let exchanged = match within(self.heartbeat, exchanging).await {
            Ok(exchanged) => exchanged,
            Err(problem) => {
                let _ = self.stand_after(Err(problem));
                return None;
            }
        };
        let _ = self.stand_after(Ok(()));
        let (engine, node) = (&self.engine, &self.node.name);
        match (&exchanged, self.is_unheard.load(Ordering::Relaxed)) {
            (Exchanged::Failed(why), false) => warn!(
                engine,
                node,
                why,
                "nothing is heard of other servers' sessions and failed logins: this one goes by its own"
            ),
            (Exchanged::News(_), true) => {
                info!(
                    engine,
                    node, "other servers' sessions and failed logins are heard of again"
                );
            }
            _ => {}
        }
        let is_unheard = matches!(exchanged, Exchanged::Failed(_));
        self.is_unheard.store(is_unheard, Ordering::Relaxed);
        Some(exchanged)
    }

    /// What a heartbeat says of the standing.
    fn stand_after(&self, beaten: Result<(), Problem>) -> Result<(), Problem> {
        let next = match &beaten {
            Ok(()) => Standing::Member,
            Err(Problem::Lost) => Standing::Lost,
            Err(_) => Standing::Away,
        };
        self.stand(next, beaten.as_ref().err());
        beaten
    }

    /// It stands like this from now on.
    fn stand(&self, next: Standing, why: Option<&Problem>) {
        let mut before = Standing::Left;
        self.standing.send_if_modified(|now| {
            before = *now;
            // What is over stays so.
            let changes = matches!(now, Standing::Member | Standing::Away) && *now != next;
            if changes {
                *now = next;
            }
            changes
        });
        if before != next {
            self.tell(before, next, why);
        }
    }

    fn tell(&self, before: Standing, next: Standing, why: Option<&Problem>) {
        let (engine, node) = (&self.engine, &self.node.name);
        match (before, next) {
            (Standing::Member, Standing::Away) => {
                *self.away_since.lock() = Some(Instant::now());
                let why = why.map(tracing::field::display);
                warn!(
                    engine,
                    node,
                    why,
                    "the engine is away: logins are refused and nothing is removed until it is back"
                );
            }
            (Standing::Away, Standing::Member) => {
                let since = self.away_since.lock().take();
                let seconds = since.map_or(0, |since| since.elapsed().as_secs());
                info!(engine, node, seconds, "the engine is back");
            }
            (Standing::Member | Standing::Away, Standing::Lost) => {
                self.returns.end();
                error!(
                    engine,
                    node,
                    "another process has joined under this node's name: logins are refused and nothing is removed; give each server a `node` of its own in [server], and restart this one"
                );
            }
            _ => {}
        }
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Membership")
            .field("engine", &self.engine)
            .field("node", &self.node)
            .field("standing", &*self.standing.borrow())
            .finish_non_exhaustive()
    }
}

/// Heartbeats, until the membership is over or gone.
async fn beat(membership: Weak<Membership>, heartbeat: Duration) {
    let mut ticks = interval_at(Instant::now() + heartbeat, heartbeat);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(membership) = membership.upgrade() else {
            return;
        };
        let standing = *membership.standing.borrow();
        if matches!(standing, Standing::Lost | Standing::Left) {
            return;
        }
        membership.beat_and_tell().await;
    }
}

/// What is held, until it is released or dropped.
#[must_use = "it is held for as long as this lives"]
pub struct Held {
    membership: Arc<Membership>,
    hold: Hold,
    states: Option<Vec<Summary>>,
    is_login: AtomicBool,
    is_given_back: bool,
}

impl Held {
    fn new(membership: Arc<Membership>, hold: Hold, states: Option<Vec<Summary>>) -> Self {
        membership.in_use.fetch_add(1, Ordering::Relaxed);
        Held {
            membership,
            hold,
            states,
            is_login: AtomicBool::new(false),
            is_given_back: false,
        }
    }

    /// Its visitor has logged in: the next login may have to wait ([`Visit::delay`]).
    pub fn logged_in(&self) {
        self.is_login.store(true, Ordering::Relaxed);
    }

    fn to_return(&self) -> Return {
        Return {
            hold: self.hold.clone(),
            is_login: self.is_login.load(Ordering::Relaxed),
        }
    }

    /// What an index checks before it removes ([`crate::MailIndex::remove`]).
    pub fn hold(&self) -> &Hold {
        &self.hold
    }

    /// What the folders that were asked for held when it was taken, in their order. It is told
    /// once: it is older with each moment. None: that is not known, or was told.
    pub fn take_states(&mut self) -> Option<Vec<Summary>> {
        self.states.take()
    }

    /// Whether it is still in force, as the engine says now.
    ///
    /// # Errors
    /// [`Problem::Lost`] if it is not, and the engine's.
    pub async fn check(&self) -> Result<(), Problem> {
        let standing = *self.membership.standing.borrow();
        if !matches!(standing, Standing::Member | Standing::Away) {
            return Err(Problem::Lost);
        }
        within(PATIENCE, self.membership.holds.check(&self.hold)).await
    }

    /// Gives it back, and waits a second at most for the engine to know; if it does not by
    /// then, it is told later.
    pub async fn release(mut self) {
        let returned = self.to_return();
        let releasing = returned.give_back(&*self.membership.holds);
        let released = within(RELEASE_WAIT, releasing).await;
        self.is_given_back = released.is_ok();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.membership.in_use.fetch_sub(1, Ordering::Relaxed);
        if !self.is_given_back {
            self.membership.returns.add(self.to_return());
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Held").field(&self.hold).finish()
    }
}

/// What the engine holds for a name of any octets: the name itself if it may be a key, so
/// that an operator can read it, and else its digest.
pub fn key(name: &str) -> String {
    const DIGEST: &str = "sha256:";
    if names::check("what is to be held", name).is_ok() && !name.starts_with(DIGEST) {
        return name.to_owned();
    }
    let digest = Sha256::digest(name.as_bytes());
    let digits = digest.iter().map(|octet| format!("{octet:02x}"));
    DIGEST.to_owned() + &digits.collect::<String>()
}

/// The answer of a call, if it comes in time.
async fn within<T>(
    time: Duration,
    call: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    match timeout(time, call).await {
        Ok(answered) => answered,
        Err(_) => Err(Problem::unavailable(format!(
            "no answer in {} s",
            time.as_secs_f64()
        ))),
    }
}

#[cfg(test)]
mod tests;
