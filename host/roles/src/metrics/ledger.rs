//! What one tenant has used, from the start of the server on.
//!
//! Counters are atomics that their owners touch without waiting for anybody; a
//! ledger lives on from generation to generation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use tokio::sync::Semaphore;

use crate::share::Share;
use crate::work::{TenantOpen, TenantPlaces, WorkHold, WorkOwner, WorkRoom};

/// HTTP requests of one tenant's that may be under way at once, over all its plugins: half
/// of what one plugin may have.
const MAX_TENANT_REQUESTS: usize = 32;

/// What became of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginResult {
    /// A session began.
    Ok,
    /// User, password, proof or token: something was wrong.
    Rejected,
    /// The user is of a domain that the tenant may not serve.
    Foreign,
    /// The tenant's admissions did not let the client in.
    NotAdmitted,
    /// What was shown may not be shown on this channel, or is turned off.
    NotAllowed,
    /// At a limit of the tenant's sessions, or sooner than LOGIN-DELAY lets.
    Limited,
    /// Another session has the maildrop.
    InUse,
    /// Something failed that was not the client's doing.
    Failed,
}

impl LoginResult {
    /// All of them.
    pub const ALL: [LoginResult; 8] = [
        LoginResult::Ok,
        LoginResult::Rejected,
        LoginResult::Foreign,
        LoginResult::NotAdmitted,
        LoginResult::NotAllowed,
        LoginResult::Limited,
        LoginResult::InUse,
        LoginResult::Failed,
    ];

    /// As metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            LoginResult::Ok => "ok",
            LoginResult::Rejected => "rejected",
            LoginResult::Foreign => "foreign",
            LoginResult::NotAdmitted => "not_admitted",
            LoginResult::NotAllowed => "not_allowed",
            LoginResult::Limited => "limited",
            LoginResult::InUse => "in_use",
            LoginResult::Failed => "failed",
        }
    }
}

/// One tenant's counters.
#[derive(Debug)]
pub struct Ledger {
    tenant: Arc<str>,
    /// Has a label of its own among the metrics.
    labelled: bool,
    sessions: AtomicU64,
    logins: [AtomicU64; LoginResult::ALL.len()],
    retrieved_messages: AtomicU64,
    retrieved_octets: AtomicU64,
    removed_messages: AtomicU64,
    without_maildrop: AtomicU64,
    expired_kept: AtomicU64,
    taken_over: AtomicU64,
    guest_cpu_nanoseconds: AtomicU64,
    instances: AtomicU64,
    memory: AtomicU64,
    peak_memory: AtomicU64,
    host_call_octets: AtomicU64,
    password_hash_nanoseconds: AtomicU64,
    /// Places for work that may wait for the disk or the resolver.
    work: TenantPlaces,
    requests: Arc<Semaphore>,
    open: TenantOpen,
    share: Arc<Share>,
}

/// What a ledger says at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Sessions that are logged in now.
    pub sessions: u64,
    /// Logins, in the order of [`LoginResult::ALL`].
    #[serde(skip)]
    pub logins: [u64; LoginResult::ALL.len()],
    /// Messages that clients got with RETR.
    pub retrieved_messages: u64,
    /// Octets of messages that clients got with RETR and TOP.
    pub retrieved_octets: u64,
    /// Messages that were removed in UPDATE.
    pub removed_messages: u64,
    /// Logins of users who were right, and whose maildrop's directory was not there.
    pub logins_without_maildrop: u64,
    /// Messages that had expired and were kept, each time that this was so.
    pub expired_messages_kept: u64,
    /// Sessions that a later login of the same user ended, for the maildrop.
    pub sessions_taken_over: u64,
    /// CPU time of its plugins' calls, in nanoseconds: their own code, what the host did
    /// for it at once, and the host's work for them on other threads.
    pub guest_cpu_nanoseconds: u64,
    /// Instances of its plugins that live now.
    pub instances: u64,
    /// Linear memory of these, in octets.
    pub memory_octets: u64,
    /// The most that this has been at once, in octets.
    pub peak_memory_octets: u64,
    /// Octets of mail, of files and of listings that its plugins read, or handed
    /// over, through the calls of the contract and of wasi:filesystem.
    pub host_call_octets: u64,
    /// CPU time of password hashes for its logins, in nanoseconds. It does not count as
    /// its plugins' and is no part of its share: strangers cause it.
    pub password_hash_nanoseconds: u64,
}

