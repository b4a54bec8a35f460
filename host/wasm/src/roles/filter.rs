//! The role `filter`: one instance for the messages of one login.

use std::sync::Arc;

use async_trait::async_trait;
use wasmtime::component::Resource;

use crate::bindings::exports::restante::plugin::filter as wit;
use crate::bindings::restante::plugin::types;
use crate::convert;
use crate::instance::Instance;
use crate::instance::breaker::Caller;
use crate::instance::lent::MessageEntry;
use crate::plugin::Plugin;
use crate::record::form;
use restante_roles::backend::{Account, Connection, Failure, Filter, Message, Screener, Verdict};

pub(crate) struct PluginFilter {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) functions: wit::GuestIndices,
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
        let mut instance =
            Instance::new(&self.plugin, connection, Some(Caller::account(account))).await?;
        instance.speak_of(&account.user, None);
        let functions = self.functions.clone();
        let functions = instance
            .call("filter", |store, guest| {
                Box::pin(async move { functions.load(store, guest) })
            })
            .await?;
        Ok(Box::new(PluginScreener {
            instance,
            functions,
            account: Arc::new(convert::account_without_secrets(account)),
        }))
    }
}

struct PluginScreener {
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
            .ask(
                CALL,
                |store, _| {
                    Box::pin(async move {
                        let owned = store.data_mut().table.push(shown)?;
                        let lent = Resource::new_borrow(owned.rep());
                        let verdict = functions.call_screen(&mut *store, &account, lent).await?;
                        store.data_mut().table.delete(owned)?;
                        Ok(verdict)
                    })
                },
                |redactor, answer| {
                    let asked = form::Screen::of(&self.account, &*message, redactor);
                    let answer = answer.map(|answer| {
                        form::result(answer, |of| form::verdict(of, redactor.keeps_mail()))
                    });
                    (form::value(asked), answer)
                },
            )
            .await;
        Ok(match verdict?.map_err(Failure::from)? {
            wit::Verdict::Show => Verdict::Show,
            wit::Verdict::Hide => Verdict::Hide,
            wit::Verdict::Annotate(fields) => Verdict::Annotate(fields),
        })
    }
}
