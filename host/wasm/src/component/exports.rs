//! Which roles a component exports, and where in it they are.

use thiserror::Error;
use wasmtime::component::InstancePre;

use crate::bindings::exports::restante::plugin::{
    accepts, admission, authenticator, filter, scram, selector, settings, store,
};
use crate::component::needs::{CONTRACT, CONTRACT_VERSION, age, compatible, parts};
use crate::instance::state::State;

/// What a component can be asked for. Its names are those of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Decides who the client is.
    Authenticator,
    /// Keeps the mail.
    Store,
    /// Shows, hides or annotates messages.
    Filter,
    /// Chooses the part of a maildrop that a login sees.
    Selector,
    /// Decides whether a client may talk to us at all.
    Admission,
}

impl Role {
    /// The interface's name in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Role::Authenticator => "authenticator",
            Role::Store => "store",
            Role::Filter => "filter",
            Role::Selector => "selector",
            Role::Admission => "admission",
        }
    }
}

/// Interfaces of the contract that a component may export.
const INTERFACES: [&str; 8] = [
    "authenticator",
    "accepts",
    "scram",
    "store",
    "filter",
    "selector",
    "admission",
    "settings",
];

/// Those of them that are no role on their own.
const BESIDE: [&str; 3] = ["accepts", "scram", "settings"];

/// Why the exports of a component are of no use.
#[derive(Debug, Error)]
pub enum RoleError {
    /// Nothing of the contract is exported.
    #[error(
        "it exports no role of restante:plugin@0.1 (authenticator, store, filter, selector or admission); it exports {0}"
    )]
    None(String),
    /// An interface of another version of the contract.
    #[error("it exports {export}, this restante speaks {CONTRACT} {CONTRACT_VERSION}: {age}")]
    Version {
        /// As exported.
        export: String,
        /// Which of the two is older, and what to do.
        age: &'static str,
    },
    /// An interface that the contract does not have in this version.
    #[error(
        "it exports {0}, which {CONTRACT} {CONTRACT_VERSION} does not have: take a newer restante, or build it against the wit folder of this one"
    )]
    Unknown(String),
    /// An interface whose functions are not those of the contract.
    #[error("its export {interface} is not the contract's: {error}")]
    Mismatch {
        /// As exported.
        interface: String,
        /// What wasmtime says.
        error: String,
    },
}

/// The contract's interfaces among a component's exports; at least one role.
pub(crate) fn names(exports: &[&str]) -> Result<Vec<&'static str>, RoleError> {
    let mut found = Vec::new();
    for export in exports {
        let (package, interface, version) = parts(export);
        if package != CONTRACT {
            continue;
        }
        let known = INTERFACES.iter().find(|known| **known == interface);
        if !compatible(version, CONTRACT_VERSION) {
            return Err(RoleError::Version {
                export: (*export).to_owned(),
                age: age(version, CONTRACT_VERSION),
            });
        }
        found.push(*known.ok_or_else(|| RoleError::Unknown((*export).to_owned()))?);
    }
    if !found.iter().any(|interface| !BESIDE.contains(interface)) {
        return Err(RoleError::None(match exports.len() {
            0 => "nothing".into(),
            _ => exports.join(", "),
        }));
    }
    Ok(found)
}

/// A component ready to be instantiated, with its roles' functions looked up.
pub(crate) struct Roles {
    pub(crate) pre: InstancePre<State>,
    pub(crate) authenticator: Option<authenticator::GuestIndices>,
    pub(crate) accepts: Option<accepts::GuestIndices>,
    pub(crate) scram: Option<scram::GuestIndices>,
    pub(crate) admission: Option<admission::GuestIndices>,
    pub(crate) store: Option<store::GuestIndices>,
    pub(crate) filter: Option<filter::GuestIndices>,
    pub(crate) selector: Option<selector::GuestIndices>,
    pub(crate) settings: Option<settings::GuestIndices>,
}

impl Roles {
    pub(crate) fn of(pre: InstancePre<State>) -> Result<Self, RoleError> {
        let component = pre.component().component_type();
        let exports: Vec<&str> = component
            .exports(pre.engine())
            .map(|(name, _)| name)
            .collect();
        let found = names(&exports)?;
        let mut roles = Roles {
            authenticator: None,
            accepts: None,
            scram: None,
            admission: None,
            store: None,
            filter: None,
            selector: None,
            settings: None,
            pre,
        };
        let pre = &roles.pre;
        for interface in found {
            let mismatch = |error: wasmtime::Error| RoleError::Mismatch {
                interface: interface.to_owned(),
                error: crate::component::chain(&error),
            };
            match interface {
                "authenticator" => {
                    roles.authenticator =
                        Some(authenticator::GuestIndices::new(pre).map_err(mismatch)?);
                }
                "accepts" => {
                    roles.accepts = Some(accepts::GuestIndices::new(pre).map_err(mismatch)?);
                }
                "scram" => roles.scram = Some(scram::GuestIndices::new(pre).map_err(mismatch)?),
                "admission" => {
                    roles.admission = Some(admission::GuestIndices::new(pre).map_err(mismatch)?);
                }
                "store" => roles.store = Some(store::GuestIndices::new(pre).map_err(mismatch)?),
                "filter" => roles.filter = Some(filter::GuestIndices::new(pre).map_err(mismatch)?),
                "selector" => {
                    roles.selector = Some(selector::GuestIndices::new(pre).map_err(mismatch)?);
                }
                "settings" => {
                    roles.settings = Some(settings::GuestIndices::new(pre).map_err(mismatch)?);
                }
                _ => {}
            }
        }
        Ok(roles)
    }
}
