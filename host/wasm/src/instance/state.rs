//! What belongs to one instance: its grants, its limits, its voice in the log.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use restante_pop3::MockCredentials;
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::disk::ahead::Ahead;
use crate::disk::grants::{Granted, Root};
use crate::disk::left_out::AllLeftOut;
use crate::instance::databases::SharedDatabase;
use crate::instance::errors::WriteFailures;
use crate::instance::facts::Witness;
use crate::instance::handle::Handle;
use crate::instance::http::Http;
use crate::instance::maildrop::EngineMaildrop;
use crate::instance::output::Voice;
use crate::instance::recall::Recall;
use crate::instance::sockets::Sockets;
use crate::instance::usage::Usage;
use crate::record::player::Player;
use crate::record::tape::{Exchange, Tape};
use restante_roles::metrics::{InstanceEntry, Meter};
use restante_roles::turns::{Busy, MAX_BUSY_WAIT, Owner, Turn, Turns};
use restante_roles::work::{Stop, WorkRoom};

/// Table elements that one instance may have in all.
const TABLE_ELEMENTS: usize = 400_000;
/// The bound that is not the instance's but its tenant's.
pub(crate) const SHARE_OF_MEMORY: &str = "guest-memory of the tenant reached";
/// Core modules' instances within one component instance.
const CORE_INSTANCES: usize = 64;

/// The data of one wasmtime store, which holds one instance of one plugin.
pub(crate) struct State {
    pub(crate) wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) limits: Limits,
    pub(crate) http: Http,
    pub(crate) sockets: Sockets,
    /// The plugin's settings, as wasi:config/store hands them out.
    pub(crate) settings: Arc<[(String, String)]>,
    /// The session's maildrop directory, where the plugin has that grant and
    /// the directory exists.
    pub(crate) maildrop: Option<Arc<Root>>,
    /// The session's maildrop in an engine, where the plugin has that grant.
    pub(crate) mail: Option<EngineMaildrop>,
    /// The plugin's other directories, under their paths in the guest.
    pub(crate) directories: Arc<[Granted]>,
    /// These and the maildrop, once the guest has asked for them: a handle and its path in
    /// the guest, each.
    pub(crate) preopened: Option<Vec<(Handle, String)>>,
    /// The databases that the plugin was granted.
    pub(crate) databases: Arc<[Arc<SharedDatabase>]>,
    pub(crate) voice: Arc<Mutex<Voice>>,
    /// Whose salts SCRAM keys have that are made of a password.
    pub(crate) salts: MockCredentials,
    /// Whose work it is that the host does for it.
    pub(crate) owner: Owner,
    pub(crate) border: Border,
    pub(crate) witness: Witness,
    pub(crate) recall: Recall,
    pub(crate) ahead: Ahead,
    /// What scans of its maildrop left out.
    pub(crate) left_out: AllLeftOut,
    pub(crate) write_failures: WriteFailures,
    pub(crate) work: CallWork,
}

/// Where the host works for an instance, and until when in the call under way.
pub(crate) struct CallWork {
    room: WorkRoom,
    deadline: tokio::time::Instant,
}

impl CallWork {
    pub(crate) fn new(room: WorkRoom) -> Self {
        CallWork {
            room,
            deadline: tokio::time::Instant::now(),
        }
    }

    /// Whose places it are.
    pub(crate) fn room(&self) -> &WorkRoom {
        &self.room
    }

    /// A new call begins, which may take so long.
    pub(crate) fn begin_call(&mut self, wall_time: Duration) {
        self.deadline = tokio::time::Instant::now() + wall_time;
    }

    /// The call under way may take so much longer.
    fn postpone(&mut self, time: Duration) {
        self.deadline += time;
    }

    /// Does work where waiting is no harm.
    ///
    /// # Errors
    /// The work's own, and those of [`WorkRoom::run`].
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Stop) -> io::Result<R> + Send + 'static,
    ) -> io::Result<R> {
        self.room.run_io(self.deadline, work).await
    }
}

/// Who answers what the guest asks of the contract's own interfaces, and who
/// hears it.
pub(crate) enum Border {
    /// The host.
    Live,
    /// The host, and it is written down.
    Recorded(Arc<Tape>),
    /// A recording.
    Replayed(Arc<Player>),
}

impl Border {
    pub(crate) fn tape(&self) -> Option<&Arc<Tape>> {
        match self {
            Border::Recorded(tape) => Some(tape),
            Border::Live | Border::Replayed(_) => None,
        }
    }
}

impl State {
    /// The call under way has waited for the host so long, which is not its doing: what
    /// it asks for from now on may take until so much later.
    pub(crate) fn postpone(&mut self, time: Duration) {
        self.work.postpone(time);
        self.http.postpone(time);
        self.sockets.postpone(time);
    }

    /// A turn at something that tenants share. To wait for that is not the plugin's doing: its
    /// wall clock stands still meanwhile.
    ///
    /// # Errors
    /// There is none within the time that a call may wait for all of its turns.
    pub(crate) async fn turn(&mut self, turns: &Arc<Turns>) -> Result<Turn, Busy> {
        let usage = self.limits.usage();
        let most = MAX_BUSY_WAIT.saturating_sub(usage.waited());
        let waiting = usage.waits();
        let before = usage.waited();
        let turn = turns.turn(self.owner.clone(), most).await;
        drop(waiting);
        let waited = usage.waited().saturating_sub(before);
        self.postpone(waited);
        turn
    }

