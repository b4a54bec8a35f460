//! Plugins in the roles of [`restante_roles::backend`], and what an operator asks of one.

pub(crate) mod admission;
pub(crate) mod authenticator;
pub(crate) mod filter;
pub(crate) mod selector;
pub(crate) mod store;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_core::future::BoxFuture;
use thiserror::Error;

use crate::component::exports::Role;
use crate::convert;
use crate::instance::Instance;
use crate::instance::state::State;
use crate::plugin::Plugin;
use restante_roles::backend::{
    Accepts, Admission, Authenticator, Failure, Filter, Selector, Store,
};
use restante_roles::metrics::Ledger;

/// Problems that a plugin may find in its settings; the rest is left out.
const COMPLAINTS: usize = 100;

/// A plugin's component that does not play the part it was given.
#[derive(Debug, Error)]
#[error("component {component} does not export the role `{}`", role.name())]
pub struct MissingRole {
    role: Role,
    component: String,
}

impl Plugin {
    /// The plugin as an authenticator, which judges what [`Plugin::accepts`] said.
    pub fn authenticator(
        self: &Arc<Self>,
        accepts: Accepts,
    ) -> Result<Arc<dyn Authenticator>, MissingRole> {
        match self.compiled.roles.authenticator.clone() {
            Some(functions) => Ok(Arc::new(authenticator::PluginAuthenticator {
                plugin: self.clone(),
                functions,
                scram: self.compiled.roles.scram.clone(),
                accepts,
            })),
            None => Err(self.missing(Role::Authenticator)),
        }
    }

    /// The plugin as a store.
    pub fn store(self: &Arc<Self>) -> Result<Arc<dyn Store>, MissingRole> {
        match self.compiled.roles.store.clone() {
            Some(functions) => Ok(Arc::new(store::find::PluginStore {
                plugin: self.clone(),
                functions,
            })),
            None => Err(self.missing(Role::Store)),
        }
    }

    /// The plugin as a filter.
    pub fn filter(self: &Arc<Self>) -> Result<Arc<dyn Filter>, MissingRole> {
        match self.compiled.roles.filter.clone() {
            Some(functions) => Ok(Arc::new(filter::PluginFilter {
                plugin: self.clone(),
                functions,
            })),
            None => Err(self.missing(Role::Filter)),
        }
    }

    /// The plugin as a selector.
    pub fn selector(self: &Arc<Self>) -> Result<Arc<dyn Selector>, MissingRole> {
        match self.compiled.roles.selector.clone() {
            Some(functions) => Ok(Arc::new(selector::PluginSelector {
                plugin: self.clone(),
                functions,
            })),
            None => Err(self.missing(Role::Selector)),
        }
    }

    /// The plugin as an admission.
    pub fn admission(self: &Arc<Self>) -> Result<Arc<dyn Admission>, MissingRole> {
        match self.compiled.roles.admission.clone() {
            Some(functions) => Ok(Arc::new(admission::PluginAdmission {
                plugin: self.clone(),
                functions,
            })),
            None => Err(self.missing(Role::Admission)),
        }
    }

    /// Asks the plugin which kinds of credentials it judges. Without the interface
    /// `accepts` it is passwords, and SCRAM where it has that; with it, SCRAM is
    /// still only what the plugin has keys for. `ledger`: whose instance asks. `known`: what
    /// it said before, which holds on where something that it asked did not answer.
    pub fn accepts<'a>(
        self: &'a Arc<Self>,
        ledger: &'a Arc<Ledger>,
        known: Option<Accepts>,
    ) -> BoxFuture<'a, Result<Accepts, Failure>> {
        Box::pin(async move {
            let roles = &self.compiled.roles;
            let scram = roles.scram.is_some();
            let Some(functions) = roles.accepts.clone() else {
                return Ok(Accepts {
                    scram_sha1: scram,
                    scram_sha256: scram,
                    ..Accepts::PASSWORD
                });
            };
            let mut instance = Instance::for_operator(self, ledger).await?;
            let kinds = instance
                .call("accepts.accepts", |store, guest| {
                    Box::pin(async move {
                        let functions = functions.load(&mut *store, guest)?;
                        functions.call_accepts(store).await
                    })
                })
                .await?;
            let has_failed = |state: &mut State| state.witness.has_failed();
            if let Some(known) = known
                && instance.state().is_some_and(has_failed)
            {
                return Ok(known);
            }
            let accepts = Accepts::from(kinds);
            if !scram && (accepts.scram_sha1 || accepts.scram_sha256) {
                return Err(instance.lie(
                    "accepts.accepts",
                    "SCRAM, and the component does not export the interface scram",
                ));
            }
            Ok(accepts)
        })
    }

    /// Asks the plugin itself what is wrong with its settings; one line for
    /// each problem. A plugin without the role `settings` has none. `ledger`:
    /// whose instance asks.
    pub fn validate<'a>(
        self: &'a Arc<Self>,
        ledger: &'a Arc<Ledger>,
    ) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
        Box::pin(async move {
            let Some(functions) = self.compiled.roles.settings.clone() else {
                return Ok(Vec::new());
            };
            let mut instance = Instance::for_operator(self, ledger).await?;
            let validated = instance
                .call("settings.validate", |store, guest| {
                    Box::pin(async move {
                        let functions = functions.load(&mut *store, guest)?;
                        functions.call_validate(store).await
                    })
                })
                .await?;
            let complaints = validated.err().unwrap_or_default();
            Ok(complaints
                .into_iter()
                .take(COMPLAINTS)
                .map(convert::words)
                .collect())
        })
    }

    /// Makes an instance and lets go of it: how long the making took, and how many
    /// octets of memory it had. `ledger`: one that nothing else is counted in.
    pub fn fresh_instance<'a>(
        self: &'a Arc<Self>,
        ledger: &'a Arc<Ledger>,
    ) -> BoxFuture<'a, Result<(Duration, u64), Failure>> {
        Box::pin(async move {
            let begun = Instant::now();
            let instance = Instance::for_operator(self, ledger).await?;
            let took = begun.elapsed();
            let octets = ledger.totals().memory_octets;
            drop(instance);
            Ok((took, octets))
        })
    }

    pub(crate) fn missing(&self, role: Role) -> MissingRole {
        MissingRole {
            role,
            component: self.source.clone(),
        }
    }
}
