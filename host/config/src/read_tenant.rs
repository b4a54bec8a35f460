//! `[tenant.NAME]`: from its section to [`Tenant`].

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use restante_pop3::Retention;

use super::claims::{Claims, TenantClaims};
use super::disk::Wanted;
use super::domain::is_domain;
use super::model::{
    FilterFailure, PlaintextLogin, Scram, ShadowNames, ShareLimits, Tenant, TenantLimits,
    TlsVersion, WhenInUse,
};
use super::problem::quoted;
use super::read_signing::signing;
use super::section::{Located, Section, Value};
use super::values::{pem, tls_version, utf8};
use super::{keys, units};

/// How much of a maildrop expires at once, in percent, where nobody says it.
const EXPIRE_MAX_SHARE: u8 = 90;

pub(super) fn tenant(
    name: &Located<String>,
    mut section: Section<'_, '_>,
    claims: &mut Claims,
) -> Option<Tenant> {
    section = section.with(&keys::TENANT);
    let domains = section.take("domains").map_or_else(Vec::new, |value| {
        names(&value, is_domain, "\"example.org\"")
    });
    let default_domain = section
        .take("default-domain")
        .and_then(|value| default_domain(&value, &domains));
    let server_names = section.take("server-names").map_or_else(Vec::new, |value| {
        let fits = |name: &str| is_domain(name.strip_prefix("*.").unwrap_or(name));
        names(&value, fits, "\"pop.example.org\" or \"*.example.org\"")
    });
    let default = section.take("default").and_then(|value| {
        let at = value.at;
        value.boolean().map(|value| Located { value, at })
    });
    let certificate = pem(&mut section, claims);
    let client_authorities = client_authorities(&mut section);
    let authenticators = section
        .require(
            "authenticators",
            "authenticators = [\"NAME\"], naming plugins",
        )
        .and_then(|value| {
            let authenticators = entries(&value, Role::Authenticator)?;
            if authenticators.live.is_empty() {
                return value.bad(
                    "names nobody",
                    "name at least one plugin that is no shadow, or nobody can log in",
                );
            }
            Some(authenticators)
        });
    let store = section
        .require("store", "store = \"NAME\", naming a plugin")
        .and_then(|value| value.string("the name of a plugin, in quotes"));
    let selectors = section
        .take("selectors")
        .and_then(|value| plugins(&value))
        .unwrap_or_default();
    let filters = section
        .take("filters")
        .and_then(|value| entries(&value, Role::Other))
        .unwrap_or_default();
    let failures = [
        ("refuse", FilterFailure::Refuse),
        ("show", FilterFailure::Show),
        ("hide", FilterFailure::Hide),
    ];
    let filter_failure = section
        .take("filter-failure")
        .and_then(|value| value.choice(&failures));
    let admissions = section
        .take("admissions")
        .and_then(|value| entries(&value, Role::Other))
        .unwrap_or_default();
    let plaintext = [
        ("loopback", PlaintextLogin::Loopback),
        ("always", PlaintextLogin::Always),
        ("never", PlaintextLogin::Never),
    ];
    let plaintext_login = section
        .take("plaintext-login")
        .and_then(|value| value.choice(&plaintext));
    let tls_minimum = section
        .take("tls-minimum")
        .and_then(|value| tls_version(&value));
    let expire = section.take("expire").and_then(|value| retention(&value));
    let expire_max_share = section
        .take("expire-max-share")
        .and_then(|value| share(&value));
    let expire_max_clock_jump = section.duration("expire-max-clock-jump");
    let login_delay = section.given_duration("login-delay");
    let utf8 = utf8(&mut section);
    let scram = [
        ("auto", Scram::Auto),
        ("on", Scram::On),
        ("off", Scram::Off),
    ];
    let scram = section.take("scram").and_then(|value| value.choice(&scram));
    let apop = section.boolean("apop");
    let cram_md5 = section.boolean("cram-md5");
    let policy_by_user = section.boolean("policy-by-user");
    let shares_maildrops = section.boolean("shares-maildrops-with-other-tenants");
    let in_use = [
        ("refuse", WhenInUse::Refuse),
        ("take-over", WhenInUse::TakeOver),
    ];
    let when_in_use = section
        .take("when-in-use")
        .and_then(|value| value.choice(&in_use));
    let signing = signing(&mut section);
    let limits = tenant_limits(section.section("limits").with(&keys::TENANT_LIMITS));

    let lists = [authenticators.as_ref(), Some(&admissions), Some(&filters)];
    let listed = lists.into_iter().flatten().flat_map(Plugins::all);
    claims
        .uses
        .extend(listed.chain(&store).chain(&selectors).cloned());
    claims.tenants.push(TenantClaims {
        name: name.clone(),
        domains: domains.clone(),
        default_domain: default_domain.clone(),
        server_names: server_names.clone(),
        default: default.clone(),
    });
    let place = section.report.place(name.at);
    section.finish();
    let authenticators = authenticators?;
    Some(Tenant {
        place,
        name: name.value.clone(),
        domains: values(domains),
        default_domain: default_domain.map(|domain| domain.value),
        server_names: values(server_names),
        default: default.is_some_and(|default| default.value),
        certificate,
        client_authorities,
        signing,
        acting_as: authenticators.acting_as,
        authenticators: values(authenticators.live),
        store: store?.value,
        selectors: values(selectors),
        filters: values(filters.live),
        filter_failure: filter_failure.unwrap_or(FilterFailure::Refuse),
        admissions: values(admissions.live),
        shadows: ShadowNames {
            authenticators: values(authenticators.shadows),
            admissions: values(admissions.shadows),
            filters: values(filters.shadows),
        },
        plaintext_login: plaintext_login.unwrap_or(PlaintextLogin::Loopback),
        tls_minimum: tls_minimum.unwrap_or(TlsVersion::V1_2),
        expire,
        expire_max_share: expire_max_share.unwrap_or(EXPIRE_MAX_SHARE),
        expire_max_clock_jump,
        login_delay: login_delay.unwrap_or(Duration::ZERO),
        policy_by_user,
        utf8,
        scram: scram.unwrap_or_default(),
        apop,
        cram_md5,
        shares_maildrops,
        when_in_use: when_in_use.unwrap_or_default(),
        limits,
    })
}

