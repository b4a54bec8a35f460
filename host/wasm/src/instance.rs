//! One live instance of a plugin, and the guard around every call into it.
//!
//! A call has a bound on CPU (epochs) and on time (the wall clock), the
//! instance one on memory. Whatever goes wrong in a guest becomes one log line
//! here, and a [`Failure`] without details for the client; the instance is
//! gone with it, since after a trap nothing in it can be relied on.

pub(crate) mod answer_cache;
pub(crate) mod breaker;
pub(crate) mod calls;
pub(crate) mod databases;
pub(crate) mod engines;
pub(crate) mod errors;
pub(crate) mod facts;
pub(crate) mod handle;
pub(crate) mod http;
pub(crate) mod lent;
pub(crate) mod maildrop;
pub(crate) mod output;
pub(crate) mod recall;
pub(crate) mod sockets;
pub(crate) mod state;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod usage;

use std::fmt::Write;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tracing::{debug, error};
use wasmtime::component::{Instance as GuestInstance, ResourceTable};
use wasmtime::{CallHook, Store, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use crate::component::chain;
use crate::disk::ahead::Ahead;
use crate::disk::grants::Granted;
use crate::disk::left_out::AllLeftOut;
use crate::instance::breaker::{Caller, Pass};
use crate::instance::errors::WriteFailures;
use crate::instance::facts::Witness;
use crate::instance::http::Http;
use crate::instance::maildrop::SessionMaildrop;
use crate::instance::output::{Output, Voice};
use crate::instance::recall::Recall;
use crate::instance::sockets::Sockets;
use crate::instance::state::{Border, CallWork, Limits, SHARE_OF_MEMORY, State};
use crate::instance::usage::measured;
use crate::plugin::Plugin;
use crate::record::player::{Clock, Player};
use crate::record::tape::Tape;
use restante_roles::backend::{Connection, Failure};
use restante_roles::metrics::{CallFailure, Ledger};
use restante_roles::recording::Redactor;
use restante_roles::share::{Limit, Place};
use restante_roles::throttle::Complaints;
use restante_roles::turns::{Busy, Owner};
use restante_roles::work::{WorkHold, WorkRoom};

/// Octets that a guest may answer one call with: listings, names, content. One
/// that was granted more memory may answer with as much.
const ANSWER: usize = 64 << 20;
/// Octets that it may hand over when it calls the host: a log line, a piece of a
/// file. Copied and checked at once on the event loop, and not interrupted there, so it
/// is not much.
const ARGUMENTS: usize = 2 << 20;
/// Component-model handles that one instance may hold.
const HANDLES: usize = 10_000;
/// Host resources (open files, streams, messages) that one instance may hold.
const RESOURCES: usize = 1_000;
/// Octets of randomness in one call.
const RANDOM: u64 = 64 << 10;
/// What the log and the metrics call the making of an instance.
const MAKING: &str = "instantiate";
/// What becomes of a call that has used up its CPU time.
const CPU_TIME_REACHED: &str = "CPU time limit reached";
/// Frames of a guest's backtrace that are logged: a panic's own are a dozen.
const FRAMES: usize = 24;

/// A guest call, as a future that borrows the store.
pub(crate) type Call<'a, R> = Pin<Box<dyn Future<Output = wasmtime::Result<R>> + Send + 'a>>;

/// An instance with a session's own grants.
pub(crate) struct Instance {
    whose: InstanceOwner,
    pass: Pass,
    /// None after a failure: the instance must not be used again.
    live: Option<Live>,
    /// None: it is not recorded.
    tape: Option<Arc<Tape>>,
}

/// For whom an instance is made, and of what: its world, and the words of its failures.
struct InstanceOwner {
    plugin: Arc<Plugin>,
    tenant: Arc<str>,
    ledger: Arc<Ledger>,
    /// False: the operator asks, whatever the tenant has used.
    bounded: bool,
}

/// For whom an instance is made.
struct Asker {
    owner: Owner,
    caller: Option<Caller>,
    /// False: the operator asks.
    bounded: bool,
    /// What the work for it holds.
    hold: WorkHold,
}

impl Asker {
    fn operator(ledger: &Ledger) -> Self {
        Asker {
            owner: Owner::operator(ledger.tenant()),
            caller: None,
            bounded: false,
            hold: WorkHold::default(),
        }
    }
}

struct Live {
    store: Store<State>,
    guest: GuestInstance,
    /// The place in the pool; given back after the store is gone.
    _permit: Permit,
}

/// Places among the tenant's instances and among all.
struct Permit {
    _of_tenant: Option<Place>,
    _of_all: OwnedSemaphorePermit,
}

impl Instance {
    /// Makes an instance that has nothing to do with the maildrop's files; `caller`: for
    /// whom the plugin is asked, where that is known.
    pub(crate) async fn new(
        plugin: &Arc<Plugin>,
        connection: &Connection,
        caller: Option<Caller>,
    ) -> Result<Self, Failure> {
        let (none, hold) = (SessionMaildrop::None, WorkHold::default());
        Self::of_session(plugin, connection, none, caller, hold).await
    }

    /// Makes a store's instance. `maildrop` is this account's, where there is one. The
    /// work for it holds the maildrop until it is over.
    pub(crate) async fn of_store(
        plugin: &Arc<Plugin>,
        connection: &Connection,
        maildrop: SessionMaildrop,
        caller: Caller,
    ) -> Result<Self, Failure> {
        let hold = connection.hold.clone();
        Self::of_session(plugin, connection, maildrop, Some(caller), hold).await
    }

    async fn of_session(
        plugin: &Arc<Plugin>,
        connection: &Connection,
        maildrop: SessionMaildrop,
        caller: Option<Caller>,
        hold: WorkHold,
    ) -> Result<Self, Failure> {
        let border = match &connection.recording {
            None => Border::Live,
            Some(session) => Border::Recorded(Tape::new(session)),
        };
        let asker = Asker {
            owner: connection.owner(),
            caller,
            bounded: true,
            hold,
        };
        Self::make(plugin, &connection.ledger, maildrop, asker, border).await
    }

    /// Makes an instance whose host is a recording.
    pub(crate) async fn replayed(
        plugin: &Arc<Plugin>,
        ledger: &Arc<Ledger>,
        player: Arc<Player>,
        maildrop: SessionMaildrop,
    ) -> Result<Self, Failure> {
        let asker = Asker::operator(ledger);
        Self::make(plugin, ledger, maildrop, asker, Border::Replayed(player)).await
    }

    /// The same for a question of the operator's, which the tenant's share does not
    /// keep from being asked.
    pub(crate) async fn for_operator(
        plugin: &Arc<Plugin>,
        ledger: &Arc<Ledger>,
    ) -> Result<Self, Failure> {
        let none = SessionMaildrop::None;
        Self::make(plugin, ledger, none, Asker::operator(ledger), Border::Live).await
    }

    async fn make(
        plugin: &Arc<Plugin>,
        ledger: &Arc<Ledger>,
        maildrop: SessionMaildrop,
        mut asker: Asker,
        border: Border,
    ) -> Result<Self, Failure> {
        let tape = border.tape().cloned();
        let whose = InstanceOwner {
            plugin: plugin.clone(),
            tenant: ledger.tenant().clone(),
            ledger: ledger.clone(),
            bounded: asker.bounded,
        };
        whose.within_share()?;
        let mut pass = whose.pass(asker.caller.take())?;
        let not_made = |error: wasmtime::Error| {
            error!(
                plugin = %plugin.name, tenant = %whose.tenant, cause = chain(&error),
                "an instance could not be made"
            );
            plugin.calls.failed(MAKING, CallFailure::Host);
            Failure::internal()
        };
        // Before there is a place among all instances: a disk that does not answer takes
        // those of its tenant's work.
        let directories = whose.directories().await.map_err(not_made)?;
        let permit = whose.permit().await?;
        let store = whose.store(maildrop, directories, border, asker);
        let mut store = store.map_err(not_made)?;
        begin(&mut store, plugin);
        let pre = &plugin.compiled.roles.pre;
        let started = Instant::now();
        let usage = Arc::clone(store.data().limits.usage());
        let making = pre.instantiate_async(&mut store);
        let made = measured(&usage, plugin.limits.wall_time, making).await;
        whose.end(MAKING, started, &mut store);
        match made {
            Some(Ok(guest)) => Ok(Self {
                whose,
                pass,
                live: Some(Live {
                    store,
                    guest,
                    _permit: permit,
                }),
                tape,
            }),
            Some(Err(error)) => Err(whose.report(MAKING, &store, Some(&error), &mut pass)),
            None => Err(whose.report(MAKING, &store, None, &mut pass)),
        }
    }

    /// Calls into the guest, within the plugin's limits. `name` is what the log
    /// calls it, "store.listing".
    pub(crate) async fn call<R>(
        &mut self,
        name: &'static str,
        call: impl for<'a> FnOnce(&'a mut Store<State>, &'a GuestInstance) -> Call<'a, R>,
    ) -> Result<R, Failure> {
        if self.is_alive() {
            self.whose.within_share()?;
        }
        // Taken out, and put back only if the call ended well: also when this
        // future is dropped half way, the instance is not used again.
        let Some(mut live) = self.live.take() else {
            return Err(Failure::internal());
        };
        begin(&mut live.store, &self.whose.plugin);
        live.store.data_mut().witness.called();
        if let Some(tape) = &self.tape {
            tape.begin();
        }
        let started = Instant::now();
        let usage = Arc::clone(live.store.data().limits.usage());
        let done = measured(
            &usage,
            self.whose.plugin.limits.wall_time,
            call(&mut live.store, &live.guest),
        )
        .await;
        self.whose.end(name, started, &mut live.store);
        match done {
            Some(Ok(value)) => {
                self.live = Some(live);
                self.pass.used();
                Ok(value)
            }
            Some(Err(error)) => {
                let (store, pass) = (&live.store, &mut self.pass);
                Err(self.whose.report(name, store, Some(&error), pass))
            }
            None => Err(self.whose.report(name, &live.store, None, &mut self.pass)),
        }
    }

    /// Likewise, and told to the recording, if there is one: `told` says what was asked and
    /// answered, as recordings have it. It hears of no answer where there is none.
    pub(crate) async fn ask<R>(
        &mut self,
        name: &'static str,
        call: impl for<'a> FnOnce(&'a mut Store<State>, &'a GuestInstance) -> Call<'a, R>,
        told: impl FnOnce(&mut Redactor, Option<&R>) -> (Value, Option<Value>),
    ) -> Result<R, Failure> {
        let answer = self.call(name, call).await;
        if let Some(tape) = &self.tape {
            tape.tell(&self.whose.plugin.subject(), name, |redactor| {
                told(redactor, answer.as_ref().ok())
            });
        }
        answer
    }

    /// What the guest said is not true or not possible: the call that it was
    /// said in fails, and so does the instance.
    pub(crate) fn lie(&mut self, name: &'static str, what: impl std::fmt::Display) -> Failure {
        error!(
            plugin = %self.whose.plugin.name, tenant = %self.whose.tenant, call = name,
            cause = format!("invalid answer of the plugin: {what}"),
            "plugin call failed"
        );
        self.live = None;
        self.pass.failed();
        self.whose.plugin.calls.failed(name, CallFailure::Lie);
        Failure::internal()
    }

    /// It is asked for this user, and has this directory as the maildrop: its log lines
    /// say so.
    pub(super) fn speak_of(&mut self, user: &str, maildrop: Option<PathBuf>) {
        if let Some(live) = &self.live {
            live.store.data().voice().speak_of(user, maildrop);
        }
    }

    /// Where its calls are to be told, if they are.
    pub(crate) fn tape(&self) -> Option<&Arc<Tape>> {
        self.tape.as_ref()
    }

    /// Octets of a message came out of it.
    pub(crate) fn carried(&self, octets: usize) {
        if let Some(live) = &self.live {
            live.store.data().limits.carried(octets);
        }
    }

    /// Whether it can still be called.
    pub(crate) fn is_alive(&self) -> bool {
        self.live.is_some()
    }

    /// The host's own state of the instance, while it lives.
    pub(crate) fn state(&mut self) -> Option<&mut State> {
        self.live.as_mut().map(|live| live.store.data_mut())
    }
}

fn begin(store: &mut Store<State>, plugin: &Plugin) {
    let state = store.data_mut();
    state.limits.begin_call(plugin.limits.cpu_time);
    state.http.begin_call(&plugin.limits);
    state.sockets.begin_call(&plugin.limits);
    state.work.begin_call(plugin.limits.wall_time);
    store.set_epoch_deadline(1);
}

impl InstanceOwner {
    /// Leave of the breaker.
    fn pass(&self, caller: Option<Caller>) -> Result<Pass, Failure> {
        self.plugin
            .breaker
            .pass(&self.tenant, caller)
            .ok_or_else(|| {
                debug!(plugin = %self.plugin.name, tenant = %self.tenant, "the plugin rests");
                self.plugin.calls.failed(MAKING, CallFailure::Resting);
                Failure::Temporary("temporarily out of service, try again later".into())
            })
    }

    /// Whether the tenant may have a guest run now.
    fn within_share(&self) -> Result<(), Failure> {
        if !self.bounded {
            return Ok(());
        }
        self.ledger
            .share()
            .may_run()
            .map_err(|limit| self.over_share(limit))
    }

    /// Refuses what the tenant has used up.
    fn over_share(&self, limit: Limit) -> Failure {
        self.ledger.share().complain(&self.tenant, limit);
        self.plugin.calls.failed(MAKING, CallFailure::Busy);
        Failure::Temporary("too much is going on here, try again in a minute".into())
    }

    /// Places among the tenant's instances and in the pool. Waits while all are
    /// taken, as long as a call may take.
    async fn permit(&self) -> Result<Permit, Failure> {
        if self.bounded && self.ledger.memory_is_full() {
            return Err(self.over_share(Limit::Memory));
        }
        let mut of_tenant = None;
        if self.bounded {
            let place = self.ledger.share().place();
            match timeout(self.plugin.limits.wall_time, place).await {
                Ok(place) => of_tenant = Some(place),
                Err(_) => return Err(self.over_share(Limit::Instances)),
            }
        }
        let free = self.plugin.runtime.permits.clone().acquire_owned();
        if let Ok(Ok(of_all)) = timeout(self.plugin.limits.wall_time, free).await {
            return Ok(Permit {
                _of_tenant: of_tenant,
                _of_all: of_all,
            });
        }
        let why = "no instance could be had: all `instances` of [server.limits] are in use";
        Err(self.busy(MAKING, why))
    }

    /// The server has no place for it: nobody's failure.
    fn busy(&self, call: &'static str, why: &str) -> Failure {
        static COMPLAINTS: LazyLock<Complaints> = LazyLock::new(Complaints::default);
        if let Some(left_out) = COMPLAINTS.line() {
            error!(
                plugin = %self.plugin.name, tenant = %self.tenant, call, left_out,
                "{why}"
            );
        }
        self.plugin.calls.failed(call, CallFailure::Busy);
        Failure::Temporary("the server is busy, try again later".into())
    }

    /// The directories that were granted, open.
    async fn directories(&self) -> wasmtime::Result<Arc<[Granted]>> {
        let plugin = &self.plugin;
        let room = WorkRoom::new(self.ledger.clone());
        let deadline = tokio::time::Instant::now() + plugin.limits.wall_time;
        let grants = &plugin.grants.directories;
        plugin.directories.open(grants, &room, deadline).await
    }

    fn store(
        &self,
        maildrop: SessionMaildrop,
        directories: Arc<[Granted]>,
        border: Border,
        asker: Asker,
    ) -> wasmtime::Result<Store<State>> {
        let plugin = &self.plugin;
        let voice = Arc::new(Mutex::new(Voice::new(
            plugin.name.clone(),
            self.tenant.clone(),
            plugin.limits.log_lines,
        )));
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        let entry = self.ledger.instance(self.bounded).holding(asker.hold);
        let limits = Limits::new(plugin.limits.memory, entry);
        let work = CallWork::new(limits.meter().work());
        let (maildrop, mail) = maildrop.parts();
        let mut store = Store::new(
            plugin.runtime.engine(),
            State {
                wasi: world(&voice, &border),
                table,
                sockets: Sockets::new(plugin.dialer.clone(), limits.meter()),
                limits,
                http: Http::new(plugin.http.clone(), WorkRoom::new(self.ledger.clone())),
                settings: plugin.settings.clone(),
                maildrop,
                mail,
                directories,
                databases: plugin.databases.clone(),
                voice,
                salts: plugin.salts.of(Some(&self.tenant)),
                owner: asker.owner,
                border,
                witness: Witness::default(),
                recall: Recall::default(),
                ahead: Ahead::default(),
                left_out: AllLeftOut::default(),
                write_failures: WriteFailures::default(),
                preopened: None,
                work,
            },
        );
        store.limiter(|state| &mut state.limits);
        store.set_max_component_handles(HANDLES);
        let answer = usize::try_from(plugin.limits.memory).map_or(ANSWER, |all| all.max(ANSWER));
        store.call_hook(move |mut context, hook| {
            let state = context.data_mut();
            // What the host did for the guest is the guest's.
            let over = matches!(hook, CallHook::ReturningFromHost) && state.limits.exhausted();
            let fuel = match hook {
                CallHook::CallingHost => {
                    state.witness.asked();
                    ARGUMENTS
                }
                _ => answer,
            };
            context.set_hostcall_fuel(fuel);
            match over {
                true => Err(wasmtime::Error::msg(CPU_TIME_REACHED)),
                false => Ok(()),
            }
        });
        store.epoch_deadline_callback(|mut context| {
            // Counted as a call of the host, and the guest does not know of it.
            context.data_mut().witness.constant();
            if context.data().limits.exhausted() {
                Err(wasmtime::Error::msg(CPU_TIME_REACHED))
            } else {
                Ok(UpdateDeadline::Yield(1))
            }
        });
        Ok(store)
    }

    /// A call is over, well or not.
    fn end(&self, call: &'static str, started: Instant, store: &mut Store<State>) {
        let state = store.data_mut();
        state.limits.end_call();
        state.ahead.end_call();
        self.plugin.calls.took(call, started.elapsed());
    }

    /// The one log line of a failed call.
    fn report(
        &self,
        call: &'static str,
        store: &Store<State>,
        failure: Option<&wasmtime::Error>,
        pass: &mut Pass,
    ) -> Failure {
        if failure.is_some_and(|failure| failure.downcast_ref::<Busy>().is_some()) {
            let why = "the server is busy: too many passwords are being hashed";
            return self.busy(call, why);
        }
        let state = store.data();
        let mut cause = match failure {
            Some(failure) => failure.root_cause().to_string(),
            None => format!(
                "no answer within {} ms (wall-time)",
                self.plugin.limits.wall_time.as_millis()
            ),
        };
        if let Some(reached) = state.limits.reached() {
            let _ = write!(cause, " ({reached})");
        }
        let kind = match failure {
            None => CallFailure::TimeOut,
            Some(_) if state.limits.exhausted() => CallFailure::CpuTime,
            Some(_) if state.limits.reached().is_some() => CallFailure::Memory,
            Some(_) => CallFailure::Trap,
        };
        self.plugin.calls.failed(call, kind);
        let backtrace = failure.map(backtrace).unwrap_or_default();
        let said = state.voice().last_words();
        error!(
            plugin = %self.plugin.name, tenant = %self.tenant, call, cause, said, backtrace,
            "plugin call failed"
        );
        if state.limits.reached() == Some(SHARE_OF_MEMORY) {
            return self.over_share(Limit::Memory);
        }
        // The tenant's share is no fault of the plugin's; all else is.
        pass.failed();
        Failure::internal()
    }
}

/// What one instance sees of the world: its voice, the clocks and randomness. No
/// environment, no arguments, no network but for [`Http`] and [`Sockets`]; its directories are
/// the [`State`]'s.
fn world(voice: &Arc<Mutex<Voice>>, border: &Border) -> WasiCtx {
    let mut wasi = WasiCtxBuilder::new();
    if let Border::Replayed(player) = border {
        wasi.wall_clock(Clock(Arc::clone(player)));
    }
    wasi.stdout(Output::stdout(voice))
        .stderr(Output::stderr(voice))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(RANDOM)
        .build()
}

/// The guest's functions, innermost first.
fn backtrace(error: &wasmtime::Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return String::new();
    };
    backtrace
        .frames()
        .iter()
        .take(FRAMES)
        .map(|frame| match frame.func_name() {
            Some(name) => demangle(name),
            None => format!("function {}", frame.func_index()),
        })
        .collect::<Vec<_>>()
        .join(" < ")
}

/// A function's name as its author wrote it.
fn demangle(name: &str) -> String {
    match rustc_demangle::try_demangle(name) {
        Ok(name) => format!("{name:#}"),
        Err(_) => name.to_owned(),
    }
}
