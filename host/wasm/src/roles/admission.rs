//! The role `admission`: one question for each connection, and one more when TLS
//! is up.

use std::sync::Arc;

use async_trait::async_trait;

use crate::bindings::exports::restante::plugin::admission as wit;
use crate::convert;
use crate::instance::Instance;
use crate::plugin::Plugin;
use crate::record::form;
use restante_roles::backend::{Admission, Admitted, Connection, Failure};

pub(crate) struct PluginAdmission {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) functions: wit::GuestIndices,
}

#[async_trait]
impl Admission for PluginAdmission {
    async fn admit(&self, connection: &Arc<Connection>) -> Result<Admitted, Failure> {
        const CALL: &str = "admission.admit";
        let mut instance = Instance::new(&self.plugin, connection, None).await?;
        let functions = self.functions.clone();
        let asked = convert::connection(connection);
        let verdict = instance
            .ask(
                CALL,
                |store, guest| {
                    Box::pin(async move {
                        let functions = functions.load(&mut *store, guest)?;
                        functions.call_admit(store, &asked).await
                    })
                },
                |_, answer| {
                    let asked = form::Admit {
                        connection: convert::connection(connection).into(),
                    };
                    let answer = answer.map(form::leave);
                    (form::value(asked), answer)
                },
            )
            .await;
        Ok(match verdict? {
            wit::Verdict::Admit => Admitted::Yes,
            wit::Verdict::Delay(milliseconds) => Admitted::Delayed(milliseconds),
            wit::Verdict::Deny(text) => Admitted::No(convert::words(text)),
        })
    }
}
