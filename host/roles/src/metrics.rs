//! What the server counts: for tenants ([`Ledger`]), for plugins
//! ([`PluginCalls`]) and for itself, from its start on and across generations.
//!
//! Whoever counts holds its own ledger and touches atomics; the maps in here are
//! looked at when a generation is built and when somebody reads, never by a
//! session.
//!
//! Labels are bounded: the first tenants and plugins (by name, where several come
//! at once) have one of their own, the others are added up under [`OTHER`].

mod answers;
mod calls;
mod durations;
mod engines;
mod exposition;
mod holds;
mod ledger;
mod registry;

pub use answers::{CacheLookup, CachedAnswers};
pub use calls::{CallFailure, PluginCalls, ShadowResult};
pub use engines::{EngineCall, EngineCalls, EngineFailure};
pub use exposition::{CONTENT_TYPE, Current};
pub use holds::{HoldCounts, HoldFailure, Presence};
pub use ledger::{InstanceEntry, Ledger, LoginResult, Meter, SessionEntry, Totals};
pub use registry::{
    GenerationMark, LABELLED_DATABASES, LABELLED_ENGINES, LABELLED_PLUGINS, LABELLED_TENANTS,
    Metrics, NO_TENANT, OTHER, Status, dropped_log_lines, log_line_dropped,
};
