//! The role `admission`: one question for each connection, and one more when TLS
//! is up.

use std::sync::Arc;

use async_trait::async_trait;

use super::bindings::exports::restante::plugin::admission as wit;
use super::instance::Instance;
use super::{Plugin, convert, recorded};
use restante_roles::backend::{Admission, Admitted, Connection, Failure};

pub(super) struct PluginAdmission {
    pub(super) plugin: Arc<Plugin>,
    pub(super) functions: wit::GuestIndices,
}

#[async_trait]
impl Admission for PluginAdmission {
    async fn admit(&self, connection: &Arc<Connection>) -> Result<Admitted, Failure> {
        const CALL: &str = "admission.admit";
        let mut instance = Instance::new(&self.plugin, connection, None, None).await?;
        let functions = self.functions.clone();
        let asked = convert::connection(connection);
        let verdict = instance
            .call(CALL, |store, guest| {
                Box::pin(async move {
                    let functions = functions.load(&mut *store, guest)?;
                    functions.call_admit(store, &asked).await
                })
            })
            .await;
        if let Some(tape) = instance.tape() {
            tape.tell(&self.plugin, CALL, |_| {
                let asked = recorded::Admit {
                    connection: convert::connection(connection).into(),
                };
                let answer = verdict.as_ref().ok().map(recorded::leave);
                (recorded::value(asked), answer)
            });
        }
        Ok(match verdict? {
            wit::Verdict::Admit => Admitted::Yes,
            wit::Verdict::Delay(milliseconds) => Admitted::Delayed(milliseconds),
            wit::Verdict::Deny(text) => Admitted::No(convert::words(text)),
        })
    }
}
