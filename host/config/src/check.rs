//! What no section shows alone: names that must exist, names and addresses that
//! must not be claimed twice, and what is allowed but probably not meant.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use super::claims::{Claims, TenantClaims};
use super::maildrops;
use super::model::{Config, Demand, Owner, Tenant};
use super::problem::{quoted, suggest};
use super::section::{Located, Report};
use crate::template::Placeholder;

/// Checks sections against each other, and makes a single tenant that claims
/// nothing the default one.
pub(super) fn across(report: &Report<'_>, claims: &Claims, config: &mut Config) {
    listeners(report, claims);
    sections_once(report, claims);
    plugins(report, claims);
    tenants(report, claims, config);
    names_claimed_once(report, claims, "domain", |tenant| &tenant.domains);
    names_claimed_once(report, claims, "server name", |tenant| &tenant.server_names);
    default_domains(report, claims);
    maildrops::apart(report, claims, config);
    shared_maildrops(report, claims, config);
    client_authorities(report, claims, config);
    signatures(report, claims, config);
    engines(report, claims);
    databases(report, claims, config);
}

/// A plugin is granted databases that there are, and each is for some plugin.
fn databases(report: &Report<'_>, claims: &Claims, config: &Config) {
    let names = claims.databases.iter().map(|name| name.value.as_str());
    let known: Vec<&str> = names.collect();
    let mut granted = HashSet::new();
    for (name, section) in &claims.database_grants {
        granted.insert(name.value.as_str());
        if known.contains(&name.value.as_str()) {
            continue;
        }
        let mend = match known.is_empty() {
            true => format!("add a section [database.{}]", name.value),
            false => suggest(&name.value, &known),
        };
        let what = format!(
            "`databases` in {section} names {}, and there is no such database",
            quoted(&name.value)
        );
        report.problem(name.at, what, mend);
    }
    for name in &claims.databases {
        if !granted.contains(name.value.as_str()) {
            report.warning(
                name.at,
                format!("[database.{}] is never used", name.value.escape_debug()),
                "remove it, or name it in `databases` of a plugin's grants",
            );
        }
    }
    for plugin in &config.plugins {
        report.files_of(Some(Owner::Plugin(plugin.name.clone())));
        for file in &claims.database_files {
            if plugin.grants.databases.contains(&file.database) {
                report.check_path(file.role, &file.path, file.wanted);
            }
        }
    }
    report.files_of(None);
}

/// Each engine is for something, and those that plugins are granted maildrops in are there;
/// who shares one has a name.
fn engines(report: &Report<'_>, claims: &Claims) {
    let granted = claims.engine_grants.iter().map(|(name, _)| name);
    let named: HashSet<&str> = (granted.chain(&claims.holds))
        .map(|name| name.value.as_str())
        .collect();
    for (engine, _) in &claims.engines {
        if !named.contains(engine.value.as_str()) {
            report.warning(
                engine.at,
                format!("[engine.{}] is never used", engine.value.escape_debug()),
                "remove it, or name it in `holds` of [server] or in `maildrop` of a plugin's grants",
            );
        }
    }
    // This server would join both under one name, and put itself out of the first.
    places_once(
        report,
        &claims.engine_places,
        "",
        "write one of them, and name it in `holds` and in `maildrop` of grants alike",
    );
    // Objects of the one could be written over by the other, and removed as its garbage.
    places_once(
        report,
        &claims.buckets,
        ".s3",
        "give each a `prefix` or a bucket of its own",
    );
    let with_mail: HashSet<&str> = (claims.engine_grants.iter())
        .map(|(name, _)| name.value.as_str())
        .collect();
    for (engine, _) in &claims.buckets {
        let name = engine.value.as_str();
        if named.contains(name) && !with_mail.contains(name) {
            report.warning(
                engine.at,
                format!("[engine.{}.s3] is never used", engine.value.escape_debug()),
                "remove it, or name the engine in `maildrop` of a plugin's grants",
            );
        }
    }
    if let (Some(node), true) = (&claims.node, named.is_empty()) {
        report.warning(
            node.at,
            "`node` in [server] is never used: neither `holds` nor the `maildrop` of a plugin names an engine",
            "remove it, or write `holds` with the name of an engine that several servers share",
        );
    }
    for (name, section) in &claims.engine_grants {
        let what = format!("`maildrop` in {section}");
        let Some(is_for_one) = engine(report, claims, name, &what) else {
            continue;
        };
        if !is_for_one && claims.node.is_none() {
            report.problem(
                name.at,
                format!(
                    "{what} names the engine {}, which servers share, and this server has no name among them",
                    quoted(&name.value)
                ),
                "add to [server]: node = \"NAME\", which is different on each server",
            );
        }
    }
    holds(report, claims);
}

