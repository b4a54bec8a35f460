//! The role `selector`: one question for each login.

use std::sync::Arc;

use async_trait::async_trait;
use wasmtime::component::Resource;

use super::bindings::exports::restante::plugin::selector as wit;
use super::breaker::Caller;
use super::instance::Instance;
use super::maildrop::ViewEntry;
use super::{Plugin, convert, recorded};
use restante_roles::backend::{Account, Connection, Entries, Failure, Selector, Span};

pub(super) struct PluginSelector {
    pub(super) plugin: Arc<Plugin>,
    pub(super) functions: wit::GuestIndices,
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
        let mut instance = Instance::new(
            &self.plugin,
            connection,
            None,
            Some(Caller::account(account)),
        )
        .await?;
        instance.speak_of(&account.user, None);
        let functions = self.functions.clone();
        let asked = convert::connection(connection);
        let account = Arc::new(convert::account_without_secrets(account));
        let (shown, of) = (entries.clone(), account.clone());
        let spans = instance
            .call(CALL, |store, guest| {
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
            })
            .await;
        if let Some(tape) = instance.tape() {
            tape.tell(&self.plugin, CALL, |redactor| {
                let asked = convert::connection(connection);
                let asked = recorded::Select::of(asked, &account, entries, redactor);
                let answer = spans.as_ref().ok();
                let answer = answer.map(|of| recorded::result(of, |of| recorded::spans(of)));
                (recorded::value(asked), answer)
            });
        }
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