impl WorkOwner for Ledger {
    fn name(&self) -> &str {
        &self.tenant
    }

    fn open(&self) -> &TenantOpen {
        &self.open
    }

    fn places(&self) -> &TenantPlaces {
        &self.work
    }

    fn requests(&self) -> &Arc<Semaphore> {
        &self.requests
    }

    fn charge(&self, time: Duration) {
        self.ran(time);
    }
}

impl Ledger {
    /// Of a tenant that has used nothing yet. Metrics know only those that
    /// [`Metrics::ledger`](super::Metrics::ledger) makes.
    pub fn new(tenant: &str) -> Arc<Self> {
        Ledger::labelled(tenant, true)
    }

    pub(super) fn labelled(tenant: &str, labelled: bool) -> Arc<Self> {
        Arc::new(Ledger {
            tenant: tenant.into(),
            labelled,
            sessions: AtomicU64::default(),
            logins: Default::default(),
            retrieved_messages: AtomicU64::default(),
            retrieved_octets: AtomicU64::default(),
            removed_messages: AtomicU64::default(),
            without_maildrop: AtomicU64::default(),
            expired_kept: AtomicU64::default(),
            taken_over: AtomicU64::default(),
            guest_cpu_nanoseconds: AtomicU64::default(),
            instances: AtomicU64::default(),
            memory: AtomicU64::default(),
            peak_memory: AtomicU64::default(),
            host_call_octets: AtomicU64::default(),
            password_hash_nanoseconds: AtomicU64::default(),
            work: TenantPlaces::default(),
            requests: Arc::new(Semaphore::new(MAX_TENANT_REQUESTS)),
            open: TenantOpen::default(),
            share: Arc::default(),
        })
    }

    /// Whose it is.
    pub fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }

    pub(super) fn has_label(&self) -> bool {
        self.labelled
    }

    /// Somebody tried to log in.
    pub fn login(&self, result: LoginResult) {
        add(&self.logins[result as usize], 1);
    }

    /// A session is logged in until the entry is dropped.
    pub fn session(self: &Arc<Self>) -> SessionEntry {
        add(&self.sessions, 1);
        SessionEntry {
            ledger: Arc::clone(self),
        }
    }

    /// A client got messages whole, and this many octets of messages.
    pub fn retrieved(&self, messages: u64, octets: u64) {
        add(&self.retrieved_messages, messages);
        add(&self.retrieved_octets, octets);
    }

    /// Messages were removed.
    pub fn removed(&self, messages: u64) {
        add(&self.removed_messages, messages);
    }

    /// A login found no directory for its maildrop, whatever came of that.
    pub fn found_no_maildrop(&self) {
        add(&self.without_maildrop, 1);
    }

    /// Messages had expired by the clock, and were kept, for that was doubtful.
    pub fn expired_kept(&self, messages: u64) {
        add(&self.expired_kept, messages);
    }

    /// A login ended an older session of its user, for the maildrop.
    pub fn took_over(&self) {
        add(&self.taken_over, 1);
    }

    fn carried(&self, octets: usize) {
        add(&self.host_call_octets, octets as u64);
        self.share.carried(octets as u64);
    }

    /// Its plugins' code, or the host for them, computed for this long.
    pub(crate) fn ran(&self, time: Duration) {
        add(&self.guest_cpu_nanoseconds, nanoseconds(time));
        self.share.ran(time);
    }

    /// Hashes for its logins computed for this long.
    fn hashed(&self, time: Duration) {
        add(&self.password_hash_nanoseconds, nanoseconds(time));
    }

    /// What it may use.
    pub fn share(&self) -> &Arc<Share> {
        &self.share
    }

    /// An instance lives until the entry is dropped. `bounded`: within the tenant's
    /// share.
    pub fn instance(self: &Arc<Self>, bounded: bool) -> InstanceEntry {
        add(&self.instances, 1);
        InstanceEntry {
            ledger: Arc::clone(self),
            memory: 0,
            bounded,
            hold: WorkHold::default(),
        }
    }

    /// Whether its live instances have as much memory as they may.
    pub fn memory_is_full(&self) -> bool {
        let most = self.share.memory();
        most.is_some_and(|most| self.memory.load(Ordering::Relaxed) >= most)
    }

    /// As it stands. Each number is right; they are not of exactly one moment.
    pub fn totals(&self) -> Totals {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            sessions: get(&self.sessions),
            logins: std::array::from_fn(|at| get(&self.logins[at])),
            retrieved_messages: get(&self.retrieved_messages),
            retrieved_octets: get(&self.retrieved_octets),
            removed_messages: get(&self.removed_messages),
            logins_without_maildrop: get(&self.without_maildrop),
            expired_messages_kept: get(&self.expired_kept),
            sessions_taken_over: get(&self.taken_over),
            guest_cpu_nanoseconds: get(&self.guest_cpu_nanoseconds),
            instances: get(&self.instances),
            memory_octets: get(&self.memory),
            peak_memory_octets: get(&self.peak_memory),
            host_call_octets: get(&self.host_call_octets),
            password_hash_nanoseconds: get(&self.password_hash_nanoseconds),
        }
    }
}

