//! Everything that a guest can import, tied to its host side.
//!
//! WASI 0.2 is linked whole so that standard libraries start; what it leads to
//! is decided by the instance's context, which holds the grants and nothing
//! else (see [`crate::instance`]). No standard library imports `wasi:http`: who
//! does needs the grant (see [`crate::instance::http`]).

use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::p2::bindings::cli::environment;
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::sockets;

use crate::bindings::restante::plugin as contract;
use crate::bindings::wasi;
use crate::imports::filesystem;
use crate::instance::state::State;

pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    filesystem::add_to_linker(&mut linker)?;
    linker.allow_shadowing(true);
    environment::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    // The granted directories are open already: see grants.
    preopens::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    // Connections go to granted places only, some under TLS: see sockets.
    sockets::tcp_create_socket::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    sockets::tcp::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    sockets::ip_name_lookup::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    linker.allow_shadowing(false);
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasi::config::store::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    wasi::logging::logging::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    contract::types::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    contract::files::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    contract::passwords::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    contract::maildrop::add_to_linker::<State, HasSelf<State>>(&mut linker, |state| state)?;
    Ok(linker)
}

/// Nobody has one: a plugin is told things by its settings. Standard libraries ask as
/// they start.
impl environment::Host for State {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        self.witness.constant();
        Ok(Vec::new())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        self.witness.constant();
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        self.witness.constant();
        Ok(None)
    }
}

/// The interface `types` has no functions.
impl contract::types::Host for State {}
