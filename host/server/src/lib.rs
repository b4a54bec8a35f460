//! The server of Restante: listeners, sessions, tenants, what a client sees of a
//! maildrop, TLS, and the operator's address.
//!
//! It knows policy as the traits of [`restante_roles`] alone. That they may be
//! WebAssembly components is not its business: the tests run it whole against
//! vectors.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod admin;
pub mod clock;
pub mod connection;
pub mod connection_limits;
pub mod descriptors;
pub mod eviction;
pub mod listener;
pub mod lock;
pub mod mock_secret;
pub mod names;
pub mod nodes;
pub mod penalty;
pub mod policy;
pub mod proxy;
pub mod secret_file;
mod session_changes;
pub mod sessions;
pub mod shared_holds;
pub mod shutdown;
pub mod socket;
pub mod tenant;
pub mod tls;
pub mod unavailable;
pub mod user_names;
pub mod view;
