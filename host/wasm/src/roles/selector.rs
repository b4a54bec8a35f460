//! The role `selector`: one question for each login.

use std::sync::Arc;

use async_trait::async_trait;
use wasmtime::component::Resource;

use crate::bindings::exports::restante::plugin::selector as wit;
use crate::convert;
use crate::instance::Instance;
use crate::instance::breaker::Caller;
use crate::instance::lent::ViewEntry;
use crate::plugin::Plugin;
use crate::record::form;
use restante_roles::backend::{Account, Connection, Entries, Failure, Selector, Span};

pub(crate) struct PluginSelector {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) functions: wit::GuestIndices,
}

#[async_trait]
impl Selector for PluginSelector {
    fn name(&self) -> &str {
        &self.plugin.name
    }

    async fn select(
        &self,
        connection: &Arc<Connection>,
        account: &Account,
        entries: &Arc<Entries>,
    ) -> Result<Vec<Span>, Failure> {
        const CALL: &str = "selector.select";
        let mut instance =
            Instance::new(&self.plugin, connection, Some(Caller::account(account))).await?;
        instance.speak_of(&account.user, None);
        let functions = self.functions.clone();
        let asked = convert::connection(connection);
        let account = Arc::new(convert::account_without_secrets(account));
        let (shown, of) = (entries.clone(), account.clone());
        let spans = instance
            .ask(
                CALL,
                |store, guest| {
                    Box::pin(async move {
                        let functions = functions.load(&mut *store, guest)?;
                        let owned = store.data_mut().table.push(ViewEntry(shown))?;
                        let lent = Resource::new_borrow(owned.rep());
                        let spans = functions
                            .call_select(&mut *store, &asked, &of, lent)
                            .await?;
                        store.data_mut().table.delete(owned)?;
                        Ok(spans)
                    })
                },
                |redactor, answer| {
                    let asked = convert::connection(connection);
                    let asked = form::Select::of(asked, &account, entries, redactor);
                    let answer = answer.map(|of| form::result(of, |of| form::spans(of)));
                    (form::value(asked), answer)
                },
            )
            .await;
        let spans = spans?.map_err(Failure::from)?;
        Ok(spans
            .into_iter()
            .map(|span| Span {
                start: span.start,
                length: span.length,
            })
            .collect())
    }
}
