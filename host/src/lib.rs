//! Restante, a POP3 server whose policy is WebAssembly components.
//!
//! The rooms of the host; docs/architecture.md says what each is for, and who
//! may know whom.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod address;
pub mod admin;
pub mod backend;
pub mod cached;
pub mod config;
pub mod connection;
pub mod content;
pub mod decoy;
pub mod door;
pub mod fingerprint;
pub mod generation;
pub mod kit;
pub mod listener;
pub mod lock;
pub mod log;
pub mod memory;
pub mod metrics;
pub mod names;
pub mod outage;
pub mod passwords;
pub mod penalty;
pub mod plugin;
pub mod policy;
pub mod proxy;
pub mod recording;
pub mod sessions;
pub mod shadow;
pub mod share;
pub mod shutdown;
pub mod signature;
pub mod stamp;
pub mod state_dir;
pub mod template;
pub mod tenant;
pub mod tenant_cache;
pub mod tls;
pub mod turns;
pub mod view;
pub mod waiting;
pub mod watch;
pub mod work;
