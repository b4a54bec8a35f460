//! The role `admission`: one question for each connection, and one more when TLS
//! is up.

use std::sync::Arc;

use async_trait::async_trait;

use super::bindings::exports::restante::plugin::admission as wit;
use super::instance::Instance;
use super::{Plugin, convert};
use crate::backend::{Admission, Admitted, Connection, Failure};

pub(super) struct PluginAdmission {
    pub(super) plugin: Arc<Plugin>,
    pub(super) functions: wit::GuestIndices,
}

#[async_trait]
impl Admission for PluginAdmission {
    async fn admit(&self, connection: &Arc<Connection>) -> Result<Admitted, Failure> {
        let mut instance = Instance::new(&self.plugin, &connection.ledger, None).await?;
        let functions = self.functions.clone();
        let connection = convert::connection(connection);
        let verdict = instance
            .call("admission.admit", |store, guest| {
                Box::pin(async move {
                    let functions = functions.load(&mut *store, guest)?;
                    functions.call_admit(store, &connection).await
                })
            })
            .await?;
        Ok(match verdict {
            wit::Verdict::Admit => Admitted::Yes,
            wit::Verdict::Delay(milliseconds) => Admitted::Delayed(milliseconds),
            wit::Verdict::Deny(text) => Admitted::No(convert::words(text)),
        })
    }
}