/// Two engines with one place are a problem; `below` is what is behind their names.
fn places_once(report: &Report<'_>, claims: &[(Located<String>, String)], below: &str, mend: &str) {
    let mut places = HashMap::new();
    for (engine, place) in claims {
        if let Some(other) = places.insert(place, engine) {
            report.problem(
                engine.at,
                format!(
                    "[engine.{}{below}] and [engine.{}{below}] are in the same place",
                    other.value.escape_debug(),
                    engine.value.escape_debug()
                ),
                mend,
            );
        }
    }
}

/// Whether the engine that `what` names is for one process. None: it is not there, which is
/// a problem.
fn engine(
    report: &Report<'_>,
    claims: &Claims,
    name: &Located<String>,
    what: &str,
) -> Option<bool> {
    let mut engines = claims.engines.iter();
    if let Some((_, is_for_one)) = engines.find(|(engine, _)| engine.value == name.value) {
        return Some(*is_for_one);
    }
    let engines = claims.engines.iter();
    let names: Vec<&str> = engines.map(|(engine, _)| engine.value.as_str()).collect();
    let mend = match names.is_empty() {
        true => format!("add a section [engine.{}]", name.value),
        false => suggest(&name.value, &names),
    };
    let what = format!(
        "{what} names {}, and there is no such engine",
        quoted(&name.value)
    );
    report.problem(name.at, what, mend);
    None
}

/// Who shares holds has a name and an engine, which is one that others can share.
fn holds(report: &Report<'_>, claims: &Claims) {
    let Some(holds) = &claims.holds else {
        return;
    };
    let Some(is_for_one) = engine(report, claims, holds, "`holds` in [server]") else {
        return;
    };
    if claims.node.is_none() {
        report.problem(
            holds.at,
            "`holds` in [server] names an engine, and this server has no name in it",
            "add: node = \"NAME\", which is different on each server",
        );
    }
    if is_for_one {
        report.warning(
            holds.at,
            format!(
                "`holds` in [server] names {}, which is embedded: one process alone can use it, and no other server is kept out of the maildrops",
                quoted(&holds.value)
            ),
            "leave `holds` out if no other server serves the maildrops, or name an engine of kind \"postgres\"",
        );
    }
}

/// Nobody logs in by a default domain that another tenant claims.
fn default_domains(report: &Report<'_>, claims: &Claims) {
    let mut owners = HashMap::new();
    for tenant in &claims.tenants {
        let domains = tenant.domains.iter();
        owners.extend(domains.map(|domain| (domain.value.as_str(), tenant)));
    }
    for tenant in &claims.tenants {
        if let Some(domain) = &tenant.default_domain
            && let Some(owner) = owners.get(domain.value.as_str())
            && owner.name.at != tenant.name.at
        {
            let what = format!(
                "`default-domain` of {} is a domain of {}",
                tenant.title(),
                owner.title()
            );
            report.problem(domain.at, what, "write a domain of its own");
        }
    }
}

/// Client certificates are asked for by server name: without one nobody ever is.
fn client_authorities(report: &Report<'_>, claims: &Claims, config: &Config) {
    let by_name: HashMap<&str, &TenantClaims> = (claims.tenants.iter())
        .map(|claim| (claim.name.value.as_str(), claim))
        .collect();
    for tenant in &config.tenants {
        let unreachable = tenant.server_names.is_empty() && !tenant.default;
        let claim = by_name.get(tenant.name.as_str());
        if let (Some(_), true, Some(claim)) = (&tenant.client_authorities, unreachable, claim) {
            report.problem(
                claim.name.at,
                format!(
                    "`client-authorities` of {} are never used: it has no `server-names`",
                    claim.title()
                ),
                "give it `server-names`: clients are asked for certificates by the name they ask for",
            );
        }
    }
}

