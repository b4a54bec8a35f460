//! The role `selector`: one question for each login.

use std::sync::Arc;

use async_trait::async_trait;
use wasmtime::component::Resource;

use super::bindings::exports::restante::plugin::selector as wit;
use super::instance::Instance;
use super::maildrop::ViewEntry;
use super::{Plugin, convert};
use crate::backend::{Account, Connection, Entries, Failure, Selector, Span};

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
        let mut instance = Instance::new(&self.plugin, &connection.ledger, None).await?;
        let functions = self.functions.clone();
        let connection = convert::connection(connection);
        let account = convert::account_without_secrets(account);
        let entries = entries.clone();
        let spans = instance
            .call("selector.select", |store, guest| {
                Box::pin(async move {
                    let functions = functions.load(&mut *store, guest)?;
                    let owned = store.data_mut().table.push(ViewEntry(entries))?;
                    let lent = Resource::new_borrow(owned.rep());
                    let spans = functions
                        .call_select(&mut *store, &connection, &account, lent)
                        .await?;
                    store.data_mut().table.delete(owned)?;
                    Ok(spans)
                })
            })
            .await?
            .map_err(Failure::from)?;
        Ok(spans
            .into_iter()
            .map(|span| Span {
                start: span.start,
                length: span.length,
            })
            .collect())
    }
}