impl Totals {
    /// Logins that ended like this.
    pub fn logins(&self, result: LoginResult) -> u64 {
        self.logins[result as usize]
    }

    /// Of two tenants together. Of their peaks it is the higher one: when they
    /// were is not known.
    pub fn with(self, other: &Totals) -> Totals {
        Totals {
            sessions: self.sessions + other.sessions,
            logins: std::array::from_fn(|at| self.logins[at] + other.logins[at]),
            retrieved_messages: self.retrieved_messages + other.retrieved_messages,
            retrieved_octets: self.retrieved_octets + other.retrieved_octets,
            removed_messages: self.removed_messages + other.removed_messages,
            logins_without_maildrop: self.logins_without_maildrop + other.logins_without_maildrop,
            expired_messages_kept: self.expired_messages_kept + other.expired_messages_kept,
            sessions_taken_over: self.sessions_taken_over + other.sessions_taken_over,
            guest_cpu_nanoseconds: self.guest_cpu_nanoseconds + other.guest_cpu_nanoseconds,
            instances: self.instances + other.instances,
            memory_octets: self.memory_octets + other.memory_octets,
            peak_memory_octets: self.peak_memory_octets.max(other.peak_memory_octets),
            host_call_octets: self.host_call_octets + other.host_call_octets,
            password_hash_nanoseconds: self.password_hash_nanoseconds
                + other.password_hash_nanoseconds,
        }
    }
}

/// A live session in its tenant's ledger.
#[derive(Debug)]
#[must_use = "the session counts for as long as the entry lives"]
pub struct SessionEntry {
    ledger: Arc<Ledger>,
}

impl Drop for SessionEntry {
    fn drop(&mut self) {
        self.ledger.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A live instance in its tenant's ledger.
#[derive(Debug)]
#[must_use = "the instance counts for as long as the entry lives"]
pub struct InstanceEntry {
    ledger: Arc<Ledger>,
    /// What it has of the tenant's memory, in octets.
    memory: u64,
    bounded: bool,
    hold: WorkHold,
}

impl InstanceEntry {
    /// The same of a session's, whose work holds this.
    pub fn holding(mut self, hold: WorkHold) -> Self {
        self.hold = hold;
        self
    }

    /// Its calls kept a processor busy for this long.
    pub fn ran(&self, time: Duration) {
        self.ledger.ran(time);
    }

    /// It has this many octets of linear memory now. False: that is more than is
    /// left of its tenant's share, and it must not have them.
    #[must_use]
    pub fn holds(&mut self, octets: u64) -> bool {
        let more = octets.saturating_sub(self.memory);
        if more == 0 {
            return true;
        }
        let most = self.ledger.share.memory().filter(|_| self.bounded);
        let most = most.unwrap_or(u64::MAX);
        let memory = &self.ledger.memory;
        let grown = memory.try_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            now.checked_add(more).filter(|grown| *grown <= most)
        });
        let Ok(before) = grown else { return false };
        let peak = &self.ledger.peak_memory;
        peak.fetch_max(before + more, Ordering::Relaxed);
        self.memory = octets;
        true
    }

