//! `wasi:config/store`: a plugin's settings.

use crate::bindings::wasi::config::store::{Error, Host};
use crate::instance::state::State;

impl Host for State {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, Error>> {
        self.witness.constant();
        let value = self
            .settings
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, value)| value.clone());
        Ok(Ok(value))
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, Error>> {
        self.witness.constant();
        Ok(Ok(self.settings.to_vec()))
    }
}