/// TOML sees to that in one file.
fn sections_once(report: &Report<'_>, claims: &Claims) {
    let tenants = claims.tenants.iter().map(|tenant| &tenant.name);
    let plugins = claims.plugins.iter();
    let kinds = plugins
        .map(|name| ("plugin", name))
        .chain(tenants.map(|name| ("tenant", name)));
    let mut first: HashMap<(&str, &str), &Located<String>> = HashMap::new();
    for (kind, name) in kinds {
        let Some(before) = first.get(&(kind, name.value.as_str())) else {
            first.insert((kind, &name.value), name);
            continue;
        };
        let shown = name.value.escape_debug();
        let there = report.seen_from(name.at, before.at);
        let what = format!("[{kind}.{shown}] is there already ({there})");
        report.problem(name.at, what, "give each a name of its own, or remove one");
    }
}

fn listeners(report: &Report<'_>, claims: &Claims) {
    if claims.listeners == 0 {
        report.problem_of_file(
            "there is no listener",
            "add a section: [listener.pop3s] with address = \"[::]:995\" and tls = \"implicit\"",
        );
    }
    for (index, (address, who)) in claims.addresses.iter().enumerate() {
        let clash = claims.addresses[..index]
            .iter()
            .find(|(before, _)| collide(before.value, address.value));
        if let Some((before, other)) = clash {
            report.problem(
                address.at,
                format!(
                    "{who} wants {}, which {other} ({}) takes with {}",
                    address.value,
                    report.seen_from(address.at, before.at),
                    before.value
                ),
                "give each its own address or port",
            );
        }
    }
    if !claims.certificates {
        for listener in &claims.tls {
            report.problem(
                listener.at,
                format!("{} speaks TLS, and there is no certificate", listener.value),
                "add `certificate` and `key` to [server], or write tls = \"off\"",
            );
        }
    }
}

/// Can the system not give out both? Port 0 is a new port each time.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port()
        && one.port() != 0
        && (one.ip() == other.ip() || any && one.is_ipv4() == other.is_ipv4())
}

fn plugins(report: &Report<'_>, claims: &Claims) {
    let known: Vec<&str> = claims
        .plugins
        .iter()
        .map(|name| name.value.as_str())
        .collect();
    let names: HashSet<&str> = known.iter().copied().collect();
    let mut used = HashSet::new();
    for name in &claims.uses {
        used.insert(name.value.as_str());
        if !names.contains(name.value.as_str()) {
            let mend = if known.is_empty() {
                "add a section: [plugin.NAME] with component = \"builtin:maildir\"".into()
            } else {
                suggest(&name.value, &known)
            };
            let what = format!("there is no plugin {}", quoted(&name.value));
            report.problem(name.at, what, mend);
        }
    }
    for name in &claims.plugins {
        if !used.contains(name.value.as_str()) {
            report.warning(
                name.at,
                format!("no tenant uses the plugin {}", quoted(&name.value)),
                "name it in a tenant, or remove it",
            );
        }
    }
}

fn tenants(report: &Report<'_>, claims: &Claims, config: &mut Config) {
    let mut default: Option<&TenantClaims> = None;
    for tenant in &claims.tenants {
        let Some(claim) = tenant.default.as_ref().filter(|claim| claim.value) else {
            continue;
        };
        match default {
            None => default = Some(tenant),
            Some(first) => report.problem(
                claim.at,
                format!(
                    "{} is a second default tenant, after {} ({})",
                    tenant.title(),
                    first.title(),
                    report.seen_from(claim.at, first.name.at)
                ),
                "let one of them be the default",
            ),
        }
    }
    match claims.tenants.as_slice() {
        [] => report.problem_of_file(
            "there is no tenant",
            "add a section: [tenant.NAME] with authenticators = [\"…\"] and store = \"…\"",
        ),
        [only] if only.default.is_none() && only.nobody_reaches_it() => {
            for tenant in &mut config.tenants {
                tenant.default = true;
            }
        }
        all => {
            let is_default =
                |tenant: &TenantClaims| tenant.default.as_ref().is_some_and(|claim| claim.value);
            for tenant in all {
                if tenant.nobody_reaches_it() && !is_default(tenant) {
                    report.problem(
                        tenant.name.at,
                        format!("nobody reaches {}", tenant.title()),
                        "give it `domains` or `server-names`, or default = true",
                    );
                }
            }
        }
    }
}

