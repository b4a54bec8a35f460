//! Write a Restante plugin in a few lines of Rust.
//!
//! A plugin is a WebAssembly component that plays one or more *roles*; each
//! role is a trait here, and [`export!`] says which type plays which. This is
//! a whole plugin, an authenticator that knows one user:
//!
//! ```no_run
#![doc = include_str!("../examples/one-user.rs")]
//! ```
//!
//! Its `Cargo.toml` asks for `crate-type = ["cdylib"]` and this crate, nothing
//! else; `cargo build --release --target wasm32-wasip2` makes the component.
//!
//! | role | trait | decides |
//! |---|---|---|
//! | `admission` | [`Admission`](admission::Admission) | may this client talk to us |
//! | `authenticator` | [`Authenticator`](authenticator::Authenticator) | who it is |
//! | `accepts` | [`Accepts`](accepts::Accepts) | which credentials an authenticator judges, if not passwords alone |
//! | `scram` | [`Scram`](scram::Scram) | the keys for SCRAM, beside an authenticator |
//! | `store` | [`Maildrop`](store::Maildrop) | which messages there are, and what they hold |
//! | `selector` | [`Selector`](selector::Selector) | which part of the maildrop a login sees |
//! | `filter` | [`Filter`](filter::Filter) | show a message, hide it, or add header fields |
//! | `settings` | [`Validate`](settings::Validate) | whether the settings make sense |
//!
//! What the host offers in return: [`settings`], [`log`], [`passwords`], [`files`],
//! [`database`], [`mail_index`], [`blobs`] and [`hold`]; with the feature `http`, `http` for
//! the servers that the operator names; with the feature `serde`, `settings::parse` for
//! settings as a type of the plugin's own. For authenticators there is [`users`], which says whose names are the
//! same, for stores there are [`WireOctets`], [`mbox`] and [`maildir`], for
//! whoever looks at messages [`header`]. The rest of the world is `std` as far as the
//! plugin was granted it: the clock always, files and outgoing TCP connections
//! (`std::net::TcpStream`) by the operator's leave.
//!
//! A panic ends the session that it happened in and no other; its message
//! stands in the host's log, beside the plugin's name.
//!
//! `cargo test` needs no host: `testing` (outside components only) stands in
//! for it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[doc(hidden)]
pub mod bindings;

pub mod accepts;
pub mod admission;
pub mod authenticator;
pub mod blobs;
pub mod database;
pub mod files;
pub mod filter;
pub mod header;
pub mod hold;
#[cfg(feature = "http")]
pub mod http;
pub mod log;
pub mod mail_index;
pub mod maildir;
pub mod mbox;
pub mod passwords;
pub mod scram;
pub mod selector;
pub mod settings;
pub mod store;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod types;
pub mod users;
mod wire;

pub use wire::{WireOctets, wire_octets};

/// What most plugins begin with: `use restante_guest::prelude::*;`
pub mod prelude {
    pub use crate::authenticator::{Authenticator, Credentials, Denial};
    pub use crate::filter::{Filter, Message};
    pub use crate::selector::{Positions, Selector, View};
    pub use crate::settings::Validate;
    pub use crate::store::{Changes, Content, Listing, Maildrop};
    pub use crate::types::{Account, Connection, Failure, Secret};
    pub use crate::{export, files, log, passwords, settings};
}

/// Exports roles: `export! { authenticator: Users, settings: Users }`. Each
/// role stands before the type that implements its trait; once in a crate.
///
/// Outside a component it checks the types and exports nothing.
#[macro_export]
macro_rules! export {
    ($($role:ident: $type:ty),+ $(,)?) => {
        $($crate::__export_role!($role, $type);)+
    };
}

/// One role of [`export!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __export_role {
    (authenticator, $type:ty) => {
        $crate::__export_adapter!(authenticator, __export_authenticator_plugin_impl, $type);
    };
    (accepts, $type:ty) => {
        $crate::__export_adapter!(accepts, __export_accepts_plugin_impl, $type);
    };
    (scram, $type:ty) => {
        $crate::__export_adapter!(scram, __export_scram_plugin_impl, $type);
    };
    (store, $type:ty) => {
        $crate::__export_adapter!(store, __export_store_plugin_impl, $type);
    };
    (filter, $type:ty) => {
        $crate::__export_adapter!(filter, __export_filter_plugin_impl, $type);
    };
    (selector, $type:ty) => {
        $crate::__export_adapter!(selector, __export_selector_plugin_impl, $type);
    };
    (admission, $type:ty) => {
        $crate::__export_adapter!(admission, __export_admission_plugin_impl, $type);
    };
    (settings, $type:ty) => {
        $crate::__export_adapter!(settings, __export_settings_plugin_impl, $type);
    };
    ($role:ident, $type:ty) => {
        ::core::compile_error!(::core::concat!(
            "there is no role `",
            ::core::stringify!($role),
            "`: authenticator, accepts, scram, store, filter, selector, admission, settings"
        ));
    };
}

/// Hands a role's adapter to the macro that `wit-bindgen` made for its world.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_adapter {
    ($role:ident, $generated:ident, $type:ty) => {
        const _: () = {
            #[allow(dead_code)]
            type Adapter = $crate::$role::Adapter<$type>;
            #[cfg(not(target_family = "wasm"))]
            const fn plays_the_role<
                T: $crate::bindings::$role::exports::restante::plugin::$role::Guest,
            >() {
            }
            #[cfg(not(target_family = "wasm"))]
            plays_the_role::<Adapter>();
            #[cfg(target_family = "wasm")]
    $crate::$generated!(Adapter with_types_in $crate::bindings::$role);
        };
    };
}
