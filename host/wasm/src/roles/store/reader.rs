//! A message that a guest hands over piece by piece.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use wasmtime::component::ResourceAny;

use super::awake::Shared;
use crate::record::form;
use restante_roles::backend::{ContentReader, Failure};

pub(super) struct PluginReader {
    pub(super) shared: Arc<Shared>,
    pub(super) number: u64,
    pub(super) reader: ResourceAny,
    /// Its number in a recording.
    pub(super) recorded: Option<u64>,
}

#[async_trait]
impl ContentReader for PluginReader {
    async fn read(&mut self, limit: u32) -> Result<Vec<u8>, Failure> {
        let mut awake = self.shared.awake.lock().await;
        // A reader does not outlive its instance.
        let awake = awake
            .as_mut()
            .filter(|awake| awake.number == self.number)
            .ok_or_else(Failure::internal)?;
        let (functions, reader) = (awake.functions.clone(), self.reader);
        let octets = awake
            .instance
            .ask(
                "store.reader.read",
                |store, _| {
                    Box::pin(
                        async move { functions.reader().call_read(store, reader, limit).await },
                    )
                },
                |redactor, answer| {
                    let asked = json!({ "reader": self.recorded, "limit": limit });
                    let answer = answer
                        .map(|of| form::result(of, |octets| form::value(redactor.mail(octets))));
                    (asked, answer)
                },
            )
            .await;
        let octets = octets?.map_err(Failure::from)?;
        awake.instance.carried(octets.len());
        if octets.len() > limit as usize {
            return Err(awake.instance.lie(
                "store.reader.read",
                format!("{} octets where {limit} were asked for", octets.len()),
            ));
        }
        Ok(octets)
    }
}

impl Drop for PluginReader {
    fn drop(&mut self) {
        let mut done = self.shared.done.lock();
        done.push((self.number, self.reader));
    }
}
