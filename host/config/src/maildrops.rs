//! Whether tenants can reach each other's maildrops: whatever their authenticators
//! answer, no `maildrop` of one may become a directory that one of another tenant
//! is, holds or lies in.
//!
//! What makes two apart: text that differs (`{tenant}` is text, for a tenant), or
//! `{domain}` as a whole component of both, since the host lets no tenant serve a
//! domain that another claims (`restante_server::tenant::Tenants::may_serve`). Of tenants
//! that claim none, two could serve the same one.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::claims::Claims;
use super::model::{Config, Tenant};
use super::section::Report;
use crate::template::Component;

/// The maildrops of one tenant's store.
struct Reach<'c> {
    tenant: &'c Tenant,
    plugin: &'c str,
    /// Whether tenants may have them in common: in an engine each has its own.
    are_shareable: bool,
    components: Vec<Component>,
}

impl Reach<'_> {
    /// Whether nobody minds that the two meet.
    fn is_one_with(&self, other: &Reach<'_>) -> bool {
        let shares = |one: &Reach<'_>| one.are_shareable && one.tenant.shares_maildrops;
        self.tenant.name == other.tenant.name || (shares(self) && shares(other))
    }
}

/// Says which tenants can meet, once for each pair of plugins.
pub(super) fn apart(report: &Report<'_>, claims: &Claims, config: &Config) {
    let plugins: HashMap<&str, _> = (config.plugins.iter())
        .map(|plugin| (plugin.name.as_str(), plugin))
        .collect();
    let reaches: Vec<Reach<'_>> = (config.tenants.iter())
        .filter_map(|tenant| {
            let plugin = plugins.get(tenant.store.as_str())?;
            let maildrop = plugin.grants.maildrop.as_ref()?;
            Some(Reach {
                tenant,
                plugin: &plugin.name,
                are_shareable: maildrop.directory().is_some(),
                components: maildrop.components(&tenant.name),
            })
        })
        .collect();
    let domains = (config.tenants.iter()).flat_map(|tenant| &tenant.domains);
    let claimed: HashSet<&str> = domains.map(String::as_str).collect();
    let mut meetings = Vec::new();
    meet(reaches.iter().collect(), 0, &claimed, &mut meetings);
    let mut told = HashSet::new();
    for (one, other) in meetings {
        let place = claims.plugins.iter().find(|name| name.value == one.plugin);
        let (Some(place), true) = (place, told.insert((one.plugin, other.plugin))) else {
            continue;
        };
        let whose = match one.plugin == other.plugin {
            true => format!("`maildrop` of [plugin.{}]", one.plugin),
            false => format!(
                "`maildrop` of [plugin.{}] and [plugin.{}]",
                other.plugin, one.plugin
            ),
        };
        report.problem(
            place.at,
            format!(
                "{whose} can lead users of [tenant.{}] and of [tenant.{}] to the same mail",
                other.tenant.name, one.tenant.name
            ),
            "put {tenant} into it as a folder, or {domain} where all of these tenants but one have `domains`",
        );
    }
}

/// Adds those that can meet, at least one meeting for each that has any. All of
/// them agree in their first components, `depth` in number.
fn meet<'r, 'c>(
    reaches: Vec<&'r Reach<'c>>,
    depth: usize,
    claimed: &HashSet<&str>,
    meetings: &mut Vec<(&'r Reach<'c>, &'r Reach<'c>)>,
) {
    let mut by_text: BTreeMap<&str, Vec<&Reach<'c>>> = BTreeMap::new();
    let mut open: Vec<&Reach<'c>> = Vec::new();
    for reach in &reaches {
        match reach.components.get(depth) {
            Some(Component::Text(text)) => by_text.entry(text).or_default().push(reach),
            _ => open.push(reach),
        }
    }
    for (at, one) in open.iter().enumerate() {
        let others = open[..at].iter().chain(by_text.values().flatten());
        let met = others
            .copied()
            .find(|other| !one.is_one_with(other) && can_meet(one, other, depth, claimed));
        meetings.extend(met.map(|other| (*one, other)));
    }
    for group in by_text.into_values().filter(|group| group.len() > 1) {
        meet(group, depth + 1, claimed, meetings);
    }
}

/// Whether an account of one can have a maildrop that is, holds or lies in one of
/// an account of the other.
fn can_meet(one: &Reach<'_>, other: &Reach<'_>, depth: usize, claimed: &HashSet<&str>) -> bool {
    let components = one.components.iter().zip(&other.components).skip(depth);
    !components.into_iter().any(|pair| match pair {
        (Component::Text(text), Component::Text(other)) => text != other,
        (Component::Domain, Component::Domain) => {
            !(one.tenant.domains.is_empty() && other.tenant.domains.is_empty())
        }
        (Component::Domain, Component::Text(text)) => !serves(one.tenant, text, claimed),
        (Component::Text(text), Component::Domain) => !serves(other.tenant, text, claimed),
        _ => false,
    })
}

/// Whether the host lets the tenant serve users of this domain.
fn serves(tenant: &Tenant, text: &str, claimed: &HashSet<&str>) -> bool {
    let domain = text.trim_end_matches('.');
    match tenant.domains.is_empty() {
        true => !claimed.contains(domain),
        false => tenant.domains.iter().any(|own| own == domain),
    }
}
