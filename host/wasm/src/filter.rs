//! The role `filter`: one instance for the messages of one login.

use std::sync::Arc;

use async_trait::async_trait;
use wasmtime::component::Resource;

use super::bindings::exports::restante::plugin::filter as wit;
use super::bindings::restante::plugin::types;
use super::breaker::Caller;
use super::instance::Instance;
use super::maildrop::MessageEntry;
use super::{Plugin, convert, recorded};
use restante_roles::backend::{Account, Connection, Failure, Filter, Message, Screener, Verdict};

pub(super) struct PluginFilter {
    pub(super) plugin: Arc<Plugin>,
    pub(super) functions: wit::GuestIndices,
}

#[async_trait]
impl Filter for PluginFilter {
    fn name(&self) -> &str {
        &self.plugin.name
    }

    fn identity(&self) -> &str {
        &self.plugin.identity
    }

    async fn screener(
        &self,
        connection: &Arc<Connection>,
        account: &Account,
    ) -> Result<Box<dyn Screener>, Failure> {
        let mut instance = Instance::new(
            &self.plugin,
            connection,
            None,
            Some(Caller::account(account)),
        )
        .await?;
        instance.speak_of(&account.user, None);
        let functions = self.functions.clone();
        let functions = instance
            .call("filter", |store, guest| {
                Box::pin(async move { functions.load(store, guest) })
            })
            .await?;
        Ok(Box::new(PluginScreener {
            plugin: self.plugin.clone(),
            instance,
            functions,
            account: Arc::new(convert::account_without_secrets(account)),
        }))
    }
}

struct PluginScreener {
    plugin: Arc<Plugin>,
    instance: Instance,
    functions: wit::Guest,
    account: Arc<types::Account>,
}

#[async_trait]
impl Screener for PluginScreener {
    async fn screen(&mut self, message: Arc<dyn Message>) -> Result<Verdict, Failure> {
        const CALL: &str = "filter.screen";
        let (functions, account) = (self.functions.clone(), self.account.clone());
        let shown = MessageEntry(Arc::clone(&message));
        let verdict = self
            .instance
            .call(CALL, |store, _| {
                Box::pin(async move {
                    let owned = store.data_mut().table.push(shown)?;
                    let lent = Resource::new_borrow(owned.rep());
                    let verdict = functions.call_screen(&mut *store, &account, lent).await?;
                    store.data_mut().table.delete(owned)?;
                    Ok(verdict)
                })
            })
            .await;
        if let Some(tape) = self.instance.tape() {
            tape.tell(&self.plugin, CALL, |redactor| {
                let asked = recorded::Screen::of(&self.account, &*message, redactor);
                let answer = verdict.as_ref().ok();
                let answer = answer.map(|answer| {
                    recorded::result(answer, |of| recorded::verdict(of, redactor.keeps_mail()))
                });
                (recorded::value(asked), answer)
            });
        }
        Ok(match verdict?.map_err(Failure::from)? {
            wit::Verdict::Show => Verdict::Show,
            wit::Verdict::Hide => Verdict::Hide,
            wit::Verdict::Annotate(fields) => Verdict::Annotate(fields),
        })
    }
}