/// `default-domain`: one of the tenant's own, where it has some.
fn default_domain(value: &Value<'_, '_>, domains: &[Located<String>]) -> Option<Located<String>> {
    let mut domain = value.string("a domain, in quotes")?;
    domain.value.make_ascii_lowercase();
    if !is_domain(&domain.value) {
        return value.bad(
            format_args!("is {}, which is no domain name", quoted(&domain.value)),
            "write \"example.org\", as it stands in the DNS",
        );
    }
    let own = domains.iter().any(|own| own.value == domain.value);
    if !domains.is_empty() && !own {
        return value.bad(
            format_args!("is {}, which is not in `domains`", quoted(&domain.value)),
            "write one of `domains`, or add it there",
        );
    }
    Some(domain)
}

fn client_authorities(section: &mut Section<'_, '_>) -> Option<PathBuf> {
    let path = section.take("client-authorities")?.path()?;
    let report = section.report;
    report
        .check_path("client-authorities", &path, Wanted::File)
        .then_some(path.value)
}

/// "never", or days as a duration.
fn retention(value: &Value<'_, '_>) -> Option<Retention> {
    let text = value.string("\"never\", or days such as \"30d\"")?;
    units::retention(&text.value).or_else(|| {
        value.bad(
            format_args!("is {}", quoted(&text.value)),
            "write \"never\", or whole days such as \"30d\" (\"0d\": no message that was retrieved stays)",
        )
    })
}

/// A share of something: "90%".
fn share(value: &Value<'_, '_>) -> Option<u8> {
    let text = value.string("a share such as \"90%\"")?;
    units::percent(&text.value).or_else(|| {
        value.bad(
            format_args!("is {}", quoted(&text.value)),
            "write a whole number of percent, \"1%\" to \"100%\"",
        )
    })
}

