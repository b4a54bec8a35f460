//! From the sections of the file to the types of [`super`]: `[server]`.
//! Listeners, plugins and tenants have files of their own.
//!
//! A reader takes every key and finishes its section before it gives up on
//! anything, so that one problem never hides another.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use toml::de::DeTable;

use super::admin;
use super::check;
use super::claims::Claims;
use super::disk::{Disk, Wanted};
use super::domain::is_domain;
use super::include;
use super::model::{Config, Owner};
use super::name::{NAME_OCTETS, is_name};
use super::problem::{Problem, Problems, quoted};
use super::read_database::database;
use super::read_engine::engine;
use super::read_listener::listener;
use super::read_plugin::plugin;
use super::read_signing::signing;
use super::read_tenant::tenant;
use super::section::{Found, Located, Report, Section, Value};
use super::server::{Identity, Log, LogFormat, MEMORY, OAuth, Server, ServerLimits, UserNames};
use super::values::{pem, set, syntax_problems, utf8};
use super::{keys, units};

/// Octets of `oauth-scope` and of `oauth-configuration`: both fit the challenge
/// that they go out in.
const OAUTH_SCOPE: usize = 150;
const OAUTH_URL: usize = 400;

/// Reads a whole file's text, and the files that it includes.
pub(super) fn config(text: &str, file: &Path, base: &Path, disk: Disk) -> Result<Config, Problems> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // An empty path is how std says "here" when it takes a file's parent.
    let here = if base.as_os_str().is_empty() {
        Path::new(".")
    } else {
        base
    };
    let base = std::path::absolute(here).map_err(|error| {
        let what = format!("this file's folder has no absolute path: {error}");
        Problems(vec![Problem::of_file(
            file,
            what,
            "name the file by an absolute path",
        )])
    })?;
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let problems = syntax_problems(text, file, &errors).into_iter();
        return Err(Problems(problems.map(|(_, problem)| problem).collect()));
    }
    // Their texts have to outlive what is read of them.
    let included = OnceCell::new();
    let report = Report::new(text, file, base, disk);
    let mut claims = Claims::default();
    let mut root = Section::new(&report, "the file".into(), 0, root.into_inner(), 0);
    let (includes, files) = include::read(&mut root, file);
    let server = server(root.section("server"), &mut claims);
    let listeners = each(
        &mut root,
        "listener",
        |_| None,
        |name, section| listener(name, section, &mut claims),
    );
    let engines = each(
        &mut root,
        "engine",
        |_| None,
        |name, section| engine(name, section, &mut claims),
    );
    let databases = each(
        &mut root,
        "database",
        |_| None,
        |name, section| database(name, section, &mut claims),
    );
    let mut roots = vec![root];
    roots.extend(include::roots(&report, included.get_or_init(|| files)));
    let (mut plugins, mut tenants) = (Vec::new(), Vec::new());
    for root in &mut roots {
        plugins.extend(each(
            root,
            "plugin",
            |name| Some(Owner::Plugin(name)),
            |name, section| {
                claims.plugins.push(name.clone());
                plugin(name, section, &mut claims)
            },
        ));
        tenants.extend(each(
            root,
            "tenant",
            |name| Some(Owner::Tenant(name)),
            |name, section| tenant(name, section, &mut claims),
        ));
    }
    for root in roots {
        root.finish();
    }

    let mut config = Config {
        files: report.files(),
        includes,
        server,
        engines,
        databases,
        listeners,
        plugins,
        tenants,
        absent: Vec::new(),
        warnings: Vec::new(),
        fixed: BTreeMap::new(),
    };
    check::across(&report, &claims, &mut config);
    let Found {
        mut problems,
        absent,
        warnings,
        fixed,
    } = report.into_found();
    if problems.is_empty() {
        config.fixed = fixed.into_iter().collect();
        config.absent = absent.into_iter().map(|(_, absent)| absent).collect();
        config.warnings = warnings.into_iter().map(|(_, warning)| warning).collect();
        Ok(config)
    } else {
        problems.extend(absent.into_iter().map(|(at, absent)| (at, absent.problem)));
        problems.sort_by_key(|(at, _)| *at);
        let problems = problems.into_iter().map(|(_, problem)| problem);
        Err(Problems(problems.collect()))
    }
}

/// Reads each `[kind.NAME]`.
fn each<'r, 't, T>(
    root: &mut Section<'r, 't>,
    kind: &'static str,
    owner: impl Fn(String) -> Option<Owner>,
    mut read: impl FnMut(&Located<String>, Section<'r, 't>) -> Option<T>,
) -> Vec<T> {
    let wanted = format!("a table for each: a line [{kind}.NAME] with its keys below");
    let Some(sections) = root
        .take(kind)
        .and_then(|value| value.table(format!("[{kind}]"), &wanted))
    else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for (name, value) in sections.rest() {
        if !is_name(&name.value) {
            value.report().problem(
                name.at,
                format!("{} is no name for a {kind}", quoted(&name.value)),
                format!(
                    "write [{kind}.NAME] with at most {NAME_OCTETS} letters, digits, `-`, `_` or `.`, a letter or digit first"
                ),
            );
        }
        let title = format!("[{kind}.{}]", name.value.escape_debug());
        if let Some(section) = value.table(title, &wanted) {
            let report = section.report;
            report.files_of(owner(name.value.clone()));
            all.extend(read(&name, section));
            report.files_of(None);
        }
    }
    all
}

