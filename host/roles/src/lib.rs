//! The waist of Restante: the roles that plugins have, as traits and plain types,
//! and what goes with them on both sides: octets of messages, what is counted, the
//! share of a tenant, shadows, recordings, password hashes.
//!
//! Those who implement a role (WebAssembly components, vectors in memory) and those
//! who ask (sessions, the conformance checks) meet here and know nothing of each
//! other.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod acting;
pub mod address;
pub mod backend;
pub mod content;
pub mod fingerprint;
pub mod memory;
pub mod metrics;
pub mod nowait;
pub mod passwords;
pub mod recording;
pub mod shadow;
pub mod share;
pub mod shared_holds;
pub mod stamp;
pub mod state_dir;
pub mod tenant_cache;
pub mod throttle;
pub mod turns;
pub mod validate;
pub mod work;