pub(super) fn tenant_limits(mut section: Section<'_, '_>) -> TenantLimits {
    let limits = TenantLimits {
        sessions: section.count("sessions") as usize,
        sessions_per_user: section.count("sessions-per-user") as usize,
        share: ShareLimits {
            logins_per_minute: section.given_count("logins-per-minute"),
            instances: section.given_count("instances"),
            guest_memory: section.given_size("guest-memory"),
            guest_cpu_per_minute: section.given_duration("guest-cpu-per-minute"),
            host_call_octets_per_minute: section.given_size("host-call-octets-per-minute"),
        },
    };
    section.finish();
    limits
}

/// An array of domain names, in lower case.
fn names(
    value: &Value<'_, '_>,
    fits: impl Fn(&str) -> bool,
    example: &str,
) -> Vec<Located<String>> {
    let mut names = value.strings(&format!("[{example}]")).unwrap_or_default();
    names.retain_mut(|name| {
        name.value.make_ascii_lowercase();
        let fits = fits(&name.value);
        if !fits {
            let what = format!(
                "{} in {} is no domain name",
                quoted(&name.value),
                value.name
            );
            let mend = if name.value.is_ascii() {
                format!("write {example}")
            } else {
                "write it as it stands in the DNS, with `xn--`".into()
            };
            value.report().problem(name.at, what, mend);
        }
        fits
    });
    names
}

/// Plugins in one role.
#[derive(Default)]
struct Plugins {
    live: Vec<Located<String>>,
    shadows: Vec<Located<String>>,
    /// Of either.
    acting_as: BTreeSet<String>,
}

impl Plugins {
    fn all(&self) -> impl Iterator<Item = &Located<String>> {
        self.live.iter().chain(&self.shadows)
    }
}

/// What the entries of an array are asked to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Authenticator,
    Other,
}

/// An array of plugins, each once: a name, or a table that says what else it is.
fn entries(value: &Value<'_, '_>, role: Role) -> Option<Plugins> {
    const TABLE: &str = "{ plugin = \"NAME\", shadow = true }";
    let wanted = format!("[\"NAME\"], naming plugins, or [\"NAME\", {TABLE}]");
    let mut plugins = Plugins::default();
    for entry in value.array(&wanted)? {
        let (report, title) = (entry.report(), entry.name.clone());
        let named = if entry.is_table() {
            let mut section = entry.table(title, TABLE)?;
            let name = section
                .require("plugin", TABLE)
                .and_then(|value| value.string("the name of a plugin, in quotes"));
            let shadow = section.take("shadow").and_then(|value| value.boolean());
            let mut acting_as = None;
            if role == Role::Authenticator {
                acting_as = section.take("acting-as").and_then(|value| value.boolean());
            }
            section.finish();
            if let (Some(name), Some(true)) = (&name, acting_as) {
                plugins.acting_as.insert(name.value.clone());
            }
            name.map(|name| (name, shadow == Some(true)))
        } else {
            let name = entry.string("the name of a plugin, in quotes");
            name.map(|name| (name, false))
        };
        let Some((name, shadow)) = named else {
            continue;
        };
        if plugins.all().any(|before| before.value == name.value) {
            let what = format!("{} stands twice in {}", quoted(&name.value), value.name);
            report.problem(name.at, what, "name each plugin once");
        }
        let list = if shadow {
            &mut plugins.shadows
        } else {
            &mut plugins.live
        };
        list.push(name);
    }
    Some(plugins)
}

/// An array of names of plugins, each once.
fn plugins(value: &Value<'_, '_>) -> Option<Vec<Located<String>>> {
    let plugins = value.strings("[\"NAME\"], naming plugins")?;
    for (index, plugin) in plugins.iter().enumerate() {
        if plugins[..index]
            .iter()
            .any(|before| before.value == plugin.value)
        {
            let what = format!("{} stands twice in {}", quoted(&plugin.value), value.name);
            value
                .report()
                .problem(plugin.at, what, "name each plugin once");
        }
    }
    Some(plugins)
}

fn values(located: Vec<Located<String>>) -> Vec<String> {
    located.into_iter().map(|located| located.value).collect()
}