fn server(section: Section<'_, '_>, claims: &mut Claims) -> Server {
    let mut section = section.with(&keys::SERVER);
    let hostname = section.take("hostname").and_then(|value| {
        let name = value.string("the host's name, in quotes")?;
        if is_domain(&name.value) {
            Some(name.value)
        } else {
            value.bad(
                format_args!("is {}", quoted(&name.value)),
                "write a domain name such as \"mail.example.org\"",
            )
        }
    });
    let state_dir = section
        .take("state-dir")
        .and_then(|value| value.path())
        .unwrap_or_else(|| Located {
            value: "/var/lib/restante".into(),
            at: section.at,
        });
    let report = section.report;
    report.check_path("state-dir", &state_dir, Wanted::DirectoryOrNothing);
    let certificate = pem(&mut section, claims);
    let admin = admin::admin(&mut section, claims);
    let identity = identity(&mut section);
    let compiler_user = compiler_user(&mut section, identity.as_ref());
    let (node, holds) = holds(&mut section, claims);
    let watch = section.boolean("watch");
    let implementation = section.boolean("implementation");
    let scram_iterations = section.count("scram-iterations");
    let mock_secret_file = section.take("mock-secret-file").and_then(|value| {
        let path = value.path()?;
        report
            .check_path("mock-secret-file", &path, Wanted::File)
            .then_some(path.value)
    });
    let utf8 = utf8(&mut section);
    let signing = signing(&mut section);
    let oauth = oauth(&mut section);
    let log = log(section.section("log").with(&keys::SERVER_LOG));
    let limits = server_limits(section.section("limits").with(&keys::SERVER_LIMITS));
    section.finish();
    Server {
        hostname: hostname.unwrap_or_else(machine_name),
        state_dir: state_dir.value,
        certificate,
        admin,
        identity,
        compiler_user,
        signing,
        node,
        holds,
        watch,
        implementation,
        scram_iterations,
        mock_secret_file,
        utf8: utf8.unwrap_or_default(),
        oauth,
        log,
        limits,
    }
}

/// `node` and `holds`.
fn holds(section: &mut Section<'_, '_>, claims: &mut Claims) -> (Option<String>, Option<String>) {
    let mut name = |key, mend: &str| {
        let value = section.take(key)?;
        let name = value.string("a name, in quotes")?;
        match is_name(&name.value) {
            true => Some(name),
            false => value.bad(format_args!("is {}", quoted(&name.value)), mend),
        }
    };
    let shape = format!(
        "write at most {NAME_OCTETS} letters, digits, `-`, `_` or `.`, a letter or digit first"
    );
    claims.node = name("node", &shape);
    let holds = name("holds", "write \"memory\", or the name of an engine");
    claims.holds = holds.filter(|holds| holds.value != MEMORY);
    let text = |claim: &Option<Located<String>>| claim.as_ref().map(|claim| claim.value.clone());
    (text(&claims.node), text(&claims.holds))
}

/// The key and the name of a user or group of this machine.
fn system_name<'r, 't>(
    section: &mut Section<'r, 't>,
    key: &'static str,
    kind: &str,
) -> Option<(Value<'r, 't>, String)> {
    let value = section.take(key)?;
    let name = value.string("a name, in quotes")?.value;
    if name.is_empty() || name.contains('\0') {
        return value.bad(
            format_args!("is {}", quoted(&name)),
            format!("write the name of a {kind} of this machine, or leave `{key}` out"),
        );
    }
    Some((value, name))
}

/// `user` and `group`.
fn identity(section: &mut Section<'_, '_>) -> Option<Identity> {
    let user = system_name(section, "user", "user");
    let group = system_name(section, "group", "group");
    match (user, group) {
        (Some((_, user)), group) => Some(Identity {
            user,
            group: group.map(|(_, group)| group),
        }),
        (None, Some((value, _))) => value.bad(
            "is nobody's",
            "write `user` as well: a group alone leaves the rights of the user who starts the server",
        ),
        (None, None) => None,
    }
}

/// `compiler-user`, which only a server can use that stays root.
fn compiler_user(section: &mut Section<'_, '_>, identity: Option<&Identity>) -> Option<String> {
    let (value, name) = system_name(section, "compiler-user", "user")?;
    match identity {
        None => Some(name),
        Some(identity) => value.bad(
            "is never used: the server has become `user` by then, and only root can become another",
            format!(
                "leave it out: components are compiled as {}",
                quoted(&identity.user)
            ),
        ),
    }
}