fn names_claimed_once(
    report: &Report<'_>,
    claims: &Claims,
    kind: &str,
    names: impl Fn(&TenantClaims) -> &[Located<String>],
) {
    let mut claimed: HashMap<&str, (&TenantClaims, &Located<String>)> = HashMap::new();
    for tenant in &claims.tenants {
        for name in names(tenant) {
            let Some((first, before)) = claimed.get(name.value.as_str()) else {
                claimed.insert(&name.value, (tenant, name));
                continue;
            };
            let there = report.seen_from(name.at, before.at);
            let shown = quoted(&name.value);
            if first.name.value == tenant.name.value {
                let what = format!("the {kind} {shown} stands twice in {}", tenant.title());
                report.problem(
                    name.at,
                    what,
                    format!("write it once; it is on {there} too"),
                );
            } else {
                let what = format!(
                    "the {kind} {shown} of {} belongs to {} already ({there})",
                    tenant.title(),
                    first.title()
                );
                report.problem(name.at, what, "give it to one tenant");
            }
        }
    }
}

/// Where each plugin is defined.
fn places(claims: &Claims) -> HashMap<&str, &Located<String>> {
    let places = claims.plugins.iter();
    places.map(|name| (name.value.as_str(), name)).collect()
}

/// Gives each plugin what its tenants demand of its signature. A demand that
/// nobody's signature can meet is a problem.
fn signatures(report: &Report<'_>, claims: &Claims, config: &mut Config) {
    let mut users: HashMap<&str, Vec<&Tenant>> = HashMap::new();
    for tenant in &config.tenants {
        for name in tenant.plugins() {
            users.entry(name).or_default().push(tenant);
        }
    }
    let places = places(claims);
    let mut all = Vec::with_capacity(config.plugins.len());
    for plugin in &config.plugins {
        let mut demands = Vec::new();
        for tenant in users.get(plugin.name.as_str()).into_iter().flatten() {
            let demand = config.demand(plugin, Some(tenant));
            if !demands.contains(&demand) {
                demands.push(demand);
            }
        }
        if demands.is_empty() {
            demands.push(config.demand(plugin, None));
        }
        let hopeless = |demand: &Demand| demand.required && demand.keys.is_empty();
        let place = places.get(plugin.name.as_str());
        if let (Some(place), true) = (place, demands.iter().any(hopeless)) {
            report.problem(
                place.at,
                format!(
                    "the component of [plugin.{}] must be signed, and nobody's signature counts",
                    plugin.name
                ),
                "add signature-keys = [\"RW…\"] to [server], to its tenant or to the plugin",
            );
        }
        all.push(demands);
    }
    for (plugin, demands) in config.plugins.iter_mut().zip(all) {
        plugin.demands = demands;
    }
}

/// `{local}` alone is the same directory for alice@a.example and
/// alice@b.example: worth a word where one tenant has both.
fn shared_maildrops(report: &Report<'_>, claims: &Claims, config: &Config) {
    let mut domains: HashMap<&str, usize> = HashMap::new();
    for tenant in &config.tenants {
        let most = domains.entry(&tenant.store).or_default();
        *most = (*most).max(tenant.domains.len());
    }
    let places = places(claims);
    for plugin in &config.plugins {
        let Some(maildrop) = &plugin.grants.maildrop else {
            continue;
        };
        let by_user = |placeholder: &Placeholder| *placeholder != Placeholder::Tenant;
        let mut placeholders = maildrop
            .template()
            .placeholders()
            .filter(|one| by_user(one))
            .peekable();
        let only_local = placeholders.peek().is_some()
            && placeholders.all(|placeholder| *placeholder == Placeholder::Local);
        let domains = domains.get(plugin.name.as_str()).copied().unwrap_or(0);
        let place = places.get(plugin.name.as_str());
        if let (true, Some(place)) = (only_local && domains > 1, place) {
            report.warning(
                place.at,
                format!(
                    "users of {domains} domains share the maildrops of [plugin.{}] where their names agree before the `@`",
                    plugin.name
                ),
                "put {domain} into its `maildrop`",
            );
        }
    }
}
