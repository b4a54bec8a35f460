//! What `wit-bindgen` makes of `wit/`, this crate's copy of the contract: the
//! host's side once, and each role on its own so that a component exports exactly
//! the roles that it names.
//!
//! Nothing here is for plugin authors; the friendly modules of this crate wrap
//! it. It is public because [`export!`](crate::export) is expanded in the
//! plugin's crate.
//!
//! All roles map their shared interfaces to the modules of [`host`], so an
//! `Account` is the same type wherever it turns up.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    reason = "generated code"
)]

/// Imports: what the host has for every plugin.
pub mod host {
    wit_bindgen::generate!({
        path: "wit",
        world: "restante:plugin/host-side",
        generate_all,
        generate_unused_types: true,
        additional_derives: [Clone, PartialEq, Eq],
        type_section_suffix: "host-side",
    });
}

/// Generates one role: its module, its world and its section suffix.
macro_rules! role {
    (
        $(#[$docs:meta])*
        $module:ident, $world:literal, $suffix:literal
        $(, derives [$($derive:ident),*])?
    ) => {
        $(#[$docs])*
        pub mod $module {
            wit_bindgen::generate!({
                path: "wit",
                world: $world,
                with: {
                    "restante:plugin/types@0.1.1": crate::bindings::host::restante::plugin::types,
                    "restante:plugin/passwords@0.1.1": crate::bindings::host::restante::plugin::passwords,
                    "restante:plugin/files@0.1.1": crate::bindings::host::restante::plugin::files,
                    "restante:plugin/maildrop@0.1.1": crate::bindings::host::restante::plugin::maildrop,
                    "restante:plugin/database@0.1.1": crate::bindings::host::restante::plugin::database,
                    "restante:plugin/mail-index@0.1.1": crate::bindings::host::restante::plugin::mail_index,
                    "restante:plugin/blobs@0.1.1": crate::bindings::host::restante::plugin::blobs,
                    "restante:plugin/hold@0.1.1": crate::bindings::host::restante::plugin::hold,
                    "wasi:config/store@0.2.0-rc.1": crate::bindings::host::wasi::config::store,
                    "wasi:logging/logging@0.1.0-draft": crate::bindings::host::wasi::logging::logging,
                },
                $(additional_derives: [$($derive),*],)?
                pub_export_macro: true,
                type_section_suffix: $suffix,
            });
        }
    };
}

role! {
    /// Role `authenticator`.
    authenticator, "restante:plugin/authenticator-plugin", "authenticator"
}

role! {
    /// `accepts`, beside an authenticator.
    accepts, "restante:plugin/accepts-plugin", "accepts",
    derives [Clone, Copy, PartialEq, Eq]
}

role! {
    /// Role `scram`.
    scram, "restante:plugin/scram-plugin", "scram"
}

role! {
    /// Role `store`.
    store, "restante:plugin/store-plugin", "store"
}

role! {
    /// Role `filter`.
    filter, "restante:plugin/filter-plugin", "filter",
    derives [Clone, PartialEq, Eq]
}

role! {
    /// Role `selector`.
    selector, "restante:plugin/selector-plugin", "selector",
    derives [Clone, Copy, PartialEq, Eq]
}

role! {
    /// Role `admission`.
    admission, "restante:plugin/admission-plugin", "admission",
    derives [Clone, PartialEq, Eq]
}

role! {
    /// Role `settings`.
    settings, "restante:plugin/settings-plugin", "settings"
}