    /// Octets crossed the border, one way or the other.
    pub fn carried(&self, octets: usize) {
        self.ledger.carried(octets);
    }

    /// What counts octets that cross the border elsewhere.
    pub fn meter(&self) -> Meter {
        Meter {
            ledger: Arc::clone(&self.ledger),
            hold: self.hold.clone(),
        }
    }
}

/// Counts octets of an instance that cross the border where its entry is out of
/// reach: on its network connections.
#[derive(Debug, Clone)]
pub struct Meter {
    ledger: Arc<Ledger>,
    hold: WorkHold,
}

impl Meter {
    /// Octets crossed the border, one way or the other.
    pub fn carried(&self, octets: usize) {
        self.ledger.carried(octets);
    }

    /// A password's hash computed for this long.
    pub fn hashed(&self, time: Duration) {
        self.ledger.hashed(time);
    }

    /// The tenant's places for work that may wait.
    pub fn work(&self) -> WorkRoom {
        let ledger = Arc::clone(&self.ledger);
        WorkRoom::new(ledger).holding(self.hold.clone())
    }
}

impl Drop for InstanceEntry {
    fn drop(&mut self) {
        let ledger = &self.ledger;
        ledger.memory.fetch_sub(self.memory, Ordering::Relaxed);
        ledger.instances.fetch_sub(1, Ordering::Relaxed);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_that_of_all_live_instances_and_its_peak_stays() {
        let ledger = Ledger::new("t");
        let mut one = ledger.instance(true);
        let mut other = ledger.instance(true);
        assert!(one.holds(100));
        assert!(other.holds(50));
        assert!(other.holds(70));
        drop(one);
        assert!(other.holds(80));
        let totals = ledger.totals();
        assert_eq!((totals.memory_octets, totals.peak_memory_octets), (80, 170));
        assert_eq!(totals.instances, 1);
        drop(other);
        let totals = ledger.totals();
        assert_eq!((totals.memory_octets, totals.peak_memory_octets), (0, 170));
        assert_eq!(totals.instances, 0);
    }

    #[test]
    fn share_of_memory_is_that_of_all_instances() {
        let ledger = Ledger::new("t");
        ledger.share().set(&crate::share::ShareLimits {
            guest_memory: Some(100),
            ..Default::default()
        });
        let (mut one, mut other) = (ledger.instance(true), ledger.instance(true));
        assert!(one.holds(60));
        assert!(!other.holds(41));
        assert!(other.holds(40));
        assert!(ledger.memory_is_full());
        assert!(
            ledger.instance(false).holds(50),
            "the operator's own question"
        );
        drop(one);
        assert!(other.holds(100));
        assert_eq!(ledger.totals().memory_octets, 100);
    }

    #[test]
    fn hashes_are_counted_and_use_up_no_share() {
        let ledger = Ledger::new("t");
        ledger.share().set(&crate::share::ShareLimits {
            guest_cpu_per_minute: Some(Duration::from_millis(1)),
            ..Default::default()
        });
        let meter = ledger.instance(true).meter();
        meter.hashed(Duration::from_secs(60));
        let totals = ledger.totals();
        assert_eq!(totals.password_hash_nanoseconds, 60_000_000_000);
        assert_eq!(totals.guest_cpu_nanoseconds, 0);
        let both = totals.with(&totals);
        assert_eq!(both.password_hash_nanoseconds, 120_000_000_000);
        assert_eq!(ledger.share().may_run(), Ok(()));
        ledger.ran(Duration::from_secs(60));
        assert!(ledger.share().may_run().is_err());
    }

    #[test]
    fn each_login_result_has_a_counter_of_its_own() {
        let ledger = Ledger::new("t");
        for (times, result) in LoginResult::ALL.into_iter().enumerate() {
            for _ in 0..=times {
                ledger.login(result);
            }
        }
        let totals = ledger.totals();
        for (times, result) in LoginResult::ALL.into_iter().enumerate() {
            assert_eq!(totals.logins(result), times as u64 + 1, "{result:?}");
        }
    }
}
