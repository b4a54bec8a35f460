//! `wasi:logging`: a plugin's own lines.

use crate::bindings::wasi::logging::logging::{Host, Level};
use crate::instance::state::State;

impl Host for State {
    fn log(&mut self, level: Level, context: String, message: String) -> wasmtime::Result<()> {
        self.voice().log(level, &context, &message);
        Ok(())
    }
}
