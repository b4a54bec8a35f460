//! `wasi:http`, which is wasmtime's, with the instance's own way out.

use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use crate::instance::state::State;

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.http.view(&mut self.table)
    }
}