/// `oauth-scope` and `oauth-configuration`.
fn oauth(section: &mut Section<'_, '_>) -> OAuth {
    let scope = section.take("oauth-scope").and_then(|value| {
        let text = value.string("scopes with a blank between, in quotes")?.value;
        // RFC 6749 section 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E ).
        let token = |token: &str| {
            !token.is_empty()
                && (token.bytes())
                    .all(|octet| octet.is_ascii_graphic() && !matches!(octet, b'"' | b'\\'))
        };
        if text.len() <= OAUTH_SCOPE && text.split(' ').all(token) {
            return Some(text);
        }
        value.bad(
            format_args!("is {}", quoted(&text)),
            format!(
                "write at most {OAUTH_SCOPE} octets of scopes with a blank between: \"openid email\""
            ),
        )
    });
    let configuration = section.take("oauth-configuration").and_then(|value| {
        let text = value.string("a URL, in quotes")?.value;
        let is_url = ["https://", "http://"].iter().any(|scheme| {
            let rest = text.strip_prefix(scheme);
            rest.is_some_and(|rest| !rest.is_empty())
        });
        if is_url && text.len() <= OAUTH_URL && text.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Some(text);
        }
        value.bad(
            format_args!("is {}", quoted(&text)),
            format!(
                "write a URL of at most {OAUTH_URL} octets: \"https://idp.example.org/.well-known/openid-configuration\""
            ),
        )
    });
    OAuth {
        scope,
        configuration,
    }
}

/// What this machine calls itself, if that is fit to be shown to clients.
fn machine_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_str()
        .ok()
        .filter(|name| is_domain(name))
        .unwrap_or("localhost")
        .to_owned()
}

fn log(mut section: Section<'_, '_>) -> Log {
    let mut log = Log::default();
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    set(
        &mut log.format,
        section
            .take("format")
            .and_then(|value| value.choice(&formats)),
    );
    let filter = section.take("filter").and_then(|value| {
        let filter = value.string("a filter, in quotes")?;
        match Log::read_filter(&filter.value) {
            Ok(_) => Some(filter.value),
            Err(_) => value.bad(
                format_args!("is {}, which is no filter", quoted(&filter.value)),
                "write a level (error, warn, info, debug, trace), or \"info,restante=debug\"",
            ),
        }
    });
    set(&mut log.filter, filter);
    let names = [("known", UserNames::Known), ("full", UserNames::Full)];
    let names = section
        .take("user-names")
        .and_then(|value| value.choice(&names));
    set(&mut log.user_names, names);
    section.finish();
    log
}

pub(super) fn server_limits(mut section: Section<'_, '_>) -> ServerLimits {
    let connections = section.count("connections") as usize;
    let failure_delay = section.duration("failure-delay");
    let limits = ServerLimits {
        connections,
        connections_per_address: section.count("connections-per-address") as usize,
        connections_per_network: section.count("connections-per-network") as usize,
        unauthenticated: unauthenticated(&mut section, connections),
        instances: section.count("instances"),
        proxy_timeout: section.duration("proxy-timeout"),
        login_timeout: section.duration("login-timeout"),
        autologout: section.duration("autologout"),
        handshake_timeout: section.duration("handshake-timeout"),
        write_timeout: section.duration("write-timeout"),
        line: usize::try_from(section.size("max-line")).unwrap_or(usize::MAX),
        bad_commands_before_login: section.count("bad-commands-before-login"),
        bad_commands_after_login: section.count("bad-commands-after-login"),
        login_failures: section.count("login-failures"),
        failure_delay,
        max_failure_delay: max_failure_delay(&mut section, failure_delay),
        failure_decay: section.duration("failure-decay"),
        shutdown_grace: section.duration("shutdown-grace"),
        drain_time: section.given_duration("drain-time"),
        compile_time: section.duration("compile-time"),
        compile_memory: section.size("compile-memory"),
    };
    section.finish();
    limits
}

/// `max-unauthenticated`: no more than there are connections.
fn unauthenticated(section: &mut Section<'_, '_>, connections: usize) -> usize {
    const KEY: &str = "max-unauthenticated";
    let at = section.at_of(KEY);
    let given = section.has(KEY);
    let number = section.count(KEY) as usize;
    if given && number > connections {
        section.bad_at(
            at,
            KEY,
            format_args!("is {number}, more than `connections` ({connections})"),
            "write at most as many",
        );
    }
    number.min(connections)
}

/// `max-failure-delay`: no less than the first.
fn max_failure_delay(section: &mut Section<'_, '_>, first: Duration) -> Duration {
    const KEY: &str = "max-failure-delay";
    let at = section.at_of(KEY);
    let given = section.has(KEY);
    let longest = section.duration(KEY);
    if given && longest < first {
        let first = units::show_duration(first);
        section.bad_at(
            at,
            KEY,
            format_args!("is less than `failure-delay` ({first})"),
            "write at least as much",
        );
    }
    longest.max(first)
}