    /// The recording that stands for the host, if one does.
    pub(crate) fn player(&self) -> Option<Arc<Player>> {
        match &self.border {
            Border::Replayed(player) => Some(Arc::clone(player)),
            Border::Live | Border::Recorded(_) => None,
        }
    }

    /// A copy of what the guest asks, if it is written down.
    pub(crate) fn copied<T: Clone>(&self, asked: &T) -> Option<T> {
        self.border.tape().map(|_| asked.clone())
    }

    /// The host has answered.
    pub(crate) fn hear<T>(&self, asked: Option<T>, heard: impl FnOnce(T) -> Exchange) {
        if let (Some(tape), Some(asked)) = (self.border.tape(), asked) {
            tape.hear(heard(asked));
        }
    }

    /// The instance's voice in the log.
    pub(crate) fn voice(&self) -> parking_lot::MutexGuard<'_, Voice> {
        // After a panic it still has its lines: nothing in it can be half done.
        self.voice.lock()
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// Bounds on what one instance takes, and what it has taken.
pub(crate) struct Limits {
    /// Octets of linear memory, over all memories of the instance.
    memory: usize,
    memory_used: usize,
    elements_used: usize,
    /// How often the guest had a memory grow.
    grown: u64,
    /// What the call under way uses, the host's work in its name among it.
    usage: Arc<Usage>,
    /// The bound that the call under way last ran into, for its log line.
    reached: Option<&'static str>,
    entry: InstanceEntry,
}

impl Limits {
    pub(crate) fn new(memory: u64, entry: InstanceEntry) -> Self {
        Self {
            memory: usize::try_from(memory).unwrap_or(usize::MAX),
            memory_used: 0,
            elements_used: 0,
            grown: 0,
            usage: Arc::default(),
            reached: None,
            entry,
        }
    }

    /// A new call begins, with this much CPU time.
    pub(crate) fn begin_call(&mut self, cpu_time: Duration) {
        self.usage.begin_call(cpu_time);
        self.reached = None;
    }

    /// A call is over: what it used is booked.
    pub(crate) fn end_call(&mut self) {
        self.entry.ran(self.usage.take());
    }

    /// Octets of mail or of a file crossed the border, one way or the other.
    pub(crate) fn carried(&self, octets: usize) {
        self.entry.carried(octets);
    }

    /// What counts octets where these limits are out of reach.
    pub(crate) fn meter(&self) -> Meter {
        self.entry.meter()
    }

    /// What measures its calls.
    pub(crate) fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }

    /// Whether the call under way has used up its CPU time.
    pub(crate) fn exhausted(&self) -> bool {
        self.usage.exhausted()
    }

    /// How often the guest asked for more memory, and had it.
    pub(crate) fn grown(&self) -> u64 {
        self.grown
    }

    /// Names the bound that the call under way ran into.
    pub(crate) fn reached(&self) -> Option<&'static str> {
        self.reached
    }
}

/// Takes what something grows by out of a bound. False: that would go over it.
fn grow(used: &mut usize, most: usize, current: usize, desired: usize) -> bool {
    let grown = used.saturating_add(desired.saturating_sub(current));
    let fits = grown <= most;
    if fits {
        *used = grown;
    }
    fits
}

impl Drop for Limits {
    fn drop(&mut self) {
        // Of a call that nobody waited for to its end.
        self.end_call();
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let before = self.memory_used;
        if !grow(&mut self.memory_used, self.memory, current, desired) {
            self.reached = Some("memory limit reached");
            return Ok(false);
        }
        if !self.entry.holds(self.memory_used as u64) {
            self.memory_used = before;
            self.reached = Some(SHARE_OF_MEMORY);
            return Ok(false);
        }
        // The first octets of a memory are made with it, and nobody asks for them.
        self.grown += u64::from(current > 0);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = grow(&mut self.elements_used, TABLE_ELEMENTS, current, desired);
        if !fits {
            self.reached = Some("table limit reached");
        }
        Ok(fits)
    }

    // The pool's own bounds, of one table and one memory, say no without asking.
    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.reached.get_or_insert("table limit reached");
        Ok(())
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.reached.get_or_insert("memory limit reached");
        Ok(())
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use restante_roles::metrics::Ledger;

    #[test]
    fn memories_share_one_bound() {
        let ledger = Ledger::new("t");
        let mut limits = Limits::new(100, ledger.instance(true));
        let mut grow = |from, to| limits.memory_growing(from, to, None).unwrap();
        assert!(grow(0, 60));
        assert!(grow(0, 40));
        assert!(!grow(60, 61));
        assert_eq!(limits.reached(), Some("memory limit reached"));
        assert_eq!(ledger.totals().memory_octets, 100);
        drop(limits);
        assert_eq!(ledger.totals().memory_octets, 0);
        assert_eq!(ledger.totals().peak_memory_octets, 100);
    }

    #[tokio::test]
    async fn time_of_a_call_that_was_given_up_is_booked_too() {
        let ledger = Ledger::new("t");
        let mut limits = Limits::new(0, ledger.instance(true));
        limits.begin_call(Duration::from_secs(1));
        let usage = Arc::clone(limits.usage());
        let call = async {
            while !usage.exhausted() {}
            std::future::pending::<()>().await;
        };
        let second = Duration::from_secs(1);
        assert_eq!(
            crate::instance::usage::measured(&usage, second, call).await,
            None
        );
        assert_eq!(ledger.totals().guest_cpu_nanoseconds, 0);
        drop(limits);
        let booked = ledger.totals().guest_cpu_nanoseconds;
        assert!(booked >= 1_000_000_000, "{booked}");
    }
}
